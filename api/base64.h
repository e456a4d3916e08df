/* base64: bytes in JSON strings, plain or as data URIs (RFC 2397). Internal to api/. */
#ifndef API_BASE64_H
#define API_BASE64_H

#include "api/text.h"

/* The base64 text of a data URI, or of a string that is none. NULL: a data URI of another form. */
char *base64_text(char *string);

/* bytes may be the text's own memory: they never outgrow it. White space is skipped, as in the
 * base64 of a PEM file. False: not base64. */
bool base64_decode(const char *text, uint8_t *bytes, size_t *size);

void base64_write(struct text *text, const uint8_t *bytes, size_t size);

#endif
