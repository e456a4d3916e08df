/* Every format of a mask: one small mask in all of them, and random masks there and back. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "api/json.h"
#include "api/mask_formats.h"
#include "tests/unit/engine/bitmap.h"
#include "tests/unit/suites.h"

enum { ROUNDS = 2000, MOST = 40 };

/* The segmentation's text, which is strict JSON. */
static char *write_format(const struct bitmap *bitmap, enum mask_format format) {
    struct mask mask = bitmap_mask(bitmap);
    char *json = segmentation_json(&mask, format, 0);
    struct problem problem = {0};
    ck_assert_ptr_nonnull(json);
    ck_assert_msg(json_check(json, strlen(json), &problem), "%s: %s", json, problem.detail);
    mask_free(&mask);
    return json;
}

static void assert_written(const char *rows, enum mask_format format, const char *wanted) {
    struct bitmap bitmap = bitmap_of(rows);
    char *json = write_format(&bitmap, format);
    ck_assert_str_eq(json, wanted);
    free(json);
    bitmap_free(&bitmap);
}

START_TEST(test_vector) {
    static const struct {
        enum mask_format format;
        const char *json;
    } cases[] = {
        {FORMAT_COCO_RLE, "{\"size\":[4,6],\"counts\":\"6122OO2O2\"}"},
        {FORMAT_COCO_RLE_UNCOMPRESSED, "{\"size\":[4,6],\"counts\":[6,1,2,3,1,2,3,1,5]}"},
        {FORMAT_CVAT_RLE, "[1,2,1,4,1,1,2,1,1,4,3]"},
        {FORMAT_LABELSTUDIO_RLE,
         "[0,0,0,96,57,27,254,31,0,159,254,216,5,255,251,96,17,255,219,0,0]"},
        {FORMAT_POLYGON, "[[2,2,2,1,4,1,4,2,5,2,5,3,3,3,3,4,2,4,2,3,1,3,1,2]]"},
        {FORMAT_POLYGON_HOLES, "[[[[2,2],[2,1],[4,1],[4,2],[5,2],[5,3],[3,3],[3,4],[2,4],[2,3],"
                               "[1,3],[1,2],[2,2]]]]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_written("000000 001100 011110 001000", cases[i].format, cases[i].json);
    ck_assert_int_eq(FORMAT_COUNT, 7);
    ck_assert_int_eq(mask_format_find("labelstudio_rle"), FORMAT_LABELSTUDIO_RLE);
    ck_assert_int_eq(mask_format_find("Polygon"), FORMAT_COUNT);
}
END_TEST

START_TEST(test_nothing_and_everything) {
    assert_written("000 000", FORMAT_CVAT_RLE, "[0,0,0,0]");
    assert_written("000 000", FORMAT_POLYGON, "[]");
    assert_written("000 000", FORMAT_POLYGON_HOLES, "[]");
    assert_written("000 000", FORMAT_COCO_RLE_UNCOMPRESSED, "{\"size\":[2,3],\"counts\":[6]}");
    assert_written("111 111", FORMAT_CVAT_RLE, "[0,6,0,0,2,1]");
    assert_written("111 111", FORMAT_POLYGON, "[[3,0,3,2,0,2,0,0]]");
    assert_written("111 111", FORMAT_POLYGON_HOLES, "[[[[3,0],[3,2],[0,2],[0,0],[3,0]]]]");
    /* a part in a hole that is filled is a part no more */
    assert_written("11111 10001 10101 10001 11111", FORMAT_POLYGON, "[[5,0,5,5,0,5,0,0]]");
    /* a run that ends at the right and goes on at the left */
    assert_written("0011 0110", FORMAT_CVAT_RLE, "[1,4,1,1,0,3,1]");
}
END_TEST

/* ---- there and back ---------------------------------------------------------------------- */

static size_t read_values(const char *json, uint32_t **values) {
    cJSON *root = cJSON_Parse(json);
    const size_t count = (size_t)cJSON_GetArraySize(root);
    *values = calloc(count + 1, sizeof **values);
    ck_assert(root && *values);
    size_t i = 0;
    const cJSON *element;
    cJSON_ArrayForEach(element, root) {
        (*values)[i++] = (uint32_t)element->valuedouble;
    }
    cJSON_Delete(root);
    return count;
}

static enum status read_format(char *json, enum mask_format format, int height, int width,
                               struct mask *mask, struct error *error) {
    if (format == FORMAT_PNG) {
        char *text = base64_text(strtok(json, "\""));
        size_t size;
        ck_assert(text && base64_decode(text, (uint8_t *)json, &size));
        return mask_png_decode((uint8_t *)json, size, height, width, mask, error);
    }
    uint32_t *values;
    const size_t count = read_values(json, &values);
    enum status status;
    if (format == FORMAT_LABELSTUDIO_RLE) {
        uint8_t *bytes = malloc(count);
        ck_assert_ptr_nonnull(bytes);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)values[i];
        status = labelstudio_rle_decode(bytes, count, height, width, mask, error);
        free(bytes);
    } else {
        status = cvat_rle_decode(values, count, height, width, mask, error);
    }
    free(values);
    return status;
}

START_TEST(test_random_masks_round_trip) {
    static const enum mask_format formats[] = {FORMAT_PNG, FORMAT_LABELSTUDIO_RLE, FORMAT_CVAT_RLE};
    struct rng rng = {5};
    for (int round = 0; round < ROUNDS; round++) {
        struct bitmap bitmap = bitmap_random(&rng, MOST);
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
            struct mask mask;
            struct error error = {0};
            char *json = write_format(&bitmap, formats[i]);
            enum status status =
                read_format(json, formats[i], bitmap.height, bitmap.width, &mask, &error);
            ck_assert_msg(status == STATUS_OK, "format %d: %s", (int)formats[i], error.message);
            assert_mask_is(&mask, &bitmap);
            mask_free(&mask);
            free(json);
        }
        bitmap_free(&bitmap);
    }
}
END_TEST

/* Runs longer than a block can say. */
START_TEST(test_labelstudio_long_runs) {
    const int height = 500, width = 700;
    for (uint32_t first = 16383; first <= 16386; first++) {
        struct bitmap bitmap = bitmap_make(height, width);
        memset(bitmap.pixels + first, 1, 2 * (size_t)first);
        char *json = write_format(&bitmap, FORMAT_LABELSTUDIO_RLE);
        ck_assert_uint_lt(strlen(json), 400);
        struct mask mask;
        struct error error = {0};
        ck_assert_msg(read_format(json, FORMAT_LABELSTUDIO_RLE, height, width, &mask, &error) ==
                          STATUS_OK,
                      "%s", error.message);
        assert_mask_is(&mask, &bitmap);
        mask_free(&mask);
        free(json);
        bitmap_free(&bitmap);
    }
}
END_TEST

/* ---- what is wrong ----------------------------------------------------------------------- */

static void assert_zeroed(const struct mask *mask) {
    ck_assert(mask->height == 0 && mask->width == 0 && mask->count == 0 && !mask->counts);
}

START_TEST(test_damaged_cvat) {
    static const struct {
        size_t count;
        uint32_t values[12];
        const char *message;
    } cases[] = {
        {0, {0}, "must end with the four numbers"},
        {3, {1, 2, 3}, "must end with the four numbers"},
        {11, {1, 2, 1, 4, 1, 1, 1, 1, 1, 4, 3}, "cover 11 pixels, not 3 x 4"},
        {11, {1, 2, 1, 4, 1, 1, 3, 1, 1, 4, 3}, "cover 13 pixels"},
        {6, {UINT32_MAX, UINT32_MAX, 0, 0, 0, 0}, "cover 8589934590 pixels"},
        {5, {1, 5, 0, 4, 0}, "within 6 x 4"},
        {5, {1, 0, 4, 0, 3}, "within 6 x 4"},
        {5, {1, 6, 0, 6, 0}, "within 6 x 4"},
        {5, {1, 0, 4, 0, 4}, "within 6 x 4"},
        {5, {1, 0, 0, UINT32_MAX, 0}, "within 6 x 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mask mask;
        struct error error = {""};
        ck_assert_int_eq(cvat_rle_decode(cases[i].values, cases[i].count, 4, 6, &mask, &error),
                         STATUS_INVALID);
        ck_assert_msg(strstr(error.message, cases[i].message) != NULL, "case %zu: %s", i,
                      error.message);
        assert_zeroed(&mask);
    }
    /* runs of nothing, and zeros around the mask in its box, are good */
    struct mask mask;
    const uint32_t loose[] = {0, 0, 7, 1, 0, 1, 15, 0, 0, 0, 5, 3};
    ck_assert_int_eq(cvat_rle_decode(loose, 12, 4, 6, &mask, NULL), STATUS_OK);
    struct bitmap wanted = bitmap_of("000000 011000 000000 000000");
    assert_mask_is(&mask, &wanted);
    mask_free(&mask);
    bitmap_free(&wanted);
}
END_TEST

static const uint8_t vector_bytes[] = {0,   0, 0,   96,  57, 27, 254, 31,  0, 159, 254,
                                       216, 5, 255, 251, 96, 17, 255, 219, 0, 0};

START_TEST(test_damaged_labelstudio) {
    struct mask mask;
    struct error error;
    uint8_t bytes[sizeof vector_bytes];
    for (size_t size = 0; size < sizeof bytes - 1; size++) { /* the last one is padding */
        uint8_t *cut = malloc(size + 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, vector_bytes, size);
        uint8_t *exact = realloc(cut, size ? size : 1);
        ck_assert_int_eq(labelstudio_rle_decode(exact, size, 4, 6, &mask, &error), STATUS_INVALID);
        assert_zeroed(&mask);
        free(exact);
    }
    memcpy(bytes, vector_bytes, sizeof bytes);
    bytes[3]++;
    ck_assert_int_eq(labelstudio_rle_decode(bytes, sizeof bytes, 4, 6, &mask, &error),
                     STATUS_INVALID);
    ck_assert_str_eq(error.message, "it is of 97 bytes, not 4 x 4 x 6");
    ck_assert_int_eq(labelstudio_rle_decode(vector_bytes, sizeof bytes, 6, 5, &mask, &error),
                     STATUS_INVALID);
    memcpy(bytes, vector_bytes, sizeof bytes);
    bytes[4] ^= 8; /* words of 7 bits */
    ck_assert_int_eq(labelstudio_rle_decode(bytes, sizeof bytes, 4, 6, &mask, &error),
                     STATUS_INVALID);
    ck_assert_str_eq(error.message, "it is of words of 7 bits, not 8");
    memcpy(bytes, vector_bytes, sizeof bytes);
    bytes[7] = 255; /* the first run */
    ck_assert_int_eq(labelstudio_rle_decode(bytes, sizeof bytes, 4, 6, &mask, &error),
                     STATUS_INVALID);
    ck_assert_str_eq(error.message, "a run goes beyond the last pixel");
    memcpy(bytes, vector_bytes, sizeof bytes);
    bytes[18]++; /* the last one, by a byte */
    ck_assert_int_eq(labelstudio_rle_decode(bytes, sizeof bytes, 4, 6, &mask, &error),
                     STATUS_INVALID);
    ck_assert_str_eq(error.message, "a run goes beyond the last pixel");
}
END_TEST

/* A pixel is set when its alpha is not 0, whatever the colour; words may be written out. */
START_TEST(test_labelstudio_colours) {
    /* 12 bytes; sizes 1, 1, 1, 4; one block of 12 words: red without alpha, alpha, both */
    static const uint8_t words[12] = {255, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 255};
    uint8_t bytes[24] = {0, 0, 0, 12};
    size_t at = 32;
    uint64_t fields[][2] = {{7, 5}, {0, 4}, {0, 4}, {0, 4}, {3, 4}, {0, 1}, {3, 2}, {11, 4}};
    for (size_t i = 0; i < 8 + 12; i++) {
        const uint64_t value = i < 8 ? fields[i][0] : words[i - 8], size = i < 8 ? fields[i][1] : 8;
        for (uint64_t bit = size; bit-- > 0; at++)
            bytes[at / 8] |= (uint8_t)((value >> bit & 1) << (7 - at % 8));
    }
    struct mask mask;
    struct error error = {""};
    ck_assert_msg(labelstudio_rle_decode(bytes, (at + 7) / 8, 1, 3, &mask, &error) == STATUS_OK,
                  "%s", error.message);
    struct bitmap wanted = bitmap_of("011");
    assert_mask_is(&mask, &wanted);
    mask_free(&mask);
    bitmap_free(&wanted);
}
END_TEST

START_TEST(test_damaged_png) {
    struct bitmap bitmap = bitmap_of("000000 001100 011110 001000");
    struct mask given = bitmap_mask(&bitmap), mask;
    struct error error = {""};
    size_t size;
    uint8_t *png = (uint8_t *)mask_png_encode(&given, &size);
    ck_assert_ptr_nonnull(png);
    ck_assert_int_eq(mask_png_decode(png, size, 6, 4, &mask, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, "the PNG is 6 x 4 pixels, not 4 x 6 as the image");
    ck_assert_int_eq(mask_png_decode(png, size, 3, 6, &mask, &error), STATUS_INVALID);
    ck_assert_str_eq(error.message, "the PNG is 6 x 4 pixels, not 6 x 3 as the image");
    for (size_t cut = 0; cut < size - 16; cut++) { /* IEND and the last CRC are not needed */
        ck_assert_int_eq(mask_png_decode(png, cut, 4, 6, &mask, &error), STATUS_INVALID);
        assert_zeroed(&mask);
    }
    png[28] = 1; /* interlaced, and a wrong CRC */
    ck_assert_int_eq(mask_png_decode(png, size, 4, 6, &mask, &error), STATUS_INVALID);
    free(png);
    mask_free(&given);
    bitmap_free(&bitmap);
}
END_TEST

/* As few bytes as possible for as many runs as possible. */
START_TEST(test_runs_are_limited) {
    enum { SIDE = 2100 };
    uint32_t *values = calloc(SIDE + 4, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int i = 0; i < SIDE; i++)
        values[i] = SIDE;
    values[SIDE + 2] = values[SIDE + 3] = SIDE - 1;
    struct mask mask;
    ck_assert_int_eq(cvat_rle_decode(values, SIDE + 4, SIDE, SIDE, &mask, NULL), STATUS_TOO_LARGE);
    assert_zeroed(&mask);
    free(values);

    uint32_t *counts = calloc((size_t)SIDE * SIDE, sizeof *counts);
    ck_assert_ptr_nonnull(counts);
    for (int i = 0; i < SIDE * SIDE; i++)
        counts[i] = 1;
    const struct mask stripes = {SIDE, SIDE, (size_t)SIDE * SIDE, counts};
    size_t size;
    uint8_t *png = (uint8_t *)mask_png_encode(&stripes, &size);
    ck_assert_ptr_nonnull(png);
    ck_assert_int_eq(mask_png_decode(png, size, SIDE, SIDE, &mask, NULL), STATUS_TOO_LARGE);
    assert_zeroed(&mask);
    free(png);
    free(counts);
}
END_TEST

Suite *mask_formats_suite(void) {
    Suite *suite = suite_create("mask_formats");
    TCase *tests = tcase_create("mask_formats");
    tcase_add_test(tests, test_vector);
    tcase_add_test(tests, test_nothing_and_everything);
    tcase_add_test(tests, test_random_masks_round_trip);
    tcase_add_test(tests, test_labelstudio_long_runs);
    tcase_add_test(tests, test_damaged_cvat);
    tcase_add_test(tests, test_damaged_labelstudio);
    tcase_add_test(tests, test_labelstudio_colours);
    tcase_add_test(tests, test_damaged_png);
    tcase_add_test(tests, test_runs_are_limited);
    suite_add_tcase(suite, tests);
    return suite;
}
