/* The catalogue: an image that many upload at once is encoded once, and all of them hear of it. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/catalogue.h"
#include "tests/unit/suites.h"

static const uint8_t DIGEST[DIGEST_BYTES] = {1}, OTHER_DIGEST[DIGEST_BYTES] = {[31] = 1};
static const struct geometry GEOMETRY = {200, 100, 1024, 512}, OTHER_GEOMETRY = {1, 2, 3, 4};

static struct store *store;
static struct catalogue *catalogue;

static void set_up(void) {
    store = store_create((size_t)1 << 30);
    catalogue = catalogue_create(store);
    ck_assert_ptr_nonnull(catalogue);
}

static void tear_down(void) {
    catalogue_free(catalogue);
    catalogue_free(NULL);
    store_free(store);
}

/* A waiter that remembers. */
struct listener {
    struct waiter waiter; /* first */
    int woken;
    struct record *record; /* held; NULL: it failed */
    enum problem_type problem;
    bool first;
    double encode_ms;
};

static void wake(struct waiter *waiter, const struct outcome *outcome) {
    struct listener *listener = (struct listener *)waiter;
    listener->woken++;
    listener->first = waiter->first;
    listener->record = outcome->record ? record_hold(outcome->record) : NULL;
    listener->problem = outcome->problem ? outcome->problem->type : PROBLEM_NONE;
    listener->encode_ms = outcome->timing.encode_ms;
}

static struct listener make_listener(void) {
    return (struct listener){.waiter.wake = wake};
}

static enum presence claim(const char *id, const uint8_t *digest, struct listener *listener,
                           struct record **record) {
    return catalogue_claim(catalogue, id, digest, &GEOMETRY, &listener->waiter, record);
}

/* A lookup that does not wait. */
static enum presence look(const char *id) {
    struct record *record = (struct record *)1;
    struct geometry geometry = OTHER_GEOMETRY;
    enum presence presence = catalogue_find(catalogue, id, NULL, &record, &geometry);
    ck_assert_int_eq(record != NULL, presence == IMAGE_PRESENT);
    bool known = presence == IMAGE_PRESENT || presence == IMAGE_PENDING;
    ck_assert_mem_eq(&geometry, known ? &GEOMETRY : &OTHER_GEOMETRY, sizeof geometry);
    record_release(record);
    return presence;
}

/* What an encode does in the end. */
static void finish_other(const char *id, const uint8_t *digest) {
    struct outcome outcome = {.record = record_create(id, digest), .timing.encode_ms = 7};
    outcome.record->embedding.geometry = GEOMETRY;
    catalogue_finish(catalogue, id, digest, &outcome);
    record_release(outcome.record);
}

static void finish(const char *id) {
    finish_other(id, DIGEST);
}

static void finish_failed(const char *id, const uint8_t *digest, enum problem_type type) {
    struct problem problem = {.type = type};
    struct outcome outcome = {.problem = &problem};
    catalogue_finish(catalogue, id, digest, &outcome);
}

static void check_woken(struct listener *listener, bool first) {
    ck_assert_int_eq(listener->woken, 1);
    ck_assert_int_eq(listener->first, first);
    ck_assert_ptr_nonnull(listener->record);
    ck_assert_int_eq(listener->problem, PROBLEM_NONE);
    ck_assert_double_eq(listener->encode_ms, 7);
    record_release(listener->record);
}

/* ---- one image --------------------------------------------------------------------------- */

START_TEST(an_image_is_absent_then_pending_then_present) {
    struct listener listener = make_listener(), again = make_listener();
    struct record *record = (struct record *)1;
    ck_assert_int_eq(look("a"), IMAGE_ABSENT);
    ck_assert_int_eq(claim("a", DIGEST, &listener, &record), IMAGE_CLAIMED);
    ck_assert_ptr_null(record);
    ck_assert_int_eq(look("a"), IMAGE_PENDING);
    ck_assert_int_eq(look("b"), IMAGE_ABSENT);
    ck_assert_int_eq(listener.woken, 0);
    finish("a");
    ck_assert_str_eq(listener.record->id, "a");
    check_woken(&listener, true);
    ck_assert_int_eq(look("a"), IMAGE_PRESENT);
    ck_assert_int_eq(claim("a", DIGEST, &again, &record), IMAGE_PRESENT);
    ck_assert_str_eq(record->id, "a");
    ck_assert_int_eq(atomic_load(&record->references), 2);
    record_release(record);
    ck_assert_int_eq(again.woken, 0);
}
END_TEST

START_TEST(an_id_holds_one_image) {
    struct listener listener = make_listener(), other = make_listener();
    struct record *record = (struct record *)1;
    ck_assert_int_eq(claim("a", DIGEST, &listener, &record), IMAGE_CLAIMED);
    ck_assert_int_eq(claim("a", OTHER_DIGEST, &other, &record), IMAGE_CONFLICT);
    ck_assert_ptr_null(record);
    finish("a");
    ck_assert_int_eq(claim("a", OTHER_DIGEST, &other, &record), IMAGE_CONFLICT);
    ck_assert_ptr_null(record);
    ck_assert_int_eq(other.woken, 0);
    check_woken(&listener, true);
    struct record *kept = store_get(store, "a");
    ck_assert_int_eq(atomic_load(&kept->references), 2); /* the conflict let go of it */
    record_release(kept);
}
END_TEST

/* Uploads of the same and prompts wait alike, in order. */
START_TEST(all_who_wait_are_woken_once) {
    enum { WAITERS = 6 };
    struct listener listeners[WAITERS], unrelated = make_listener();
    struct record *record;
    struct geometry geometry;
    for (int i = 0; i < WAITERS; i++) {
        listeners[i] = make_listener();
        listeners[i].waiter.first = true; /* as if used before */
        if (i % 2)
            ck_assert_int_eq(
                catalogue_find(catalogue, "a", &listeners[i].waiter, &record, &geometry),
                IMAGE_PENDING);
        else
            ck_assert_int_eq(claim("a", DIGEST, &listeners[i], &record),
                             i ? IMAGE_PENDING : IMAGE_CLAIMED);
        ck_assert_ptr_null(record);
    }
    ck_assert_int_eq(claim("b", DIGEST, &unrelated, &record), IMAGE_CLAIMED);
    finish("a");
    for (int i = 0; i < WAITERS; i++)
        check_woken(&listeners[i], i == 0);
    ck_assert_int_eq(unrelated.woken, 0);
    finish("b");
    check_woken(&unrelated, true);
    ck_assert_uint_eq(store_state(store).records, 2);
}
END_TEST

START_TEST(a_failure_is_told_and_forgotten) {
    struct listener first = make_listener(), second = make_listener(), third = make_listener();
    struct record *record;
    ck_assert_int_eq(claim("a", DIGEST, &first, &record), IMAGE_CLAIMED);
    ck_assert_int_eq(claim("a", DIGEST, &second, &record), IMAGE_PENDING);
    finish_failed("a", DIGEST, PROBLEM_DEADLINE);
    ck_assert_int_eq(first.woken + second.woken, 2);
    ck_assert_int_eq(first.problem, PROBLEM_DEADLINE);
    ck_assert_int_eq(second.problem, PROBLEM_DEADLINE);
    ck_assert_ptr_null(second.record);
    ck_assert_int_eq(look("a"), IMAGE_ABSENT);
    ck_assert_int_eq(claim("a", OTHER_DIGEST, &third, &record), IMAGE_CLAIMED);
    finish_failed("a", OTHER_DIGEST, PROBLEM_INTERNAL);
    ck_assert_int_eq(third.problem, PROBLEM_INTERNAL);
}
END_TEST

/* ---- failures that nobody waited for ----------------------------------------------------- */

static enum presence claim_unwaited(const char *id, const uint8_t *digest) {
    struct record *record;
    enum presence presence = catalogue_claim(catalogue, id, digest, &GEOMETRY, NULL, &record);
    record_release(record);
    return presence;
}

static void finish_remembered(const char *id, enum problem_type type) {
    struct problem problem = {.type = type};
    struct outcome outcome = {.problem = &problem, .remember = true};
    catalogue_finish(catalogue, id, DIGEST, &outcome);
}

/* The type of the failure that is remembered, or none. */
static enum problem_type failure(const char *id) {
    struct problem problem = {0};
    struct geometry geometry = OTHER_GEOMETRY;
    bool failed = catalogue_failure(catalogue, id, &geometry, &problem);
    ck_assert_mem_eq(&geometry, failed ? &GEOMETRY : &OTHER_GEOMETRY, sizeof geometry);
    return problem.type;
}

START_TEST(a_failure_that_nobody_waited_for_is_remembered) {
    struct listener listener = make_listener(), prompt = make_listener();
    struct record *record;
    struct geometry geometry;
    ck_assert_int_eq(claim_unwaited("a", DIGEST), IMAGE_CLAIMED);
    ck_assert_int_eq(catalogue_find(catalogue, "a", &prompt.waiter, &record, &geometry),
                     IMAGE_PENDING);
    ck_assert_int_eq(failure("a"), PROBLEM_NONE);
    finish_remembered("a", PROBLEM_DEADLINE);
    ck_assert_int_eq(prompt.problem, PROBLEM_DEADLINE);
    ck_assert_int_eq(look("a"), IMAGE_ABSENT);
    ck_assert_int_eq(failure("a"), PROBLEM_DEADLINE);
    ck_assert_int_eq(claim("a", OTHER_DIGEST, &listener, &record), IMAGE_CLAIMED);
    ck_assert_int_eq(failure("a"), PROBLEM_NONE); /* it is on its way again */
    finish_failed("a", OTHER_DIGEST, PROBLEM_INTERNAL);
    ck_assert_int_eq(listener.problem, PROBLEM_INTERNAL); /* told */
    ck_assert_int_eq(failure("a"), PROBLEM_NONE);
}
END_TEST

/* Another upload of the same, whose own answer promised an outcome. */
START_TEST(who_joins_without_waiting_is_promised_the_outcome) {
    struct listener listener = make_listener();
    struct record *record;
    ck_assert_int_eq(claim("a", DIGEST, &listener, &record), IMAGE_CLAIMED);
    ck_assert_int_eq(claim_unwaited("a", DIGEST), IMAGE_PENDING);
    finish_failed("a", DIGEST, PROBLEM_INTERNAL);
    ck_assert_int_eq(listener.woken, 1);
    ck_assert_int_eq(failure("a"), PROBLEM_INTERNAL);
    ck_assert_int_eq(claim_unwaited("b", DIGEST), IMAGE_CLAIMED);
    finish("b");
    ck_assert_int_eq(failure("b"), PROBLEM_NONE);
    ck_assert_int_eq(claim_unwaited("b", DIGEST), IMAGE_PRESENT);
}
END_TEST

START_TEST(deleting_forgets_a_failure) {
    ck_assert_int_eq(claim_unwaited("a", DIGEST), IMAGE_CLAIMED);
    finish_remembered("a", PROBLEM_DEADLINE);
    ck_assert(catalogue_delete(catalogue, "a"));
    ck_assert_int_eq(failure("a"), PROBLEM_NONE);
    ck_assert(!catalogue_delete(catalogue, "a"));
    ck_assert_int_eq(claim_unwaited("a", DIGEST), IMAGE_CLAIMED);
    ck_assert(catalogue_delete(catalogue, "a")); /* while it is encoded */
    finish_remembered("a", PROBLEM_DEADLINE);
    ck_assert_int_eq(failure("a"), PROBLEM_NONE);
}
END_TEST

START_TEST(the_last_failures_are_remembered) {
    char id[16];
    for (int i = 0; i < CATALOGUE_FAILURES_MAX + 2; i++) {
        snprintf(id, sizeof id, "a%d", i);
        ck_assert_int_eq(claim_unwaited(id, DIGEST), IMAGE_CLAIMED);
        finish_remembered(id, PROBLEM_DEADLINE);
    }
    for (int i = 0; i < CATALOGUE_FAILURES_MAX + 2; i++) {
        snprintf(id, sizeof id, "a%d", i);
        ck_assert_int_eq(failure(id), i < 2 ? PROBLEM_NONE : PROBLEM_DEADLINE);
    }
}
END_TEST

/* ---- deleting ---------------------------------------------------------------------------- */

START_TEST(what_is_deleted_while_it_is_encoded_is_not_kept) {
    struct listener listener = make_listener(), late = make_listener();
    struct record *record;
    struct geometry geometry;
    ck_assert(!catalogue_delete(catalogue, "a"));
    ck_assert_int_eq(claim("a", DIGEST, &listener, &record), IMAGE_CLAIMED);
    ck_assert(catalogue_delete(catalogue, "a"));
    ck_assert(!catalogue_delete(catalogue, "a"));
    ck_assert_int_eq(look("a"), IMAGE_ABSENT);
    ck_assert_int_eq(catalogue_find(catalogue, "a", &late.waiter, &record, &geometry),
                     IMAGE_ABSENT);
    finish("a"); /* whoever waited from before gets the result */
    check_woken(&listener, true);
    ck_assert_int_eq(late.woken, 0);
    ck_assert_int_eq(look("a"), IMAGE_ABSENT);
    ck_assert_uint_eq(store_state(store).records, 0);
}
END_TEST

START_TEST(an_upload_after_the_deletion_counts) {
    struct listener listener = make_listener(), again = make_listener();
    struct record *record;
    ck_assert_int_eq(claim("a", DIGEST, &listener, &record), IMAGE_CLAIMED);
    ck_assert(catalogue_delete(catalogue, "a"));
    ck_assert_int_eq(claim("a", DIGEST, &again, &record), IMAGE_PENDING);
    ck_assert_int_eq(look("a"), IMAGE_PENDING);
    finish("a");
    check_woken(&listener, true);
    check_woken(&again, false);
    ck_assert_int_eq(look("a"), IMAGE_PRESENT);
    ck_assert(catalogue_delete(catalogue, "a"));
    ck_assert_int_eq(look("a"), IMAGE_ABSENT);
}
END_TEST

/* A waiter may call back: no lock is held. */
static void wake_and_claim(struct waiter *waiter, const struct outcome *outcome) {
    struct record *record;
    struct listener *listener = (struct listener *)waiter;
    wake(waiter, outcome);
    ck_assert_int_eq(claim("a", DIGEST, listener, &record), IMAGE_PRESENT);
    record_release(record);
    ck_assert_int_eq(claim("b", DIGEST, listener, &record), IMAGE_CLAIMED);
}

/* The ID is free at once, though the first encode goes on. */
START_TEST(a_deleted_id_can_hold_other_bytes) {
    struct listener listener = make_listener(), other = make_listener(), late = make_listener();
    struct record *record;
    ck_assert_int_eq(claim("a", DIGEST, &listener, &record), IMAGE_CLAIMED);
    ck_assert(catalogue_delete(catalogue, "a"));
    ck_assert_int_eq(claim("a", OTHER_DIGEST, &other, &record), IMAGE_CLAIMED);
    ck_assert_int_eq(claim("a", DIGEST, &late, &record), IMAGE_CONFLICT);
    ck_assert_int_eq(look("a"), IMAGE_PENDING);
    finish("a");
    check_woken(&listener, true);
    ck_assert_int_eq(other.woken, 0);
    ck_assert_int_eq(look("a"), IMAGE_PENDING);
    finish_other("a", OTHER_DIGEST);
    check_woken(&other, true);
    ck_assert_int_eq(look("a"), IMAGE_PRESENT);
    ck_assert_int_eq(claim("a", DIGEST, &late, &record), IMAGE_CONFLICT);
}
END_TEST

START_TEST(a_waiter_is_its_owners_again_when_woken) {
    struct listener listener = make_listener();
    struct record *record;
    listener.waiter.wake = wake_and_claim;
    ck_assert_int_eq(claim("a", DIGEST, &listener, &record), IMAGE_CLAIMED);
    finish("a");
    check_woken(&listener, true);
    listener.waiter.wake = wake;
    listener.woken = 0;
    finish("b");
    check_woken(&listener, true);
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------- */

enum { THREADS = 6, ROUNDS = 300, IDS = 3 };

/* A client: uploads, waits for the outcome, and encodes itself when it was the first. */
struct client {
    struct listener listener; /* first */
    pthread_mutex_t mutex;
    pthread_cond_t told;
    unsigned seed;
    int claims, waits, presences;
};

static void wake_client(struct waiter *waiter, const struct outcome *outcome) {
    struct client *client = (struct client *)waiter;
    pthread_mutex_lock(&client->mutex);
    wake(waiter, outcome);
    pthread_cond_signal(&client->told);
    pthread_mutex_unlock(&client->mutex);
}

static void wait_for_outcome(struct client *client) {
    pthread_mutex_lock(&client->mutex);
    while (client->listener.woken == 0)
        pthread_cond_wait(&client->told, &client->mutex);
    if (client->listener.woken != 1)
        ck_abort_msg("woken %d times", client->listener.woken);
    client->listener.woken = 0;
    pthread_mutex_unlock(&client->mutex);
    record_release(client->listener.record);
}

static void *run_client(void *argument) {
    struct client *client = argument;
    for (int i = 0; i < ROUNDS; i++) {
        char id[2] = {(char)('a' + rand_r(&client->seed) % IDS)};
        struct record *record;
        enum presence presence = claim(id, DIGEST, &client->listener, &record);
        if (presence == IMAGE_CLAIMED) {
            client->claims++;
            if (rand_r(&client->seed) % 4)
                finish(id);
            else
                finish_failed(id, DIGEST, PROBLEM_INTERNAL);
        }
        if (presence == IMAGE_PRESENT) {
            client->presences++;
            record_release(record);
        } else {
            client->waits++;
            wait_for_outcome(client);
        }
        if (rand_r(&client->seed) % 3 == 0)
            catalogue_delete(catalogue, id);
    }
    return NULL;
}

START_TEST(threads_share_a_catalogue) {
    struct client clients[THREADS];
    pthread_t threads[THREADS];
    int rounds = 0, claims = 0;
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (struct client){.listener.waiter.wake = wake_client,
                                     .mutex = PTHREAD_MUTEX_INITIALIZER,
                                     .told = PTHREAD_COND_INITIALIZER,
                                     .seed = (unsigned)i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        rounds += clients[i].waits + clients[i].presences;
        claims += clients[i].claims;
    }
    ck_assert_int_eq(rounds, THREADS * ROUNDS);
    ck_assert_int_gt(claims, 0);
    for (char id[2] = "a"; id[0] < 'a' + IDS; id[0]++) {
        catalogue_delete(catalogue, id);
        ck_assert_int_eq(look(id), IMAGE_ABSENT); /* nothing is pending any more */
    }
    ck_assert_uint_eq(store_state(store).records, 0);
}
END_TEST

Suite *catalogue_suite(void) {
    Suite *suite = suite_create("catalogue");
    TCase *cases = tcase_create("catalogue");
    tcase_set_tags(cases, "concurrency");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, an_image_is_absent_then_pending_then_present);
    tcase_add_test(cases, an_id_holds_one_image);
    tcase_add_test(cases, all_who_wait_are_woken_once);
    tcase_add_test(cases, a_failure_is_told_and_forgotten);
    tcase_add_test(cases, a_failure_that_nobody_waited_for_is_remembered);
    tcase_add_test(cases, who_joins_without_waiting_is_promised_the_outcome);
    tcase_add_test(cases, deleting_forgets_a_failure);
    tcase_add_test(cases, the_last_failures_are_remembered);
    tcase_add_test(cases, what_is_deleted_while_it_is_encoded_is_not_kept);
    tcase_add_test(cases, an_upload_after_the_deletion_counts);
    tcase_add_test(cases, a_deleted_id_can_hold_other_bytes);
    tcase_add_test(cases, a_waiter_is_its_owners_again_when_woken);
    tcase_add_test(cases, threads_share_a_catalogue);
    suite_add_tcase(suite, cases);
    return suite;
}
