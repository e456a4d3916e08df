#include <math.h>

#include "engine/kernels/simd/kernels_isa.h"
#include "engine/kernels/simd/product.h"
#include "engine/kernels/simd/row_softmax.h"

/* One head of one window, on its way. */
struct head {
    const float *q, *v; /* of the first token */
    const float *bias;  /* [tokens][tokens] */
    const float *keys;  /* transposed into panels: [columns / PANEL][dim][PANEL] */
    float *scores;      /* [BLOCK_ROWS][columns] */
    float *out;
    size_t tokens, dim;
    size_t columns; /* tokens, up to whole blocks of panels */
    size_t stride;  /* from a token's q, k or v to the next one's */
    size_t out_stride;
};

static size_t columns_of(size_t tokens) {
    const size_t step = (size_t)BLOCK_PANELS * PANEL;
    return (tokens + step - 1) / step * step;
}

/* k [tokens][dim] at a stride -> panels; the columns past the last token are zero. */
static void transpose_keys(const float *k, size_t stride, size_t tokens, size_t dim, float *keys) {
    for (size_t first = 0; first < columns_of(tokens); first += PANEL, keys += dim * PANEL) {
        size_t there = first >= tokens           ? 0
                       : first + PANEL <= tokens ? (size_t)PANEL
                                                 : tokens - first;
        for (size_t j = 0; j < there; j++)
            for (size_t i = 0; i < dim; i++)
                keys[i * PANEL + j] = k[(first + j) * stride + i];
        for (size_t j = there; j < PANEL; j++)
            for (size_t i = 0; i < dim; i++)
                keys[i * PANEL + j] = 0.0f;
    }
}

/* scores = q K^T */
static ALWAYS_INLINE void score(size_t rows, size_t panels, const struct head *head, size_t row) {
    for (size_t column = 0; column < head->columns; column += panels * PANEL) {
        vfloat sums[BLOCK_ROWS][BLOCK_VECTORS];
        struct panels keys = {head->keys + column * head->dim, PANEL, PANEL * head->dim};
        clear_block(rows, panels, sums);
        multiply(rows, panels, head->q + row * head->stride, head->stride, head->dim, keys, sums);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 8
            for (size_t v = 0; v < panels * PANEL_VECTORS; v++)
                store(head->scores + i * head->columns + column + v * WIDTH, sums[i][v]);
    }
}

/* out = scores V, each row divided by its sum */
static ALWAYS_INLINE void weigh(size_t rows, size_t panels, const struct head *head, size_t row,
                                size_t column, const float *inverse) {
    vfloat sums[BLOCK_ROWS][BLOCK_VECTORS];
    struct panels values = {head->v + column, head->stride, PANEL};
    clear_block(rows, panels, sums);
    multiply(rows, panels, head->scores, head->columns, head->tokens, values, sums);
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (size_t v = 0; v < panels * PANEL_VECTORS; v++)
            store(head->out + (row + i) * head->out_stride + column + v * WIDTH,
                  sums[i][v] * inverse[i]);
}

static void run_head(const struct head *head, size_t queries) {
    float inverse[BLOCK_ROWS], scale = 1.0f / sqrtf((float)head->dim);
    for (size_t row = 0, rows; row < queries; row += rows) {
        rows = block_rows(queries - row);
        WITH_CONSTANT_ROWS(rows, score, BLOCK_PANELS, head, row)
        for (size_t i = 0; i < rows; i++) {
            float *scores = head->scores + i * head->columns;
            float max =
                scale_row(scores, head->tokens, scale, head->bias + (row + i) * head->tokens);
            inverse[i] = 1.0f / exp_row(scores, head->tokens, max);
        }
        for (size_t column = 0, panels; column < head->dim; column += panels * PANEL) {
            panels = head->dim - column >= BLOCK_PANELS * PANEL ? BLOCK_PANELS : 1;
            if (panels == BLOCK_PANELS)
                WITH_CONSTANT_ROWS(rows, weigh, BLOCK_PANELS, head, row, column, inverse)
            else
                WITH_CONSTANT_ROWS(rows, weigh, 1, head, row, column, inverse)
        }
    }
}

void KERNEL(window_attention)(const struct window_attention *attention) {
    size_t n = attention->tokens, dim = attention->head_dim, heads = attention->heads;
    size_t columns = columns_of(n);
    for (size_t i = 0; i < heads; i++) {
        const float *q = attention->qkv + i * 3 * dim;
        transpose_keys(q + dim, 3 * heads * dim, n, dim, attention->scratch);
        struct head head = {
            .q = q,
            .v = q + 2 * dim,
            .bias = attention->bias + i * n * n,
            .keys = attention->scratch,
            .scores = attention->scratch + columns * dim,
            .out = attention->out + i * dim,
            .tokens = n,
            .dim = dim,
            .columns = columns,
            .stride = 3 * heads * dim,
            .out_stride = heads * dim,
        };
        run_head(&head, attention->queries);
    }
}
