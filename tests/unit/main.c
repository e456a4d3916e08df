/* Runs all suites. Check's environment variables choose among them and how they run: CK_RUN_SUITE,
 * CK_RUN_CASE, CK_FORK=no (for a debugger), CK_VERBOSITY, CK_TAP_LOG_FILE_NAME and others. */
#include <stdlib.h>

#include "tests/unit/suites.h"

static Suite *(*const suites[])(void) = {
    answer_suite,
    everything_api_suite,
    embedding_file_suite,
    json_suite,
    mask_formats_suite,
    multipart_suite,
    problem_suite,
    prompt_suite,
    coco_rle_suite,
    compat_suite,
    upload_suite,
    image_damage_suite,
    image_decode_suite,
    image_resize_suite,
    cores_suite,
    embedding_suite,
    mask_suite,
    mask_outline_suite,
    parallel_fairness_suite,
    parallel_lanes_suite,
    parallel_stress_suite,
    parallel_suite,
    kernels_activation_suite,
    kernels_attention_suite,
    kernels_depthwise_suite,
    kernels_half_suite,
    kernels_linear_suite,
    kernels_mask_column_suite,
    kernels_norm_suite,
    kernels_panels_suite,
    kernels_packed_linear_suite,
    kernels_softmax_suite,
    box_nms_suite,
    crops_suite,
    everything_suite,
    mask_decoder_suite,
    mask_upsample_suite,
    model_segment_suite,
    model_suite,
    padding_suite,
    point_decoder_suite,
    prior_mask_suite,
    prompt_encoder_suite,
    tiny_vit_suite,
    import_names_suite,
    import_refuse_suite,
    import_suite,
    mobile_sam_tensors_suite,
    safetensors_suite,
    safetensors_write_suite,
    caller_suite,
    accept_suite,
    catalogue_suite,
    conditional_suite,
    connections_suite,
    cors_suite,
    fetch_rules_suite,
    keys_suite,
    log_suite,
    metrics_suite,
    options_suite,
    options_values_suite,
    prefer_suite,
    preparations_suite,
    refinements_suite,
    runs_suite,
    rates_suite,
    sessions_suite,
    sources_suite,
    store_suite,
};

int main(void) {
    SRunner *runner = srunner_create(NULL);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        srunner_add_suite(runner, suites[i]());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
