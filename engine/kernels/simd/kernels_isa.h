/* The kernels of one instruction set, before table.c gathers them into its struct kernels. */
#ifndef ENGINE_KERNELS_SIMD_KERNELS_ISA_H
#define ENGINE_KERNELS_SIMD_KERNELS_ISA_H

#include "engine/kernels/simd/simd.h"

void KERNEL(linear)(const struct packed_linear *linear, const struct linear_rows *rows);
void KERNEL(linear_bf16)(const struct packed_linear *linear, const struct linear_rows *rows);
void KERNEL(to_bf16)(const float *x, uint16_t *rounded, size_t n);
void KERNEL(panel_product)(const struct panel_product *product);
void KERNEL(panel_norm)(float *x, size_t n, const float *weight, const float *bias, float epsilon,
                        enum activation activation);
void KERNEL(panel_add_weighted)(float *sum, const float *x, size_t n, const float *weights);
void KERNEL(panel_scale)(const float *x, size_t n, const float *weights, const float *added,
                         float *y, size_t y_stride);
void KERNEL(panel_dot)(const float *x, const float *y, size_t n, float *dot);
void KERNEL(transpose)(const float *x, size_t x_stride, size_t rows, size_t columns, float *y,
                       size_t y_stride);
void KERNEL(window_attention)(const struct window_attention *attention);
void KERNEL(bias_gelu)(float *x, size_t rows, size_t n, const float *bias);
void KERNEL(bias_add)(float *x, size_t rows, size_t n, const float *bias);
void KERNEL(add)(const float *a, const float *b, float *out, size_t n);
void KERNEL(layer_norm)(const float *x, size_t rows, size_t n, const float *weight,
                        const float *bias, float epsilon, float *y);
void KERNEL(softmax)(float *x, size_t rows, size_t n, float scale, const float *bias);
void KERNEL(softmax_columns)(float *x, size_t n, size_t columns, float scale, const float *offset);
void KERNEL(exp_partial)(float *x, size_t n, float scale, float *max, float *sum);
void KERNEL(depthwise3x3)(const struct depthwise_row *row);
size_t KERNEL(mask_column)(const struct mask_logits *logits, const struct mask_rows *rows,
                           const struct mask_taps *taps, const float thresholds[3], int *edges,
                           size_t areas[3]);
void KERNEL(to_half)(const float *x, uint16_t *half, size_t n);
void KERNEL(from_half)(const uint16_t *half, float *x, size_t n);

#endif
