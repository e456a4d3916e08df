/* linear: a layer as the file has it, and its product by OpenBLAS on the calling thread: for layers
 * whose shapes do not fit the panels of kernels.h, such as the first ones of a prior mask. */
#ifndef ENGINE_KERNELS_LINEAR_H
#define ENGINE_KERNELS_LINEAR_H

#include <stddef.h>

/* torch.nn.Linear, or a 1x1 convolution on token-major data: borrowed pointers into the weights. */
struct linear {
    const float *weight; /* [out][in], row-major */
    const float *bias;   /* [out], or NULL */
    size_t in, out;
};

/* y[rows][out] = x[rows][in] weight^T. The bias is the caller's to add, mostly together with an
 * activation. */
void linear_product(const struct linear *linear, const float *x, size_t rows, float *y);

#endif
