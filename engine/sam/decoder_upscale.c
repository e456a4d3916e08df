/* output_upscaling and the masks: from the keys to logits of four times their resolution. */
#include <string.h>

#include "engine/sam/decoding.h"

enum { TILE_ROWS = 2, CELLS = UPSCALE_CELLS };

size_t decoder_upscale_scratch_bytes(void) {
    return sizeof(struct upscaled);
}

/* The first convolution. */
static void begin_panel(const struct decoding *job, const float *keys, struct upscaled *at) {
    const struct mask_decoder *decoder = job->decoder;
    job->kernels->panel_product(&(struct panel_product){
        .a = decoder->upscale1.weight,
        .rows = 4 * UPSCALE1_CHANNELS,
        .a_stride = SAM_DIM,
        .depth = SAM_DIM,
        .pieces = 1,
        .b = keys,
        .b_stride = POSITIONS,
        .panels = 1,
        .bias = decoder->upscale1.bias,
        .c = at->half[0][0],
        .c_stride = POSITIONS,
    });
}

/* What follows it: norm, GELU, the second convolution, GELU, the masks. */
static void finish_panel(const struct decoding *job, struct upscaled *at) {
    const struct mask_decoder *decoder = job->decoder;
    const struct kernels *kernels = job->kernels;
    struct panel_product second = {
        .a = decoder->upscale2.weight,
        .rows = 4 * UPSCALE2_CHANNELS,
        .a_stride = UPSCALE1_CHANNELS,
        .depth = UPSCALE1_CHANNELS,
        .pieces = 1,
        .b = at->half[0][0],
        .b_stride = POSITIONS,
        .b_panel = sizeof at->half[0] / sizeof(float),
        .panels = 4,
        .bias = decoder->upscale2.bias,
        .c = at->full[0][0],
        .c_stride = POSITIONS,
        .c_panel = 4 * sizeof at->full[0] / sizeof(float),
        .activation = ACTIVATION_GELU,
    };
    struct panel_product masks = {
        .a = job->at->hyper,
        .rows = job->wanted_count,
        .a_stride = UPSCALE2_CHANNELS,
        .depth = UPSCALE2_CHANNELS,
        .pieces = 1,
        .b = at->full[0][0],
        .b_stride = POSITIONS,
        .b_panel = sizeof at->full[0] / sizeof(float),
        .panels = CELLS,
        .c = at->logits[0][0],
        .c_stride = sizeof at->logits[0] / sizeof(float),
        .c_panel = POSITIONS,
    };
    for (size_t tap = 0; tap < 4; tap++)
        kernels->panel_norm(at->half[tap][0], UPSCALE1_CHANNELS, decoder->upscale_norm.weight,
                            decoder->upscale_norm.bias, LAYER_NORM_2D_EPSILON, ACTIVATION_GELU);
    kernels->panel_product(&second);
    kernels->panel_product(&masks);
}

/* A panel's logits of one mask to their places in [256][256]. */
static void place_logits(const float *cells, size_t row, size_t column, float *mask) {
    for (size_t cell = 0; cell < CELLS; cell++) {
        size_t down = (cell >> 3 & 1) * 2 + (cell >> 1 & 1);
        size_t right = (cell >> 2 & 1) * 2 + (cell & 1);
        float *to = mask + (row * 4 + down) * SAM_LOW_RES + column * 4 + right;
        for (size_t i = 0; i < POSITIONS; i++)
            to[i * 4] = cells[cell * POSITIONS + i];
    }
}

void decoder_finish_upscaling(const struct decoding *job, struct upscaled *at, size_t row,
                              size_t panel) {
    finish_panel(job, at);
    for (size_t token = 0, i = 0; token < SAM_MASK_TOKENS; token++)
        if (job->wanted >> token & 1)
            place_logits(at->logits[i++][0], row, panel * POSITIONS,
                         job->logits + token * SAM_MASK_VALUES);
}

static void upscale_tile(void *argument, size_t index, struct worker *worker) {
    const struct decoding *job = argument;
    struct upscaled *at = worker_scratch(worker);
    for (size_t row = index * TILE_ROWS; row < (index + 1) * TILE_ROWS && row < job->rows; row++) {
        for (size_t panel = 0; panel < job->panels; panel++) {
            begin_panel(job, job->at->keys + (row * ACROSS + panel) * KEYS_PANEL, at);
            decoder_finish_upscaling(job, at, row, panel);
        }
    }
}

/* Zeros where nobody will look. */
static void clear_rest(const struct decoding *job, float *mask) {
    const size_t height = job->rows * 4, width = job->panels * POSITIONS * 4;
    for (size_t y = 0; y < height && width < SAM_LOW_RES; y++)
        memset(mask + y * SAM_LOW_RES + width, 0, (SAM_LOW_RES - width) * sizeof *mask);
    memset(mask + height * SAM_LOW_RES, 0, (SAM_LOW_RES - height) * SAM_LOW_RES * sizeof *mask);
}

void decoder_begin_upscaling(struct decoding *job) {
    const size_t height = job->input->height ? job->input->height : SAM_LOW_RES;
    const size_t width = job->input->width ? job->input->width : SAM_LOW_RES;
    job->rows = (height + 3) / 4;
    job->panels = (width + 4 * POSITIONS - 1) / (4 * POSITIONS);
    for (size_t token = 0; token < SAM_MASK_TOKENS; token++)
        if (job->wanted >> token & 1)
            clear_rest(job, job->logits + token * SAM_MASK_VALUES);
}

void decoder_upscale(struct decoding *job, struct worker *worker) {
    decoder_begin_upscaling(job);
    worker_parallel_for(worker, (job->rows + TILE_ROWS - 1) / TILE_ROWS, upscale_tile, job);
}
