/* upload: images inside JSON. Internal to api/; the rest of it is in api.h. */
#ifndef API_UPLOAD_H
#define API_UPLOAD_H

#include "api/json.h"

/* Takes a string of base64, or a data URI of it, out of the tree and decodes it in place, so that
 * an image of many megabytes is not copied. *bytes is malloc'd and becomes the caller's, also when
 * there was a fault in it. */
void upload_take_image(const struct json_reader *reader, const struct json_path *path, cJSON *value,
                       uint8_t **bytes, size_t *size);

#endif
