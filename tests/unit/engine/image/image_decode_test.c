/* What image_probe and image_decode make of sound files: the pixels that Pillow sees. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/image/internal.h"
#include "tests/unit/engine/image/image_fixture.h"
#include "tests/unit/suites.h"

static const struct {
    const char *file;
    enum image_format format;
    int orientation;
} files[] = {
    {"orientation1.jpg", IMAGE_JPEG, 1},
    {"orientation2.jpg", IMAGE_JPEG, 2},
    {"orientation3.jpg", IMAGE_JPEG, 3},
    {"orientation4.jpg", IMAGE_JPEG, 4},
    {"orientation5.jpg", IMAGE_JPEG, 5},
    {"orientation6.jpg", IMAGE_JPEG, 6},
    {"orientation7.jpg", IMAGE_JPEG, 7},
    {"orientation8.jpg", IMAGE_JPEG, 8},
    {"xmp_then_exif.jpg", IMAGE_JPEG, 6},
    {"444.jpg", IMAGE_JPEG, 1},
    {"422.jpg", IMAGE_JPEG, 1},
    {"420.jpg", IMAGE_JPEG, 1},
    {"progressive.jpg", IMAGE_JPEG, 1},
    {"grey.jpg", IMAGE_JPEG, 1},
    {"grey_progressive.jpg", IMAGE_JPEG, 1},
    {"cmyk.jpg", IMAGE_JPEG, 1},
    {"cmyk_plain.jpg", IMAGE_JPEG, 1},
    {"ycck.jpg", IMAGE_JPEG, 1},
    {"grey1.png", IMAGE_PNG, 1},
    {"grey2.png", IMAGE_PNG, 1},
    {"grey4.png", IMAGE_PNG, 1},
    {"grey8.png", IMAGE_PNG, 1},
    {"grey16.png", IMAGE_PNG, 1},
    {"rgb8.png", IMAGE_PNG, 1},
    {"rgb16.png", IMAGE_PNG, 1},
    {"palette1.png", IMAGE_PNG, 1},
    {"palette2.png", IMAGE_PNG, 1},
    {"palette4.png", IMAGE_PNG, 1},
    {"palette8.png", IMAGE_PNG, 1},
    {"grey_alpha8.png", IMAGE_PNG, 1},
    {"grey_alpha16.png", IMAGE_PNG, 1},
    {"rgba8.png", IMAGE_PNG, 1},
    {"rgba16.png", IMAGE_PNG, 1},
    {"interlaced13x9.png", IMAGE_PNG, 1},
    {"interlaced3x1.png", IMAGE_PNG, 1},
    {"interlaced1x5.png", IMAGE_PNG, 1},
    {"exif_first.png", IMAGE_PNG, 6},
    {"exif_last.png", IMAGE_PNG, 8},
    {"lossy.webp", IMAGE_WEBP, 1},
    {"lossy_alpha.webp", IMAGE_WEBP, 1},
    {"lossless.webp", IMAGE_WEBP, 1},
    {"lossless_alpha.webp", IMAGE_WEBP, 1},
    {"animated.webp", IMAGE_WEBP, 1},
    {"animated_lossy.webp", IMAGE_WEBP, 1},
    {"exif_bare.webp", IMAGE_WEBP, 6},
    {"exif_prefixed.webp", IMAGE_WEBP, 6},
};
enum { FILE_COUNT = sizeof files / sizeof *files };

START_TEST(gives_the_pixels_of_pillow) {
    struct bytes bytes = fixture_read(files[_i].file);
    struct image expected = fixture_pixels_of(files[_i].file), image;
    struct error error = {""};
    enum status status =
        image_decode(bytes.data, bytes.size, &fixture_limits, NULL, &image, &error);
    ck_assert_msg(status == STATUS_OK, "%s: %s", files[_i].file, error.message);
    assert_same_image(files[_i].file, &image, &expected);
    ck_assert_str_eq(error.message, "");
    image_free(&image);
    ck_assert_ptr_null(image.rgb);
    image_free(&image);
    image_free(&expected);
    free(bytes.data);
}
END_TEST

START_TEST(probe_tells_what_the_header_says) {
    struct bytes bytes = fixture_read(files[_i].file);
    struct image expected = fixture_pixels_of(files[_i].file);
    struct image_info info;
    struct error error = {""};
    enum status status = image_probe(bytes.data, bytes.size, &fixture_limits, &info, &error);
    ck_assert_msg(status == STATUS_OK, "%s: %s", files[_i].file, error.message);
    ck_assert_int_eq(info.format, files[_i].format);
    ck_assert_msg(info.orientation == files[_i].orientation, "%s: orientation %d, not %d",
                  files[_i].file, info.orientation, files[_i].orientation);
    ck_assert_int_eq(info.width, expected.width);
    ck_assert_int_eq(info.height, expected.height);
    image_free(&expected);
    free(bytes.data);
}
END_TEST

static const struct {
    const char *file;
    int yields; /* at least: one for each IMAGE_PACE_PIXELS pixels, and one for each scan of as many
                 */
    uint8_t pixel[3];
} flat_files[] = {
    {"flat.jpg", 1, {128, 128, 128}},
    {"flat_progressive.jpg", 5, {128, 128, 128}},
    {"flat.png", 1, {255, 255, 255}},
    {"flat.webp", 0, {200, 100, 50}}, /* one slice of input */
};
enum { FLAT_COUNT = sizeof flat_files / sizeof *flat_files };

START_TEST(yields_while_it_decodes) {
    struct bytes bytes = fixture_read(flat_files[_i].file);
    struct image image;
    int count = 0;
    struct image_yield yield = {count_yield, &count};
    ck_assert_int_eq(image_decode(bytes.data, bytes.size, &fixture_limits, &yield, &image, NULL),
                     STATUS_OK);
    ck_assert_msg(count >= flat_files[_i].yields, "%s: yielded %d times", flat_files[_i].file,
                  count);
    ck_assert_int_eq(image.width, 480);
    ck_assert_int_eq(image.height, 400);
    for (size_t i = 0; i < 480 * 400; i++)
        ck_assert_mem_eq(image.rgb + i * 3, flat_files[_i].pixel, 3);
    image_free(&image);
    free(bytes.data);
}
END_TEST

/* Where the upright pixel x, y is stored: EXIF 2.32, tag 0x0112, in the words of its table. */
static void stored_place(int orientation, int width, int height, int x, int y, int *column,
                         int *row) {
    int right = width - 1, bottom = height - 1; /* of the stored image */
    switch (orientation) {
    case 1:
        *column = x, *row = y;
        break; /* top row, left column */
    case 2:
        *column = right - x, *row = y;
        break; /* top row, right column */
    case 3:
        *column = right - x, *row = bottom - y;
        break; /* bottom row, right column */
    case 4:
        *column = x, *row = bottom - y;
        break; /* bottom row, left column */
    case 5:
        *column = y, *row = x;
        break; /* left column, top row */
    case 6:
        *column = y, *row = bottom - x;
        break; /* right column, top row */
    case 7:
        *column = right - y, *row = bottom - x;
        break; /* right column, bottom row */
    default:
        *column = right - y, *row = x;
        break; /* left column, bottom row */
    }
}

START_TEST(orients_images_of_many_tiles) {
    struct image stored = noise_image(75, 46), upright = noise_image(75, 46);
    int count = 0;
    struct image_yield yield = {count_yield, &count};
    struct image_pace pace = {.yield = &yield, .pixels = IMAGE_PACE_PIXELS - 1};
    ck_assert_int_eq(image_orient(&upright, _i, &pace, NULL), STATUS_OK);
    ck_assert_int_eq(count, _i > 1);
    ck_assert_int_eq(upright.width, _i >= 5 ? 46 : 75);
    ck_assert_int_eq(upright.height, _i >= 5 ? 75 : 46);
    for (int y = 0; y < upright.height; y++) {
        for (int x = 0; x < upright.width; x++) {
            int column, row;
            stored_place(_i, 75, 46, x, y, &column, &row);
            ck_assert_mem_eq(upright.rgb + (y * upright.width + x) * 3,
                             stored.rgb + (row * 75 + column) * 3, 3);
        }
    }
    image_free(&stored);
    image_free(&upright);
}
END_TEST

/* An EXIF block of one directory with one entry: the orientation. */
static size_t write_exif(uint8_t *out, bool big, int type, uint32_t count, uint32_t value) {
    static const uint8_t little_header[8] = {'I', 'I', 42, 0, 8, 0, 0, 0};
    static const uint8_t big_header[8] = {'M', 'M', 0, 42, 0, 0, 0, 8};
    const struct {
        uint32_t value;
        int size;
    } fields[] = {{1, 2}, {0x0112, 2}, {(uint32_t)type, 2}, {count, 4}, {value, type == 3 ? 2 : 4},
                  {0, 4}, {0, 2}};
    memcpy(out, big ? big_header : little_header, 8);
    size_t at = 8;
    for (size_t field = 0; field < sizeof fields / sizeof *fields; field++) {
        int size = fields[field].size;
        for (int i = 0; i < size; i++)
            out[at++] = (uint8_t)(fields[field].value >> 8 * (big ? size - 1 - i : i));
    }
    return at;
}

START_TEST(reads_orientation_of_any_integer_type) {
    uint8_t exif[64];
    for (int big = 0; big < 2; big++) {
        for (uint32_t value = 0; value < 10; value++) {
            int expected = value >= 1 && value <= 8 ? (int)value : 1;
            ck_assert_int_eq(image_exif_orientation(exif, write_exif(exif, big, 3, 1, value)),
                             expected);
            ck_assert_int_eq(image_exif_orientation(exif, write_exif(exif, big, 4, 1, value)),
                             expected);
        }
    }
    ck_assert_int_eq(image_exif_orientation(exif, write_exif(exif, true, 4, 1, 0x10006)), 1);
    ck_assert_int_eq(image_exif_orientation(exif, write_exif(exif, false, 3, 2, 6)), 1);
    ck_assert_int_eq(image_exif_orientation(exif, write_exif(exif, false, 2, 1, 6)), 1);
}
END_TEST

START_TEST(takes_unreadable_exif_as_upright) {
    uint8_t exif[64];
    size_t size = write_exif(exif, false, 3, 1, 6);
    for (size_t length = 0; length < size; length++) {
        uint8_t *cut = malloc(length + 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, exif, length);
        int orientation = image_exif_orientation(cut, length);
        ck_assert_msg(orientation == 1 || orientation == 6, "%d", orientation);
        ck_assert_msg(length > 18 || orientation == 1, "%zu bytes: %d", length, orientation);
        free(cut);
    }
    /* More than 64 KiB: what comes first is read all the same. */
    uint8_t *large = calloc(1, 100000);
    ck_assert_ptr_nonnull(large);
    memcpy(large, exif, size);
    ck_assert_int_eq(image_exif_orientation(large, 100000), 6);
    memset(large, 0xff, 100000);
    ck_assert_int_eq(image_exif_orientation(large, 100000), 1);
    free(large);
}
END_TEST

Suite *image_decode_suite(void) {
    Suite *suite = suite_create("image_decode");
    TCase *pixels = tcase_create("pixels");
    tcase_add_loop_test(pixels, gives_the_pixels_of_pillow, 0, FILE_COUNT);
    tcase_add_loop_test(pixels, probe_tells_what_the_header_says, 0, FILE_COUNT);
    tcase_add_loop_test(pixels, yields_while_it_decodes, 0, FLAT_COUNT);
    suite_add_tcase(suite, pixels);
    TCase *orientation = tcase_create("orientation");
    tcase_add_loop_test(orientation, orients_images_of_many_tiles, 1, 9);
    tcase_add_test(orientation, reads_orientation_of_any_integer_type);
    tcase_add_test(orientation, takes_unreadable_exif_as_upright);
    suite_add_tcase(suite, orientation);
    return suite;
}
