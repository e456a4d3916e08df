#include "engine/kernels/linear.h"

#include <cblas.h>

void linear_product(const struct linear *linear, const float *x, size_t rows, float *y) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)linear->out,
                (blasint)linear->in, 1.0f, x, (blasint)linear->in, linear->weight,
                (blasint)linear->in, 0.0f, y, (blasint)linear->out);
}
