#include <string.h>

#include "engine/sam/tiny_vit_layers.h"

/* segment_anything/modeling/sam.py: pixel_mean and pixel_std */
static const float PIXEL_MEAN[3] = {123.675f, 116.28f, 103.53f};
static const float PIXEL_STD[3] = {58.395f, 57.12f, 57.375f};

enum {
    PATCH_ROWS = 4,      /* output rows of a patch_embed tile */
    MBCONV_ROWS = 16,    /* output rows and columns of an MBConv tile: three rows of what it */
    MBCONV_COLUMNS = 64, /* expands stay in the second-level cache */
    PATCH1_SIDE = TINY_VIT_INPUT / 2,
};

/* ---- patch_embed ------------------------------------------------------------------------- */

struct patch_embed {
    const struct tiny_vit *vit;
    const struct image *image;
    const struct repeats *repeats;
    float *output;            /* [256][256][64] */
    float normalised[3][256]; /* of every pixel value */
};

enum {
    PATCH1_ROWS = 2 * PATCH_ROWS + 1,       /* rows of the first convolution that a tile needs */
    PATCH_INPUT_ROWS = 2 * PATCH1_ROWS + 1, /* rows of pixels that those need */
    PIXEL_ROW = (1 + TINY_VIT_INPUT) * 3,   /* both begin with the column left of the image */
};

/* The first convolution's input row: normalised pixels, zero in the padding. */
static void normalise_row(const struct patch_embed *job, ptrdiff_t row, float *to) {
    const struct image *image = job->image;
    size_t width = 0;
    memset(to, 0, 3 * sizeof *to);
    to += 3;
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
    struct span rows = span_without((struct span){index * PATCH_ROWS, (index + 1) * PATCH_ROWS},
                                    job->repeats->rows);
    struct span columns = span_without((struct span){0, PATCH_SIDE}, job->repeats->columns);
    size_t hidden = vit->patch1.out, out = vit->patch2.out, count = rows.end - rows.first;
    size_t row1_floats = (1 + PATCH1_SIDE) * hidden;
    ptrdiff_t first1 = (ptrdiff_t)(2 * rows.first) - 1, first0 = 2 * first1 - 1;
    float *pixels = worker_scratch(worker), *rows1 = pixels + PATCH_INPUT_ROWS * PIXEL_ROW;

    if (count == 0)
        return;
    for (ptrdiff_t i = 0; i < PATCH_INPUT_ROWS; i++)
        normalise_row(job, first0 + i, pixels + i * PIXEL_ROW);
    for (size_t i = 0; i < 2 * count + 1; i++) {
        float *row1 = rows1 + i * row1_floats;
        memset(row1, 0, hidden * sizeof *row1);
        struct linear_rows conv = {
            .pieces = 3,
            .x_stride = 2 * 3,
            .y = row1 + hidden,
            .y_stride = hidden,
            .rows = 2 * columns.end,
            .activation = ACTIVATION_GELU,
        };
        for (size_t j = 0; j < 3; j++)
            conv.x[j] = pixels + (2 * i + j) * PIXEL_ROW;
        vit->kernels->linear(&vit->patch1, &conv);
    }
    for (size_t i = 0; i < count; i++) {
        struct linear_rows conv = {
            .pieces = 3,
            .x_stride = 2 * hidden,
            .y = job->output + (rows.first + i) * PATCH_SIDE * out,
            .y_stride = out,
            .rows = columns.end,
        };
        for (size_t j = 0; j < 3; j++)
            conv.x[j] =
                first1 + (ptrdiff_t)(2 * i + j) < 0 ? NULL : rows1 + (2 * i + j) * row1_floats;
        vit->kernels->linear(&vit->patch2, &conv);
    }
}

static struct repeat repeat_after_patch_embed(int there) {
    struct repeat pixels = repeat_of_pixels((size_t)there, TINY_VIT_INPUT);
    return repeat_after_conv3x3(repeat_after_conv3x3(pixels, 2), 2);
}

void tiny_vit_patch_embed(const struct tiny_vit *vit, struct worker *worker,
                          const struct image *image, struct repeats *repeats, float *output) {
    struct patch_embed job = {.vit = vit, .image = image, .repeats = repeats, .output = output};
    repeats->rows = repeat_after_patch_embed(image->height);
    repeats->columns = repeat_after_patch_embed(image->width);
    for (int c = 0; c < 3; c++)
        for (int value = 0; value < 256; value++)
            job.normalised[c][value] = ((float)value - PIXEL_MEAN[c]) / PIXEL_STD[c];
    worker_parallel_for(worker, PATCH_SIDE / PATCH_ROWS, patch_embed_tile, &job);
    repeats_fill(repeats, worker, output, PATCH_SIDE, vit->patch2.out);
}

double tiny_vit_patch_embed_macs(const struct tiny_vit *vit) {
    return (double)PATCH1_SIDE * PATCH1_SIDE * (double)(vit->patch1.in * vit->patch1.out) +
           (double)PATCH_SIDE * PATCH_SIDE * (double)(vit->patch2.in * vit->patch2.out);
}

/* ---- MBConv and PatchMerging ------------------------------------------------------------- */

struct mbconv_job {
    const struct tiny_vit *vit;
    const struct mbconv *conv;
    const float *input;            /* [side][side][in] */
    const struct repeats *repeats; /* of the output */
    float *output;                 /* [side / stride][side / stride][out] */
};

/* Expanded rows of a tile: as many as the depthwise convolution needs at once, used in turns. */
enum { RING = 3 };

/* A tile on its way: some columns, row after row. */
struct mbconv_tile {
    const struct mbconv_job *job;
    size_t left, right;     /* input columns left .. right - 1 */
    size_t column, columns; /* the output's */
    float *ring;            /* [RING][right - left][hidden] */
    float *spread;          /* [columns][hidden] */
};

static float *ring_row(const struct mbconv_tile *tile, size_t row) {
    return tile->ring + row % RING * (tile->right - tile->left) * tile->job->conv->expand.out;
}

static void expand_row(const struct mbconv_tile *tile, size_t row) {
    const struct mbconv_job *job = tile->job;
    size_t at = row * job->conv->side + tile->left;
    run_linear(job->vit, &job->conv->expand, job->input + at * job->conv->expand.in,
               tile->right - tile->left, NULL, ACTIVATION_GELU, ring_row(tile, row));
}

static void spread_and_project_row(const struct mbconv_tile *tile, size_t row) {
    const struct mbconv_job *job = tile->job;
    const struct mbconv *conv = job->conv;
    size_t output_side = conv->side / conv->stride, centre = row * conv->stride;
    size_t hidden = conv->expand.out, skip = (tile->column * conv->stride - tile->left) * hidden;
    struct depthwise_row depthwise = {
        .above = centre == 0 ? NULL : ring_row(tile, centre - 1) + skip,
        .centre = ring_row(tile, centre) + skip,
        .below = centre + 1 == conv->side ? NULL : ring_row(tile, centre + 1) + skip,
        .width = tile->columns * conv->stride,
        .output_width = tile->columns,
        .goes_on_left = tile->column > 0,
        .goes_on_right = tile->column + tile->columns < output_side,
        .channels = hidden,
        .stride = conv->stride,
        .weights = conv->spread.weights,
        .bias = conv->spread.bias,
        .activation = ACTIVATION_GELU,
        .output = tile->spread,
    };
    job->vit->kernels->depthwise3x3(&depthwise);
    size_t at = row * output_side + tile->column;
    run_linear(job->vit, &conv->project, tile->spread, tile->columns,
               conv->residual ? job->input + at * conv->project.out : NULL,
               conv->residual ? ACTIVATION_GELU : ACTIVATION_NONE,
               job->output + at * conv->project.out);
}

static size_t mbconv_tiles_across(const struct mbconv *conv) {
    return (conv->side / conv->stride + MBCONV_COLUMNS - 1) / MBCONV_COLUMNS;
}

static void mbconv_tile(void *argument, size_t index, struct worker *worker) {
    const struct mbconv_job *job = argument;
    const struct mbconv *conv = job->conv;
    size_t stride = conv->stride, output_side = conv->side / stride;
    size_t across = mbconv_tiles_across(conv), column = index % across * MBCONV_COLUMNS;
    size_t row = index / across * MBCONV_ROWS;
    struct span columns =
        span_without((struct span){column, min_size(column + MBCONV_COLUMNS, output_side)},
                     job->repeats->columns);
    struct span rows = span_without((struct span){row, min_size(row + MBCONV_ROWS, output_side)},
                                    job->repeats->rows);
    if (columns.first == columns.end)
        return;
    struct mbconv_tile tile = {
        .job = job,
        .column = columns.first,
        .columns = columns.end - columns.first,
        .left = columns.first == 0 ? 0 : columns.first * stride - 1,
        .right = min_size((columns.end - 1) * stride + 2, conv->side),
        .ring = worker_scratch(worker),
    };
    tile.spread = tile.ring + RING * (tile.right - tile.left) * conv->expand.out;
    size_t expanded = rows.first == 0 ? 0 : rows.first * stride - 1;
    for (row = rows.first; row < rows.end; row++) {
        for (; expanded < min_size(row * stride + 2, conv->side); expanded++)
            expand_row(&tile, expanded);
        spread_and_project_row(&tile, row);
    }
}

void tiny_vit_mbconv(const struct tiny_vit *vit, const struct mbconv *conv, struct worker *worker,
                     struct repeats *repeats, const float *input, float *output) {
    struct mbconv_job job = {vit, conv, input, repeats, output};
    size_t output_side = conv->side / conv->stride;
    size_t rows = (output_side + MBCONV_ROWS - 1) / MBCONV_ROWS;
    repeats->rows = repeat_after_conv3x3(repeats->rows, conv->stride);
    repeats->columns = repeat_after_conv3x3(repeats->columns, conv->stride);
    worker_parallel_for(worker, rows * mbconv_tiles_across(conv), mbconv_tile, &job);
    repeats_fill(repeats, worker, output, output_side, conv->project.out);
}

double tiny_vit_mbconv_macs(const struct mbconv *conv) {
    size_t output_side = conv->side / conv->stride, hidden = conv->expand.out;
    return (double)(conv->side * conv->side) * (double)(conv->expand.in * hidden) +
           (double)(output_side * output_side) * (double)(hidden * (9 + conv->project.out));
}
