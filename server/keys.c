#include "server/keys.h"

#include <errno.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 10000, LINE_MAX_LENGTH = KEY_MAX + KEY_LABEL_MAX + 64 };

struct key_list {
    size_t count;
    struct key *keys; /* owned */
};

struct keys {
    char *path; /* owned */
    pthread_rwlock_t lock;
    struct key_list list;
};

static void digest_of(const char *secret, size_t size, uint8_t digest[KEY_DIGEST_BYTES]) {
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, size, (const uint8_t *)secret);
    sha256_digest(&sha, KEY_DIGEST_BYTES, digest);
}

/* ---- the file ---------------------------------------------------------------------------- */

/* The length of what has no space and no control character in it. */
static size_t word_length(const char *text) {
    size_t length = 0;
    while (text[length] > ' ' && text[length] < 0x7f)
        length++;
    return length;
}

static bool label_is_valid(const char *label) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._@-";
    size_t length = strlen(label);
    return length <= KEY_LABEL_MAX && strspn(label, allowed) == length;
}

/* A line without its indentation and its end, and not empty. What is wrong with it; or NULL. */
static const char *read_key(const char *line, int number, struct key *key) {
    const size_t length = word_length(line);
    const char *label = line + length + strspn(line + length, " \t");
    if (length < KEY_MIN || length > KEY_MAX)
        return "a key has 16 to 256 visible ASCII characters";
    if (label == line + length && *label)
        return "a key has visible ASCII characters only";
    if (!label_is_valid(label))
        return "after the key comes a label of at most 64 letters, digits, or any of . _ @ -";
    digest_of(line, length, key->digest);
    if (*label)
        snprintf(key->label, sizeof key->label, "%s", label);
    else
        snprintf(key->label, sizeof key->label, "line-%d", number);
    return NULL;
}

static const char *add_key(struct key_list *list, const char *line, int number) {
    struct key key = {0};
    const char *why = read_key(line, number, &key);
    if (why)
        return why;
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(list->keys[i].digest, key.digest, sizeof key.digest) == 0)
            return "this key is there already";
    if (list->count == KEYS_MAX)
        return "more than 10000 keys";
    struct key *grown = realloc(list->keys, (list->count + 1) * sizeof *grown);
    if (!grown)
        return "out of memory";
    list->keys = grown;
    list->keys[list->count++] = key;
    return NULL;
}

/* Takes off indentation and the end, trailing spaces included. */
static char *trimmed(char *line) {
    char *start = line + strspn(line, " \t");
    size_t length = strlen(start);
    while (length > 0 && strchr(" \t\r\n", start[length - 1]))
        start[--length] = '\0';
    return start;
}

static enum status read_lines(FILE *file, const char *path, struct key_list *list,
                              struct error *error) {
    char line[LINE_MAX_LENGTH];
    const char *why = NULL;
    int number = 0;
    while (!why && fgets(line, sizeof line, file)) {
        const bool cut = strlen(line) == sizeof line - 1 && line[sizeof line - 2] != '\n';
        const char *text = trimmed(line);
        number++;
        if (cut) /* what follows is no line of its own */
            why = "too long";
        else if (*text && *text != '#')
            why = add_key(list, text, number);
    }
    explicit_bzero(line, sizeof line);
    if (why)
        return error_set(error, STATUS_INVALID, "%.100s line %d: %s", path, number, why);
    if (ferror(file))
        return error_set(error, STATUS_IO, "%.100s: %s", path, strerror(errno));
    if (list->count == 0)
        return error_set(error, STATUS_INVALID, "%.100s: no key is in it", path);
    return STATUS_OK;
}

/* Unless STATUS_OK, *list is zeroed. */
static enum status read_file(const char *path, struct key_list *list, struct error *error) {
    *list = (struct key_list){0};
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, STATUS_IO, "%.100s: %s", path, strerror(errno));
    enum status status = read_lines(file, path, list, error);
    fclose(file);
    if (status != STATUS_OK) {
        free(list->keys);
        *list = (struct key_list){0};
    }
    return status;
}

/* ---- the keys ---------------------------------------------------------------------------- */

enum status keys_create(const char *path, struct keys **out, struct error *error) {
    *out = NULL;
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys)
        keys->path = strdup(path);
    if (!keys || !keys->path) {
        free(keys);
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    }
    pthread_rwlock_init(&keys->lock, NULL);
    enum status status = read_file(path, &keys->list, error);
    if (status == STATUS_OK)
        *out = keys;
    else
        keys_free(keys);
    return status;
}

void keys_free(struct keys *keys) {
    if (!keys)
        return;
    pthread_rwlock_destroy(&keys->lock);
    free(keys->list.keys);
    free(keys->path);
    free(keys);
}

enum status keys_reload(struct keys *keys, struct error *error) {
    struct key_list list;
    enum status status = read_file(keys->path, &list, error);
    if (status != STATUS_OK)
        return status;
    pthread_rwlock_wrlock(&keys->lock);
    struct key_list old = keys->list;
    keys->list = list;
    pthread_rwlock_unlock(&keys->lock);
    free(old.keys);
    return STATUS_OK;
}

size_t keys_count(struct keys *keys) {
    pthread_rwlock_rdlock(&keys->lock);
    size_t count = keys->list.count;
    pthread_rwlock_unlock(&keys->lock);
    return count;
}

bool keys_find(struct keys *keys, const char *secret, size_t size, struct key *found) {
    uint8_t digest[KEY_DIGEST_BYTES];
    bool any = false;
    digest_of(secret, size, digest);
    pthread_rwlock_rdlock(&keys->lock);
    for (size_t i = 0; i < keys->list.count; i++) { /* all of them, whichever it is */
        if (memeql_sec(digest, keys->list.keys[i].digest, sizeof digest)) {
            *found = keys->list.keys[i];
            any = true;
        }
    }
    pthread_rwlock_unlock(&keys->lock);
    return any;
}
