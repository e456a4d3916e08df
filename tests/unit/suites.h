/* The unit tests' suites: one for each *_test.c, listed in main.c. */
#ifndef TESTS_UNIT_SUITES_H
#define TESTS_UNIT_SUITES_H

#include <check.h>

/* api/ */
Suite *answer_suite(void);
Suite *json_suite(void);
Suite *problem_suite(void);
Suite *prompt_suite(void);
Suite *rle_suite(void);
Suite *upload_suite(void);

/* engine/image/ */
Suite *image_damage_suite(void);
Suite *image_decode_suite(void);
Suite *image_resize_suite(void);

/* engine/weights/ */
Suite *import_names_suite(void);
Suite *import_refuse_suite(void);
Suite *import_suite(void);
Suite *mobile_sam_tensors_suite(void);
Suite *safetensors_suite(void);
Suite *safetensors_write_suite(void);

#endif
