/* A model file with random weights, and the model that was loaded from it. */
#ifndef TESTS_UNIT_ENGINE_SAM_MODEL_FIXTURE_H
#define TESTS_UNIT_ENGINE_SAM_MODEL_FIXTURE_H

#include "engine/engine.h"
#include "engine/sam/mask_decoder.h"
#include "tests/unit/engine/sam/weights_fixture.h"

struct model_fixture {
    struct random_weights random;
    char directory[64]; /* a new one */
    char path[128];     /* DIRECTORY/random.model.safetensors */
    struct model *model;
    /* The same weights, for the parts alone. */
    struct safetensors *file;
    struct weights weights;
    struct prompt_encoder encoder;
    struct mask_decoder decoder;
};

/* The weights' logits are of a few units, so that masks have an outline and a stability. */
void model_fixture_make(struct model_fixture *fixture, uint64_t seed);
void model_fixture_free(struct model_fixture *fixture); /* removes the file */

/* Writes the first count of the random tensors; architecture may be NULL: none is named. */
void model_fixture_write(const struct model_fixture *fixture, const char *path,
                         const char *architecture, size_t count);

/* One mask alone through a mask_upsampler of its own. */
enum status upsample_mask(const float *logits, const struct geometry *geometry, float threshold,
                          struct segment *segment, struct error *error);

#endif
