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

Suite *mask_formats_suite(void) {
    Suite *suite = suite_create("mask_formats");
    TCase *tests = tcase_create("mask_formats");
    tcase_add_test(tests, test_vector);
    tcase_add_test(tests, test_nothing_and_everything);
    tcase_add_test(tests, test_random_masks_round_trip);
    tcase_add_test(tests, test_labelstudio_long_runs);
    suite_add_tcase(suite, tests);
    return suite;
}
