/* Masks that may be refined: what is remembered of them, for how long, and for which image. */
#include <check.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "server/refinements.h"
#include "tests/unit/suites.h"

enum { LOGITS_BYTES = LOW_RES_VALUES * sizeof(float) };

static const struct mask PRIOR;
static struct record *record;
static struct refinements *refinements;

static struct record *make_record(const char *id, uint8_t digest) {
    uint8_t digests[DIGEST_BYTES] = {0};
    digests[DIGEST_BYTES - 1] = digest;
    struct record *made = record_create(id, digests);
    ck_assert_ptr_nonnull(made);
    return made;
}

static void set_up(void) {
    record = make_record("truck", 1);
    refinements = refinements_create(4 * LOGITS_BYTES);
    ck_assert_ptr_nonnull(refinements);
}

static void tear_down(void) {
    refinements_free(refinements);
    refinements_free(NULL);
    refinement_release(NULL);
    record_release(record);
}

static float *make_logits(float first) {
    float *logits = calloc(1, LOGITS_BYTES);
    ck_assert_ptr_nonnull(logits);
    logits[0] = first;
    return logits;
}

/* With logits when it came of another mask. */
static struct mask_id add(const struct record *image, bool has_logits) {
    struct prompt prompt = {.point_count = 1, .points = {{3, 4}}, .threshold = 5, .mask = &PRIOR};
    struct segment segment = {.token = MULTIMASK_SECOND};
    struct mask_id id;
    if (has_logits)
        segment.logits = make_logits(7);
    ck_assert(refinements_add(refinements, image, &prompt, &segment, &id));
    ck_assert_ptr_null(segment.logits);
    return id;
}

static bool knows(const struct mask_id *id) {
    struct refinement *refinement = refinements_find(refinements, id, record);
    refinement_release(refinement);
    return refinement;
}

static void check_state(size_t masks, size_t with_logits) {
    static size_t bytes_alone;
    struct refinements_state state = refinements_state(refinements);
    if (masks == 1 && with_logits == 0)
        bytes_alone = state.bytes;
    ck_assert_uint_eq(state.masks, masks);
    ck_assert_uint_eq(state.bytes, masks * bytes_alone + with_logits * LOGITS_BYTES);
}

/* ---- what is remembered ------------------------------------------------------------------ */

START_TEST(a_plain_mask_is_its_prompt) {
    struct mask_id id = add(record, false);
    check_state(1, 0);
    ck_assert_uint_lt(refinements_state(refinements).bytes, 1200);
    struct refinement *refinement = refinements_find(refinements, &id, record);
    const struct prompt *prompt = refinement_prompt(refinement);
    ck_assert_ptr_null(refinements_logits(refinements, refinement));
    ck_assert_int_eq(prompt->multimask, MULTIMASK_SECOND);
    ck_assert(prompt->keep_logits && !prompt->mask && !prompt->logits);
    ck_assert_int_eq(prompt->point_count, 1);
    ck_assert_float_eq(prompt->points[0][1], 4);

    float *first = make_logits(1), *second = make_logits(2);
    ck_assert_ptr_eq(refinements_set_logits(refinements, refinement, first), first);
    ck_assert_ptr_eq(refinements_set_logits(refinements, refinement, second), first);
    ck_assert_ptr_eq(refinements_logits(refinements, refinement), first);
    check_state(1, 1);
    refinement_release(refinement);
}
END_TEST

START_TEST(a_mask_of_a_mask_brings_its_logits) {
    check_state(0, 0);
    struct mask_id plain = add(record, false);
    check_state(1, 0);
    struct mask_id id = add(record, true);
    check_state(2, 1);
    struct refinement *refinement = refinements_find(refinements, &id, record);
    ck_assert_float_eq(refinements_logits(refinements, refinement)[0], 7);
    refinement_release(refinement);
    ck_assert(knows(&plain));
}
END_TEST

START_TEST(ids_are_many_and_random) {
    enum { MASKS = 300 };
    static struct mask_id ids[MASKS];
    regex_t pattern;
    ck_assert_int_eq(regcomp(&pattern, "^" MASK_ID_PATTERN "$", REG_EXTENDED), 0);
    for (int i = 0; i < MASKS; i++) {
        ids[i] = add(record, false);
        ck_assert_int_eq(regexec(&pattern, ids[i].text, 0, NULL, 0), 0);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(ids[i].text, ids[k].text);
    }
    regfree(&pattern);
}
END_TEST

/* ---- for how long ------------------------------------------------------------------------ */

START_TEST(the_least_recently_used_is_forgotten) {
    struct mask_id ids[5];
    for (int i = 0; i < 3; i++)
        ids[i] = add(record, true);
    ck_assert(knows(&ids[0]));
    ids[3] = add(record, true);
    ck_assert(!knows(&ids[1])); /* four do not fit, with what else is remembered of them */
    ck_assert(knows(&ids[0]) && knows(&ids[2]) && knows(&ids[3]));
    ids[4] = add(record, false);
    ck_assert(knows(&ids[0]) && knows(&ids[4]));
}
END_TEST

START_TEST(logits_that_are_made_later_count) {
    struct mask_id plain = add(record, false);
    struct refinement *refinement = refinements_find(refinements, &plain, record);
    struct mask_id ids[3];
    for (int i = 0; i < 3; i++)
        ids[i] = add(record, true);
    refinements_set_logits(refinements, refinement, make_logits(1));
    ck_assert(!knows(&plain)); /* itself */
    ck_assert_float_eq(refinements_logits(refinements, refinement)[0], 1);
    refinement_release(refinement);
    ck_assert(knows(&ids[0]) && knows(&ids[1]) && knows(&ids[2]));
}
END_TEST

/* What is forgotten while somebody uses it lives on, and counts no more. */
START_TEST(who_holds_it_may_go_on) {
    struct mask_id id = add(record, false);
    struct refinement *refinement = refinements_find(refinements, &id, record);
    refinements_forget(refinements, "truck");
    ck_assert(!knows(&id));
    float *logits = make_logits(1);
    ck_assert_ptr_eq(refinements_set_logits(refinements, refinement, logits), logits);
    ck_assert_uint_eq(refinements_state(refinements).bytes, 0);
    refinement_release(refinement);
}
END_TEST

/* ---- for which image --------------------------------------------------------------------- */

START_TEST(another_image_does_not_get_it) {
    struct mask_id id = add(record, false), unknown = {"m_0123456789abcdef"};
    struct record *other = make_record("trucks", 1), *replaced = make_record("truck", 2),
                  *again = make_record("truck", 1);
    ck_assert_ptr_null(refinements_find(refinements, &id, other));
    ck_assert_ptr_null(refinements_find(refinements, &id, replaced));
    ck_assert_ptr_null(refinements_find(refinements, &unknown, record));
    ck_assert_ptr_null(refinements_find(refinements, &(struct mask_id){""}, record));
    struct refinement *found = refinements_find(refinements, &id, again); /* the same bytes */
    ck_assert_ptr_nonnull(found);
    refinement_release(found);

    struct mask_id others = add(other, false);
    refinements_forget(refinements, "truck");
    ck_assert(!knows(&id));
    found = refinements_find(refinements, &others, other);
    ck_assert_ptr_nonnull(found);
    refinement_release(found);
    record_release(other);
    record_release(replaced);
    record_release(again);
}
END_TEST

Suite *refinements_suite(void) {
    Suite *suite = suite_create("refinements");
    TCase *cases = tcase_create("refinements");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_plain_mask_is_its_prompt);
    tcase_add_test(cases, a_mask_of_a_mask_brings_its_logits);
    tcase_add_test(cases, ids_are_many_and_random);
    tcase_add_test(cases, the_least_recently_used_is_forgotten);
    tcase_add_test(cases, logits_that_are_made_later_count);
    tcase_add_test(cases, who_holds_it_may_go_on);
    tcase_add_test(cases, another_image_does_not_get_it);
    suite_add_tcase(suite, cases);
    return suite;
}
