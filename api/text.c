#include "api/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

void text_fail(struct text *text) {
    free(text->data);
    *text = (struct text){.failed = true};
}

void text_reserve(struct text *text, size_t size) {
    if (text->failed || size < text->capacity - text->size) /* one byte stays for the zero */
        return;
    if (size >= SIZE_MAX / 2 - text->capacity) {
        text_fail(text);
        return;
    }
    size_t capacity = text->capacity * 2;
    if (capacity < text->size + size + 1)
        capacity = text->size + size + 1;
    if (capacity < 512)
        capacity = 512;
    char *data = realloc(text->data, capacity);
    if (!data) {
        text_fail(text);
        return;
    }
    text->data = data;
    text->capacity = capacity;
}

void text_append(struct text *text, const char *bytes, size_t size) {
    text_reserve(text, size);
    if (text->failed || size == 0)
        return;
    memcpy(text->data + text->size, bytes, size);
    text->size += size;
}

void text_add(struct text *text, const char *string) {
    text_append(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    text_reserve(text, 128); /* enough for most: then it is formatted once */
    if (!text->failed) {
        size_t room = text->capacity - text->size;
        int size = vsnprintf(text->data + text->size, room, format, arguments);
        if (size < 0) {
            text_fail(text);
        } else if ((size_t)size >= room) {
            text_reserve(text, (size_t)size);
            if (!text->failed)
                vsnprintf(text->data + text->size, (size_t)size + 1, format, again);
        }
        if (!text->failed)
            text->size += (size_t)size;
    }
    va_end(again);
    va_end(arguments);
}

static void append_escaped(struct text *text, unsigned char byte) {
    switch (byte) {
    case '"':
        text_append(text, "\\\"", 2);
        break;
    case '\\':
        text_append(text, "\\\\", 2);
        break;
    case '\n':
        text_append(text, "\\n", 2);
        break;
    case '\r':
        text_append(text, "\\r", 2);
        break;
    case '\t':
        text_append(text, "\\t", 2);
        break;
    default:
        text_format(text, "\\u%04x", (unsigned)byte);
    }
}

void text_string(struct text *text, const char *string) {
    const uint8_t *at = (const uint8_t *)string, *end = at + strlen(string);
    text_reserve(text, (size_t)(end - at) + 2);
    text_append(text, "\"", 1);
    while (at < end) {
        const uint8_t *plain = at;
        while (at < end && *at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\')
            at++;
        text_append(text, (const char *)plain, (size_t)(at - plain));
        if (at == end)
            break;
        if (*at < 0x80) {
            append_escaped(text, *at++);
            continue;
        }
        ucs4_t code_point;
        int size = u8_mbtoucr(&code_point, at, (size_t)(end - at));
        if (size > 0) {
            text_append(text, (const char *)at, (size_t)size);
            at += size;
        } else {
            text_add(text, "\uFFFD");
            at++;
        }
    }
    text_append(text, "\"", 1);
}

void text_unsigned(struct text *text, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    text_append(text, digits + at, sizeof digits - at);
}

void text_fixed(struct text *text, double value, int decimals) {
    char digits[352]; /* DBL_MAX has 309 before its point */
    int size = snprintf(digits, sizeof digits, "%.*f", decimals, isfinite(value) ? value : 0.0);
    if (size < 0 || (size_t)size >= sizeof digits) {
        text_fail(text);
        return;
    }
    if (decimals > 0) {
        while (digits[size - 1] == '0')
            size--;
        if (digits[size - 1] == '.')
            size--;
    }
    text_append(text, digits, (size_t)size);
}

void text_float(struct text *text, float value) {
    text_format(text, "%.6g", isfinite(value) ? (double)value : 0.0);
}

char *text_finish(struct text *text) {
    text_reserve(text, 0);
    char *data = text->data;
    if (data)
        data[text->size] = '\0';
    *text = (struct text){0};
    return data;
}

void utf8_format(char *out, size_t size, const char *format, va_list arguments) {
    static const char ellipsis[] = "\u2026";
    int needed = vsnprintf(out, size, format, arguments);
    if (needed < 0) {
        out[0] = '\0';
    } else if ((size_t)needed >= size) {
        size_t end = size - sizeof ellipsis;
        while (end > 0 && ((unsigned char)out[end] & 0xC0) == 0x80)
            end--;
        memcpy(out + end, ellipsis, sizeof ellipsis);
    }
}
