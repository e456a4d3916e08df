/* json: a strict reading of JSON on top of cJSON, with every fault told by its JSON Pointer.
 * Internal to api/.
 *
 * cJSON builds the tree but forgives a lot (control characters, "01", a \u0000 that ends a string
 * early, text after the value). So json_check reads the grammar of RFC 8259 first, and cJSON only
 * sees what passed. */
#ifndef API_JSON_H
#define API_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"

enum {
    JSON_DEPTH_MAX = 32,
    JSON_VALUES_MAX = 1 << 18, /* cJSON takes about 80 bytes for each, however short its text is */
    JSON_NUMBER_MAX = 63,      /* characters; cJSON reads no more */
};

/* Whether the bytes are one JSON text in UTF-8, without U+0000 and within the limits above. False:
 * *problem tells what was wrong at which byte. */
bool json_check(const char *json, size_t size, struct problem *problem);

/* json_check, then the tree (cJSON_Delete); NULL: *problem tells why. */
cJSON *json_parse(const char *json, size_t size, struct problem *problem);

/* A place in the document, linked to the place around it; NULL is the root. It lives on the stack
 * of the function that reads the value, and becomes text only when there is a fault to tell. */
struct json_path {
    const struct json_path *parent;
    const char *member; /* of an object; or NULL, and then */
    size_t index;       /* of an array */
};

/* Where the faults of one request go, and of which type they are. */
struct json_reader {
    struct problem *problem;
    enum problem_type type;
};

void json_fault(const struct json_reader *reader, const struct json_path *path, const char *format,
                ...) __attribute__((format(printf, 3, 4)));

/* Finds the members of an object by their names; values[i] is NULL when names[i] is not there. A
 * member that is not among the names is a fault, and so is one that is there twice (the first
 * counts). False, a fault as well: not an object. */
bool json_members(const struct json_reader *reader, const struct json_path *path,
                  const cJSON *object, const char *const names[], size_t count,
                  const cJSON *values[]);

/* These read one value; when it has another type they add a fault and say false. */
bool json_number(const struct json_reader *reader, const struct json_path *path, const cJSON *value,
                 double *number); /* finite */
bool json_boolean(const struct json_reader *reader, const struct json_path *path,
                  const cJSON *value, bool *boolean);
bool json_string(const struct json_reader *reader, const struct json_path *path, const cJSON *value,
                 const char **string); /* borrowed from the tree */
bool json_array(const struct json_reader *reader, const struct json_path *path, const cJSON *value,
                size_t *count);

#endif
