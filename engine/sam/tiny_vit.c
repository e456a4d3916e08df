#include <string.h>

#include "engine/sam/tiny_vit_layers.h"

enum { NECK_ROWS = 2 }; /* of a tile of the 1x1 convolution */

/* ---- neck -------------------------------------------------------------------------------- */

struct neck_job {
    const struct tiny_vit *vit;
    const float *input;
    float *between; /* [64][NECK_COLUMNS][256] */
    float *embedding;
};

static void neck1_tile(void *argument, size_t index, struct worker *worker) {
    (void)worker;
    const struct neck_job *job = argument;
    const struct tiny_vit *vit = job->vit;
    size_t in = vit->neck1.in, c = vit->neck1.out;
    for (size_t row = index * NECK_ROWS; row < (index + 1) * NECK_ROWS; row++) {
        float *output = job->between + row * NECK_COLUMNS * c;
        memset(output, 0, c * sizeof *output);
        output += c;
        run_linear(vit, &vit->neck1, job->input + row * EMBED_SIDE * in, EMBED_SIDE, NULL,
                   ACTIVATION_NONE, output);
        vit->kernels->layer_norm(output, EMBED_SIDE, c, vit->neck_norm1.weight,
                                 vit->neck_norm1.bias, LAYER_NORM_2D_EPSILON, output);
        memset(output + EMBED_SIDE * c, 0, c * sizeof *output);
    }
}

static void neck2_tile(void *argument, size_t index, struct worker *worker) {
    (void)worker;
    const struct neck_job *job = argument;
    const struct tiny_vit *vit = job->vit;
    size_t c = vit->neck2.out;
    float *output = job->embedding + index * EMBED_SIDE * c;
    struct linear_rows rows = {
        .pieces = 3, .x_stride = c, .y = output, .y_stride = c, .rows = EMBED_SIDE};
    for (size_t j = 0; j < 3; j++) {
        size_t row = index + j; /* of the image with a row of zeros above and below */
        rows.x[j] =
            row == 0 || row > EMBED_SIDE ? NULL : job->between + (row - 1) * NECK_COLUMNS * c;
    }
    vit->kernels->linear(&vit->neck2, &rows);
    vit->kernels->layer_norm(output, EMBED_SIDE, c, vit->neck_norm2.weight, vit->neck_norm2.bias,
                             LAYER_NORM_2D_EPSILON, output);
}

static double neck_macs(const struct packed_linear *linear) {
    return (double)EMBED_SIDE * EMBED_SIDE * (double)(linear->in * linear->out);
}

void tiny_vit_neck(const struct tiny_vit *vit, struct worker *worker, const float *input,
                   float *between, float *embedding, struct profile *profile) {
    struct neck_job job = {vit, input, between, embedding};
    worker_parallel_for(worker, EMBED_SIDE / NECK_ROWS, neck1_tile, &job);
    profile_end_stage(profile, "neck.0", neck_macs(&vit->neck1));
    worker_parallel_for(worker, EMBED_SIDE, neck2_tile, &job);
    profile_end_stage(profile, "neck.2", neck_macs(&vit->neck2));
}

/* ---- the encoder ------------------------------------------------------------------------- */

enum { PLANE = 256 * 256 * 64 }; /* the largest layer's values; all later ones are smaller */

size_t tiny_vit_arena_floats(void) {
    return 2 * PLANE;
}

size_t tiny_vit_tile_scratch_bytes(void) {
    return 1u << 20; /* the widest: 196 tokens of 160 channels, their qkv twice, 0.9 MB */
}

void tiny_vit_encode(const struct tiny_vit *vit, float *arena, struct worker *worker,
                     const struct image *scaled, float *embedding, struct profile *profile) {
    static const char *const mbconv_names[] = {"layers.0.blocks.0", "layers.0.blocks.1"};
    static const char *const merge_names[] = {"layers.0.downsample", "layers.1.downsample",
                                              "layers.2.downsample"};
    static const char *const stage_names[] = {"layers.1.blocks", "layers.2.blocks",
                                              "layers.3.blocks"};
    float *x = arena, *y = arena + PLANE, *swap;
    struct repeats repeats;
    profile_begin(profile);
    tiny_vit_patch_embed(vit, worker, scaled, &repeats, x);
    profile_end_stage(profile, "patch_embed", tiny_vit_patch_embed_macs(vit));
    for (size_t i = 0; i < 2; i++) {
        tiny_vit_mbconv(vit, &vit->mbconv[i], worker, &repeats, x, y);
        profile_end_stage(profile, mbconv_names[i], tiny_vit_mbconv_macs(&vit->mbconv[i]));
        swap = x, x = y, y = swap;
    }
    for (size_t s = 0; s < 3; s++) {
        const struct vit_stage *stage = &vit->stages[s];
        tiny_vit_mbconv(vit, &vit->merges[s], worker, &repeats, x, y);
        profile_end_stage(profile, merge_names[s], tiny_vit_mbconv_macs(&vit->merges[s]));
        swap = x, x = y, y = swap;
        for (size_t b = 0; b < stage->depth; b++) {
            tiny_vit_block(vit, stage, &stage->blocks[b], worker, &repeats, x, y);
            swap = x, x = y, y = swap;
        }
        profile_end_stage(profile, stage_names[s],
                          (double)stage->depth * tiny_vit_block_macs(stage, &stage->blocks[0]));
    }
    tiny_vit_neck(vit, worker, x, y, embedding, profile);
}
