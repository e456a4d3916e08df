#include "engine/kernels/linear.h"

#include <cblas.h>

static void gemm(enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k,
                 struct matrix a, struct matrix b, float beta, float *c, size_t c_stride) {
    cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, 1.0f, a.at,
                (blasint)a.stride, b.at, (blasint)b.stride, beta, c, (blasint)c_stride);
}

void matmul_nn(size_t m, size_t n, size_t k, struct matrix a, struct matrix b, float beta, float *c,
               size_t c_stride) {
    gemm(CblasNoTrans, CblasNoTrans, m, n, k, a, b, beta, c, c_stride);
}

void matmul_nt(size_t m, size_t n, size_t k, struct matrix a, struct matrix b, float beta, float *c,
               size_t c_stride) {
    gemm(CblasNoTrans, CblasTrans, m, n, k, a, b, beta, c, c_stride);
}

void matmul_tn(size_t m, size_t n, size_t k, struct matrix a, struct matrix b, float beta, float *c,
               size_t c_stride) {
    gemm(CblasTrans, CblasNoTrans, m, n, k, a, b, beta, c, c_stride);
}

static void product(const struct linear *linear, const float *x, size_t rows, float beta,
                    float *y) {
    size_t in = linear->in, out = linear->out;
    if (rows == 1) {
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (blasint)out, (blasint)in, 1.0f, linear->weight,
                    (blasint)in, x, 1, beta, y, 1);
        return;
    }
    matmul_nt(rows, out, in, (struct matrix){x, in}, (struct matrix){linear->weight, in}, beta, y,
              out);
}

void linear_product(const struct linear *linear, const float *x, size_t rows, float *y) {
    product(linear, x, rows, 0.0f, y);
}

void linear_accumulate(const struct linear *linear, const float *x, size_t rows, float *y) {
    product(linear, x, rows, 1.0f, y);
}
