/* What image_probe and image_decode make of files that are too large, damaged or cut short. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/image/image_fixture.h"
#include "tests/unit/suites.h"

/* One file, or more where their readers differ, of each format. */
static const char *const files[] = {
    "420.jpg",        "progressive.jpg",    "cmyk.jpg",         "orientation6.jpg",
    "rgb8.png",       "interlaced13x9.png", "exif_last.png",    "palette4.png",
    "lossy.webp",     "lossless.webp",      "lossy_alpha.webp", "animated.webp",
    "exif_bare.webp",
};
enum { FILE_COUNT = sizeof files / sizeof *files };

/* Bytes copied to memory of just their size, so that a sanitizer sees a read beyond. */
static uint8_t *copy_of(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    return copy;
}

static void assert_refused(const char *name, const uint8_t *bytes, size_t size,
                           const struct image_limits *limits, enum status status,
                           const char *message) {
    struct image image = {.width = 1};
    struct error error = {""};
    enum status actual = image_decode(bytes, size, limits, NULL, &image, &error);
    ck_assert_msg(actual == status, "%s: status %d, not %d", name, actual, status);
    ck_assert_msg(strcmp(error.message, message) == 0, "%s: \"%s\", not \"%s\"", name,
                  error.message, message);
    ck_assert_ptr_null(image.rgb);
    ck_assert_int_eq(image.width, 0);
}

START_TEST(refuses_what_is_no_image) {
    static const struct {
        const char *bytes;
        size_t size;
    } inputs[] = {
        {"", 0},
        {"\xff", 1},
        {"\xff\xd8", 2},
        {"GIF89a", 6},
        {"\x89PNG\r\n\x1a", 7},
        {"RIFF\x10\0\0\0WEB", 11},
        {"RIFF\x10\0\0\0WAVE", 12},
        {"<svg></svg>", 11},
    };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        uint8_t *bytes = copy_of((const uint8_t *)inputs[i].bytes, inputs[i].size);
        assert_refused("input", bytes, inputs[i].size, &fixture_limits, STATUS_UNSUPPORTED,
                       "not a JPEG, PNG or WebP image");
        struct image_info info = {.width = 1};
        ck_assert_int_eq(image_probe(bytes, inputs[i].size, &fixture_limits, &info, NULL),
                         STATUS_UNSUPPORTED);
        ck_assert_int_eq(info.width, 0);
        free(bytes);
    }
}
END_TEST

START_TEST(refuses_a_magic_number_alone) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } inputs[] = {
        {"\xff\xd8\xff", 3, "the JPEG ends within its header"},
        {"\x89PNG\r\n\x1a\n", 8, "the PNG ends within its header"},
        {"RIFF\x10\0\0\0WEBP", 12, "the WebP ends within its header"},
    };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        uint8_t *bytes = copy_of((const uint8_t *)inputs[i].bytes, inputs[i].size);
        assert_refused("input", bytes, inputs[i].size, &fixture_limits, STATUS_UNSUPPORTED,
                       inputs[i].message);
        free(bytes);
    }
}
END_TEST

static const char *const huge_files[] = {"huge.jpg", "huge.png", "huge.webp"};

START_TEST(refuses_more_pixels_than_the_limit) {
    struct bytes bytes = fixture_read(huge_files[_i]);
    const struct {
        struct image_limits limits;
        const char *message;
    } cases[] = {
        {{50000000, 65535}, "60000 x 60000 pixels; the limit is 50000000 pixels"},
        {{(size_t)3600000000 - 1, 60000}, "60000 x 60000 pixels; the limit is 3599999999 pixels"},
        {{SIZE_MAX, 59999}, "60000 x 60000 pixels; the limit is 59999 pixels a side"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image_info info;
        struct error error = {""};
        ck_assert_int_eq(image_probe(bytes.data, bytes.size, &cases[i].limits, &info, &error),
                         STATUS_TOO_LARGE);
        ck_assert_str_eq(error.message, cases[i].message);
        ck_assert_int_eq(info.width, 0);
        assert_refused(huge_files[_i], bytes.data, bytes.size, &cases[i].limits, STATUS_TOO_LARGE,
                       cases[i].message);
    }
    /* Within the limits, the header is enough for a probe. */
    struct image_limits limits = {.max_pixels = 3600000000, .max_side = 60000};
    struct image_info info;
    ck_assert_int_eq(image_probe(bytes.data, bytes.size, &limits, &info, NULL), STATUS_OK);
    ck_assert_int_eq(info.width, 60000);
    ck_assert_int_eq(info.height, 60000);
    free(bytes.data);
}
END_TEST

START_TEST(refuses_either_side_over_the_limit) {
    static const struct {
        const char *file;
        int max_side;
        const char *message;
    } cases[] = {
        {"orientation1.jpg", 10, "11 x 7 pixels; the limit is 10 pixels a side"},
        {"interlaced1x5.png", 4, "1 x 5 pixels; the limit is 4 pixels a side"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image_limits limits = {.max_pixels = 1000, .max_side = cases[i].max_side};
        struct bytes bytes = fixture_read(cases[i].file);
        assert_refused(cases[i].file, bytes.data, bytes.size, &limits, STATUS_TOO_LARGE,
                       cases[i].message);
        free(bytes.data);
    }
}
END_TEST

static void assert_file_refused(const char *name, enum status status, const char *message) {
    struct bytes bytes = fixture_read(name);
    assert_refused(name, bytes.data, bytes.size, &fixture_limits, status, message);
    free(bytes.data);
}

START_TEST(refuses_a_scan_bomb) {
    assert_file_refused("many_scans.jpg", STATUS_TOO_LARGE,
                        "a JPEG of more than 50 scans, which is the limit");
}
END_TEST

START_TEST(refuses_jpegs_of_other_kinds) {
    assert_file_refused("two_components.jpg", STATUS_UNSUPPORTED,
                        "a JPEG of 2 components; grey has 1, colour 3 and CMYK 4");
    assert_file_refused("empty.jpg", STATUS_UNSUPPORTED,
                        "the JPEG cannot be decoded: Empty JPEG image (DNL not supported)");
}
END_TEST

START_TEST(says_where_a_file_ends) {
    static const struct {
        const char *file;
        size_t missing;
        const char *message;
    } cases[] = {
        {"444.jpg", 200, "the JPEG ends after row 8 of 17"},
        {"progressive.jpg", 2, "the JPEG ends in scan 10"},
        {"rgb8.png", 100, "the PNG ends after row 0 of 9"},
        {"interlaced13x9.png", 300, "the PNG ends after row 0 of 9"},
        {"lossy.webp", 10, "the WebP ends after 280 bytes of 290"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes bytes = fixture_read(cases[i].file);
        assert_refused(cases[i].file, bytes.data, bytes.size - cases[i].missing, &fixture_limits,
                       STATUS_UNSUPPORTED, cases[i].message);
        free(bytes.data);
    }
}
END_TEST

/* However much is cut off: an error, or the pixels, when only the file's end mark is gone. */
START_TEST(never_invents_missing_pixels) {
    const char *name = files[_i];
    struct bytes bytes = fixture_read(name);
    struct image expected = fixture_pixels_of(name);
    struct image_info whole, info;
    ck_assert_int_eq(image_probe(bytes.data, bytes.size, &fixture_limits, &whole, NULL), STATUS_OK);
    size_t shortest = bytes.size; /* that decodes */
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *cut = copy_of(bytes.data, size);
        struct image image;
        struct error error = {""};
        enum status probed = image_probe(cut, size, &fixture_limits, &info, &error);
        ck_assert(probed == STATUS_OK || (probed == STATUS_UNSUPPORTED && error.message[0]));
        error.message[0] = '\0';
        enum status status = image_decode(cut, size, &fixture_limits, NULL, &image, &error);
        ck_assert_msg(status == STATUS_OK || (status == STATUS_UNSUPPORTED && error.message[0]),
                      "%s, %zu bytes: status %d", name, size, status);
        if (status == STATUS_OK) {
            shortest = size < shortest ? size : shortest;
            ck_assert_int_eq(probed, STATUS_OK);
            if (info.orientation == whole.orientation) /* EXIF after the pixels may be gone */
                assert_same_image(name, &image, &expected);
        }
        image_free(&image);
        free(cut);
    }
    /* The end mark of a JPEG has 2 bytes. A PNG has two checksums and a chunk of 12 bytes after its
     * pixels, and EXIF of 38 in one case; a WebP says how long it is. */
    ck_assert_msg(shortest + 60 > bytes.size, "%s: %zu of %zu bytes decode", name, shortest,
                  bytes.size);
    image_free(&expected);
    free(bytes.data);
}
END_TEST

START_TEST(decodes_a_jpeg_without_its_end_mark) {
    struct bytes bytes = fixture_read("420.jpg");
    struct image expected = fixture_pixels_of("420.jpg"), image;
    ck_assert_int_eq(image_decode(bytes.data, bytes.size - 2, &fixture_limits, NULL, &image, NULL),
                     STATUS_OK);
    assert_same_image("420.jpg", &image, &expected);
    image_free(&image);
    image_free(&expected);
    free(bytes.data);
}
END_TEST

/* Each byte changed in some ways: nothing is asked of the pixels, only that all ends well. */
START_TEST(survives_any_changed_byte) {
    static const uint8_t changes[] = {0x01, 0x10, 0x80, 0xff};
    struct bytes bytes = fixture_read(files[_i]);
    for (size_t at = 0; at < bytes.size; at++) {
        for (size_t i = 0; i < sizeof changes; i++) {
            bytes.data[at] ^= changes[i];
            struct image image;
            struct image_info info;
            struct error error = {""};
            enum status status =
                image_decode(bytes.data, bytes.size, &fixture_limits, NULL, &image, &error);
            ck_assert_int_eq(status == STATUS_OK, image.rgb != NULL);
            ck_assert_int_eq(status == STATUS_OK, error.message[0] == '\0');
            image_free(&image);
            image_probe(bytes.data, bytes.size, &fixture_limits, &info, &error);
            bytes.data[at] ^= changes[i];
        }
    }
    free(bytes.data);
}
END_TEST

Suite *image_damage_suite(void) {
    Suite *suite = suite_create("image_damage");
    TCase *refused = tcase_create("refused");
    tcase_add_test(refused, refuses_what_is_no_image);
    tcase_add_test(refused, refuses_a_magic_number_alone);
    tcase_add_loop_test(refused, refuses_more_pixels_than_the_limit, 0, 3);
    tcase_add_test(refused, refuses_either_side_over_the_limit);
    tcase_add_test(refused, refuses_a_scan_bomb);
    tcase_add_test(refused, refuses_jpegs_of_other_kinds);
    suite_add_tcase(suite, refused);
    TCase *cut = tcase_create("cut");
    tcase_add_test(cut, says_where_a_file_ends);
    tcase_add_test(cut, decodes_a_jpeg_without_its_end_mark);
    tcase_add_loop_test(cut, never_invents_missing_pixels, 0, FILE_COUNT);
    suite_add_tcase(suite, cut);
    TCase *changed = tcase_create("changed");
    tcase_set_timeout(changed, 60); /* under sanitizers */
    tcase_add_loop_test(changed, survives_any_changed_byte, 0, FILE_COUNT);
    suite_add_tcase(suite, changed);
    return suite;
}
