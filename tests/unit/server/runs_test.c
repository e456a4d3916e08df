/* Runs of everything mode: who waits for which, what is kept, and when they end. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/runs.h"
#include "tests/unit/suites.h"

static struct record *record;
static struct runs *runs;

static struct record *make_record(const char *id, uint8_t digest) {
    uint8_t digests[DIGEST_BYTES] = {digest};
    struct record *made = record_create(id, digests);
    ck_assert_ptr_nonnull(made);
    return made;
}

static void set_up(void) {
    record = make_record("truck", 1);
    runs = runs_create(100000);
    ck_assert_ptr_nonnull(runs);
}

static void tear_down(void) {
    runs_free(runs);
    runs_free(NULL);
    run_release(NULL);
    record_release(record);
}

/* Somebody who waits. */
struct patient {
    struct run_waiter waiter; /* first: the runs give it back */
    bool left;
    int woken;
    struct run *run;
};

static void wake(struct run_waiter *waiter, struct run *run) {
    struct patient *patient = (struct patient *)waiter;
    patient->woken++;
    patient->run = run;
}

static bool has_left(const struct run_waiter *waiter) {
    return ((const struct patient *)waiter)->left;
}

static struct patient make_patient(void) {
    return (struct patient){.waiter = {.wake = wake, .has_left = has_left}};
}

static struct everything_options options_of(int side) {
    struct everything_options options = EVERYTHING_DEFAULTS;
    options.points_per_side = side;
    return options;
}

/* patient NULL: unattended. The run is the caller's to release. */
static struct run *claim(const struct record *image, int side, struct patient *patient,
                         enum claim expected) {
    const struct everything_options options = options_of(side);
    struct run *run;
    ck_assert_int_eq(runs_claim(runs, image, &options, patient ? &patient->waiter : NULL, &run),
                     expected);
    ck_assert_ptr_nonnull(run);
    return run;
}

/* With one mask of so many runs. */
static void finish(struct run *run, size_t counts) {
    run->masks.count = 1;
    run->masks.masks = calloc(1, sizeof *run->masks.masks);
    struct mask *mask = &run->masks.masks[0].segment.mask;
    *mask = (struct mask){1, 1, counts, calloc(counts, sizeof(uint32_t))};
    runs_finish(runs, run);
    run_release(run);
}

static void finish_failed(struct run *run) {
    problem_set(&run->problem, PROBLEM_INTERNAL, "it went wrong");
    runs_finish(runs, run);
    run_release(run);
}

static bool is_latest(int side, enum run_state expected) {
    enum run_state state;
    struct run *run = runs_latest(runs, record, &state);
    const bool is = run && run->options.points_per_side == side && state == expected;
    run_release(run);
    return is;
}

static bool is_known(void) {
    enum run_state state;
    struct run *run = runs_latest(runs, record, &state);
    run_release(run);
    return run;
}

/* ---- who waits --------------------------------------------------------------------------- */

START_TEST(many_wait_for_one_run) {
    struct patient patients[3] = {make_patient(), make_patient(), make_patient()};
    struct run *run = claim(record, 8, &patients[0], RUN_CLAIMED);
    ck_assert_uint_eq(atomic_load(&run->total), 64);
    for (int i = 1; i < 3; i++) {
        struct run *same = claim(record, 8, &patients[i], RUN_JOINED);
        ck_assert_ptr_eq(same, run);
        run_release(same);
    }
    ck_assert(is_latest(8, RUN_GOES_ON));
    run_hold(run);
    finish(run, 10);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(patients[i].woken, 1);
        ck_assert_ptr_eq(patients[i].run, run);
    }
    struct patient late = make_patient();
    struct run *ready = claim(record, 8, &late, RUN_PRESENT);
    ck_assert_ptr_eq(ready, run);
    ck_assert_int_eq(late.woken, 0);
    ck_assert(is_latest(8, RUN_READY));
    run_release(ready);
    runs_forget(runs, "truck");
    ck_assert_int_eq(atomic_load(&run->references), 1); /* ours */
    run_release(run);
}
END_TEST

START_TEST(every_parameter_counts) {
    struct run *run = claim(record, 8, NULL, RUN_CLAIMED);
    finish(run, 1);
    for (int i = 0; i < 10; i++) {
        struct everything_options options = options_of(8);
        options.points_per_side += i == 0;
        options.pred_iou_thresh += i == 1;
        options.stability_score_thresh += i == 2;
        options.stability_score_offset += i == 3;
        options.box_nms_thresh += i == 4;
        options.crop_n_layers += i == 5;
        options.crop_nms_thresh += i == 6;
        options.crop_overlap_ratio += i == 7;
        options.crop_n_points_downscale_factor += i == 8;
        options.min_mask_region_area += i == 9;
        ck_assert_int_eq(runs_claim(runs, record, &options, NULL, &run), RUN_CLAIMED);
        finish(run, 1);
    }
    ck_assert_uint_eq(runs_state(runs).runs, 11);
}
END_TEST

START_TEST(another_image_has_its_own) {
    struct record *other = make_record("trucks", 1), *replaced = make_record("truck", 2);
    finish(claim(record, 8, NULL, RUN_CLAIMED), 1);
    finish(claim(other, 8, NULL, RUN_CLAIMED), 1);
    finish(claim(replaced, 8, NULL, RUN_CLAIMED), 1);
    runs_forget(runs, "truck");
    ck_assert(!is_known());
    run_release(claim(other, 8, NULL, RUN_PRESENT));
    record_release(other);
    record_release(replaced);
}
END_TEST

/* ---- when it ends ------------------------------------------------------------------------ */

START_TEST(a_run_that_nobody_waits_for_ends) {
    struct patient patients[2] = {make_patient(), make_patient()};
    struct run *run = claim(record, 8, &patients[0], RUN_CLAIMED);
    run_release(claim(record, 8, &patients[1], RUN_JOINED));
    patients[0].left = true;
    ck_assert(runs_wanted(runs, run) && runs_goes_on(runs, run));
    patients[1].left = true;
    ck_assert(!runs_wanted(runs, run));
    ck_assert(!runs_goes_on(runs, run));
    struct patient late = make_patient();
    struct run *next = claim(record, 8, &late, RUN_CLAIMED); /* the one that ends is not for it */
    ck_assert_ptr_ne(next, run);
    ck_assert(!runs_goes_on(runs, run) && runs_goes_on(runs, next));
    finish_failed(run);
    ck_assert(patients[0].woken == 1 && patients[1].woken == 1 && late.woken == 0);
    finish(next, 1);
    ck_assert_int_eq(late.woken, 1);
}
END_TEST

START_TEST(an_unattended_run_goes_on) {
    struct patient patient = make_patient();
    struct run *run = claim(record, 8, &patient, RUN_CLAIMED);
    run_release(claim(record, 8, NULL, RUN_JOINED));
    patient.left = true;
    ck_assert(runs_goes_on(runs, run));
    runs_forget(runs, "truck");
    ck_assert(!runs_goes_on(runs, run));
    ck_assert(runs_wanted(runs, run));
    finish_failed(run);
    ck_assert_int_eq(patient.woken, 1);
    ck_assert_uint_eq(runs_state(runs).bytes, 0);
}
END_TEST

/* A failure is shown to who will look for it, and tried again when it is asked for again. */
START_TEST(failures) {
    struct patient patient = make_patient();
    finish_failed(claim(record, 8, &patient, RUN_CLAIMED));
    ck_assert(!is_known());
    finish_failed(claim(record, 8, NULL, RUN_CLAIMED));
    ck_assert(is_latest(8, RUN_FAILED));
    finish(claim(record, 8, &patient, RUN_CLAIMED), 1);
    ck_assert(is_latest(8, RUN_READY));
    ck_assert_uint_eq(runs_state(runs).runs, 1);
}
END_TEST

/* ---- what is kept ------------------------------------------------------------------------ */

START_TEST(the_least_recently_asked_for_is_forgotten) {
    struct run *going = claim(record, 9, NULL, RUN_CLAIMED);
    for (int side = 1; side <= 2; side++)
        finish(claim(record, side, NULL, RUN_CLAIMED), 8000);
    ck_assert_uint_gt(runs_state(runs).bytes, 64000);
    run_release(claim(record, 1, NULL, RUN_PRESENT));
    finish(claim(record, 3, NULL, RUN_CLAIMED), 8000);
    run_release(claim(record, 1, NULL, RUN_PRESENT));
    run_release(claim(record, 9, NULL, RUN_JOINED)); /* what goes on stays */
    finish(claim(record, 2, NULL, RUN_CLAIMED), 8000);
    ck_assert_uint_le(runs_state(runs).bytes, 100000);
    finish(claim(record, 4, NULL, RUN_CLAIMED), 80000); /* more than fits: the newest stays */
    ck_assert(is_latest(4, RUN_READY));
    ck_assert_uint_eq(runs_state(runs).runs, 2);
    finish(going, 1);
    runs_forget(runs, "truck");
    ck_assert_uint_eq(runs_state(runs).bytes, 0);
    ck_assert_uint_eq(runs_state(runs).runs, 0);
}
END_TEST

Suite *runs_suite(void) {
    Suite *suite = suite_create("runs");
    TCase *cases = tcase_create("runs");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, many_wait_for_one_run);
    tcase_add_test(cases, every_parameter_counts);
    tcase_add_test(cases, another_image_has_its_own);
    tcase_add_test(cases, a_run_that_nobody_waits_for_ends);
    tcase_add_test(cases, an_unattended_run_goes_on);
    tcase_add_test(cases, failures);
    tcase_add_test(cases, the_least_recently_asked_for_is_forgotten);
    suite_add_tcase(suite, cases);
    return suite;
}
