/* sources: which image was fetched from which address, so that the next click on it does not fetch
 * it again. Bounded, the least recently used is forgotten first, and each after ten minutes: what
 * is at an address may change. All functions may be called from any thread. */
#ifndef SERVER_SOURCES_H
#define SERVER_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"

enum { SOURCES_MAX = 1024, SOURCE_SECONDS = 600 };

struct sources;

struct sources *sources_create(void);       /* NULL when out of memory */
void sources_free(struct sources *sources); /* NULL is allowed */

/* now_ns: clock_now_ns. False: not known. */
bool sources_find(struct sources *sources, const char *address, int64_t now_ns,
                  char id[IMAGE_ID_MAX + 1]);
void sources_note(struct sources *sources, const char *address, const char *id, int64_t now_ns);

#endif
