/* engine/weights/safetensors.h: what is not written, and how a file is replaced and opened. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/weights/file_map.h"
#include "engine/weights/safetensors.h"
#include "tests/unit/suites.h"

static const float one = 1;
static const struct tensor good = {"a", TENSOR_F32, 1, {1}, sizeof one, &one};

START_TEST(what_could_not_be_read_is_not_written) {
    struct tensor bad[] = {good, good, good, good, good, good, good};
    static const char *const messages[] = {
        "a tensor's name",  "a tensor's name", "a tensor's name",
        "tensor 'a' has 9", "tensor 'a': 4",   "tensor 'a': 8 bytes are not",
        "tensor 'a': 4",
    };
    bad[0].name = "";
    bad[1].name = "a\n";
    bad[2].name = "__metadata__";
    bad[3].rank = 9;
    bad[4].shape[0] = 0;
    bad[5].bytes = 8;
    bad[6].shape[0] = -1;
    uint8_t *bytes;
    size_t size;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {0};
        ck_assert_int_eq(safetensors_encode(&bad[i], 1, NULL, 0, &bytes, &size, &error),
                         STATUS_INVALID);
        ck_assert_msg(strstr(error.message, messages[i]), "%s", error.message);
    }
    struct error error = {0};
    const struct tensor twice[] = {good, good};
    ck_assert_int_eq(safetensors_encode(twice, 2, NULL, 0, &bytes, &size, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, "tensor 'a' is there twice");

    static const struct metadata_entry entries[][2] = {{{"k", "a"}, {"k", "b"}},
                                                       {{"k", "a"}, {"data_sha256", "b"}},
                                                       {{"k", "a"}, {"l", "\n"}},
                                                       {{"k", "a"}, {"l", "\xff"}}};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        ck_assert_int_eq(safetensors_encode(&good, 1, entries[i], 2, &bytes, &size, &error),
                         STATUS_INVALID);
        ck_assert_ptr_nonnull(strstr(error.message, "metadata"));
    }
}
END_TEST

static void make_directory(char path[64]) {
    strcpy(path, P_tmpdir "/safetensors-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
}

START_TEST(a_file_is_replaced_whole_or_not_at_all) {
    char directory[64], path[128];
    make_directory(directory);
    snprintf(path, sizeof path, "%s/a.safetensors", directory);
    struct error error = {0};
    struct safetensors *file;
    ck_assert_int_eq(safetensors_write(path, NULL, 0, NULL, 0, &error), STATUS_OK);
    ck_assert_int_eq(safetensors_write(path, &good, 1, NULL, 0, &error), STATUS_OK);

    struct tensor bad = good;
    bad.bytes++;
    ck_assert_int_eq(safetensors_write(path, &bad, 1, NULL, 0, &error), STATUS_INVALID);
    ck_assert_msg(safetensors_open(path, &file, &error) == STATUS_OK, "%s", error.message);
    ck_assert_uint_eq(safetensors_count(file), 1);
    ck_assert_mem_eq(safetensors_find(file, "a")->data, &one, sizeof one);
    safetensors_free(file);

    ck_assert_int_eq(unlink(path), 0);
    struct stat info;
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* stands for a device: a rename would replace it */
    ck_assert_int_eq(safetensors_write(path, &good, 1, NULL, 0, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, "is there already, and is not a regular file");
    ck_assert(stat(path, &info) == 0 && S_ISFIFO(info.st_mode));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(safetensors_write(path, &good, 1, NULL, 0, &error), STATUS_INVALID);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rmdir(directory), 0); /* no temporary file was left */
    ck_assert_int_eq(safetensors_write(path, &good, 1, NULL, 0, &error), STATUS_IO);
}
END_TEST

START_TEST(only_a_regular_file_is_mapped) {
    char directory[64], path[128];
    make_directory(directory);
    snprintf(path, sizeof path, "%s/a", directory);
    struct safetensors *file;
    struct file_map map;
    struct error error = {0};
    ck_assert_int_eq(safetensors_open(path, &file, &error), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "No such file"));
    ck_assert_int_eq(safetensors_open(directory, &file, &error), STATUS_UNSUPPORTED);
    ck_assert_str_eq(error.message, "is not a regular file");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(safetensors_open(path, &file, &error), STATUS_UNSUPPORTED);
    ck_assert_int_eq(unlink(path), 0);

    FILE *stream = fopen(path, "w");
    ck_assert_ptr_nonnull(stream);
    fclose(stream);
    ck_assert_int_eq(safetensors_open(path, &file, &error), STATUS_UNSUPPORTED);
    ck_assert_str_eq(error.message, "is empty");

    stream = fopen(path, "w");
    ck_assert_ptr_nonnull(stream);
    fputs("0123456789", stream);
    fclose(stream);
    ck_assert_int_eq(safetensors_open(path, &file, &error), STATUS_UNSUPPORTED);
    ck_assert_int_eq(file_map_open(path, 9, &map, &error), STATUS_TOO_LARGE);
    ck_assert_str_eq(error.message, "has 10 bytes; the limit is 9");
    ck_assert_int_eq(file_map_open(path, 10, &map, &error), STATUS_OK);
    ck_assert_uint_eq(map.size, 10);
    file_map_close(&map);
    file_map_close(&map);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

Suite *safetensors_write_suite(void) {
    Suite *suite = suite_create("safetensors_write");
    TCase *cases = tcase_create("write");
    tcase_add_test(cases, what_could_not_be_read_is_not_written);
    tcase_add_test(cases, a_file_is_replaced_whole_or_not_at_all);
    tcase_add_test(cases, only_a_regular_file_is_mapped);
    suite_add_tcase(suite, cases);
    return suite;
}
