/* What no prompt changes is made once for an image that many prompts come for. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/preparations.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/model_fixture.h"
#include "tests/unit/suites.h"

enum { RECORDS = PREPARATIONS_MAX + 2 };

static struct model_fixture fixture;
static struct record *records[RECORDS];
static struct preparations *preparations;

static void set_up(void) {
    static const uint8_t digest[DIGEST_BYTES];
    model_fixture_make(&fixture, 6);
    for (size_t i = 0; i < RECORDS; i++) {
        records[i] = record_create("same", digest);
        ck_assert_ptr_nonnull(records[i]);
        memset(records[i]->embedding.values, (int)i, sizeof records[i]->embedding.values);
    }
    preparations = preparations_create(fixture.model);
    ck_assert_ptr_nonnull(preparations);
}

static void tear_down(void) {
    preparations_free(preparations);
    preparations_free(NULL);
    for (size_t i = 0; i < RECORDS; i++) {
        ck_assert_int_eq(atomic_load(&records[i]->references), 1);
        record_release(records[i]);
    }
    model_fixture_free(&fixture);
}

static void (*body)(struct worker *worker);

static void run_body(void *argument, struct worker *worker) {
    (void)argument;
    body(worker);
}

static void on_worker(void (*test)(struct worker *worker)) {
    body = test;
    run_on_pool(2, model_tile_scratch_bytes(fixture.model), run_body, NULL);
}

/* One prompt from beginning to end: what it could use. */
static const struct prepared *prompt(struct worker *worker, size_t record, size_t to_come) {
    struct preparation preparation =
        preparations_take(preparations, worker, records[record], to_come);
    preparations_give(preparations, preparation);
    return preparation.prepared;
}

/* The same, with what follows the answer. */
static const struct prepared *answered_prompt(struct worker *worker, size_t record) {
    const struct prepared *prepared = prompt(worker, record, 0);
    preparations_make_ready(preparations, worker, records[record]);
    return prepared;
}

static void check_counts(struct worker *worker) {
    for (size_t i = 0; i < PREPARED_AT_PROMPTS; i++)
        ck_assert_ptr_null(answered_prompt(worker, 0));
    const struct prepared *made = answered_prompt(worker, 0);
    ck_assert_ptr_nonnull(made);
    ck_assert_ptr_eq(answered_prompt(worker, 0), made);
    ck_assert_ptr_null(prompt(worker, 1, PREPARED_AT_PROMPTS - 1));
    ck_assert_ptr_nonnull(prompt(worker, 2, PREPARED_AT_PROMPTS));
    ck_assert_ptr_eq(prompt(worker, 0, 0), made);
    preparations_trim(preparations, TRIM_ENCODING);
    ck_assert_int_eq(atomic_load(&records[2]->references), 1);
    ck_assert_ptr_eq(prompt(worker, 0, 0), made); /* the last one's is kept */
    preparations_trim(preparations, TRIM_ALL);
    ck_assert_int_eq(atomic_load(&records[0]->references), 1);
    ck_assert_ptr_null(answered_prompt(worker, 0));
    preparations_make_ready(preparations, worker, records[3]); /* of which nobody asked anything */
    ck_assert_int_eq(atomic_load(&records[3]->references), 1);
}

START_TEST(made_when_enough_prompts_come) {
    on_worker(check_counts);
}
END_TEST

/* The one unused for longest makes room, unless all are used: then there is none. */
static void check_room(struct worker *worker) {
    struct preparation used[PREPARATIONS_MAX];
    for (size_t i = 0; i < PREPARATIONS_MAX; i++)
        ck_assert_ptr_nonnull(prompt(worker, i, 9));
    const struct prepared *first = prompt(worker, 0, 0);
    ck_assert_ptr_nonnull(prompt(worker, PREPARATIONS_MAX, 9));
    ck_assert_ptr_eq(prompt(worker, 0, 0), first);
    ck_assert_int_eq(atomic_load(&records[1]->references), 1); /* it was the oldest */
    for (size_t i = 0; i < PREPARATIONS_MAX; i++)
        used[i] = preparations_take(preparations, worker, records[i], 9);
    ck_assert_ptr_null(prompt(worker, PREPARATIONS_MAX + 1, 9));
    preparations_trim(preparations, TRIM_ALL);
    for (size_t i = 0; i < PREPARATIONS_MAX; i++) {
        ck_assert_ptr_eq(prompt(worker, i, 0), used[i].prepared);
        preparations_give(preparations, used[i]);
    }
    ck_assert_ptr_nonnull(prompt(worker, PREPARATIONS_MAX + 1, 9));
}

START_TEST(the_least_recently_used_makes_room) {
    on_worker(check_room);
}
END_TEST

Suite *preparations_suite(void) {
    Suite *suite = suite_create("preparations");
    TCase *cases = tcase_create("preparations");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, made_when_enough_prompts_come);
    tcase_add_test(cases, the_least_recently_used_makes_room);
    suite_add_tcase(suite, cases);
    return suite;
}
