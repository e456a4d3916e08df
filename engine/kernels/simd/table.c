#include "engine/kernels/simd/kernels_isa.h"

#define NAME_OF2(isa) #isa
#define NAME_OF(isa) NAME_OF2(isa)

extern const struct kernels KERNEL(kernels);

const struct kernels KERNEL(kernels) = {
    .isa = NAME_OF(KERNEL_ISA),
    .linear = KERNEL(linear),
#if defined(__AVX512BF16__)
    .fast_bf16 = true,
#endif
    .to_bf16 = KERNEL(to_bf16),
    .panel_product = KERNEL(panel_product),
    .panel_norm = KERNEL(panel_norm),
    .panel_add_weighted = KERNEL(panel_add_weighted),
    .panel_scale = KERNEL(panel_scale),
    .panel_dot = KERNEL(panel_dot),
    .transpose = KERNEL(transpose),
    .window_attention = KERNEL(window_attention),
    .bias_gelu = KERNEL(bias_gelu),
    .bias_add = KERNEL(bias_add),
    .add = KERNEL(add),
    .layer_norm = KERNEL(layer_norm),
    .softmax = KERNEL(softmax),
    .softmax_columns = KERNEL(softmax_columns),
    .exp_partial = KERNEL(exp_partial),
    .depthwise3x3 = KERNEL(depthwise3x3),
    .mask_column = KERNEL(mask_column),
    .to_half = KERNEL(to_half),
    .from_half = KERNEL(from_half),
};
