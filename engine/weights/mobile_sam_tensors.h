/* The weights of MobileSAM: every tensor's name and shape, as the original PyTorch modules have
 * them (github.com/ChaoningZhang/MobileSAM: mobile_sam/modeling/tiny_vit_sam.py, prompt_encoder.py,
 * mask_decoder.py, transformer.py; build_sam_vit_t in build_sam.py).
 *
 * Two differences to the published checkpoint. Batch norms are folded: a Conv2d_BN has ".c.weight"
 * and ".c.bias", no ".bn". The classifier that TinyViT was trained with ("norm_head", "head") is
 * not there; nothing reads it. */
#ifndef ENGINE_WEIGHTS_MOBILE_SAM_TENSORS_H
#define ENGINE_WEIGHTS_MOBILE_SAM_TENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"
#include "engine/weights/safetensors.h"

#define MOBILE_SAM_ARCHITECTURE "mobile_sam" /* metadata "architecture" */

enum { TENSOR_SPEC_NAME = 96, TENSOR_SPEC_RANK_MAX = 4 };

struct tensor_spec {
    char name[TENSOR_SPEC_NAME];
    int rank;
    int64_t shape[TENSOR_SPEC_RANK_MAX];
};

/* Writes the first capacity of the architecture's tensors, in the order of the modules, and returns
 * how many there are. specs may be NULL when capacity is 0. */
size_t mobile_sam_tensors(struct tensor_spec *specs, size_t capacity);

/* STATUS_OK when the file has exactly these tensors, all F32. STATUS_INVALID names the first, by
 * name, that is missing, unexpected, or of another type or shape. STATUS_NO_MEMORY. */
enum status mobile_sam_check(const struct safetensors *file, struct error *error);
/* The same for tensors that are in name order. */
enum status mobile_sam_check_tensors(const struct tensor *tensors, size_t count,
                                     struct error *error);

#endif
