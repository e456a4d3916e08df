/* linear: matrix products by OpenBLAS, on the calling thread. All matrices are row-major. */
#ifndef ENGINE_KERNELS_LINEAR_H
#define ENGINE_KERNELS_LINEAR_H

#include <stddef.h>

/* torch.nn.Linear, or a 1x1 convolution on token-major data: borrowed pointers into the weights. */
struct linear {
    const float *weight; /* [out][in] */
    const float *bias;   /* [out], or NULL */
    size_t in, out;
};

/* y[rows][out] = x[rows][in] weight^T. The bias is the caller's to add, mostly together with an
 * activation. */
void linear_product(const struct linear *linear, const float *x, size_t rows, float *y);
/* The same, added to what y holds. */
void linear_accumulate(const struct linear *linear, const float *x, size_t rows, float *y);

/* A matrix operand: rows follow each other at a distance of stride floats. */
struct matrix {
    const float *at;
    size_t stride;
};

/* c[m][n] = a b + beta c, with c's rows at a distance of c_stride.
 * nn: a[m][k], b[k][n].  nt: a[m][k], b[n][k].  tn: a[k][m], b[k][n]. */
void matmul_nn(size_t m, size_t n, size_t k, struct matrix a, struct matrix b, float beta, float *c,
               size_t c_stride);
void matmul_nt(size_t m, size_t n, size_t k, struct matrix a, struct matrix b, float beta, float *c,
               size_t c_stride);
void matmul_tn(size_t m, size_t n, size_t k, struct matrix a, struct matrix b, float beta, float *c,
               size_t c_stride);

#endif
