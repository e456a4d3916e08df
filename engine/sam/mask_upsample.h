/* mask_upsample: low-resolution logits -> a binary mask of the image's size, as column runs.
 *
 * SAM interpolates bilinearly twice (postprocess_masks in modeling/sam.py; mask_postprocessing in
 * utils/onnx.py): 256 -> 1024, crop the padding, -> the image's size, without antialiasing. Both
 * steps are separable and linear, so an image column is a weighted sum of at most three
 * low-resolution columns, and a pixel of at most three values of that. The weights are not negative
 * and sum to one: where the three values lie on one side of the threshold, so does the pixel, and
 * only the neighbourhood of the crossing is interpolated. */
#ifndef ENGINE_SAM_MASK_UPSAMPLE_H
#define ENGINE_SAM_MASK_UPSAMPLE_H

#include "engine/engine.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/mask_column.h"

/* Where the pixels that the logits are about lie in the image that the mask is made for. */
struct mask_frame {
    int x, y, width, height; /* from the image's upper left corner; the image's size */
};

/* What a pixel is compared with: its mask's threshold, and for the stability score more and less
 * than that by the offset. */
struct mask_cut {
    float threshold, offset;
};

/* What is the same for all masks of an image, and scratch for one mask. It is large. */
struct mask_upsampler {
    const struct kernels *kernels;
    int width, height;
    struct mask_frame frame;
    struct mask_taps *columns; /* [width]; owned */
    struct mask_rows rows;
    float *row_weights; /* the rows'; owned */
    int *edges;         /* [height + 1], of one column; owned */
    struct mask_logits logits;
};

/* The geometry's pixels lie in the frame; NULL: they are the image. STATUS_NO_MEMORY;
 * mask_upsampler_free is allowed then too. */
enum status mask_upsampler_init(struct mask_upsampler *upsampler, const struct geometry *geometry,
                                const struct mask_frame *frame, struct error *error);
void mask_upsampler_free(struct mask_upsampler *upsampler);

/* logits is [256][256]. Fills segment's mask, area, bbox and stability_score; on failure the mask
 * is zeroed. STATUS_NO_MEMORY. */
enum status mask_upsampler_run(struct mask_upsampler *upsampler, const float *logits,
                               struct mask_cut cut, struct segment *segment, struct error *error);

#endif
