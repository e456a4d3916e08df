#include "server/sources.h"

#include <nettle/sha2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct source {
    uint8_t digest[SHA256_DIGEST_SIZE]; /* of the address, which may be long */
    char id[IMAGE_ID_MAX + 1];          /* empty: free */
    int64_t noted_ns, used_ns;
};

struct sources {
    pthread_mutex_t mutex;
    struct source sources[SOURCES_MAX];
};

struct sources *sources_create(void) {
    struct sources *sources = calloc(1, sizeof *sources);
    if (sources)
        pthread_mutex_init(&sources->mutex, NULL);
    return sources;
}

void sources_free(struct sources *sources) {
    if (!sources)
        return;
    pthread_mutex_destroy(&sources->mutex);
    free(sources);
}

static void digest_of(const char *address, uint8_t digest[SHA256_DIGEST_SIZE]) {
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, strlen(address), (const uint8_t *)address);
    sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
}

/* With the mutex held: the one of this address; or NULL. A look at all of them is quick. */
static struct source *find(struct sources *sources, const char *address) {
    uint8_t digest[SHA256_DIGEST_SIZE];
    digest_of(address, digest);
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        struct source *source = &sources->sources[i];
        if (source->id[0] && memcmp(source->digest, digest, sizeof digest) == 0)
            return source;
    }
    return NULL;
}

/* With the mutex held: a free one, or the least recently used. */
static struct source *oldest(struct sources *sources) {
    struct source *source = sources->sources;
    for (size_t i = 1; i < SOURCES_MAX && source->id[0]; i++)
        if (!sources->sources[i].id[0] || sources->sources[i].used_ns < source->used_ns)
            source = &sources->sources[i];
    return source;
}

bool sources_find(struct sources *sources, const char *address, int64_t now_ns,
                  char id[IMAGE_ID_MAX + 1]) {
    pthread_mutex_lock(&sources->mutex);
    struct source *source = find(sources, address);
    const bool known = source && now_ns - source->noted_ns < SOURCE_SECONDS * INT64_C(1000000000);
    if (known) {
        source->used_ns = now_ns;
        strcpy(id, source->id);
    }
    pthread_mutex_unlock(&sources->mutex);
    return known;
}

void sources_note(struct sources *sources, const char *address, const char *id, int64_t now_ns) {
    pthread_mutex_lock(&sources->mutex);
    struct source *source = find(sources, address);
    if (!source) {
        source = oldest(sources);
        digest_of(address, source->digest);
    }
    strcpy(source->id, id);
    source->noted_ns = source->used_ns = now_ns;
    pthread_mutex_unlock(&sources->mutex);
}
