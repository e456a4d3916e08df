/* Files of keys, and who is let in by them. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/keys.h"
#include "tests/unit/suites.h"

#define ALICE "alice's-key-is-of-24-chars"
#define BOB "0123456789abcdef"

static char path[] = P_tmpdir "/keys-test.XXXXXX";

static void set_up(void) {
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void tear_down(void) {
    unlink(path);
}

static void write_keys(const char *text) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static struct keys *read_keys(const char *text) {
    struct keys *keys;
    struct error error = {0};
    write_keys(text);
    ck_assert_msg(keys_create(path, &keys, &error) == STATUS_OK, "%s", error.message);
    return keys;
}

/* The label of the key; or NULL. */
static const char *label_of(struct keys *keys, const char *secret) {
    static struct key found;
    return keys_find(keys, secret, strlen(secret), &found) ? found.label : NULL;
}

START_TEST(a_line_is_a_key_and_its_label) {
    struct keys *keys = read_keys("# of the team\n\n  " ALICE " alice\n" BOB "\t \r\n"
                                  "the-third-of-them\tc.i_@-9   \n#" ALICE "x nobody");
    ck_assert_uint_eq(keys_count(keys), 3);
    ck_assert_str_eq(label_of(keys, ALICE), "alice");
    ck_assert_str_eq(label_of(keys, BOB), "line-4");
    ck_assert_str_eq(label_of(keys, "the-third-of-them"), "c.i_@-9");
    keys_free(keys);
}
END_TEST

START_TEST(nothing_else_is_a_key) {
    static const char *const others[] = {
        "",
        "alice",
        ALICE " alice",
        ALICE " ",
        "#" ALICE,
        "alice's-key-is-of-24-char",
        ALICE "x",
        "line",
        "\n",
        "0123456789abcdeF",
    };
    struct keys *keys = read_keys(ALICE " alice\n" BOB "\n");
    struct key found;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!label_of(keys, others[i]), "%s", others[i]);
    ck_assert(!keys_find(keys, BOB, sizeof BOB, &found)); /* with the zero */
    ck_assert(!keys_find(keys, BOB, 15, &found));
    ck_assert(keys_find(keys, BOB "and more", 16, &found));
    keys_free(keys);
}
END_TEST

START_TEST(what_is_wrong_is_told_without_the_key) {
    char long_key[KEY_MAX + 3] = "", long_line[2000] = "";
    memset(long_key, 'k', KEY_MAX + 1);
    memset(long_line, 'l', sizeof long_line - 1);
    char *with_label;
    ck_assert_int_gt(asprintf(&with_label, "%s %065d", ALICE, 0), 0);
    char *long_comment; /* that is cut behind a space */
    ck_assert_int_gt(asprintf(&long_comment, "#%382s%s", "", BOB), 0);
    const struct {
        const char *text, *why;
    } cases[] = {
        {"", "no key is in it"},
        {"# only\n\n", "no key is in it"},
        {BOB "\nfifteen-letters\n", "line 2: a key has 16 to 256"},
        {long_key, "line 1: a key has 16 to 256"},
        {long_line, "line 1: too long"},
        {long_comment, "line 1: too long"},
        {"\n" ALICE "\xc3\xa4 x", "line 2: a key has visible ASCII characters only"},
        {ALICE " the label", "line 1: after the key comes a label"},
        {ALICE " # comment", "line 1: after the key comes a label"},
        {with_label, "line 1: after the key comes a label"},
        {ALICE " a\n" ALICE " b\n", "line 2: this key is there already"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct keys *keys = NULL;
        struct error error = {0};
        write_keys(cases[i].text);
        ck_assert_int_eq(keys_create(path, &keys, &error), STATUS_INVALID);
        ck_assert_ptr_null(keys);
        ck_assert_msg(strstr(error.message, cases[i].why), "%s", error.message);
        ck_assert_msg(strstr(error.message, path), "%s", error.message);
        ck_assert_msg(!strstr(error.message, "alice's"), "%s", error.message);
    }
    free(with_label);
    free(long_comment);
}
END_TEST

START_TEST(files_that_cannot_be_read) {
    struct keys *keys = NULL;
    struct error error = {0};
    ck_assert_int_eq(keys_create("/no/such/file", &keys, &error), STATUS_IO);
    ck_assert_str_eq(error.message, "/no/such/file: No such file or directory");
    ck_assert_int_eq(keys_create("/", &keys, &error), STATUS_IO);
    ck_assert_str_eq(error.message, "/: Is a directory");
}
END_TEST

START_TEST(reading_again_replaces_all_or_nothing) {
    struct error error = {0};
    struct keys *keys = read_keys(ALICE " alice\n");
    write_keys(BOB " bob\n");
    ck_assert_int_eq(keys_reload(keys, &error), STATUS_OK);
    ck_assert_ptr_null(label_of(keys, ALICE));
    ck_assert_str_eq(label_of(keys, BOB), "bob");

    write_keys(ALICE " alice\nshort\n");
    ck_assert_int_eq(keys_reload(keys, &error), STATUS_INVALID);
    unlink(path);
    ck_assert_int_eq(keys_reload(keys, &error), STATUS_IO);
    ck_assert_ptr_null(label_of(keys, ALICE));
    ck_assert_str_eq(label_of(keys, BOB), "bob");
    ck_assert_uint_eq(keys_count(keys), 1);
    keys_free(keys);
    keys_free(NULL);
}
END_TEST

static struct keys *shared;
static atomic_bool over;

static void *look_up(void *unused) {
    struct key found;
    while (!atomic_load(&over))
        ck_assert(keys_find(shared, ALICE, strlen(ALICE), &found) &&
                  strcmp(found.label, "alice") == 0);
    return unused;
}

START_TEST(requests_come_while_it_is_read_again) {
    pthread_t threads[2];
    shared = read_keys(ALICE " alice\n" BOB "\n");
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, look_up, NULL), 0);
    for (int i = 0; i < 200; i++) {
        struct error error;
        ck_assert_int_eq(keys_reload(shared, &error), STATUS_OK);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    keys_free(shared);
}
END_TEST

Suite *keys_suite(void) {
    Suite *suite = suite_create("keys");
    TCase *plain = tcase_create("keys");
    tcase_add_checked_fixture(plain, set_up, tear_down);
    tcase_add_test(plain, a_line_is_a_key_and_its_label);
    tcase_add_test(plain, nothing_else_is_a_key);
    tcase_add_test(plain, what_is_wrong_is_told_without_the_key);
    tcase_add_test(plain, files_that_cannot_be_read);
    tcase_add_test(plain, reading_again_replaces_all_or_nothing);
    suite_add_tcase(suite, plain);
    TCase *concurrency = tcase_create("concurrency");
    tcase_set_tags(concurrency, "concurrency");
    tcase_add_checked_fixture(concurrency, set_up, tear_down);
    tcase_add_test(concurrency, requests_come_while_it_is_read_again);
    suite_add_tcase(suite, concurrency);
    return suite;
}
