/* mask_formats: masks as they go over the wire <-> struct mask. Internal to api/; the decoders that
 * are reached from outside are in api.h. */
#ifndef API_MASK_FORMATS_H
#define API_MASK_FORMATS_H

#include "api/api.h"
#include "api/text.h"

/* Writes the value of "segmentation", or fails the text. */
void segmentation_write(struct text *text, const struct mask *mask, enum mask_format format,
                        double simplify);

/* The format of a name; FORMAT_COUNT when there is none. */
enum mask_format mask_format_find(const char *name);

/* Takes ownership of counts (malloc'd), whatever the outcome, and makes them canonical: runs of
 * length zero, which some encoders write, are merged away, so that only the first may be zero.
 * STATUS_INVALID: their sum is not height x width. On failure *mask is zeroed. */
enum status mask_from_counts(uint32_t *counts, size_t count, int height, int width,
                             struct mask *mask, struct error *error);

/* The same of row-major counts. STATUS_TOO_LARGE: down the columns they are more than
 * MASK_RUNS_MAX. */
enum status mask_from_rows(uint32_t *counts, size_t count, int height, int width, struct mask *mask,
                           struct error *error);

/* STATUS_INVALID: a mask cannot have this size. */
enum status mask_check_size(int height, int width, struct error *error);

/* Append arrays of numbers. */
void labelstudio_rle_write(struct text *text, const struct mask *mask);
void cvat_rle_write(struct text *text, const struct mask *mask);
void polygons_write(struct text *text, const struct mask *mask, bool holes, double simplify);

#endif
