/* fma-peak: the most that this machine's cores can do, for bench.py to measure the engine by.
 *
 *   fma-peak THREADS
 *
 * For each line of standard input it runs a few short bursts of independent fused multiply-adds, in
 * registers, on all threads at once, and answers with a line: the best burst's GFLOP/s, a tab, and
 * the instruction set, the widest of this processor. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/parallel.h"

enum {
    THREADS_MAX = 256,
    BURSTS = 40,
    ITERATIONS = 1000000, /* of a burst: about 2 ms, less than a turn of others on a busy machine */
#ifdef __x86_64__
    CHAINS = 12, /* at least latency x units, 4 x 2; and with both factors within 16 registers */
#else
    CHAINS = 24, /* 4 x 4, within 32 */
#endif
};

/* Numbers that the compiler does not know. The sums stay near 1. */
static volatile float factor = 0.75f, term = 0.25f;

#define UNROLLED _Pragma("GCC unroll 24")

/* GCC makes one instruction of each product and sum where the instruction set has it. */
#define DEFINE_BURST(isa, bytes, target)                                                           \
    target static float burst_##isa(void) {                                                        \
        typedef float vector __attribute__((vector_size(bytes)));                                  \
        const vector zero = {0}, a = zero + factor, b = zero + term;                               \
        vector chains[CHAINS], sum = zero;                                                         \
        for (int c = 0; c < CHAINS; c++)                                                           \
            chains[c] = zero + (float)c;                                                           \
        for (int i = 0; i < ITERATIONS; i++) {                                                     \
            UNROLLED                                                                               \
            for (int c = 0; c < CHAINS; c++)                                                       \
                chains[c] = chains[c] * a + b;                                                     \
        }                                                                                          \
        for (int c = 0; c < CHAINS; c++)                                                           \
            sum += chains[c];                                                                      \
        float total = 0;                                                                           \
        for (size_t lane = 0; lane < sizeof sum / sizeof(float); lane++)                           \
            total += sum[lane];                                                                    \
        return total;                                                                              \
    }

DEFINE_BURST(portable, 16, )
#ifdef __x86_64__
DEFINE_BURST(avx2, 32, __attribute__((target("avx2,fma"))))
DEFINE_BURST(avx512, 64, __attribute__((target("avx512f,prefer-vector-width=512"))))
#endif

struct isa {
    const char *name;
    int floats; /* in a register */
    float (*burst)(void);
};

static struct isa widest(void) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f"))
        return (struct isa){"avx512", 16, burst_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct isa){"avx2", 8, burst_avx2};
#endif
    return (struct isa){"portable", 4, burst_portable};
}

struct runner {
    pthread_t thread;
    const struct isa *isa;
    atomic_int *missing; /* threads that have not come yet */
    int64_t start_ns, end_ns;
    volatile float sum; /* somebody wants it */
};

static void *run(void *argument) {
    struct runner *runner = argument;
    atomic_fetch_sub(runner->missing, 1);
    while (atomic_load(runner->missing) > 0)
        ; /* all begin at once, with their cores awake */
    runner->start_ns = clock_now_ns();
    runner->sum = runner->isa->burst();
    runner->end_ns = clock_now_ns();
    return NULL;
}

/* GFLOP/s from the first thread's start to the last one's end. */
static double burst(const struct isa *isa, int threads) {
    static struct runner runners[THREADS_MAX];
    atomic_int missing = threads;
    for (int i = 0; i < threads; i++) {
        runners[i] = (struct runner){.isa = isa, .missing = &missing};
        if (pthread_create(&runners[i].thread, NULL, run, &runners[i]) != 0) {
            fprintf(stderr, "fma-peak: no threads\n");
            exit(1);
        }
    }
    int64_t start = INT64_MAX, end = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(runners[i].thread, NULL);
        start = runners[i].start_ns < start ? runners[i].start_ns : start;
        end = runners[i].end_ns > end ? runners[i].end_ns : end;
    }
    return 2.0 * CHAINS * isa->floats * ITERATIONS * threads / (double)(end - start);
}

int main(int argc, char **argv) {
    const struct isa isa = widest();
    const int threads = argc == 2 ? atoi(argv[1]) : 0;
    char line[32];
    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: fma-peak THREADS\n");
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        double best = 0;
        for (int i = 0; i < BURSTS; i++) {
            double gflops = burst(&isa, threads);
            best = gflops > best ? gflops : best;
        }
        printf("%.3f\t%s\n", best, isa.name);
        fflush(stdout);
    }
    return 0;
}
