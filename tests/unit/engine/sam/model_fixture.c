#include "tests/unit/engine/sam/model_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/sam/mask_upsample.h"
#include "engine/weights/mobile_sam_tensors.h"

void model_fixture_write(const struct model_fixture *fixture, const char *path,
                         const char *architecture, size_t count) {
    struct metadata_entry metadata[] = {{"licence", "CC0-1.0"}, {"architecture", architecture}};
    struct error error = {0};
    ck_assert_msg(safetensors_write(path, fixture->random.tensors, count, metadata,
                                    architecture ? 2 : 1, &error) == STATUS_OK,
                  "%s", error.message);
}

static void enlarge_logits(struct random_weights *random) {
    for (int i = 0; i < SAM_MASK_TOKENS; i++) {
        char name[96];
        snprintf(name, sizeof name, "mask_decoder.output_hypernetworks_mlps.%d.layers.2.weight", i);
        float *values = weights_to_write(random, name);
        for (size_t j = 0; j < (size_t)32 * SAM_DIM; j++)
            values[j] *= 10000;
    }
}

void model_fixture_make(struct model_fixture *fixture, uint64_t seed) {
    struct error error = {0};
    engine_init();
    random_weights_make(&fixture->random, seed);
    enlarge_logits(&fixture->random);
    strcpy(fixture->directory, P_tmpdir "/model-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/random.model.safetensors",
             fixture->directory);
    model_fixture_write(fixture, fixture->path, MOBILE_SAM_ARCHITECTURE, fixture->random.count);
    ck_assert_msg(model_load(fixture->path, PRECISION_FP32, &fixture->model, &error) == STATUS_OK,
                  "%s", error.message);
    ck_assert_int_eq(safetensors_open(fixture->path, &fixture->file, &error), STATUS_OK);
    fixture->weights = (struct weights){.file = fixture->file};
    prompt_encoder_load(&fixture->encoder, kernels_best(), &fixture->weights);
    mask_decoder_load(&fixture->decoder, &fixture->encoder, &fixture->weights);
    ck_assert(!fixture->weights.failed);
}

void model_fixture_free(struct model_fixture *fixture) {
    model_free(fixture->model);
    weights_free(&fixture->weights);
    safetensors_free(fixture->file);
    random_weights_free(&fixture->random);
    unlink(fixture->path);
    rmdir(fixture->directory);
}

enum status upsample_mask(const float *logits, const struct geometry *geometry, float threshold,
                          struct segment *segment, struct error *error) {
    memset(segment, 0, sizeof *segment);
    struct mask_upsampler *upsampler = malloc(sizeof *upsampler);
    if (!upsampler)
        return error_set(error, STATUS_NO_MEMORY, "no memory to upsample a mask");
    enum status status = mask_upsampler_init(upsampler, geometry, NULL, error);
    if (status == STATUS_OK)
        status = mask_upsampler_run(upsampler, logits, (struct mask_cut){threshold, 1.0f}, segment,
                                    error);
    mask_upsampler_free(upsampler);
    free(upsampler);
    return status;
}
