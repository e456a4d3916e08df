/* engine/weights/safetensors.h: what is written can be read, and nothing else. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/safetensors.h"
#include "tests/unit/suites.h"

/* ---- fixtures ---------------------------------------------------------------------------- */

static const float floats[6] = {1, -2, 3.5f, 0, 5, -6};
static const uint16_t halves[3] = {0x3c00, 0xc000, 0x0001};

/* In no order at all; an odd number of halves, so that a float behind it would not be aligned. */
static const struct tensor sample[] = {
    {"b.weight", TENSOR_F32, 2, {2, 3}, sizeof floats, floats},
    {"a.half", TENSOR_F16, 1, {3}, sizeof halves, halves},
    {"c.scalar", TENSOR_F32, 0, {0}, sizeof(float), &floats[4]},
    {"a.weight", TENSOR_F32, 3, {1, 1, 2}, 2 * sizeof(float), &floats[2]},
};
enum { SAMPLES = sizeof sample / sizeof *sample };

static const struct metadata_entry sample_metadata[] = {{"format", "pt"},
                                                        {"title", "Zürich \"1\""}};

static uint8_t *encode_sample(size_t *size) {
    uint8_t *bytes;
    struct error error = {0};
    enum status status =
        safetensors_encode(sample, SAMPLES, sample_metadata, 2, &bytes, size, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.message);
    return bytes;
}

/* Bytes of a file with that header and that many bytes of data, in a buffer of exactly its size. */
static uint8_t *compose(const char *header, size_t data_size, size_t *size) {
    uint64_t length = strlen(header);
    *size = 8 + length + data_size;
    uint8_t *bytes = calloc(1, *size);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    return bytes;
}

static void expect(const uint8_t *bytes, size_t size, enum status expected, const char *message) {
    struct safetensors *file = NULL;
    struct error error = {0};
    enum status status = safetensors_parse(bytes, size, &file, &error);
    ck_assert_msg(status == expected, "status %d, not %d, '%s' for '%s'", (int)status,
                  (int)expected, error.message, message);
    ck_assert_msg(strstr(error.message, message), "'%s' does not say '%s'", error.message, message);
    if (status == STATUS_OK) {
        safetensors_free(file);
    }
}

/* ---- reading back ------------------------------------------------------------------------ */

static void check_sample(const struct safetensors *file) {
    static const char *const names[] = {"a.half", "a.weight", "b.weight", "c.scalar"};
    ck_assert_uint_eq(safetensors_count(file), SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct tensor *tensor = safetensors_at(file, i);
        ck_assert_str_eq(tensor->name, names[i]);
        ck_assert_ptr_eq(tensor, safetensors_at(file, 0) + i);
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct tensor *tensor = safetensors_find(file, sample[i].name);
        ck_assert_ptr_nonnull(tensor);
        ck_assert_int_eq(tensor->type, sample[i].type);
        ck_assert_int_eq(tensor->rank, sample[i].rank);
        ck_assert_mem_eq(tensor->shape, sample[i].shape, sizeof tensor->shape);
        ck_assert_uint_eq(tensor->bytes, sample[i].bytes);
        ck_assert_mem_eq(tensor->data, sample[i].data, sample[i].bytes);
        ck_assert_uint_eq((uintptr_t)tensor->data % (tensor->type == TENSOR_F16 ? 2 : 4), 0);
    }
    ck_assert_ptr_null(safetensors_find(file, "a"));
    ck_assert_ptr_null(safetensors_find(file, ""));
    ck_assert_ptr_null(safetensors_find(file, "__metadata__"));
    ck_assert_ptr_null(safetensors_find(file, "d"));
    ck_assert_str_eq(safetensors_metadata(file, "format"), "pt");
    ck_assert_str_eq(safetensors_metadata(file, "title"), "Zürich \"1\"");
    ck_assert_ptr_null(safetensors_metadata(file, "Format"));
}

START_TEST(what_is_encoded_can_be_read) {
    size_t size;
    uint8_t *bytes = encode_sample(&size);
    struct safetensors *file;
    struct error error = {0};
    ck_assert_msg(safetensors_parse(bytes, size, &file, &error) == STATUS_OK, "%s", error.message);
    check_sample(file);

    char sha256[65];
    safetensors_data_sha256(file, sha256);
    ck_assert_str_eq(safetensors_metadata(file, "data_sha256"), sha256);
    uint64_t header_size;
    memcpy(&header_size, bytes, 8);
    ck_assert_uint_eq((8 + header_size) % 64, 0);
    safetensors_free(file);
    free(bytes);
}
END_TEST

START_TEST(the_order_given_does_not_matter) {
    struct tensor reversed[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        reversed[i] = sample[SAMPLES - 1 - i];
    }
    size_t size, other_size;
    uint8_t *other, *bytes = encode_sample(&size);
    ck_assert_int_eq(
        safetensors_encode(reversed, SAMPLES, sample_metadata, 2, &other, &other_size, NULL),
        STATUS_OK);
    ck_assert_uint_eq(size, other_size);
    ck_assert_mem_eq(bytes, other, size);
    free(bytes);
    free(other);
}
END_TEST

START_TEST(the_hash_is_sha256_of_the_data) {
    static const struct {
        const char *header, *sha256;
        size_t data_size;
    } known[] = {
        {"{}", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0, 4] }}",
         "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119", 4},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t size;
        uint8_t *bytes = compose(known[i].header, known[i].data_size, &size);
        struct safetensors *file;
        ck_assert_int_eq(safetensors_parse(bytes, size, &file, NULL), STATUS_OK);
        char sha256[65];
        safetensors_data_sha256(file, sha256);
        ck_assert_str_eq(sha256, known[i].sha256);
        ck_assert_ptr_null(safetensors_metadata(file, "format"));
        safetensors_free(file);
        free(bytes);
    }
}
END_TEST

/* ---- hostile bytes ----------------------------------------------------------------------- */

START_TEST(every_truncation_is_refused) {
    size_t size;
    uint8_t *bytes = encode_sample(&size);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut + !cut); /* of its own, so that a sanitizer sees the end */
        ck_assert_ptr_nonnull(part);
        memcpy(part, bytes, cut);
        struct safetensors *file;
        struct error error = {0};
        ck_assert_msg(safetensors_parse(part, cut, &file, &error) != STATUS_OK, "cut at %zu", cut);
        ck_assert_int_ne(error.message[0], '\0');
        free(part);
    }
    free(bytes);
}
END_TEST

START_TEST(bytes_behind_the_data_are_refused) {
    size_t size;
    uint8_t *bytes = encode_sample(&size);
    uint8_t *longer = calloc(1, size + 1);
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, bytes, size);
    expect(longer, size + 1, STATUS_INVALID, "the last 1 bytes belong to no tensor");
    free(longer);
    free(bytes);
}
END_TEST

/* A changed header is refused, or still describes data that is all there. */
START_TEST(a_flipped_byte_of_the_header_never_points_outside) {
    size_t size, accepted = 0;
    uint8_t *bytes = encode_sample(&size);
    uint64_t header_size;
    memcpy(&header_size, bytes, 8);
    for (size_t at = 0; at < 8 + header_size; at++) {
        uint8_t original = bytes[at];
        for (int value = 0; value < 256; value++) {
            bytes[at] = (uint8_t)value;
            struct safetensors *file;
            if (safetensors_parse(bytes, size, &file, NULL) != STATUS_OK) {
                continue;
            }
            size_t total = 0;
            for (size_t i = 0; i < safetensors_count(file); i++) {
                const struct tensor *tensor = safetensors_at(file, i);
                const uint8_t *data = tensor->data;
                ck_assert(data >= bytes + 8 && data + tensor->bytes <= bytes + size);
                total += tensor->bytes;
            }
            ck_assert_uint_le(total, size);
            ck_assert_uint_le(total, 6 * 4 + 3 * 2 + 4 + 8);
            safetensors_free(file);
            accepted++;
        }
        bytes[at] = original;
    }
    ck_assert_uint_gt(accepted, header_size); /* at least each byte as it was */
    free(bytes);
}
END_TEST

#define F32(shape, offsets) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(value) "{\"a\":" value "}"

static const struct {
    const char *header;
    size_t data_size;
    enum status status;
    const char *message;
} hostile[] = {
    /* not a header */
    {"", 0, STATUS_UNSUPPORTED, "not a safetensors file"},
    {" {}", 0, STATUS_UNSUPPORTED, "not a safetensors file"},
    {"[]", 0, STATUS_UNSUPPORTED, "not a safetensors file"},
    {"{", 0, STATUS_UNSUPPORTED, "not JSON"},
    {"{} {}", 0, STATUS_UNSUPPORTED, "followed by text"},
    {"{\"a\":[[[1]]]}", 0, STATUS_UNSUPPORTED, "nested too deeply"},
    {"{\"\xff\":1}", 0, STATUS_UNSUPPORTED, "not UTF-8"},
    {"{\"a\\u0000b\":1}", 0, STATUS_UNSUPPORTED, "a zero in a string"},
    /* metadata */
    {"{\"__metadata__\":[]}", 0, STATUS_INVALID, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, STATUS_INVALID, "metadata 'k' is not plain text"},
    {"{\"__metadata__\":{\"k\":\"a\\nb\"}}", 0, STATUS_INVALID, "metadata 'k' is not plain text"},
    {"{\"__metadata__\":{\"k\\n\":\"\"}}", 0, STATUS_INVALID, "a key of __metadata__"},
    {"{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}", 0, STATUS_INVALID,
     "metadata 'k' is there twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, STATUS_INVALID, "__metadata__ is there twice"},
    /* names */
    {"{\"\":1}", 0, STATUS_INVALID, "a tensor's name"},
    {"{\"a\\nb\":1}", 0, STATUS_INVALID, "a tensor's name"},
    {"{\"\xc3\xa4\":1}", 0, STATUS_INVALID, "a tensor's name"},
    {"{\"b\":" F32("[1]", "[0,4]") ",\"b\":" F32("[1]", "[4,8]") "}", 8, STATUS_INVALID,
     "tensor 'b' is there twice"},
    /* members */
    {ONE("1"), 0, STATUS_INVALID, "tensor 'a' is not described"},
    {ONE("{\"dtype\":\"F32\",\"shape\":[1]}"), 4, STATUS_INVALID, "tensor 'a' is not described"},
    {ONE("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0}"), 4, STATUS_INVALID,
     "tensor 'a' is not described"},
    {ONE("{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1]}"), 4, STATUS_INVALID, "data_offsets"},
    {ONE("{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}"), 8, STATUS_INVALID,
     "tensor 'a': dtype"},
    {ONE("{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}"), 4, STATUS_INVALID,
     "tensor 'a': dtype"},
    /* shapes */
    {ONE(F32("4", "[0,4]")), 4, STATUS_INVALID, "tensor 'a' has no shape"},
    {ONE(F32("[-1]", "[0,4]")), 4, STATUS_INVALID, "tensor 'a': dimension 0 is not a positive"},
    {ONE(F32("[2,0]", "[0,0]")), 0, STATUS_INVALID, "tensor 'a': dimension 1 is not a positive"},
    {ONE(F32("[1.5]", "[0,4]")), 4, STATUS_INVALID, "tensor 'a': dimension 0 is not a positive"},
    {ONE(F32("[1e300]", "[0,4]")), 4, STATUS_INVALID, "tensor 'a': dimension 0 is not a positive"},
    {ONE(F32("[\"1\"]", "[0,4]")), 4, STATUS_INVALID, "tensor 'a': dimension 0 is not a positive"},
    {ONE(F32("[1,1,1,1,1,1,1,1,1]", "[0,4]")), 4, STATUS_INVALID,
     "tensor 'a' has more than 8 dimensions"},
    {ONE(F32("[4294967296,4294967296]", "[0,4]")), 4, STATUS_INVALID,
     "tensor 'a' has too many values"}, /* 2^64 */
    {ONE(F32("[274177,67280421310721]", "[0,4]")), 4, STATUS_INVALID,
     "tensor 'a' has too many values"}, /* 2^64 + 1 */
    {ONE(F32("[4294967296,1073741824]", "[0,4]")), 4, STATUS_INVALID,
     "tensor 'a' has too many values"}, /* 2^62 values are 2^64 bytes */
    {ONE(F32("[2]", "[0,4]")), 4, STATUS_INVALID, "tensor 'a' has 4 bytes; F32 [2] has 8"},
    {ONE("{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}"), 8, STATUS_INVALID,
     "tensor 'a' has 8 bytes; F16 [2] has 4"},
    /* places */
    {ONE(F32("[1]", "[0]")), 4, STATUS_INVALID, "tensor 'a': data_offsets"},
    {ONE(F32("[1]", "[0,4,8]")), 4, STATUS_INVALID, "tensor 'a': data_offsets"},
    {ONE(F32("[1]", "[4,0]")), 4, STATUS_INVALID, "tensor 'a': data_offsets"},
    {ONE(F32("[1]", "[-4,0]")), 4, STATUS_INVALID, "tensor 'a': data_offsets"},
    {ONE(F32("[1]", "[0,9007199254740994]")), 4, STATUS_INVALID, "tensor 'a': data_offsets"},
    {ONE(F32("[1]", "[4,8]")), 4, STATUS_INVALID, "tensor 'a' ends at byte 8 of 4"},
    {"{\"a\":" F32("[1]", "[0,4]") ",\"b\":" F32("[2]", "[0,8]") "}", 8, STATUS_INVALID, "overlap"},
    {"{\"a\":" F32("[1]", "[0,4]") ",\"b\":" F32("[1]", "[8,12]") "}", 12, STATUS_INVALID,
     "4 bytes before tensor 'b' belong to none"},
    {"{\"b\":" F32("[1]", "[4,8]") "}", 8, STATUS_INVALID,
     "4 bytes before tensor 'b' belong to none"},
    {ONE(F32("[1]", "[0,4]")), 8, STATUS_INVALID, "the last 4 bytes belong to no tensor"},
    {"{}", 3, STATUS_INVALID, "the last 3 bytes belong to no tensor"},
};

START_TEST(inconsistencies_are_named) {
    size_t size;
    /* Spaces behind the JSON bring the data to a multiple of 8: these files are not to be refused
     * for their alignment. */
    char header[512];
    size_t length = strlen(hostile[_i].header);
    snprintf(header, sizeof header, "%s%*s", hostile[_i].header, (int)(-length & 7), "");
    if (length == 0 || header[0] != '{') {
        header[length] = '\0';
    }
    uint8_t *bytes = compose(header, hostile[_i].data_size, &size);
    expect(bytes, size, hostile[_i].status, hostile[_i].message);
    free(bytes);
}
END_TEST

START_TEST(a_header_longer_than_the_file_or_the_limit_is_refused) {
    static const struct {
        uint64_t length;
        enum status status;
    } cases[] = {
        {3, STATUS_INVALID},
        {1 << 20, STATUS_INVALID},
        {(1 << 20) + 1, STATUS_UNSUPPORTED},
        {UINT64_MAX, STATUS_UNSUPPORTED},
        {UINT64_MAX - 7, STATUS_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        uint8_t *bytes = compose("{}", 0, &size);
        memcpy(bytes, &cases[i].length, 8);
        expect(bytes, size, cases[i].status, "header");
        free(bytes);
    }
}
END_TEST

START_TEST(a_tensor_that_is_not_aligned_is_refused) {
    size_t size;
    uint8_t *bytes = compose(ONE(F32("[1]", "[0,4]")) " ", 4, &size);
    ck_assert_uint_ne(size % 4, 0);
    expect(bytes, size, STATUS_INVALID, "tensor 'a' is not aligned");
    free(bytes);
}
END_TEST

START_TEST(a_long_name_is_refused) {
    char header[512], name[162];
    for (int length = 160; length <= 161; length++) {
        memset(name, 'n', sizeof name);
        name[length] = '\0';
        snprintf(header, sizeof header, "{\"%s\":" F32("[1]", "[0,4]") "}", name);
        while ((strlen(header) & 7) != 0) {
            strcat(header, " ");
        }
        size_t size;
        uint8_t *bytes = compose(header, 4, &size);
        expect(bytes, size, length == 160 ? STATUS_OK : STATUS_INVALID,
               length == 160 ? "" : "a tensor's name");
        free(bytes);
    }
}
END_TEST

Suite *safetensors_suite(void) {
    Suite *suite = suite_create("safetensors");

    TCase *read = tcase_create("read");
    tcase_add_test(read, what_is_encoded_can_be_read);
    tcase_add_test(read, the_order_given_does_not_matter);
    tcase_add_test(read, the_hash_is_sha256_of_the_data);
    suite_add_tcase(suite, read);

    TCase *refuse = tcase_create("refuse");
    tcase_set_timeout(refuse, 60);
    tcase_add_test(refuse, every_truncation_is_refused);
    tcase_add_test(refuse, bytes_behind_the_data_are_refused);
    tcase_add_test(refuse, a_flipped_byte_of_the_header_never_points_outside);
    tcase_add_loop_test(refuse, inconsistencies_are_named, 0, sizeof hostile / sizeof *hostile);
    tcase_add_test(refuse, a_header_longer_than_the_file_or_the_limit_is_refused);
    tcase_add_test(refuse, a_tensor_that_is_not_aligned_is_refused);
    tcase_add_test(refuse, a_long_name_is_refused);
    suite_add_tcase(suite, refuse);
    return suite;
}
