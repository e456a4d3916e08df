#include "engine/kernels/kernels.h"

extern const struct kernels kernels_portable;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_avx512_bf16;
#endif

const struct kernels *kernels_at(size_t index) {
    const struct kernels *able[4] = {&kernels_portable};
#if defined(__x86_64__)
    size_t count = 1;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c"))
        able[count++] = &kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        able[count++] = &kernels_avx512;
    if (count == 3 && __builtin_cpu_supports("avx512bf16"))
        able[count++] = &kernels_avx512_bf16;
#endif
    return index < sizeof able / sizeof *able ? able[index] : NULL;
}

const struct kernels *kernels_best(void) {
    const struct kernels *best = kernels_at(0);
    for (size_t i = 1; kernels_at(i); i++)
        best = kernels_at(i);
    return best;
}
