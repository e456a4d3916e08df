#include "engine/kernels/attention.h"

#include <math.h>

#include "engine/kernels/linear.h"

void window_attention(const struct kernels *kernels, const struct window_attention *attention,
                      const float *qkv, float *scores, float *out) {
    size_t n = attention->tokens, dim = attention->head_dim, heads = attention->heads;
    size_t stride = 3 * heads * dim;
    float scale = 1.0f / sqrtf((float)dim);
    for (size_t head = 0; head < heads; head++) {
        const float *q = qkv + head * 3 * dim, *k = q + dim, *v = k + dim;
        matmul_nt(n, n, dim, (struct matrix){q, stride}, (struct matrix){k, stride}, 0.0f, scores,
                  n);
        kernels->softmax(scores, n, n, scale, attention->bias + head * n * n);
        matmul_nn(n, dim, n, (struct matrix){scores, n}, (struct matrix){v, stride}, 0.0f,
                  out + head * dim, heads * dim);
    }
}
