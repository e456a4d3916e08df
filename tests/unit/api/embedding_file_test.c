/* Embeddings as files: what is written is read again, and what is damaged is refused. Faults of the
 * metadata one by one: tests/http/test_embeddings.py. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "tests/unit/suites.h"

static const struct model_info MODEL = {
    .name = "mobile_sam",
    .architecture = "mobile_sam",
    .weights_sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    .input_size = 1024,
};
static const struct image_limits LIMITS = {.max_pixels = 1000000, .max_side = 2000};
static const struct embedding_source SOURCE = {"a.b-c_1", {0xfe, 0x01, [31] = 0x80}};

static struct embedding *embedding, *again;
static uint8_t *bytes;
static size_t size;

static void set_up(void) {
    embedding = malloc(sizeof *embedding);
    again = calloc(1, sizeof *again);
    ck_assert(embedding && again);
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        embedding->values[i] = (uint16_t)(i * 7919 % 0x7c00);
    geometry_fit(640, 427, MODEL.input_size, &embedding->geometry);
    bytes = embedding_safetensors(embedding, &SOURCE, &MODEL, EMBEDDING_FLOAT16, &size);
    ck_assert_ptr_nonnull(bytes);
}

static void tear_down(void) {
    free(embedding);
    free(again);
    free(bytes);
}

static enum problem_type parse(const struct model_info *model, struct embedding_source *source) {
    struct problem problem = {0};
    bool parsed = embedding_parse(bytes, size, model, &LIMITS, source, again, &problem);
    ck_assert_int_eq(parsed, problem.type == PROBLEM_NONE);
    return problem.type;
}

START_TEST(what_was_written_is_read) {
    struct embedding_source source;
    free(bytes);
    bytes = embedding_safetensors(embedding, &SOURCE, &MODEL, (enum embedding_type)_i, &size);
    ck_assert_int_eq(parse(&MODEL, &source), PROBLEM_NONE);
    ck_assert_mem_eq(again, embedding, sizeof *again);
    ck_assert_str_eq(source.image_id, SOURCE.image_id);
    ck_assert_mem_eq(source.digest, SOURCE.digest, DIGEST_BYTES);
}
END_TEST

START_TEST(the_same_embedding_gives_the_same_bytes) {
    size_t other_size;
    uint8_t *other =
        embedding_safetensors(embedding, &SOURCE, &MODEL, EMBEDDING_FLOAT16, &other_size);
    ck_assert_uint_eq(other_size, size);
    ck_assert_mem_eq(other, bytes, size);
    free(other);
}
END_TEST

START_TEST(npy_is_a_header_of_128_bytes_and_the_tensor) {
    static const char header[] = "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, "
                                 "'shape': (1, 256, 64, 64), }";
    float *planes = malloc(EMBEDDING_VALUES * sizeof *planes);
    size_t npy_size;
    uint8_t *npy = embedding_npy(embedding, EMBEDDING_FLOAT32, &npy_size);
    embedding_write(embedding, EMBEDDING_FLOAT32, planes);
    ck_assert_uint_eq(npy_size, 128 + EMBEDDING_VALUES * sizeof *planes);
    ck_assert_mem_eq(npy, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < 127; i++)
        ck_assert_int_eq(npy[i], ' ');
    ck_assert_int_eq(npy[127], '\n');
    ck_assert_mem_eq(npy + 128, planes, npy_size - 128);
    free(planes);
    free(npy);
}
END_TEST

START_TEST(every_truncation_is_refused) {
    const size_t whole = size;
    struct embedding_source source;
    for (size = 0; size < whole; size += size < 1000 ? 1 : 65537) {
        uint8_t *exact = malloc(size ? size : 1); /* a sanitizer sees who reads beyond */
        struct problem problem = {0};
        memcpy(exact, bytes, size);
        ck_assert(!embedding_parse(exact, size, &MODEL, &LIMITS, &source, again, &problem));
        ck_assert(problem.type == PROBLEM_INVALID_EMBEDDING ||
                  problem.type == PROBLEM_UNSUPPORTED_EMBEDDING);
        free(exact);
    }
}
END_TEST

/* Each byte of the header, and some of the data. */
START_TEST(no_damage_is_taken_for_another_embedding) {
    const size_t header = size - EMBEDDING_VALUES * sizeof(uint16_t);
    struct embedding_source source = {0};
    for (size_t i = 0; i < size; i += i < header ? 1 : 99991) {
        bytes[i] ^= 1;
        if (parse(&MODEL, &source) == PROBLEM_NONE) /* an ID and a hash may be any */
            ck_assert(strcmp(source.image_id, SOURCE.image_id) != 0 ||
                      memcmp(source.digest, SOURCE.digest, DIGEST_BYTES) != 0 ||
                      again->geometry.width != embedding->geometry.width ||
                      again->geometry.height != embedding->geometry.height ||
                      bytes[i] == (' ' ^ 1));
        bytes[i] ^= 1;
    }
}
END_TEST

START_TEST(another_model_is_named) {
    struct model_info other = MODEL;
    struct embedding_source source;
    other.weights_sha256[0] = 'f';
    ck_assert_int_eq(parse(&other, &source), PROBLEM_MODEL_MISMATCH);
    other = MODEL;
    strcpy(other.name, "sam_vit_b");
    ck_assert_int_eq(parse(&other, &source), PROBLEM_MODEL_MISMATCH);
    other = MODEL;
    other.input_size = 512;
    ck_assert_int_eq(parse(&other, &source), PROBLEM_INVALID_EMBEDDING);
}
END_TEST

Suite *embedding_file_suite(void) {
    Suite *suite = suite_create("embedding_file");
    TCase *cases = tcase_create("embedding_file");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, what_was_written_is_read, EMBEDDING_FLOAT16, EMBEDDING_FLOAT32 + 1);
    tcase_add_test(cases, the_same_embedding_gives_the_same_bytes);
    tcase_add_test(cases, npy_is_a_header_of_128_bytes_and_the_tensor);
    tcase_add_test(cases, every_truncation_is_refused);
    tcase_add_test(cases, no_damage_is_taken_for_another_embedding);
    tcase_add_test(cases, another_model_is_named);
    suite_add_tcase(suite, cases);
    return suite;
}
