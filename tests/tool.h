/* tool: what the programs have in common that benchmark and parity run. What fails ends them. */
#ifndef TESTS_TOOL_H
#define TESTS_TOOL_H

#include "engine/engine.h"

_Noreturn void die(const char *what, const char *why);

/* The caller's to free. */
uint8_t *read_file(const char *path, size_t *size);

void read_image(const char *path, struct image *image);

/* As the encoder takes it: resampled to the geometry's scaled size. */
void scale_image(const struct image *image, int input_size, struct image *scaled,
                 struct geometry *geometry);

/* Both. */
void read_scaled_image(const char *path, int input_size, struct image *scaled,
                       struct geometry *geometry);

#endif
