#include "tests/unit/engine/sam/weights_fixture.h"

#include <check.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/mobile_sam_tensors.h"
#include "engine/weights/tensor.h"
#include "tests/unit/engine/naive.h"

/* The inputs of one output of a linear or a convolution. */
static double fan_in(const struct tensor_spec *spec) {
    double inputs = 1;
    if (strstr(spec->name, "output_upscaling")) /* transposed, without overlap */
        return (double)spec->shape[0];
    for (int axis = 1; axis < spec->rank; axis++)
        inputs *= (double)spec->shape[axis];
    return inputs;
}

/* Tensors whose names contain `part` have values up to `bound`; the first that fits counts. */
static const struct {
    const char *part;
    double bound;
} BOUNDS[] = {
    {"gaussian_matrix", 1.5}, {"attention_biases", 1},   {"prompt_encoder.point", 1},
    {"prompt_encoder.no", 1}, /* not_a_point and no_mask */
    {"iou_token.weight", 1},  {"mask_tokens.weight", 1}, {".bias", 0.02},
};

static float *random_values(struct rng *rng, const struct tensor_spec *spec, size_t count) {
    for (size_t i = 0; i < sizeof BOUNDS / sizeof *BOUNDS; i++)
        if (strstr(spec->name, BOUNDS[i].part))
            return random_floats(rng, count, -BOUNDS[i].bound, BOUNDS[i].bound);
    if (spec->rank == 1) /* a norm's */
        return random_floats(rng, count, 0.02, 0.06);
    double bound = sqrt(3 / fan_in(spec)); /* keeps the variance */
    if (strstr(spec->name, "q_proj") || strstr(spec->name, "k_proj"))
        bound *= 2;
    return random_floats(rng, count, -bound, bound);
}

void random_weights_make(struct random_weights *weights, uint64_t seed) {
    size_t count = mobile_sam_tensors(NULL, 0), size;
    struct tensor_spec *specs = obtain(count * sizeof *specs);
    struct rng rng = {seed};
    struct error error = {0};
    mobile_sam_tensors(specs, count);
    weights->count = count;
    weights->tensors = obtain(count * sizeof *weights->tensors);
    for (size_t i = 0; i < count; i++) {
        struct tensor *tensor = &weights->tensors[i];
        size_t values = tensor_values(specs[i].rank, specs[i].shape, TENSOR_F32);
        *tensor = (struct tensor){.name = strdup(specs[i].name),
                                  .type = TENSOR_F32,
                                  .rank = specs[i].rank,
                                  .bytes = values * sizeof(float),
                                  .data = random_values(&rng, &specs[i], values)};
        memcpy(tensor->shape, specs[i].shape, sizeof specs[i].shape);
    }
    free(specs);
    ck_assert_msg(safetensors_encode(weights->tensors, count, NULL, 0, &weights->bytes, &size,
                                     &error) == STATUS_OK,
                  "%s", error.message);
    ck_assert_int_eq(safetensors_parse(weights->bytes, size, &weights->file, &error), STATUS_OK);
}

void random_weights_free(struct random_weights *weights) {
    for (size_t i = 0; i < weights->count; i++) {
        free((char *)weights->tensors[i].name);
        free((float *)weights->tensors[i].data);
    }
    free(weights->tensors);
    safetensors_free(weights->file);
    free(weights->bytes);
}

const float *weights_values(const struct random_weights *weights, const char *format, ...) {
    char name[TENSOR_NAME_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const struct tensor *tensor = safetensors_find(weights->file, name);
    ck_assert_msg(tensor, "there is no tensor '%s'", name);
    return tensor->data;
}

float *weights_to_write(struct random_weights *weights, const char *name) {
    for (size_t i = 0; i < weights->count; i++)
        if (strcmp(weights->tensors[i].name, name) == 0)
            return (float *)weights->tensors[i].data;
    ck_abort_msg("there is no tensor '%s'", name);
    return NULL;
}
