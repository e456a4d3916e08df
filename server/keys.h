/* keys: who may come in. API keys from a file, which can be read again while requests come.
 *
 * A line of the file is a key of 16 to 256 visible ASCII characters, and after a space the label
 * that logs know it by ([A-Za-z0-9._@-], 64 at most; without one: "line-" and its number). Empty
 * lines and lines that begin with # are skipped. Only the SHA-256 of a key is kept. All functions
 * may be called from any thread. */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/status.h"

enum { KEY_MIN = 16, KEY_MAX = 256, KEY_LABEL_MAX = 64, KEY_DIGEST_BYTES = 32 };

struct key {
    uint8_t digest[KEY_DIGEST_BYTES]; /* SHA-256 */
    char label[KEY_LABEL_MAX + 1];
};

struct keys;

/* STATUS_IO: the file cannot be read; STATUS_INVALID: a line is no key, a key is there twice, or
 * there is none; the message names the line, never the key. STATUS_NO_MEMORY. */
enum status keys_create(const char *path, struct keys **keys, struct error *error);
void keys_free(struct keys *keys); /* NULL is allowed */

/* Reads the file again. Unless STATUS_OK the keys stay as they are. */
enum status keys_reload(struct keys *keys, struct error *error);

size_t keys_count(struct keys *keys);

/* Whether it is one of the keys; *found is a copy of that. Takes as long for a key that is nearly
 * right as for any other. */
bool keys_find(struct keys *keys, const char *secret, size_t size, struct key *found);

#endif
