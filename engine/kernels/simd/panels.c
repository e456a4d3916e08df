/* Products and norms of matrices whose columns come in panels. */
#include <math.h>

#include "engine/kernels/simd/kernels_isa.h"
#include "engine/kernels/simd/product.h"

/* ---- products ---------------------------------------------------------------------------- */

/* As in linear.c, what may be large comes last, for the sake of the roundings. */
static ALWAYS_INLINE void block(size_t rows, size_t panels, const struct panel_product *job,
                                size_t group, size_t row, size_t panel) {
    vfloat sums[BLOCK_ROWS][BLOCK_VECTORS];
    const float *a = job->a + group * job->a_group + row * job->a_stride;
    struct panels b = {job->b + group * job->b_group + panel * job->b_panel, job->b_stride,
                       job->b_panel};
    float *c = job->c + group * job->c_group + row * job->c_stride + panel * job->c_panel;
    const float *scaled = job->scaled;
    if (scaled)
        scaled += group * job->scaled_group + row * PANEL;
    clear_block(rows, panels, sums);
    for (size_t piece = 0; piece < job->pieces; piece++, b.at += job->depth * job->b_stride)
        multiply(rows, panels, a + piece * job->a_piece, job->a_stride, job->depth, b, sums);
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; i++) {
        vfloat bias = splat(job->bias ? job->bias[row + i] : 0.0f);
#pragma GCC unroll 8
        for (size_t v = 0; v < panels * PANEL_VECTORS; v++) {
            float *to = c + i * job->c_stride + v / PANEL_VECTORS * job->c_panel +
                        v % PANEL_VECTORS * WIDTH;
            vfloat sum = sums[i][v] + bias;
            if (scaled)
                sum += load(scaled + i * PANEL + v * WIDTH) * load(job->scale + v * WIDTH);
            store(to, job->accumulate ? sum + load(to) : sum);
        }
    }
}

static inline void multiply_group(const struct panel_product *job, size_t group) {
    for (size_t panel = 0, panels; panel < job->panels; panel += panels) {
        panels = job->panels - panel >= BLOCK_PANELS ? BLOCK_PANELS : 1;
        for (size_t row = 0, rows; row < job->rows; row += rows) {
            rows = block_rows(job->rows - row);
            if (panels == BLOCK_PANELS)
                WITH_CONSTANT_ROWS(rows, block, BLOCK_PANELS, job, group, row, panel)
            else
                WITH_CONSTANT_ROWS(rows, block, 1, job, group, row, panel)
            for (size_t p = panel; p < panel + panels; p++)
                activate_panel(job->c + group * job->c_group + row * job->c_stride +
                                   p * job->c_panel,
                               rows, job->c_stride, job->activation);
        }
    }
}

void KERNEL(panel_product)(const struct panel_product *job) {
    size_t group = 0;
    do
        multiply_group(job, group);
    while (++group < job->groups);
}

/* ---- norms ------------------------------------------------------------------------------- */

/* One vector of the panel's positions. Two passes, for the precision of PyTorch's, and several
 * sums, for the speed of additions. */
static inline void norm_columns(float *x, size_t n, const float *weight, const float *bias,
                                float epsilon) {
    vfloat sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        sum0 += load(x + i * PANEL);
        sum1 += load(x + (i + 1) * PANEL);
        sum2 += load(x + (i + 2) * PANEL);
        sum3 += load(x + (i + 3) * PANEL);
    }
    for (; i < n; i++)
        sum0 += load(x + i * PANEL);
    vfloat mean = ((sum0 + sum1) + (sum2 + sum3)) / (float)n;
    sum0 = sum1 = sum2 = sum3 = splat(0.0f);
    for (i = 0; i + 4 <= n; i += 4) {
        vfloat d0 = load(x + i * PANEL) - mean, d1 = load(x + (i + 1) * PANEL) - mean;
        vfloat d2 = load(x + (i + 2) * PANEL) - mean, d3 = load(x + (i + 3) * PANEL) - mean;
        sum0 += d0 * d0;
        sum1 += d1 * d1;
        sum2 += d2 * d2;
        sum3 += d3 * d3;
    }
    for (; i < n; i++) {
        vfloat d = load(x + i * PANEL) - mean;
        sum0 += d * d;
    }
    vfloat variance = ((sum0 + sum1) + (sum2 + sum3)) / (float)n, scale = {0};
    for (int lane = 0; lane < WIDTH; lane++)
        scale[lane] = 1.0f / sqrtf(variance[lane] + epsilon);
    for (i = 0; i < n; i++)
        store(x + i * PANEL, (load(x + i * PANEL) - mean) * scale * weight[i] + bias[i]);
}

void KERNEL(panel_norm)(float *x, size_t n, const float *weight, const float *bias, float epsilon,
                        enum activation activation) {
    for (size_t i = 0; i < PANEL; i += WIDTH)
        norm_columns(x + i, n, weight, bias, epsilon);
    activate_panel(x, n, PANEL, activation);
}

/* ---- sums -------------------------------------------------------------------------------- */

void KERNEL(panel_add_weighted)(float *sum, const float *x, size_t n, const float *weights) {
    vfloat weight[PANEL_VECTORS];
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        weight[v] = load(weights + v * WIDTH);
    for (size_t i = 0; i < n; i++, sum += PANEL, x += PANEL)
        for (size_t v = 0; v < PANEL_VECTORS; v++)
            store(sum + v * WIDTH, load(sum + v * WIDTH) + weight[v] * load(x + v * WIDTH));
}

void KERNEL(panel_scale)(const float *x, size_t n, const float *weights, const float *added,
                         float *y, size_t y_stride) {
    vfloat weight[PANEL_VECTORS];
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        weight[v] = load(weights + v * WIDTH);
    for (size_t i = 0; i < n; i++, x += PANEL, y += y_stride)
        for (size_t v = 0; v < PANEL_VECTORS; v++) {
            vfloat scaled = load(x + v * WIDTH) * weight[v];
            store(y + v * WIDTH, added ? scaled + load(added + i * PANEL + v * WIDTH) : scaled);
        }
}

void KERNEL(panel_dot)(const float *x, const float *y, size_t n, float *dot) {
    for (size_t v = 0; v < PANEL; v += WIDTH) {
        vfloat even = {0}, odd = {0};
        size_t i = 0;
        for (; i + 2 <= n; i += 2) {
            even += load(x + i * PANEL + v) * load(y + i * PANEL + v);
            odd += load(x + (i + 1) * PANEL + v) * load(y + (i + 1) * PANEL + v);
        }
        if (i < n)
            even += load(x + i * PANEL + v) * load(y + i * PANEL + v);
        store(dot + v, even + odd);
    }
}

/* ---- transposition ----------------------------------------------------------------------- */

/* Of a pair of rows, `size` apart in a square: what the upper one takes from both, and the lower.
 */
#define UPPER(j, size) ((j) & (size) ? WIDTH + (j) - (size) : (j))
#define LOWER(j, size) ((j) & (size) ? WIDTH + (j) : (j) + (size))
#define LANES_4(of, j, size) of(j, size), of(j + 1, size), of(j + 2, size), of(j + 3, size)
#define LANES_8(of, j, size) LANES_4(of, j, size), LANES_4(of, j + 4, size)
#define LANES_16(of, j, size) LANES_8(of, j, size), LANES_8(of, j + 8, size)
#if WIDTH == 16
#define LANES(of, size) ((vint){LANES_16(of, 0, size)})
#elif WIDTH == 8
#define LANES(of, size) ((vint){LANES_8(of, 0, size)})
#else
#define LANES(of, size) ((vint){LANES_4(of, 0, size)})
#endif

/* In each square of 2 size rows and columns, the upper right quarter and the lower left one change
 * places. */
#define EXCHANGE_QUARTERS(rows, size)                                                              \
    for (int i = 0; i < WIDTH; i++) {                                                              \
        if (i & (size))                                                                            \
            continue;                                                                              \
        vfloat upper = rows[i], lower = rows[i + (size)];                                          \
        rows[i] = __builtin_shuffle(upper, lower, LANES(UPPER, size));                             \
        rows[i + (size)] = __builtin_shuffle(upper, lower, LANES(LOWER, size));                    \
    }

/* WIDTH rows of WIDTH columns. */
static inline void transpose_square(const float *x, size_t x_stride, float *y, size_t y_stride) {
    vfloat rows[WIDTH];
#pragma GCC unroll 16
    for (size_t i = 0; i < WIDTH; i++)
        rows[i] = load(x + i * x_stride);
#if WIDTH >= 16
#pragma GCC unroll 16
    EXCHANGE_QUARTERS(rows, 8)
#endif
#if WIDTH >= 8
#pragma GCC unroll 16
    EXCHANGE_QUARTERS(rows, 4)
#endif
#pragma GCC unroll 16
    EXCHANGE_QUARTERS(rows, 2)
#pragma GCC unroll 16
    EXCHANGE_QUARTERS(rows, 1)
#pragma GCC unroll 16
    for (size_t i = 0; i < WIDTH; i++)
        store(y + i * y_stride, rows[i]);
}

void KERNEL(transpose)(const float *x, size_t x_stride, size_t rows, size_t columns, float *y,
                       size_t y_stride) {
    size_t whole_rows = rows / WIDTH * WIDTH, whole_columns = columns / WIDTH * WIDTH;
    for (size_t row = 0; row < whole_rows; row += WIDTH)
        for (size_t column = 0; column < whole_columns; column += WIDTH)
            transpose_square(x + row * x_stride + column, x_stride, y + column * y_stride + row,
                             y_stride);
    for (size_t row = 0; row < rows; row++)
        for (size_t column = row < whole_rows ? whole_columns : 0; column < columns; column++)
            y[column * y_stride + row] = x[row * x_stride + column];
}
