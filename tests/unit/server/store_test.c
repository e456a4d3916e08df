/* The store: what is kept, what is forgotten first, and who still holds it. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/store.h"
#include "tests/unit/suites.h"

static const uint8_t NO_DIGEST[DIGEST_BYTES];

static void put(struct store *store, const char *id) {
    struct record *record = record_create(id, NO_DIGEST);
    ck_assert_ptr_nonnull(record);
    ck_assert(store_put(store, record));
    record_release(record);
}

static bool touch(struct store *store, const char *id) {
    struct record *record = store_get(store, id);
    bool there = record != NULL;
    ck_assert(!there || strcmp(record->id, id) == 0);
    record_release(record);
    return there;
}

/* The IDs that are there, in order, without looking them up: that would be a use. */
static const char *list(struct store *store) {
    static char text[4096];
    struct record *records[64];
    size_t count = store_list(store, NULL, records, 64);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(text, records[i]->id);
        record_release(records[i]);
    }
    return text;
}

static struct store *make_store(size_t records) {
    struct store *store = store_create(records * sizeof(struct record));
    ck_assert_ptr_nonnull(store);
    return store;
}

/* ---- records ----------------------------------------------------------------------------- */

START_TEST(a_record_knows_its_image) {
    uint8_t digest[DIGEST_BYTES];
    char longest[IMAGE_ID_MAX + 1];
    for (int i = 0; i < DIGEST_BYTES; i++)
        digest[i] = (uint8_t)i;
    memset(longest, 'x', IMAGE_ID_MAX);
    longest[IMAGE_ID_MAX] = '\0';
    struct record *record = record_create(longest, digest);
    ck_assert_str_eq(record->id, longest);
    ck_assert_mem_eq(record->digest, digest, sizeof digest);
    ck_assert_int_eq(atomic_load(&record->references), 1);
    ck_assert_ptr_null(record->bytes);
    ck_assert_uint_eq(record_memory(record), sizeof *record);
    ck_assert_ptr_eq(record_hold(record), record);
    ck_assert_int_eq(atomic_load(&record->references), 2);
    record_release(record);
    record_release(record);
    record_release(NULL);
}
END_TEST

/* ---- what is kept ------------------------------------------------------------------------ */

START_TEST(records_are_found_by_their_id) {
    struct store *store = make_store(10);
    ck_assert(!touch(store, "a"));
    put(store, "a");
    put(store, "ab");
    ck_assert(touch(store, "a"));
    ck_assert(touch(store, "ab"));
    ck_assert(!touch(store, "abc"));
    struct store_state state = store_state(store);
    ck_assert_uint_eq(state.records, 2);
    ck_assert_uint_eq(state.bytes, 2 * sizeof(struct record));
    ck_assert_uint_eq(state.hits, 2);
    ck_assert_uint_eq(state.misses, 2);
    ck_assert_uint_eq(state.evictions, 0);
    store_free(store);
    store_free(NULL);
}
END_TEST

START_TEST(the_least_recently_used_goes_first) {
    struct store *store = make_store(3);
    put(store, "a");
    put(store, "b");
    put(store, "c");
    ck_assert_str_eq(list(store), "abc");
    put(store, "d");
    ck_assert_str_eq(list(store), "bcd");
    ck_assert(touch(store, "b")); /* used: c is the oldest now */
    put(store, "e");
    ck_assert_str_eq(list(store), "bde");
    ck_assert(touch(store, "d"));
    ck_assert(touch(store, "b"));
    put(store, "f");
    put(store, "g");
    ck_assert_str_eq(list(store), "bfg");
    ck_assert_uint_eq(store_state(store).evictions, 4);
    ck_assert_uint_eq(store_state(store).records, 3);
    ck_assert_uint_eq(store_state(store).bytes, 3 * sizeof(struct record));
    store_free(store);
}
END_TEST

/* To the byte. */
START_TEST(bytes_are_the_limit) {
    static const struct {
        size_t bytes;
        const char *left;
    } cases[] = {
        {3 * sizeof(struct record) - 1, "cd"},
        {3 * sizeof(struct record), "bcd"},
        {sizeof(struct record), "d"},
        {sizeof(struct record) - 1, "d"}, /* the newest stays */
        {0, "d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store *store = store_create(cases[i].bytes);
        put(store, "a");
        put(store, "b");
        put(store, "c");
        put(store, "d");
        ck_assert_str_eq(list(store), cases[i].left);
        store_free(store);
    }
}
END_TEST

START_TEST(uploads_count) {
    static const struct {
        size_t uploaded, bytes;
        const char *left;
    } cases[] = {
        {1000, 2 * sizeof(struct record) + 1000, "bc"},
        {1000, 2 * sizeof(struct record) + 999, "c"},
        {1, 2 * sizeof(struct record), "c"},
        {0, 2 * sizeof(struct record), "bc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store *store = store_create(cases[i].bytes);
        struct record *record = record_create("b", NO_DIGEST);
        record->bytes = malloc(1000);
        record->size = cases[i].uploaded;
        put(store, "a");
        ck_assert(store_put(store, record));
        put(store, "c");
        ck_assert_str_eq(list(store), cases[i].left);
        store_delete(store, "b");
        ck_assert_uint_eq(store_state(store).bytes, sizeof(struct record));
        record_release(record);
        store_free(store);
    }
}
END_TEST

START_TEST(a_record_of_the_same_id_replaces) {
    struct store *store = make_store(2);
    struct record *old = record_create("a", NO_DIGEST), *new = record_create("a", NO_DIGEST);
    ck_assert(store_put(store, old));
    put(store, "b");
    ck_assert(store_put(store, new));
    struct record *found = store_get(store, "a");
    ck_assert_ptr_eq(found, new);
    record_release(found);
    ck_assert_int_eq(atomic_load(&old->references), 1);
    ck_assert_uint_eq(store_state(store).records, 2);
    ck_assert_uint_eq(store_state(store).bytes, 2 * sizeof(struct record));
    ck_assert_uint_eq(store_state(store).evictions, 0);
    put(store, "c"); /* b is the oldest: what replaced counts as used */
    ck_assert_str_eq(list(store), "ac");
    ck_assert(store_put(store, new)); /* itself */
    ck_assert_int_eq(atomic_load(&new->references), 2);
    ck_assert_str_eq(list(store), "ac");
    record_release(old);
    record_release(new);
    store_free(store);
}
END_TEST

START_TEST(what_is_deleted_is_gone) {
    struct store *store = make_store(3);
    put(store, "a");
    put(store, "b");
    ck_assert(!store_delete(store, "c"));
    ck_assert(store_delete(store, "a"));
    ck_assert(!store_delete(store, "a"));
    ck_assert_str_eq(list(store), "b");
    ck_assert_uint_eq(store_state(store).bytes, sizeof(struct record));
    ck_assert_uint_eq(store_state(store).evictions, 0);
    put(store, "a");
    ck_assert_str_eq(list(store), "ab");
    store_free(store);
}
END_TEST

START_TEST(who_holds_a_record_keeps_it) {
    struct store *store = make_store(1);
    struct record *evicted = record_create("a", NO_DIGEST),
                  *deleted = record_create("b", NO_DIGEST);
    struct record *freed = record_create("c", NO_DIGEST);
    ck_assert(store_put(store, evicted));
    ck_assert(store_put(store, deleted));
    ck_assert(store_delete(store, "b"));
    ck_assert(store_put(store, freed));
    ck_assert_int_eq(atomic_load(&freed->references), 2);
    store_free(store);
    ck_assert_int_eq(atomic_load(&evicted->references), 1);
    ck_assert_int_eq(atomic_load(&deleted->references), 1);
    ck_assert_int_eq(atomic_load(&freed->references), 1);
    ck_assert_str_eq(evicted->id, "a");
    evicted->embedding.values[EMBEDDING_VALUES - 1] = 1; /* a sanitizer sees it if it is gone */
    record_release(evicted);
    record_release(deleted);
    record_release(freed);
}
END_TEST

/* ---- pages ------------------------------------------------------------------------------- */

START_TEST(lists_come_in_pages) {
    struct store *store = make_store(20);
    static const char *const ids[] = {"m", "b", "z", "a", "B", "10", "9", "b-"};
    struct record *page[3];
    char all[64] = "", after[IMAGE_ID_MAX + 1] = "";
    size_t count, pages = 0;
    ck_assert_uint_eq(store_list(store, NULL, page, 3), 0);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        put(store, ids[i]);
    while ((count = store_list(store, pages ? after : NULL, page, 3)) > 0) {
        for (size_t i = 0; i < count; i++) {
            strcat(strcat(all, page[i]->id), " ");
            strcpy(after, page[i]->id);
            ck_assert_int_eq(atomic_load(&page[i]->references), 2);
            record_release(page[i]);
        }
        pages++;
    }
    ck_assert_uint_eq(pages, 3);
    ck_assert_str_eq(all, "10 9 B a b b- m z ");
    ck_assert_uint_eq(store_list(store, "c", page, 3), 2); /* after an ID that is not there */
    ck_assert_str_eq(page[0]->id, "m");
    record_release(page[0]);
    record_release(page[1]);
    ck_assert_uint_eq(store_list(store, NULL, page, 0), 0);
    ck_assert_uint_eq(store_state(store).hits, 0);
    store_free(store);
}
END_TEST

START_TEST(a_list_is_no_use_of_its_records) {
    struct store *store = make_store(2);
    put(store, "a");
    put(store, "b");
    ck_assert_str_eq(list(store), "ab");
    put(store, "c");
    ck_assert_str_eq(list(store), "bc");
    store_free(store);
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 2000, IDS = 12 };

static atomic_uint threads_started;

static void *use_store(void *argument) {
    struct store *store = argument;
    struct record *records[5];
    unsigned seed = atomic_fetch_add(&threads_started, 1);
    for (int i = 0; i < ROUNDS; i++) {
        char id[2] = {(char)('a' + rand_r(&seed) % IDS)};
        struct record *record;
        switch (rand_r(&seed) % 4) {
        case 0:
            record = record_create(id, NO_DIGEST);
            record->embedding.geometry.width = id[0]; /* before others see it */
            ck_assert(store_put(store, record));
            record_release(record);
            break;
        case 1:
            store_delete(store, id);
            break;
        case 2:
            for (size_t count = store_list(store, id, records, 5); count > 0;)
                record_release(records[--count]);
            break;
        default:
            record = store_get(store, id);
            if (record && record->embedding.geometry.width != id[0])
                ck_abort_msg("another record");
            record_release(record);
        }
    }
    return NULL;
}

START_TEST(threads_share_a_store) {
    struct store *store = make_store(IDS / 2);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_store, store), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct store_state state = store_state(store);
    struct record *records[IDS];
    size_t count = store_list(store, NULL, records, IDS);
    ck_assert_uint_le(count, IDS / 2);
    ck_assert_uint_eq(state.records, count);
    ck_assert_uint_eq(state.bytes, count * sizeof(struct record));
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(atomic_load(&records[i]->references), 2);
        record_release(records[i]);
    }
    store_free(store);
}
END_TEST

Suite *store_suite(void) {
    Suite *suite = suite_create("store");
    TCase *cases = tcase_create("store");
    tcase_set_tags(cases, "concurrency");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_record_knows_its_image);
    tcase_add_test(cases, records_are_found_by_their_id);
    tcase_add_test(cases, the_least_recently_used_goes_first);
    tcase_add_test(cases, bytes_are_the_limit);
    tcase_add_test(cases, uploads_count);
    tcase_add_test(cases, a_record_of_the_same_id_replaces);
    tcase_add_test(cases, what_is_deleted_is_gone);
    tcase_add_test(cases, who_holds_a_record_keeps_it);
    tcase_add_test(cases, lists_come_in_pages);
    tcase_add_test(cases, a_list_is_no_use_of_its_records);
    tcase_add_test(cases, threads_share_a_store);
    suite_add_tcase(suite, cases);
    return suite;
}
