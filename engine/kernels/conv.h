/* conv: what turns a 3x3 convolution on token-major data into a matrix product, row by row. */
#ifndef ENGINE_KERNELS_CONV_H
#define ENGINE_KERNELS_CONV_H

#include <stddef.h>

/* The inputs of one output row of a 3x3 convolution with padding 1, laid out for a product with
 * [out][9][in] weights: columns[x] = the 9 taps of output column x, row by row, [output_width][9 *
 * channels]. rows are the three input rows, [width][channels] each; NULL: outside the image, zero.
 */
void conv3x3_columns(const float *const rows[3], size_t width, size_t channels, size_t stride,
                     size_t output_width, float *columns);

#endif
