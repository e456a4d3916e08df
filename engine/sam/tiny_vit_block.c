#include <string.h>

#include "engine/sam/tiny_vit_layers.h"

/* TinyViTBlock: window attention, then a depthwise convolution and an MLP. */

struct block_job {
    const struct tiny_vit *vit;
    const struct vit_stage *stage;
    const struct vit_block *block;
    float *
        x; /* [side][side][channels]: the attention adds to it in place, for windows are disjoint */
    float *output;          /* of the convolution and the MLP */
    struct repeats repeats; /* of what is being made: first in windows, then in positions */
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
            norm->weight, norm->bias, LAYER_NORM_EPSILON, tokens);
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

static size_t windows_kept(const struct block_job *job) {
    size_t across = windows_across(job->stage);
    return repeat_kept(job->repeats.rows, across) * repeat_kept(job->repeats.columns, across);
}

/* The number of the index-th window that is to be computed. */
static size_t kept_window(const struct block_job *job, size_t index) {
    size_t across = windows_across(job->stage);
    size_t columns = repeat_kept(job->repeats.columns, across);
    return repeat_position(job->repeats.rows, index / columns) * across +
           repeat_position(job->repeats.columns, index % columns);
}

static void attention_tile(void *argument, size_t index, struct worker *worker) {
    const struct block_job *job = argument;
    const struct vit_stage *stage = job->stage;
    const struct vit_block *block = job->block;
    size_t first = index * stage->windows_per_tile;
    size_t last = min_size(first + stage->windows_per_tile, windows_kept(job));
    size_t n = stage->window * stage->window, c = stage->channels, tokens = 0;
    float *normal = worker_scratch(worker);
    float *qkv = normal + stage->windows_per_tile * n * c;
    float *one_qkv = qkv + stage->windows_per_tile * n * 3 * c;
    float *scratch = one_qkv + n * 3 * c;

    for (size_t window = first; window < last; window++) {
        struct place place = place_of(stage, kept_window(job, window));
        gather_window(job, &place, normal + tokens * c);
        tokens += place.rows * place.columns;
    }
    run_linear(job->vit, &block->qkv, normal, tokens, NULL, ACTIVATION_NONE, qkv);
    float *attended = normal; /* the normalised tokens are not needed any more */
    tokens = 0;
    for (size_t window = first; window < last; window++) {
        struct place place = place_of(stage, kept_window(job, window));
        size_t there = place.rows * place.columns;
        float *its_qkv = qkv + tokens * 3 * c;
        if (there < n) /* it needs room to spread */
            its_qkv = memcpy(one_qkv, its_qkv, there * 3 * c * sizeof *qkv);
        attend_window(job, &place, its_qkv, scratch, attended + tokens * c);
        tokens += there;
    }
    run_linear(job->vit, &block->projection, attended, tokens, NULL, ACTIVATION_NONE, qkv);
    tokens = 0;
    for (size_t window = first; window < last; window++) {
        struct place place = place_of(stage, kept_window(job, window));
        add_window(job, &place, qkv + tokens * c);
        tokens += place.rows * place.columns;
    }
}

/* A row of an image [side][side][channels], or NULL outside of it. */
static const float *row_of(const float *image, size_t side, size_t channels, ptrdiff_t row) {
    return row < 0 || row >= (ptrdiff_t)side ? NULL : image + (size_t)row * side * channels;
}

/* The depthwise convolution of a part of a row. */
static void local_conv(const struct block_job *job, size_t y, struct span columns) {
    const struct vit_block *block = job->block;
    size_t side = job->stage->side, c = job->stage->channels, skip = columns.first * c;
    const float *above = row_of(job->x, side, c, (ptrdiff_t)y - 1);
    const float *below = row_of(job->x, side, c, (ptrdiff_t)y + 1);
    struct depthwise_row depthwise = {
        .above = above ? above + skip : NULL,
        .centre = job->x + y * side * c + skip,
        .below = below ? below + skip : NULL,
        .width = columns.end - columns.first,
        .output_width = columns.end - columns.first,
        .goes_on_left = columns.first > 0,
        .goes_on_right = columns.end < side,
        .channels = c,
        .stride = 1,
        .weights = block->local_conv.weights,
        .bias = block->local_conv.bias,
        .output = job->output + y * side * c + skip,
    };
    job->vit->kernels->depthwise3x3(&depthwise);
}

/* The MLP, for tokens that follow each other, in place. */
static void run_mlp(const struct block_job *job, float *tokens, size_t count, float *scratch) {
    const struct vit_block *block = job->block;
    size_t c = job->stage->channels;
    float *normal = scratch, *hidden = scratch + count * c;
    job->vit->kernels->layer_norm(tokens, count, c, block->mlp_norm.weight, block->mlp_norm.bias,
                                  LAYER_NORM_EPSILON, normal);
    run_linear(job->vit, &block->fc1, normal, count, NULL, ACTIVATION_GELU, hidden);
    run_linear(job->vit, &block->fc2, hidden, count, tokens, ACTIVATION_NONE, tokens);
}

/* The depthwise convolution and the MLP, for some of the rows that are to be computed. */
static void local_tile(void *argument, size_t index, struct worker *worker) {
    const struct block_job *job = argument;
    const struct vit_stage *stage = job->stage;
    size_t side = stage->side, c = stage->channels;
    struct repeat rows = job->repeats.rows, columns = job->repeats.columns;
    const struct span parts[2] = {{0, columns.first}, {columns.end, side}};
    size_t first = index * stage->rows_per_tile;
    size_t end = min_size(first + stage->rows_per_tile, repeat_kept(rows, side));
    float *output = job->output + repeat_position(rows, first) * side * c;
    size_t tokens = 0; /* whole rows, one after the other, are one run of tokens */
    for (size_t i = first; i < end; i++) {
        size_t y = repeat_position(rows, i);
        for (size_t part = 0; part < 2; part++)
            if (parts[part].first < parts[part].end)
                local_conv(job, y, parts[part]);
        if (columns.first == columns.end && y == repeat_position(rows, first) + i - first) {
            tokens += side;
            continue;
        }
        for (size_t part = 0; part < 2; part++)
            run_mlp(job, job->output + (y * side + parts[part].first) * c,
                    parts[part].end - parts[part].first, worker_scratch(worker));
    }
    run_mlp(job, output, tokens, worker_scratch(worker));
}

void tiny_vit_block(const struct tiny_vit *vit, const struct vit_stage *stage,
                    const struct vit_block *block, struct worker *worker, struct repeats *repeats,
                    float *x, float *output) {
    struct block_job job = {vit,
                            stage,
                            block,
                            x,
                            output,
                            .repeats = {
                                repeat_in_windows(repeats->rows, stage->window),
                                repeat_in_windows(repeats->columns, stage->window),
                            }};
    size_t windows = windows_kept(&job), per_tile = stage->windows_per_tile;
    worker_parallel_for(worker, (windows + per_tile - 1) / per_tile, attention_tile, &job);
    repeats->rows = repeat_after_windows(repeats->rows, stage->window);
    repeats->columns = repeat_after_windows(repeats->columns, stage->window);
    repeats_fill(repeats, worker, x, stage->side, stage->channels);

    repeats->rows = repeat_after_conv3x3(repeats->rows, 1);
    repeats->columns = repeat_after_conv3x3(repeats->columns, 1);
    job.repeats = *repeats;
    size_t rows = repeat_kept(repeats->rows, stage->side);
    per_tile = stage->rows_per_tile;
    worker_parallel_for(worker, (rows + per_tile - 1) / per_tile, local_tile, &job);
    repeats_fill(repeats, worker, output, stage->side, stage->channels);
}

double tiny_vit_block_macs(const struct vit_stage *stage, const struct vit_block *block) {
    size_t c = stage->channels, mlp = 2 * c * block->fc1.out;
    size_t attention = 2 * stage->window * stage->window * c;
    return (double)(stage->side * stage->side) * (double)(4 * c * c + attention + 9 * c + mlp);
}
