#include "engine/sam/tiny_vit.h"

#include <string.h>

static const float NORM_EPSILON = 1e-5f; /* torch.nn.LayerNorm's */
static const float NECK_EPSILON = 1e-6f; /* LayerNorm2d's */

/* segment_anything/modeling/sam.py: pixel_mean and pixel_std */
static const float PIXEL_MEAN[3] = {123.675f, 116.28f, 103.53f};
static const float PIXEL_STD[3] = {58.395f, 57.12f, 57.375f};

enum {
    PATCH_ROWS = 4,   /* output rows of a patch_embed tile */
    MBCONV_ROWS = 16, /* output rows and columns of an MBConv tile: three rows of what it expands */
    MBCONV_COLUMNS = 64, /* stay in the second-level cache */
    NECK_ROWS = 2,
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

static void run_linear(const struct tiny_vit *vit, const struct packed_linear *linear,
                       const struct linear_rows *rows) {
    if (linear->panels_bf16)
        vit->kernels->linear_bf16(linear, rows);
    else
        vit->kernels->linear(linear, rows);
}

/* y = activation(x W^T + bias + added), all rows contiguous. */
static void linear(const struct tiny_vit *vit, const struct packed_linear *linear, const float *x,
                   size_t rows, const float *added, enum activation activation, float *y) {
    struct linear_rows job = {
        .x = {x},
        .pieces = 1,
        .x_stride = linear->in,
        .added = added,
        .added_stride = linear->out,
        .y = y,
        .y_stride = linear->out,
        .rows = rows,
        .activation = activation,
    };
    run_linear(vit, linear, &job);
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
    size_t hidden = vit->patch1.out, out = vit->patch2.out, first = index * PATCH_ROWS;
    size_t row1_floats = (1 + PATCH1_SIDE) * hidden;
    ptrdiff_t first1 = (ptrdiff_t)(2 * first) - 1, first0 = 2 * first1 - 1;
    float *pixels = worker_scratch(worker), *rows1 = pixels + PATCH_INPUT_ROWS * PIXEL_ROW;

    for (ptrdiff_t i = 0; i < PATCH_INPUT_ROWS; i++)
        normalise_row(job, first0 + i, pixels + i * PIXEL_ROW);
    for (size_t i = 0; i < PATCH1_ROWS; i++) {
        float *row1 = rows1 + i * row1_floats;
        memset(row1, 0, hidden * sizeof *row1);
        struct linear_rows rows = {
            .pieces = 3,
            .x_stride = 2 * 3,
            .y = row1 + hidden,
            .y_stride = hidden,
            .rows = PATCH1_SIDE,
            .activation = ACTIVATION_GELU,
        };
        for (size_t j = 0; j < 3; j++)
            rows.x[j] = pixels + (2 * i + j) * PIXEL_ROW;
        run_linear(vit, &vit->patch1, &rows);
    }
    for (size_t i = 0; i < PATCH_ROWS; i++) {
        struct linear_rows rows = {
            .pieces = 3,
            .x_stride = 2 * hidden,
            .y = job->output + (first + i) * PATCH2_SIDE * out,
            .y_stride = out,
            .rows = PATCH2_SIDE,
        };
        for (size_t j = 0; j < 3; j++)
            rows.x[j] =
                first1 + (ptrdiff_t)(2 * i + j) < 0 ? NULL : rows1 + (2 * i + j) * row1_floats;
        run_linear(vit, &vit->patch2, &rows);
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
    linear(job->vit, &job->conv->expand, job->input + at * job->conv->expand.in,
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
    linear(job->vit, &conv->project, tile->spread, tile->columns,
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
    size_t first = index / across * MBCONV_ROWS, last = min_size(first + MBCONV_ROWS, output_side);
    struct mbconv_tile tile = {
        .job = job,
        .column = column,
        .columns = min_size(MBCONV_COLUMNS, output_side - column),
        .left = column == 0 ? 0 : column * stride - 1,
        .ring = worker_scratch(worker),
    };
    tile.right = min_size((column + tile.columns - 1) * stride + 2, conv->side);
    tile.spread = tile.ring + RING * (tile.right - tile.left) * conv->expand.out;
    size_t expanded = first == 0 ? 0 : first * stride - 1;
    for (size_t row = first; row < last; row++) {
        for (; expanded < min_size(row * stride + 2, conv->side); expanded++)
            expand_row(&tile, expanded);
        spread_and_project_row(&tile, row);
    }
}

static void mbconv_run(const struct tiny_vit *vit, const struct mbconv *conv, struct worker *worker,
                       const float *input, float *output) {
    struct mbconv_job job = {vit, conv, input, output};
    size_t rows = (conv->side / conv->stride + MBCONV_ROWS - 1) / MBCONV_ROWS;
    worker_parallel_for(worker, rows * mbconv_tiles_across(conv), mbconv_tile, &job);
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

/* The part of a window that lies on the image. */
struct place {
    size_t top, left, rows, columns;
};

static struct place place_of(const struct vit_stage *stage, size_t window) {
    size_t w = stage->window, side = stage->side;
    size_t top = window / windows_across(stage) * w, left = window % windows_across(stage) * w;
    return (struct place){top, left, min_size(w, side - top), min_size(w, side - left)};
}

/* The window's tokens, normalised. */
static void gather_window(const struct block_job *job, const struct place *place, float *tokens) {
    const struct layer_norm *norm = &job->block->attention_norm;
    size_t c = job->stage->channels;
    for (size_t i = 0; i < place->rows; i++, tokens += place->columns * c)
        job->vit->kernels->layer_norm(
            job->x + ((place->top + i) * job->stage->side + place->left) * c, place->columns, c,
            norm->weight, norm->bias, NORM_EPSILON, tokens);
}

/* Of an image's last windows: [rows][columns][values], in place, to [window][window][values] with
 * the padding's values in what is beyond the image. */
static void spread_window(const struct vit_stage *stage, const struct place *place,
                          const float *padding, size_t values, float *tokens) {
    size_t w = stage->window;
    for (size_t i = w; i-- > 0;) {
        size_t there = i < place->rows ? place->columns : 0;
        memmove(tokens + i * w * values, tokens + i * place->columns * values,
                there * values * sizeof *tokens);
        for (size_t j = there; j < w; j++)
            memcpy(tokens + (i * w + j) * values, padding, values * sizeof *tokens);
    }
}

/* And back: what is beyond the image is dropped. */
static void close_up_window(const struct vit_stage *stage, const struct place *place, size_t values,
                            float *tokens) {
    for (size_t i = 0; i < place->rows; i++)
        memmove(tokens + i * place->columns * values, tokens + i * stage->window * values,
                place->columns * values * sizeof *tokens);
}

static void add_window(const struct block_job *job, const struct place *place,
                       const float *tokens) {
    size_t c = job->stage->channels;
    for (size_t i = 0; i < place->rows; i++, tokens += place->columns * c) {
        float *row = job->x + ((place->top + i) * job->stage->side + place->left) * c;
        job->vit->kernels->add(row, tokens, row, place->columns * c);
    }
}

/* One window: its tokens' qkv at hand, attended in place of its first third. */
static void attend_window(const struct block_job *job, const struct place *place, float *qkv,
                          float *scratch, float *attended) {
    const struct vit_stage *stage = job->stage;
    size_t w = stage->window, c = stage->channels;
    bool whole = place->rows == w && place->columns == w;
    struct window_attention attention = {
        .tokens = w * w,
        .heads = stage->heads,
        .head_dim = c / stage->heads,
        .bias = job->block->attention_bias,
        .qkv = qkv,
        .queries = place->rows * w,
        .scratch = scratch,
        .out = attended,
    };
    if (!whole)
        spread_window(stage, place, job->block->padding_qkv, 3 * c, qkv);
    job->vit->kernels->window_attention(&attention);
    if (!whole)
        close_up_window(stage, place, c, attended);
}

static void attention_tile(void *argument, size_t index, struct worker *worker) {
    const struct block_job *job = argument;
    const struct vit_stage *stage = job->stage;
    const struct vit_block *block = job->block;
    size_t windows = windows_across(stage) * windows_across(stage);
    size_t first = index * stage->windows_per_tile;
    size_t last = min_size(first + stage->windows_per_tile, windows);
    size_t n = stage->window * stage->window, c = stage->channels, tokens = 0;
    float *normal = worker_scratch(worker);
    float *qkv = normal + stage->windows_per_tile * n * c;
    float *one_qkv = qkv + stage->windows_per_tile * n * 3 * c;
    float *scratch = one_qkv + n * 3 * c;

    for (size_t window = first; window < last; window++) {
        struct place place = place_of(stage, window);
        gather_window(job, &place, normal + tokens * c);
        tokens += place.rows * place.columns;
    }
    linear(job->vit, &block->qkv, normal, tokens, NULL, ACTIVATION_NONE, qkv);
    float *attended = normal; /* the normalised tokens are not needed any more */
    tokens = 0;
    for (size_t window = first; window < last; window++) {
        struct place place = place_of(stage, window);
        size_t there = place.rows * place.columns;
        float *its_qkv = qkv + tokens * 3 * c;
        if (there < n) /* it needs room to spread */
            its_qkv = memcpy(one_qkv, its_qkv, there * 3 * c * sizeof *qkv);
        attend_window(job, &place, its_qkv, scratch, attended + tokens * c);
        tokens += there;
    }
    linear(job->vit, &block->projection, attended, tokens, NULL, ACTIVATION_NONE, qkv);
    tokens = 0;
    for (size_t window = first; window < last; window++) {
        struct place place = place_of(stage, window);
        add_window(job, &place, qkv + tokens * c);
        tokens += place.rows * place.columns;
    }
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
    linear(job->vit, &block->fc1, normal, tokens, NULL, ACTIVATION_GELU, hidden);
    linear(job->vit, &block->fc2, hidden, tokens, output, ACTIVATION_NONE, output);
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

enum { NECK_COLUMNS = EMBED_SIDE + 2 }; /* of what is between: a column of zeros on both sides */

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
        linear(vit, &vit->neck1, job->input + row * EMBED_SIDE * in, EMBED_SIDE, NULL,
               ACTIVATION_NONE, output);
        vit->kernels->layer_norm(output, EMBED_SIDE, c, vit->neck_norm1.weight,
                                 vit->neck_norm1.bias, NECK_EPSILON, output);
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
    run_linear(vit, &vit->neck2, &rows);
    vit->kernels->layer_norm(output, EMBED_SIDE, c, vit->neck_norm2.weight, vit->neck_norm2.bias,
                             NECK_EPSILON, output);
}

static double neck_macs(const struct packed_linear *linear) {
    return (double)EMBED_SIDE * EMBED_SIDE * (double)(linear->in * linear->out);
}

/* between is room for 64 x NECK_COLUMNS x 256. */
static void neck_run(const struct tiny_vit *vit, struct worker *worker, const float *input,
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
    neck_run(vit, worker, x, y, embedding, profile);
}
