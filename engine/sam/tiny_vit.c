#include "engine/sam/tiny_vit.h"

#include <string.h>

#include "engine/kernels/attention.h"
#include "engine/kernels/conv.h"

static const float NORM_EPSILON = 1e-5f; /* torch.nn.LayerNorm's */
static const float NECK_EPSILON = 1e-6f; /* LayerNorm2d's */

/* segment_anything/modeling/sam.py: pixel_mean and pixel_std */
static const float PIXEL_MEAN[3] = {123.675f, 116.28f, 103.53f};
static const float PIXEL_STD[3] = {58.395f, 57.12f, 57.375f};

enum {
    PATCH_ROWS = 4,  /* output rows of a patch_embed tile */
    MBCONV_ROWS = 8, /* output rows of an MBConv tile */
    NECK_ROWS = 1,
    PATCH1_SIDE = TINY_VIT_INPUT / 2,
    PATCH2_SIDE = TINY_VIT_INPUT / 4,
    EMBED_SIDE = 64,
};

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* A row of an image [side][side][channels], or NULL outside of it. */
static const float *row_of(const float *image, size_t side, size_t channels, ptrdiff_t row) {
    return row < 0 || row >= (ptrdiff_t)side ? NULL : image + (size_t)row * side * channels;
}

/* ---- patch_embed ------------------------------------------------------------------------- */

struct patch_embed {
    const struct tiny_vit *vit;
    const struct image *image;
    float *output;            /* [256][256][64] */
    float normalised[3][256]; /* of every pixel value */
};

enum {
    PATCH1_ROWS = 2 * PATCH_ROWS + 1,       /* rows of the first convolution that a tile needs */
    PATCH_INPUT_ROWS = 2 * PATCH1_ROWS + 1, /* rows of pixels that those need */
};

/* The first convolution's input row: normalised pixels, zero in the padding. */
static void normalise_row(const struct patch_embed *job, ptrdiff_t row, float *to) {
    const struct image *image = job->image;
    size_t width = 0;
    if (row >= 0 && row < image->height) {
        width = (size_t)image->width;
        const uint8_t *rgb = image->rgb + (size_t)row * width * 3;
        for (size_t i = 0; i < width; i++)
            for (size_t c = 0; c < 3; c++)
                to[i * 3 + c] = job->normalised[c][rgb[i * 3 + c]];
    }
    memset(to + width * 3, 0, (TINY_VIT_INPUT - width) * 3 * sizeof *to);
}

static void patch_embed_tile(void *argument, size_t index, struct worker *worker) {
    const struct patch_embed *job = argument;
    const struct tiny_vit *vit = job->vit;
    size_t hidden = vit->patch1.out, first = index * PATCH_ROWS;
    ptrdiff_t first1 = (ptrdiff_t)(2 * first) - 1, first0 = 2 * first1 - 1;
    float *pixels = worker_scratch(worker);
    float *rows1 = pixels + PATCH_INPUT_ROWS * TINY_VIT_INPUT * 3;
    float *columns = rows1 + PATCH1_ROWS * PATCH1_SIDE * hidden;

    for (ptrdiff_t i = 0; i < PATCH_INPUT_ROWS; i++)
        normalise_row(job, first0 + i, pixels + i * TINY_VIT_INPUT * 3);
    for (ptrdiff_t i = 0; i < PATCH1_ROWS; i++) {
        if (first1 + i < 0)
            continue;
        const float *rows[3];
        for (ptrdiff_t j = 0; j < 3; j++)
            rows[j] = pixels + (2 * i + j) * TINY_VIT_INPUT * 3;
        float *row1 = rows1 + (size_t)i * PATCH1_SIDE * hidden;
        conv3x3_columns(rows, TINY_VIT_INPUT, 3, 2, PATCH1_SIDE, columns);
        linear_product(&vit->patch1, columns, PATCH1_SIDE, row1);
        vit->kernels->bias_gelu(row1, PATCH1_SIDE, hidden, vit->patch1.bias);
    }
    for (size_t i = 0; i < PATCH_ROWS; i++) {
        const float *rows[3];
        for (size_t j = 0; j < 3; j++)
            rows[j] = first1 + (ptrdiff_t)(2 * i + j) < 0
                          ? NULL
                          : rows1 + (2 * i + j) * PATCH1_SIDE * hidden;
        float *output = job->output + (first + i) * PATCH2_SIDE * vit->patch2.out;
        conv3x3_columns(rows, PATCH1_SIDE, hidden, 2, PATCH2_SIDE, columns);
        linear_product(&vit->patch2, columns, PATCH2_SIDE, output);
        vit->kernels->bias_add(output, PATCH2_SIDE, vit->patch2.out, vit->patch2.bias);
    }
}

static void patch_embed(const struct tiny_vit *vit, struct worker *worker,
                        const struct image *image, float *output) {
    struct patch_embed job = {.vit = vit, .image = image, .output = output};
    for (int c = 0; c < 3; c++)
        for (int value = 0; value < 256; value++)
            job.normalised[c][value] = ((float)value - PIXEL_MEAN[c]) / PIXEL_STD[c];
    worker_parallel_for(worker, PATCH2_SIDE / PATCH_ROWS, patch_embed_tile, &job);
}

/* ---- MBConv and PatchMerging ------------------------------------------------------------- */

struct mbconv_job {
    const struct tiny_vit *vit;
    const struct mbconv *conv;
    const float *input; /* [side][side][in] */
    float *output;      /* [side / stride][side / stride][out] */
};

static void mbconv_tile(void *argument, size_t index, struct worker *worker) {
    const struct mbconv_job *job = argument;
    const struct mbconv *conv = job->conv;
    const struct kernels *kernels = job->vit->kernels;
    size_t side = conv->side, stride = conv->stride, output_side = side / stride;
    size_t in = conv->expand.in, hidden = conv->expand.out, out = conv->project.out;
    size_t first = index * MBCONV_ROWS, last = min_size(first + MBCONV_ROWS, output_side);
    size_t top = first == 0 ? 0 : first * stride - 1; /* the input rows that the depthwise needs */
    size_t bottom = min_size((last - 1) * stride + 2, side); /* one past the last */
    float *expanded = worker_scratch(worker);
    float *spread = expanded + (MBCONV_ROWS * stride + 2) * side * hidden;

    linear_product(&conv->expand, job->input + top * side * in, (bottom - top) * side, expanded);
    kernels->bias_gelu(expanded, (bottom - top) * side, hidden, conv->expand.bias);
    for (size_t row = first; row < last; row++) {
        size_t centre = row * stride;
        const float *at = expanded + (centre - top) * side * hidden;
        struct depthwise_row depthwise = {
            .above = centre == 0 ? NULL : at - side * hidden,
            .centre = at,
            .below = centre + 1 == side ? NULL : at + side * hidden,
            .width = side,
            .output_width = output_side,
            .channels = hidden,
            .stride = stride,
            .weights = conv->spread.weights,
            .output = spread,
        };
        kernels->depthwise3x3(&depthwise);
        kernels->bias_gelu(spread, output_side, hidden, conv->spread.bias);
        float *output = job->output + row * output_side * out;
        if (conv->residual) {
            memcpy(output, job->input + row * side * in, side * in * sizeof *output);
            linear_accumulate(&conv->project, spread, output_side, output);
            kernels->bias_gelu(output, output_side, out, conv->project.bias);
        } else {
            linear_product(&conv->project, spread, output_side, output);
            kernels->bias_add(output, output_side, out, conv->project.bias);
        }
    }
}

static void mbconv_run(const struct tiny_vit *vit, const struct mbconv *conv, struct worker *worker,
                       const float *input, float *output) {
    struct mbconv_job job = {vit, conv, input, output};
    worker_parallel_for(worker, conv->side / conv->stride / MBCONV_ROWS, mbconv_tile, &job);
}

/* ---- TinyViTBlock ------------------------------------------------------------------------ */

struct block_job {
    const struct tiny_vit *vit;
    const struct vit_stage *stage;
    const struct vit_block *block;
    float *
        x; /* [side][side][channels]: the attention adds to it in place, for windows are disjoint */
    float *output; /* of the convolution and the MLP */
};

static size_t windows_across(const struct vit_stage *stage) {
    return (stage->side + stage->window - 1) / stage->window;
}

/* Copies between the image and the window's tokens; the part of a window beyond the image is zero.
 */
static void gather_window(const struct vit_stage *stage, size_t window, const float *x,
                          float *tokens) {
    size_t w = stage->window, c = stage->channels, side = stage->side;
    size_t top = window / windows_across(stage) * w, left = window % windows_across(stage) * w;
    size_t there = min_size(w, side - left);
    for (size_t i = 0; i < w; i++, tokens += w * c) {
        size_t inside = top + i < side ? there : 0;
        if (inside)
            memcpy(tokens, x + ((top + i) * side + left) * c, inside * c * sizeof *tokens);
        memset(tokens + inside * c, 0, (w - inside) * c * sizeof *tokens);
    }
}

static void add_window(const struct vit_stage *stage, const struct kernels *kernels, size_t window,
                       const float *tokens, float *x) {
    size_t w = stage->window, c = stage->channels, side = stage->side;
    size_t top = window / windows_across(stage) * w, left = window % windows_across(stage) * w;
    size_t there = min_size(w, side - left);
    for (size_t i = 0; i < w && top + i < side; i++) {
        float *row = x + ((top + i) * side + left) * c;
        kernels->add(row, tokens + i * w * c, row, there * c);
    }
}

static void attention_tile(void *argument, size_t index, struct worker *worker) {
    const struct block_job *job = argument;
    const struct vit_stage *stage = job->stage;
    const struct vit_block *block = job->block;
    const struct kernels *kernels = job->vit->kernels;
    size_t windows = windows_across(stage) * windows_across(stage);
    size_t first = index * stage->windows_per_tile;
    size_t last = min_size(first + stage->windows_per_tile, windows);
    size_t n = stage->window * stage->window, c = stage->channels;
    size_t tokens = (last - first) * n;
    float *normal = worker_scratch(worker);
    float *qkv = normal + stage->windows_per_tile * n * c;
    float *scores = qkv + stage->windows_per_tile * n * 3 * c;
    struct window_attention attention = {n, stage->heads, c / stage->heads, block->attention_bias};

    for (size_t window = first; window < last; window++)
        gather_window(stage, window, job->x, normal + (window - first) * n * c);
    kernels->layer_norm(normal, tokens, c, block->attention_norm.weight, block->attention_norm.bias,
                        NORM_EPSILON, normal);
    linear_product(&block->qkv, normal, tokens, qkv);
    kernels->bias_add(qkv, tokens, 3 * c, block->qkv.bias);
    float *attended = normal; /* the normalised tokens are not needed any more */
    for (size_t i = 0; i < last - first; i++)
        window_attention(kernels, &attention, qkv + i * n * 3 * c, scores, attended + i * n * c);
    float *projected = qkv;
    linear_product(&block->projection, attended, tokens, projected);
    kernels->bias_add(projected, tokens, c, block->projection.bias);
    for (size_t window = first; window < last; window++)
        add_window(stage, kernels, window, projected + (window - first) * n * c, job->x);
}

/* The depthwise convolution and the MLP, for some rows. */
static void local_tile(void *argument, size_t index, struct worker *worker) {
    const struct block_job *job = argument;
    const struct vit_stage *stage = job->stage;
    const struct vit_block *block = job->block;
    const struct kernels *kernels = job->vit->kernels;
    size_t side = stage->side, c = stage->channels, rows = stage->rows_per_tile;
    size_t first = index * rows, tokens = rows * side;
    float *output = job->output + first * side * c;
    float *normal = worker_scratch(worker);
    float *hidden = normal + tokens * c;

    for (size_t i = 0; i < rows; i++) {
        ptrdiff_t row = (ptrdiff_t)(first + i);
        struct depthwise_row depthwise = {
            .above = row_of(job->x, side, c, row - 1),
            .centre = row_of(job->x, side, c, row),
            .below = row_of(job->x, side, c, row + 1),
            .width = side,
            .output_width = side,
            .channels = c,
            .stride = 1,
            .weights = block->local_conv.weights,
            .bias = block->local_conv.bias,
            .output = output + i * side * c,
        };
        kernels->depthwise3x3(&depthwise);
    }
    kernels->layer_norm(output, tokens, c, block->mlp_norm.weight, block->mlp_norm.bias,
                        NORM_EPSILON, normal);
    linear_product(&block->fc1, normal, tokens, hidden);
    kernels->bias_gelu(hidden, tokens, block->fc1.out, block->fc1.bias);
    linear_accumulate(&block->fc2, hidden, tokens, output);
    kernels->bias_add(output, tokens, c, block->fc2.bias);
}

/* Reads x, which it also changes, and writes output. */
static void block_run(const struct tiny_vit *vit, const struct vit_stage *stage,
                      const struct vit_block *block, struct worker *worker, float *x,
                      float *output) {
    struct block_job job = {vit, stage, block, x, output};
    size_t windows = windows_across(stage) * windows_across(stage);
    size_t tiles = (windows + stage->windows_per_tile - 1) / stage->windows_per_tile;
    worker_parallel_for(worker, tiles, attention_tile, &job);
    worker_parallel_for(worker, stage->side / stage->rows_per_tile, local_tile, &job);
}

/* ---- neck -------------------------------------------------------------------------------- */

struct neck_job {
    const struct tiny_vit *vit;
    const float *input;
    float *between; /* [64][64][256] */
    float *embedding;
};

static void neck1_tile(void *argument, size_t index, struct worker *worker) {
    (void)worker;
    const struct neck_job *job = argument;
    const struct tiny_vit *vit = job->vit;
    size_t tokens = NECK_ROWS * EMBED_SIDE, c = vit->neck1.out;
    float *output = job->between + index * tokens * c;
    linear_product(&vit->neck1, job->input + index * tokens * vit->neck1.in, tokens, output);
    vit->kernels->layer_norm(output, tokens, c, vit->neck_norm1.weight, vit->neck_norm1.bias,
                             NECK_EPSILON, output);
}

static void neck2_tile(void *argument, size_t index, struct worker *worker) {
    const struct neck_job *job = argument;
    const struct tiny_vit *vit = job->vit;
    size_t tokens = NECK_ROWS * EMBED_SIDE, c = vit->neck2.out;
    float *columns = worker_scratch(worker);
    float *output = job->embedding + index * tokens * c;
    for (size_t i = 0; i < NECK_ROWS; i++) {
        ptrdiff_t row = (ptrdiff_t)(index * NECK_ROWS + i);
        const float *rows[3];
        for (ptrdiff_t j = 0; j < 3; j++)
            rows[j] = row_of(job->between, EMBED_SIDE, c, row + j - 1);
        conv3x3_columns(rows, EMBED_SIDE, c, 1, EMBED_SIDE, columns + i * EMBED_SIDE * 9 * c);
    }
    linear_product(&vit->neck2, columns, tokens, output);
    vit->kernels->layer_norm(output, tokens, c, vit->neck_norm2.weight, vit->neck_norm2.bias,
                             NECK_EPSILON, output);
}

/* ---- the encoder ------------------------------------------------------------------------- */

enum { PLANE = 256 * 256 * 64 }; /* the largest layer's values; all later ones are smaller */

size_t tiny_vit_arena_floats(void) {
    return 2 * PLANE;
}

size_t tiny_vit_tile_scratch_bytes(void) {
    return 4u << 20; /* the widest tiles: MBConv expands 10 rows of 256 x 256 floats, and one row
                        more, 2.9 MB */
}

static double patch_embed_macs(const struct tiny_vit *vit) {
    return (double)PATCH1_SIDE * PATCH1_SIDE * (double)(vit->patch1.in * vit->patch1.out) +
           (double)PATCH2_SIDE * PATCH2_SIDE * (double)(vit->patch2.in * vit->patch2.out);
}

static double mbconv_macs(const struct mbconv *conv) {
    size_t output_side = conv->side / conv->stride, hidden = conv->expand.out;
    return (double)(conv->side * conv->side) * (double)(conv->expand.in * hidden) +
           (double)(output_side * output_side) * (double)(hidden * (9 + conv->project.out));
}

static double block_macs(const struct vit_stage *stage, const struct vit_block *block) {
    size_t c = stage->channels, mlp = 2 * c * block->fc1.out;
    size_t attention = 2 * stage->window * stage->window * c;
    return (double)(stage->side * stage->side) * (double)(4 * c * c + attention + 9 * c + mlp);
}

static double neck_macs(const struct linear *linear) {
    return (double)EMBED_SIDE * EMBED_SIDE * (double)(linear->in * linear->out);
}

void tiny_vit_encode(const struct tiny_vit *vit, float *arena, struct worker *worker,
                     const struct image *scaled, float *embedding, struct profile *profile) {
    static const char *const mbconv_names[] = {"layers.0.blocks.0", "layers.0.blocks.1"};
    static const char *const merge_names[] = {"layers.0.downsample", "layers.1.downsample",
                                              "layers.2.downsample"};
    static const char *const stage_names[] = {"layers.1.blocks", "layers.2.blocks",
                                              "layers.3.blocks"};
    float *x = arena, *y = arena + PLANE, *swap;
    profile_begin(profile);
    patch_embed(vit, worker, scaled, x);
    profile_end_stage(profile, "patch_embed", patch_embed_macs(vit));
    for (size_t i = 0; i < 2; i++) {
        mbconv_run(vit, &vit->mbconv[i], worker, x, y);
        profile_end_stage(profile, mbconv_names[i], mbconv_macs(&vit->mbconv[i]));
        swap = x, x = y, y = swap;
    }
    for (size_t s = 0; s < 3; s++) {
        const struct vit_stage *stage = &vit->stages[s];
        mbconv_run(vit, &vit->merges[s], worker, x, y);
        profile_end_stage(profile, merge_names[s], mbconv_macs(&vit->merges[s]));
        swap = x, x = y, y = swap;
        for (size_t b = 0; b < stage->depth; b++) {
            block_run(vit, stage, &stage->blocks[b], worker, x, y);
            swap = x, x = y, y = swap;
        }
        profile_end_stage(profile, stage_names[s],
                          (double)stage->depth * block_macs(stage, &stage->blocks[0]));
    }
    struct neck_job neck = {vit, x, y, embedding};
    worker_parallel_for(worker, EMBED_SIDE / NECK_ROWS, neck1_tile, &neck);
    profile_end_stage(profile, "neck.0", neck_macs(&vit->neck1));
    worker_parallel_for(worker, EMBED_SIDE / NECK_ROWS, neck2_tile, &neck);
    profile_end_stage(profile, "neck.2", neck_macs(&vit->neck2));
}
