/* The unit tests' suites: one for each *_test.c, listed in main.c. */
#ifndef TESTS_UNIT_SUITES_H
#define TESTS_UNIT_SUITES_H

#include <check.h>

/* api/ */
Suite *answer_suite(void);
Suite *everything_api_suite(void);
Suite *embedding_file_suite(void);
Suite *json_suite(void);
Suite *mask_formats_suite(void);
Suite *multipart_suite(void);
Suite *problem_suite(void);
Suite *prompt_suite(void);
Suite *coco_rle_suite(void);
Suite *compat_suite(void);
Suite *upload_suite(void);

/* engine/image/ */
Suite *image_damage_suite(void);
Suite *image_decode_suite(void);
Suite *image_resize_suite(void);

/* engine/ */
Suite *cores_suite(void);
Suite *embedding_suite(void);
Suite *mask_suite(void);
Suite *mask_outline_suite(void);
Suite *parallel_fairness_suite(void);
Suite *parallel_lanes_suite(void);
Suite *parallel_stress_suite(void);
Suite *parallel_suite(void);

/* engine/kernels/ */
Suite *kernels_activation_suite(void);
Suite *kernels_attention_suite(void);
Suite *kernels_depthwise_suite(void);
Suite *kernels_half_suite(void);
Suite *kernels_linear_suite(void);
Suite *kernels_mask_column_suite(void);
Suite *kernels_norm_suite(void);
Suite *kernels_panels_suite(void);
Suite *kernels_packed_linear_suite(void);
Suite *kernels_softmax_suite(void);

/* engine/sam/ */
Suite *box_nms_suite(void);
Suite *crops_suite(void);
Suite *everything_suite(void);
Suite *mask_decoder_suite(void);
Suite *mask_upsample_suite(void);
Suite *model_segment_suite(void);
Suite *model_suite(void);
Suite *padding_suite(void);
Suite *point_decoder_suite(void);
Suite *prior_mask_suite(void);
Suite *prompt_encoder_suite(void);
Suite *tiny_vit_suite(void);

/* engine/weights/ */
Suite *import_names_suite(void);
Suite *import_refuse_suite(void);
Suite *import_suite(void);
Suite *mobile_sam_tensors_suite(void);
Suite *safetensors_suite(void);
Suite *safetensors_write_suite(void);

/* server/ */
Suite *caller_suite(void);
Suite *accept_suite(void);
Suite *catalogue_suite(void);
Suite *conditional_suite(void);
Suite *connections_suite(void);
Suite *cors_suite(void);
Suite *fetch_rules_suite(void);
Suite *keys_suite(void);
Suite *log_suite(void);
Suite *metrics_suite(void);
Suite *options_suite(void);
Suite *options_values_suite(void);
Suite *prefer_suite(void);
Suite *preparations_suite(void);
Suite *refinements_suite(void);
Suite *runs_suite(void);
Suite *rates_suite(void);
Suite *sessions_suite(void);
Suite *sources_suite(void);
Suite *store_suite(void);

#endif
