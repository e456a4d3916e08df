/* compat_read: what the readers of the tools' requests share. Internal to api/. */
#ifndef API_COMPAT_READ_H
#define API_COMPAT_READ_H

#include "api/compat.h"
#include "api/json.h"

/* The first member of this name; NULL when it is not there, or null, or the value no object. */
cJSON *compat_member(const cJSON *object, const char *name);

/* A copy of a string's value; NULL: a fault was added, or out of memory. */
char *compat_string(const struct json_reader *reader, const struct json_path *path,
                    const cJSON *value);

/* Reads exactly count finite numbers. */
bool compat_numbers(const struct json_reader *reader, const struct json_path *path,
                    const cJSON *value, size_t count, double numbers[]);

/* The image as base64 or as a data URI. */
void compat_read_image(const struct json_reader *reader, const struct json_path *path, cJSON *value,
                       struct compat_request *request);
/* The same, or where it is. */
void compat_read_address(const struct json_reader *reader, const struct json_path *path,
                         cJSON *value, struct compat_request *request);

/* One more, zeroed; NULL: out of memory, or too many, which *problem tells. It stays where it is
 * until the next is added. */
struct marks *compat_add_marks(struct compat_request *request, struct problem *problem);
/* A fault at path when there is no room for more. */
void compat_add_point(const struct json_reader *reader, const struct json_path *path,
                      const double point[2], bool foreground, struct marks *marks);

/* Each box that was marked is a mask of its own, with all points in it; without boxes the points
 * are one, if there are any. Takes the points' label. */
void compat_share_points(struct compat_request *request, struct marks *points,
                         struct problem *problem);

/* For readers whose tool sends long lists that a prompt does not need: empties the arrays and
 * objects that are members of these names, in place, before anything is allocated for them. What is
 * in them is not checked. Returns the new size. */
size_t compat_drop_members(char *json, size_t size, const char *const names[], size_t count);

#endif
