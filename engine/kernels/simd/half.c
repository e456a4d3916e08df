#include "engine/kernels/simd/kernels_isa.h"

/* The compiler knows the conversion of one value, but does not find that of a vector. */
void KERNEL(to_half)(const float *x, uint16_t *half, size_t n) {
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8) {
        __m128i packed = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(half + i), packed);
    }
#endif
    for (; i < n; i++) {
        _Float16 value = (_Float16)x[i];
        memcpy(half + i, &value, sizeof value);
    }
}

void KERNEL(from_half)(const uint16_t *half, float *x, size_t n) {
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8) {
        __m128i packed = _mm_loadu_si128((const __m128i *)(half + i));
        _mm256_storeu_ps(x + i, _mm256_cvtph_ps(packed));
    }
#endif
    for (; i < n; i++) {
        _Float16 value;
        memcpy(&value, half + i, sizeof value);
        x[i] = (float)value;
    }
}
