/* naive: the maths of the kernels and of the models in double precision, unfolded and written to be
 * read. The tests compare the fast code with it. */
#ifndef TESTS_UNIT_ENGINE_NAIVE_H
#define TESTS_UNIT_ENGINE_NAIVE_H

#include <stddef.h>
#include <stdint.h>

/* Half the distance from 1 to the next float: the largest relative error of one rounding. */
#define ROUNDING (1.0 / (1 << 24))

/* ---- inputs ------------------------------------------------------------------------------ */

/* A generator of its own, so that every machine sees the same numbers (splitmix64). */
struct rng {
    uint64_t state;
};

uint64_t rng_bits(struct rng *rng);
size_t rng_below(struct rng *rng, size_t end);
double rng_between(struct rng *rng, double low, double high);

/* All memory here ends where its values end, so that a sanitizer sees a read beyond. malloc'd; the
 * test fails when there is none. */
void *obtain(size_t bytes);
float *random_floats(struct rng *rng, size_t n, double low, double high);
float *random_integers(struct rng *rng, size_t n, int low, int high);
float *copy_floats(const float *x, size_t n);
double *doubles_of(const float *x, size_t n);

/* ---- the maths --------------------------------------------------------------------------- */

double naive_gelu(double x); /* x Phi(x) */

/* y = (x - mean) / sqrt(variance + epsilon) * weight + bias; y may be x. */
void naive_layer_norm(const double *x, size_t n, const float *weight, const float *bias,
                      double epsilon, double *y);

void naive_softmax(double *x, size_t n);

/* torch.nn.Linear: y[rows][out] = x[rows][in] weight[out][in]^T + bias; bias may be NULL. */
void naive_linear(const float *weight, const float *bias, size_t in, size_t out, const double *x,
                  size_t rows, double *y);

/* Rows that follow each other at a distance of stride values. */
struct rows_of {
    double *at;
    size_t stride;
};

/* One head: out = softmax(q k^T / sqrt(dim) + bias) v; bias is [queries][keys] or NULL. */
void naive_attention(size_t queries, size_t keys, size_t dim, struct rows_of q, struct rows_of k,
                     struct rows_of v, const double *bias, struct rows_of out);

/* One output pixel and channel of a 3x3 convolution with padding 1, on [height][width][channels]:
 * weight is [channels][3][3]. */
double naive_conv3x3(const float *image, size_t height, size_t width, size_t channels,
                     const float *weight, size_t stride, size_t y, size_t x);

/* IEEE 754 binary16. */
uint16_t naive_to_half(float x);
double naive_from_half(uint16_t half);

/* ---- the comparison ---------------------------------------------------------------------- */

/* Fails the test unless every actual[i] lies within absolute + relative * |expected[i]|. */
void check_close(const char *what, const float *actual, const double *expected, size_t n,
                 double absolute, double relative);

double largest_magnitude(const double *x, size_t n);

#endif
