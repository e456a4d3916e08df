#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "tests/unit/suites.h"

/* Parses a copy of exactly this size, without a terminating zero. The verdict, the problem and the
 * upload must agree. */
static bool parse(const char *bytes, size_t size, bool with_prompt, struct upload *upload,
                  struct problem *problem) {
    char *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    *problem = (struct problem){0};
    memset(upload, 0x5a, sizeof *upload);
    bool good = upload_parse(copy, size, with_prompt, upload, problem);
    free(copy);
    if (good)
        ck_assert(problem->type == PROBLEM_NONE && upload->bytes && upload->size > 0 &&
                  (upload->prompt_json != NULL) == with_prompt);
    else
        ck_assert(problem->type != PROBLEM_NONE && !upload->bytes && upload->size == 0 &&
                  !upload->prompt_json && upload->id[0] == '\0' && upload->model[0] == '\0');
    return good;
}

static struct upload assert_good(const char *json, bool with_prompt) {
    struct upload upload;
    struct problem problem;
    bool good = parse(json, strlen(json), with_prompt, &upload, &problem);
    ck_assert_msg(good, "%s: %s %s %s", json, problem.detail, problem.faults[0].pointer,
                  problem.faults[0].detail);
    return upload;
}

START_TEST(test_image_ids) {
    static const char *const good[] = {"a", "Z", "0", "9f86d081884c7d65", "a.b-c_d", "a..", "A-"};
    static const char *const bad[] = {"",          ".a",   "-a",    "_a",   "a b",
                                      "a/b",       "../a", "a\n",   "a%41", "\xc3\xa9",
                                      "a\xc3\xa9", "a:",   "a\x01", "a@",   "a["};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(image_id_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!image_id_valid(bad[i]), "%s", bad[i]);
    char id[IMAGE_ID_MAX + 2];
    for (const char *fill = "a."; *fill; fill++) {
        memset(id, *fill, sizeof id);
        id[0] = 'a';
        id[IMAGE_ID_MAX] = '\0';
        ck_assert(image_id_valid(id));
        id[IMAGE_ID_MAX] = *fill;
        id[IMAGE_ID_MAX + 1] = '\0';
        ck_assert(!image_id_valid(id));
    }
}
END_TEST

START_TEST(test_images) {
    static const char *const forms[] = {
        "{\"image\":\"aGVsbG8=\"}",
        "{\"image\":\"aGVs\\nbG8=\\n\"}",
        "{\"image\":\" a G V s \\t b G 8 = \"}",
        "{\"image\":\"data:image/png;base64,aGVsbG8=\"}",
        "{\"image\":\"DATA:image/jpeg;name=a.jpg;BASE64,aGVsbG8=\"}",
        "{\"image\":\"data:;base64,aGVsbG8=\"}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        for (int with_prompt = 0; with_prompt < 2; with_prompt++) {
            struct upload upload = assert_good(forms[i], with_prompt);
            ck_assert_uint_eq(upload.size, 5);
            ck_assert_mem_eq(upload.bytes, "hello", 5);
            ck_assert(upload.id[0] == '\0' && upload.model[0] == '\0');
            upload_free(&upload);
            ck_assert(!upload.bytes && !upload.prompt_json && upload.size == 0);
        }
    }
}
END_TEST

START_TEST(test_names) {
    struct upload upload =
        assert_good("{\"id\":\"truck.1\",\"model\":\"mobile_sam\",\"image\":\"AAEC\"}", false);
    ck_assert_str_eq(upload.id, "truck.1");
    ck_assert_str_eq(upload.model, "mobile_sam");
    ck_assert_mem_eq(upload.bytes, "\0\1\2", 3);
    upload_free(&upload);
}
END_TEST

START_TEST(test_prompt_members) {
    struct upload upload = assert_good("{\"points\":[[1.5,2]],\"image\":\"AAEC\",\"id\":\"a\","
                                       "\"labels\":[1],\"x\":\"\\u00e9\\\"\",\"x\":null}",
                                       true);
    ck_assert_str_eq(upload.prompt_json, "{\"points\":[[1.5,2]],\"labels\":[1],"
                                         "\"x\":\"\u00e9\\\"\",\"x\":null}");
    upload_free(&upload);
    upload = assert_good("{\"image\":\"AAEC\"}", true);
    ck_assert_str_eq(upload.prompt_json, "{}");
    upload_free(&upload);

    /* the numbers arrive as they were sent */
    upload =
        assert_good("{\"image\":\"AAEC\",\"box\":[0.1,0.30000000000000004,1e-7,1799.9999]}", true);
    const struct prompt_limits limits = {.width = 1800, .height = 1800, .max_prompts = 1};
    struct prompt_list list;
    struct problem problem = {0};
    ck_assert(!prompt_list_parse(upload.prompt_json, strlen(upload.prompt_json), &limits, &list,
                                 &problem));
    ck_assert_str_eq(problem.faults[0].pointer, "/box");
    ck_assert_str_eq(problem.faults[0].detail, "x1 must be less than x2");
    upload_free(&upload);
}
END_TEST

START_TEST(test_faults) {
    static const struct {
        const char *json, *pointer, *detail;
        size_t count;
    } cases[] = {
        {"[]", "", "must be an object", 1},
        {"{}", "/image", "is missing", 1},
        {"{\"image\":null}", "/image", "must be a string", 1},
        {"{\"image\":[]}", "/image", "must be a string", 1},
        {"{\"image\":\"\"}", "/image", "is empty", 1},
        {"{\"image\":\"data:image/png;base64,\"}", "/image", "is empty", 1},
        {"{\"image\":\"a\"}", "/image", "must be base64 or a data URI", 1},
        {"{\"image\":\"aGVsbG8\"}", "/image", "must be base64 or a data URI", 1},
        {"{\"image\":\"aGVsbG8==\"}", "/image", "must be base64 or a data URI", 1},
        {"{\"image\":\"aGVsbG8=aGVs\"}", "/image", "must be base64 or a data URI", 1},
        {"{\"image\":\"aG!sbG8=\"}", "/image", "must be base64 or a data URI", 1},
        {"{\"image\":\"\u00e9\"}", "/image", "must be base64 or a data URI", 1},
        {"{\"image\":\"https://example.org/a.jpg\"}", "/image", "must be base64", 1},
        {"{\"image\":\"data:image/png,aGVsbG8=\"}", "/image", "a data URI must have the form", 1},
        {"{\"image\":\"data:base64,aGVsbG8=\"}", "/image", "a data URI must have the form", 1},
        {"{\"image\":\"data:,aGVsbG8=\"}", "/image", "a data URI must have the form", 1},
        {"{\"image\":\"data:\"}", "/image", "a data URI must have the form", 1},
        {"{\"image\":\"data:;base64\"}", "/image", "a data URI must have the form", 1},
        {"{\"image\":\"AAEC\",\"image\":\"AAEC\"}", "/image", "duplicate member", 1},
        {"{\"image\":\"AAEC\",\"id\":\"../a\"}", "/id", "must match [A-Za-z0-9][A-Za-z0-9._-]", 1},
        {"{\"image\":\"AAEC\",\"id\":5}", "/id", "must be a string", 1},
        {"{\"image\":\"AAEC\",\"model\":\"\"}", "/model", "must have 1 to 63 characters", 1},
        {"{\"image\":\"AAEC\",\"model\":true}", "/model", "must be a string", 1},
        {"{\"model\":1,\"id\":2,\"id\":\"a\"}", "/model", "must be a string", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int with_prompt = 0; with_prompt < 2; with_prompt++) {
            struct upload upload;
            struct problem problem;
            ck_assert_msg(
                !parse(cases[i].json, strlen(cases[i].json), with_prompt, &upload, &problem), "%s",
                cases[i].json);
            ck_assert_int_eq(problem.type, PROBLEM_INVALID_REQUEST);
            ck_assert_str_eq(problem.faults[0].pointer, cases[i].pointer);
            ck_assert_msg(strstr(problem.faults[0].detail, cases[i].detail) != NULL, "%s: %s",
                          cases[i].json, problem.faults[0].detail);
            ck_assert_uint_eq(problem.fault_count, cases[i].count);
        }
    }
    struct upload upload;
    struct problem problem;
    const char *json = "{\"image\":\"AAEC\",\"points\":[],\"box\":1}";
    ck_assert(!parse(json, strlen(json), false, &upload, &problem));
    ck_assert_uint_eq(problem.fault_count, 2);
    ck_assert_str_eq(problem.faults[1].pointer, "/box");
    ck_assert_str_eq(problem.faults[1].detail, "unknown member");
}
END_TEST

START_TEST(test_long_names) {
    for (size_t size = 126; size < 132; size++) {
        char name[140], json[400];
        memset(name, 'a', size);
        name[size] = '\0';
        snprintf(json, sizeof json, "{\"image\":\"AAEC\",\"id\":\"%s\",\"model\":\"%s\"}", name,
                 name + 65);
        struct upload upload;
        struct problem problem;
        ck_assert_int_eq(parse(json, strlen(json), false, &upload, &problem), size <= 128);
        ck_assert_uint_eq(problem.fault_count, size <= 128 ? 0 : 2);
        upload_free(&upload);
    }
}
END_TEST

START_TEST(test_not_json) {
    static const char *const bodies[] = {"",
                                         "{",
                                         "\xff\xd8\xff\xe0",
                                         "{\"image\":\"AAEC\\u0000\"}",
                                         "{\"image\\u0000\":\"AAEC\"}",
                                         "{\"image\":\"AAEC\"}{}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct upload upload;
        struct problem problem;
        ck_assert(!parse(bodies[i], strlen(bodies[i]), true, &upload, &problem));
        ck_assert_int_eq(problem.type, PROBLEM_BAD_REQUEST);
    }
}
END_TEST

START_TEST(test_every_truncation) {
    static const char json[] = "{\"image\":\"data:image/png;base64,aGVsbG8=\",\"id\":\"a\","
                               "\"points\":[[1,2]]}";
    for (size_t size = 0; size < sizeof json - 1; size++) {
        struct upload upload;
        struct problem problem;
        ck_assert(!parse(json, size, true, &upload, &problem));
        ck_assert_int_eq(problem.type, PROBLEM_BAD_REQUEST);
    }
}
END_TEST

START_TEST(test_random_damage) {
    static const char json[] = "{\"image\":\"data:;base64,aGVsbG8=\",\"id\":\"a\",\"model\":\"m\","
                               "\"points\":[[1,2]]}";
    uint64_t state = 11;
    for (int round = 0; round < 100000; round++) {
        char body[sizeof json];
        memcpy(body, json, sizeof body);
        for (int k = 0; k <= round % 3; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            body[(state >> 33) % (sizeof body - 1)] ^= (char)(1 << (state >> 20) % 8);
        }
        struct upload upload;
        struct problem problem;
        if (parse(body, sizeof body - 1, round % 2, &upload, &problem)) {
            ck_assert_uint_le(upload.size, sizeof json);
            ck_assert(upload.id[0] == '\0' || image_id_valid(upload.id));
            upload_free(&upload);
        }
    }
}
END_TEST

/* A large upload, with bytes of every value. */
START_TEST(test_large_image) {
    const size_t size = 6000001;
    uint8_t *bytes = malloc(size);
    char *json = malloc(BASE64_ENCODE_RAW_LENGTH(size) + 32);
    ck_assert(bytes && json);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    size_t length = (size_t)sprintf(json, "{\"image\":\"");
    base64_encode_raw(json + length, size, bytes);
    length += BASE64_ENCODE_RAW_LENGTH(size);
    length += (size_t)sprintf(json + length, "\"}");
    struct upload upload;
    struct problem problem = {0};
    ck_assert(upload_parse(json, length, false, &upload, &problem));
    ck_assert_uint_eq(upload.size, size);
    ck_assert_int_eq(memcmp(upload.bytes, bytes, size), 0);
    upload_free(&upload);
    free(json);
    free(bytes);
}
END_TEST

/* ---- forms ------------------------------------------------------------------------------- */

#define TYPE "multipart/form-data; boundary=XX"
#define PART(name, content)                                                                        \
    "--XX\r\nContent-Disposition: form-data; name=" name "\r\n\r\n" content "\r\n"

static bool parse_form(const char *body, size_t size, bool with_prompt, struct upload *upload,
                       struct problem *problem) {
    uint8_t *copy = malloc(size); /* becomes the upload's */
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, body, size);
    *problem = (struct problem){0};
    memset(upload, 0x5a, sizeof *upload);
    bool good = upload_parse_multipart(TYPE, copy, size, with_prompt, upload, problem);
    ck_assert(good == (problem->type == PROBLEM_NONE));
    if (!good)
        ck_assert(!upload->bytes && upload->size == 0 && !upload->prompt_json && !upload->id[0]);
    return good;
}

START_TEST(test_forms) {
    const char body[] =
        PART("id", "cat.1") PART("file", "a\0b") PART("prompt", "{}") PART("model", "sam") "--XX--";
    struct upload upload;
    struct problem problem;
    ck_assert(parse_form(body, sizeof body - 1, true, &upload, &problem));
    ck_assert_uint_eq(upload.size, 3);
    ck_assert_mem_eq(upload.bytes, "a\0b", 3);
    ck_assert_str_eq(upload.id, "cat.1");
    ck_assert_str_eq(upload.model, "sam");
    ck_assert_str_eq(upload.prompt_json, "{}");
    upload_free(&upload);
}
END_TEST

START_TEST(test_faults_of_forms) {
    static const struct {
        const char *body;
        size_t size;
        bool with_prompt;
        const char *faults; /* their pointers */
    } cases[] = {
#define CASE(with_prompt, faults, body) {body "--XX--", sizeof body + 5, with_prompt, faults}
        CASE(false, "/file", PART("id", "a")),
        CASE(true, "/prompt", PART("file", "1")),
        CASE(true, "/file /prompt", PART("id", "a")),
        CASE(false, "/prompt", PART("file", "1") PART("prompt", "{}")),
        CASE(false, "/file", PART("file", "1") PART("file", "2")),
        CASE(false, "/a~1b", PART("file", "1") PART("a/b", "2")),
        CASE(false, "/id /model", PART("file", "1") PART("id", "") PART("model", "")),
        CASE(false, "/id /model", PART("id", "a\0b") PART("file", "1") PART("model", "\0")),
        CASE(false, "/id", PART("file", "1") PART("id", "../x")),
        CASE(true, "/prompt", PART("file", "1") PART("prompt", "{}\0")),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct upload upload;
        struct problem problem;
        char pointers[512] = "";
        ck_assert_msg(
            !parse_form(cases[i].body, cases[i].size, cases[i].with_prompt, &upload, &problem),
            "case %zu", i);
        ck_assert_int_eq(problem.type, PROBLEM_INVALID_REQUEST);
        for (size_t k = 0; k < problem.fault_count; k++)
            snprintf(pointers + strlen(pointers), sizeof pointers - strlen(pointers), "%s%s",
                     k ? " " : "", problem.faults[k].pointer);
        ck_assert_str_eq(pointers, cases[i].faults);
    }
}
END_TEST

START_TEST(test_unknown_parts_are_told_the_known_ones) {
    static const char *const lists[] = {"unknown part; there are file, id and model",
                                        "unknown part; there are file, id, model and prompt"};
    const char body[] = PART("file", "1") PART("prompt", "{}") PART("x", "") "--XX--";
    for (int with_prompt = 0; with_prompt < 2; with_prompt++) {
        struct upload upload;
        struct problem problem;
        ck_assert(!parse_form(body, sizeof body - 1, with_prompt, &upload, &problem));
        ck_assert_str_eq(problem.faults[0].pointer, "/x");
        ck_assert_str_eq(problem.faults[0].detail, lists[with_prompt]);
    }
}
END_TEST

START_TEST(test_broken_forms) {
    static const char *const bodies[] = {"", PART("file", "1"), "--XX\r\n", "{}",
                                         PART("wat", "1") PART("file", "1")};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct upload upload;
        struct problem problem;
        ck_assert(!parse_form(bodies[i], strlen(bodies[i]), false, &upload, &problem));
        ck_assert_int_eq(problem.type, PROBLEM_BAD_REQUEST);
        ck_assert_uint_eq(problem.fault_count, 0);
    }
}
END_TEST

Suite *upload_suite(void) {
    Suite *suite = suite_create("upload");
    TCase *tests = tcase_create("upload");
    tcase_set_timeout(tests, 60); /* for the sanitizers */
    tcase_add_test(tests, test_image_ids);
    tcase_add_test(tests, test_images);
    tcase_add_test(tests, test_names);
    tcase_add_test(tests, test_prompt_members);
    tcase_add_test(tests, test_faults);
    tcase_add_test(tests, test_long_names);
    tcase_add_test(tests, test_not_json);
    tcase_add_test(tests, test_every_truncation);
    tcase_add_test(tests, test_random_damage);
    tcase_add_test(tests, test_large_image);
    tcase_add_test(tests, test_forms);
    tcase_add_test(tests, test_faults_of_forms);
    tcase_add_test(tests, test_unknown_parts_are_told_the_known_ones);
    tcase_add_test(tests, test_broken_forms);
    suite_add_tcase(suite, tests);
    return suite;
}
