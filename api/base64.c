#include "api/base64.h"

#include <nettle/base64.h>
#include <string.h>
#include <strings.h>

char *base64_text(char *string) {
    static const char scheme[] = "data:", base64[] = ";base64";
    if (strncasecmp(string, scheme, sizeof scheme - 1) != 0)
        return string;
    char *comma = strchr(string, ',');
    const size_t size = sizeof base64 - 1;
    if (!comma || (size_t)(comma - string) < sizeof scheme - 1 + size ||
        strncasecmp(comma - size, base64, size) != 0)
        return NULL;
    return comma + 1;
}

bool base64_decode(const char *text, uint8_t *bytes, size_t *size) {
    struct base64_decode_ctx context;
    base64_decode_init(&context);
    return base64_decode_update(&context, size, bytes, strlen(text), text) &&
           base64_decode_final(&context);
}

void base64_write(struct text *text, const uint8_t *bytes, size_t size) {
    text_reserve(text, BASE64_ENCODE_RAW_LENGTH(size));
    if (text->failed)
        return;
    base64_encode_raw(text->data + text->size, size, bytes);
    text->size += BASE64_ENCODE_RAW_LENGTH(size);
}
