/* text: a growing string buffer to write JSON into.
 *
 * A failed allocation is remembered: what is appended after it is dropped, and text_finish says
 * NULL. So a writer checks once, at its end. Internal to api/. */
#ifndef API_TEXT_H
#define API_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty. */
struct text {
    char *data;
    size_t size, capacity;
    bool failed;
};

/* Makes room for size more bytes, so that the appends of a known amount allocate once. */
void text_reserve(struct text *text, size_t size);

/* Remembers a failure that a writer met elsewhere, such as an allocation of its own. */
void text_fail(struct text *text);

void text_append(struct text *text, const char *bytes, size_t size);
void text_add(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void text_string(struct text *text, const char *string);

/* JSON numbers. A value that JSON cannot say (NaN, infinity) becomes 0. */
void text_unsigned(struct text *text, uint64_t value);
void text_fixed(struct text *text, double value, int decimals); /* without trailing zeros */
void text_float(struct text *text, float value);                /* 6 significant digits */

/* The zero-terminated string, the caller's to free; or NULL when out of memory. Empties *text. */
char *text_finish(struct text *text);

/* vsnprintf that cuts, where it must, between two code points and marks the cut with U+2026 (...).
 */
void utf8_format(char *out, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#endif
