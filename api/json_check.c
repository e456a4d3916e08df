/* The grammar of RFC 8259, read without building anything. The functions below advance scan->at
 * past what they read; on a fault they leave it at the byte in question and set the problem. */
#include <string.h>
#include <unistr.h>

#include "api/json.h"

struct scan {
    const char *bytes;
    size_t size, at;
    size_t values;
    struct problem *problem;
};

/* The next byte, or 0 at the end: no rule of the grammar has a 0. */
static char peek(const struct scan *scan) {
    return scan->at < scan->size ? scan->bytes[scan->at] : '\0';
}

static bool refuse(struct scan *scan, const char *reason) {
    problem_set(scan->problem, PROBLEM_BAD_REQUEST, "not JSON: %s at byte %zu%s", reason, scan->at,
                scan->at == scan->size ? ", where the body ends" : "");
    return false;
}

static void skip_space(struct scan *scan) {
    for (char c = peek(scan); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(scan))
        scan->at++;
}

static bool take(struct scan *scan, char wanted) {
    if (peek(scan) != wanted)
        return false;
    scan->at++;
    return true;
}

/* ---- strings ----------------------------------------------------------------------------- */

/* Four hex digits; -1 when they are not. */
static int scan_hex4(struct scan *scan) {
    int unit = 0;
    for (int i = 0; i < 4; i++) {
        char c = peek(scan);
        if (c >= '0' && c <= '9')
            unit = unit * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            unit = unit * 16 + (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            unit = unit * 16 + (c - 'A' + 10);
        else
            return -1;
        scan->at++;
    }
    return unit;
}

static bool is_high_surrogate(int unit) {
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int unit) {
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* What follows "\u". */
static bool scan_unicode_escape(struct scan *scan) {
    int unit = scan_hex4(scan);
    if (unit < 0)
        return refuse(scan, "expected four hex digits");
    if (unit == 0) /* it would end a C string early */
        return refuse(scan, "U+0000 in a string");
    bool paired = !is_low_surrogate(unit);
    if (is_high_surrogate(unit))
        paired = take(scan, '\\') && take(scan, 'u') && is_low_surrogate(scan_hex4(scan));
    return paired || refuse(scan, "half a surrogate pair");
}

static bool scan_string(struct scan *scan) {
    if (!take(scan, '"'))
        return refuse(scan, "expected a string");
    for (;;) {
        /* Nearly all of a large body is one base64 string: this loop is what its check costs. */
        const char *bytes = scan->bytes;
        size_t at = scan->at;
        while (at < scan->size && (unsigned char)bytes[at] >= 0x20 && bytes[at] != '"' &&
               bytes[at] != '\\')
            at++;
        scan->at = at;
        if (take(scan, '"'))
            return true;
        if (!take(scan, '\\'))
            return refuse(scan, "expected the end of a string");
        if (take(scan, 'u')) {
            if (!scan_unicode_escape(scan))
                return false;
        } else if (peek(scan) && strchr("\"\\/bfnrt", peek(scan))) {
            scan->at++;
        } else {
            return refuse(scan, "unknown escape");
        }
    }
}

/* ---- numbers and words ------------------------------------------------------------------- */

static bool scan_digits(struct scan *scan) {
    size_t start = scan->at;
    while (peek(scan) >= '0' && peek(scan) <= '9')
        scan->at++;
    return scan->at > start;
}

static bool scan_number(struct scan *scan) {
    size_t start = scan->at;
    take(scan, '-');
    if (!take(scan, '0') && !scan_digits(scan))
        return refuse(scan, "expected a value");
    if (take(scan, '.') && !scan_digits(scan))
        return refuse(scan, "expected a digit");
    if (take(scan, 'e') || take(scan, 'E')) {
        if (!take(scan, '+'))
            take(scan, '-');
        if (!scan_digits(scan))
            return refuse(scan, "expected a digit");
    }
    if (scan->at - start > JSON_NUMBER_MAX)
        return refuse(scan, "a number too long to read");
    return true;
}

static bool scan_word(struct scan *scan, const char *word) {
    size_t size = strlen(word);
    if (scan->size - scan->at < size || memcmp(scan->bytes + scan->at, word, size) != 0)
        return refuse(scan, "expected a value");
    scan->at += size;
    return true;
}

/* ---- values ------------------------------------------------------------------------------ */

static bool scan_value(struct scan *scan, int depth);

static bool scan_array(struct scan *scan, int depth) {
    scan->at++;
    skip_space(scan);
    if (take(scan, ']'))
        return true;
    do {
        if (!scan_value(scan, depth))
            return false;
    } while (take(scan, ','));
    return take(scan, ']') || refuse(scan, "expected ',' or ']'");
}

static bool scan_object(struct scan *scan, int depth) {
    scan->at++;
    skip_space(scan);
    if (take(scan, '}'))
        return true;
    do {
        skip_space(scan);
        if (!scan_string(scan))
            return false;
        skip_space(scan);
        if (!take(scan, ':'))
            return refuse(scan, "expected ':'");
        if (!scan_value(scan, depth))
            return false;
    } while (take(scan, ','));
    return take(scan, '}') || refuse(scan, "expected ',' or '}'");
}

/* A value with the white space around it; depth is how many arrays and objects it is in. */
static bool scan_value(struct scan *scan, int depth) {
    if (++scan->values > JSON_VALUES_MAX) {
        problem_set(scan->problem, PROBLEM_TOO_LARGE, "more than %d JSON values in one request",
                    JSON_VALUES_MAX);
        return false;
    }
    skip_space(scan);
    char c = peek(scan);
    if ((c == '[' || c == '{') && depth == JSON_DEPTH_MAX)
        return refuse(scan, "nested too deeply");
    bool good;
    switch (c) {
    case '[':
        good = scan_array(scan, depth + 1);
        break;
    case '{':
        good = scan_object(scan, depth + 1);
        break;
    case '"':
        good = scan_string(scan);
        break;
    case 't':
        good = scan_word(scan, "true");
        break;
    case 'f':
        good = scan_word(scan, "false");
        break;
    case 'n':
        good = scan_word(scan, "null");
        break;
    default:
        good = scan_number(scan);
    }
    if (good)
        skip_space(scan);
    return good;
}

bool json_check(const char *json, size_t size, struct problem *problem) {
    if (size == 0) {
        problem_set(problem, PROBLEM_BAD_REQUEST, "empty body");
        return false;
    }
    const uint8_t *bytes = (const uint8_t *)json;
    const uint8_t *broken = u8_check(bytes, size);
    if (broken) {
        problem_set(problem, PROBLEM_BAD_REQUEST, "not UTF-8 at byte %zu",
                    (size_t)(broken - bytes));
        return false;
    }
    struct scan scan = {.bytes = json, .size = size, .problem = problem};
    if (!scan_value(&scan, 0))
        return false;
    return scan.at == size || refuse(&scan, "expected the end of the body");
}
