#include "server/sessions.h"

#include <pthread.h>
#include <stdlib.h>

struct sessions {
    pthread_mutex_t mutex;
    const struct model *model;
    size_t count, capacity;
    struct session *spares[]; /* a stack */
};

struct sessions *sessions_create(const struct model *model, size_t spares) {
    struct sessions *sessions = calloc(1, sizeof *sessions + spares * sizeof(struct session *));
    if (!sessions)
        return NULL;
    pthread_mutex_init(&sessions->mutex, NULL);
    sessions->model = model;
    sessions->capacity = spares;
    return sessions;
}

void sessions_free(struct sessions *sessions) {
    if (!sessions)
        return;
    while (sessions->count > 0)
        session_free(sessions->spares[--sessions->count]);
    pthread_mutex_destroy(&sessions->mutex);
    free(sessions);
}

struct session *sessions_take(struct sessions *sessions) {
    struct session *session = NULL;
    pthread_mutex_lock(&sessions->mutex);
    if (sessions->count > 0)
        session = sessions->spares[--sessions->count];
    pthread_mutex_unlock(&sessions->mutex);
    if (!session)
        session_create(sessions->model, &session, NULL);
    return session;
}

void sessions_give(struct sessions *sessions, struct session *session) {
    pthread_mutex_lock(&sessions->mutex);
    if (sessions->count < sessions->capacity) {
        sessions->spares[sessions->count++] = session;
        session = NULL;
    }
    pthread_mutex_unlock(&sessions->mutex);
    session_free(session);
}

void sessions_trim(struct sessions *sessions, enum trim trim) {
    pthread_mutex_lock(&sessions->mutex);
    for (size_t i = 0; i < sessions->count; i++)
        session_trim(sessions->spares[i], trim);
    pthread_mutex_unlock(&sessions->mutex);
}
