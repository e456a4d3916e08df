/* Sessions are lent to one job at a time, the warmest first. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/sessions.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/model_fixture.h"
#include "tests/unit/suites.h"

static struct model_fixture fixture;

static void set_up(void) {
    model_fixture_make(&fixture, 6);
}

static void tear_down(void) {
    model_fixture_free(&fixture);
}

static struct sessions *make_sessions(size_t spares) {
    struct sessions *sessions = sessions_create(fixture.model, spares);
    ck_assert_ptr_nonnull(sessions);
    return sessions;
}

START_TEST(the_last_given_is_the_first_lent) {
    struct sessions *sessions = make_sessions(3);
    struct session *taken[3];
    for (int i = 0; i < 3; i++) {
        taken[i] = sessions_take(sessions);
        ck_assert_ptr_nonnull(taken[i]);
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(taken[i], taken[j]);
    }
    sessions_give(sessions, taken[1]);
    sessions_give(sessions, taken[0]);
    sessions_give(sessions, taken[2]);
    ck_assert_ptr_eq(sessions_take(sessions), taken[2]);
    ck_assert_ptr_eq(sessions_take(sessions), taken[0]);
    ck_assert_ptr_eq(sessions_take(sessions), taken[1]);
    for (int i = 0; i < 3; i++)
        sessions_give(sessions, taken[i]);
    sessions_free(sessions);
    sessions_free(NULL);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------ */

static size_t resident_pages(void) {
    size_t size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%zu %zu", &size, &resident), 2);
    fclose(file);
    return resident;
}

static size_t mapped_pages(void) {
    size_t size = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%zu", &size), 1);
    fclose(file);
    return size;
}

struct decoding {
    struct session *session;
    struct embedding *embedding;
};

static void decode(void *argument, struct worker *worker) {
    struct decoding *at = argument;
    struct prompt prompt = {.point_count = 1, .points = {{5, 5}}, .labels = {1}};
    struct segmentation result;
    ck_assert_int_eq(model_segment(fixture.model, at->session, worker, at->embedding, NULL, &prompt,
                                   &result, NULL),
                     STATUS_OK);
    segmentation_free(&result);
}

/* A prompt touches at least the keys, 4 MB, and its masks, 1 MB. */
START_TEST(trimming_returns_the_memory) {
    const size_t pages = ((size_t)5 << 20) / (size_t)sysconf(_SC_PAGESIZE);
    struct sessions *sessions = make_sessions(1);
    struct decoding at = {sessions_take(sessions), obtain(sizeof(struct embedding))};
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        at.embedding->values[i] = 0x3c00;
    geometry_fit(20, 10, 1024, &at.embedding->geometry);
    for (int i = 0; i < 2; i++) { /* what is trimmed can be used again */
        run_on_pool(1, model_tile_scratch_bytes(fixture.model), decode, &at);
        sessions_trim(sessions, TRIM_ALL); /* of those that nobody has: of none */
        size_t lent = resident_pages();
        sessions_give(sessions, at.session);
        size_t given = resident_pages();
        ck_assert_uint_gt(given + pages, lent); /* a spare keeps its pages */
        sessions_trim(sessions, TRIM_ALL);
        ck_assert_uint_lt(resident_pages() + pages, given);
        ck_assert_ptr_eq(sessions_take(sessions), at.session);
    }
    sessions_give(sessions, at.session);
    sessions_free(sessions);
    free(at.embedding);
}
END_TEST

/* By the address space that a session takes: 32 MB for the activations of an image. */
START_TEST(no_more_spares_are_kept_than_wanted) {
    const size_t pages = ((size_t)32 << 20) / (size_t)sysconf(_SC_PAGESIZE);
    for (size_t spares = 0; spares <= 2; spares++) {
        struct sessions *sessions = make_sessions(spares);
        struct session *taken[3];
        size_t before = mapped_pages();
        for (int i = 0; i < 3; i++)
            taken[i] = sessions_take(sessions);
        ck_assert_uint_ge(mapped_pages(), before + 3 * pages);
        for (int i = 0; i < 3; i++)
            sessions_give(sessions, taken[i]);
        size_t kept = (mapped_pages() - before) / pages;
        ck_assert_uint_eq(kept, spares);
        sessions_free(sessions);
        ck_assert_uint_lt(mapped_pages(), before + pages);
    }
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------- */

enum { THREADS = 6, ROUNDS = 500 };

static struct {
    pthread_mutex_t mutex;
    struct session *lent[THREADS];
} ledger = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void lend(int thread, struct session *session) {
    pthread_mutex_lock(&ledger.mutex);
    for (int i = 0; session && i < THREADS; i++)
        if (ledger.lent[i] == session)
            ck_abort_msg("a session was lent twice");
    ledger.lent[thread] = session;
    pthread_mutex_unlock(&ledger.mutex);
}

struct borrower {
    struct sessions *sessions;
    int number;
};

static void *borrow(void *argument) {
    struct borrower *borrower = argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct session *session = sessions_take(borrower->sessions);
        lend(borrower->number, session);
        if (i % 50 == 0)
            sessions_trim(borrower->sessions, TRIM_ENCODING);
        lend(borrower->number, NULL);
        sessions_give(borrower->sessions, session);
    }
    return NULL;
}

START_TEST(a_session_is_lent_to_one_at_a_time) {
    struct sessions *sessions = make_sessions(2);
    struct borrower borrowers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        borrowers[i] = (struct borrower){sessions, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, borrow, &borrowers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    sessions_free(sessions);
}
END_TEST

Suite *sessions_suite(void) {
    Suite *suite = suite_create("sessions");
    TCase *cases = tcase_create("sessions");
    tcase_set_tags(cases, "concurrency");
    tcase_set_timeout(cases, 60);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, the_last_given_is_the_first_lent);
    tcase_add_test(cases, trimming_returns_the_memory);
    tcase_add_test(cases, no_more_spares_are_kept_than_wanted);
    tcase_add_test(cases, a_session_is_lent_to_one_at_a_time);
    suite_add_tcase(suite, cases);
    return suite;
}
