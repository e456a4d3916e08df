/* attention: multi-head self-attention within one window, with relative position biases
 * (TinyViT: Wu et al., arXiv:2207.10666; Attention in mobile_sam/modeling/tiny_vit_sam.py). */
#ifndef ENGINE_KERNELS_ATTENTION_H
#define ENGINE_KERNELS_ATTENTION_H

#include "engine/kernels/kernels.h"

struct window_attention {
    size_t tokens, heads, head_dim;
    const float *bias; /* [heads][tokens][tokens] */
};

/* qkv is [tokens][heads][q, k, v of head_dim each]; out is [tokens][heads][head_dim];
 * scores is room for tokens x tokens. */
void window_attention(const struct kernels *kernels, const struct window_attention *attention,
                      const float *qkv, float *scores, float *out);

#endif
