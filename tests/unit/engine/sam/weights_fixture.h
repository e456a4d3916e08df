/* MobileSAM with random weights: the architecture's dimensions, and values that make every part of
 * it count. */
#ifndef TESTS_UNIT_ENGINE_SAM_WEIGHTS_FIXTURE_H
#define TESTS_UNIT_ENGINE_SAM_WEIGHTS_FIXTURE_H

#include <stdint.h>

#include "engine/weights/safetensors.h"

struct random_weights {
    size_t count;
    struct tensor *tensors; /* as safetensors_write takes them */
    uint8_t *bytes;
    struct safetensors *file; /* the same, parsed from memory */
};

/* Seed 0 and up. Norms give small values, so that their epsilon is seen; the projections to queries
 * and keys are large, so that no softmax is flat. */
void random_weights_make(struct random_weights *weights, uint64_t seed);
void random_weights_free(struct random_weights *weights);

/* A tensor's values by its full name; the test fails when there is none. */
const float *weights_values(const struct random_weights *weights, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same of the tensors that are to be written, to be changed. */
float *weights_to_write(struct random_weights *weights, const char *name);

#endif
