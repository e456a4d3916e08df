/* file_map: a regular file as read-only memory.
 *
 * The pages are the file's own: whoever truncates it while it is mapped makes the reader fault.
 * Weights are therefore replaced by rename, never written in place (safetensors_write). */
#ifndef ENGINE_WEIGHTS_FILE_MAP_H
#define ENGINE_WEIGHTS_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

struct file_map {
    const uint8_t *bytes; /* page-aligned; NULL when nothing is mapped */
    size_t size;
};

/* On STATUS_OK the caller owns the mapping (file_map_close). STATUS_IO; STATUS_UNSUPPORTED: not a
 * regular file, or empty; STATUS_TOO_LARGE: more than limit bytes. */
enum status file_map_open(const char *path, size_t limit, struct file_map *map,
                          struct error *error);
/* Gives the resident pages back to the system; they are read again when they are touched. */
void file_map_trim(const struct file_map *map);

void file_map_close(struct file_map *map); /* zeroes it; a zeroed map may be closed again */

#endif
