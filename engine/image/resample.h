/* The two passes of a resampling, as loops over rows: weighted sums of 8-bit samples in fixed
 * point. */
#ifndef ENGINE_IMAGE_RESAMPLE_H
#define ENGINE_IMAGE_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

/* A weight of 1.0 is 2^22, as in Pillow: 32 bits hold the weight, 8 bits of sample and two bits of
 * headroom. */
enum { RESAMPLE_WEIGHT_BITS = 32 - 8 - 2 };

/* Gives each output position the same number of taps: neighbouring input positions with weights. */
struct resample_filter {
    int outputs, taps;
    int *first;        /* [outputs]: the input position of the first tap; first + taps <= inputs */
    uint32_t *weights; /* [outputs][taps]: they sum to about 2^22 */
};

/* The horizontal pass takes this many rows at a time, one to each lane of a vector. */
enum { RESAMPLE_ROWS = 4 };
typedef uint32_t resample_lanes __attribute__((vector_size(4 * RESAMPLE_ROWS)));

/* The pixels at one x: the red samples of all the rows, the green ones and the blue ones. */
struct resample_column {
    resample_lanes red, green, blue;
};

struct resample_kernels {
    /* Resamples RESAMPLE_ROWS rows of RGB, of inputs pixels each, to filter->outputs pixels. The
     * last row may be given more than once, in and out alike. columns is scratch: [inputs]. */
    void (*horizontal)(const struct resample_filter *filter, struct resample_column *columns,
                       const uint8_t *const in[RESAMPLE_ROWS], int inputs,
                       uint8_t *const out[RESAMPLE_ROWS]);
    /* out[i] is the weighted sum of rows[tap][i], for length samples. */
    void (*vertical)(const uint32_t *weights, int taps, const uint8_t *const *rows, uint8_t *out,
                     size_t length);
};

/* The fastest for this machine, and those that any machine can run; both give the same bits. */
struct resample_kernels resample_kernels(void);
struct resample_kernels resample_kernels_portable(void);

#endif
