#include "api/multipart.h"

#include <string.h>
#include <strings.h>

/* ---- parameters: type; name=value; name="quoted \"value\"" ------------------------------- */

struct range {
    const char *at, *end;
};

static void skip_spaces(struct range *text) {
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t'))
        text->at++;
}

static void append(char *to, size_t size, size_t *used, char c) {
    if (*used + 1 < size)
        to[(*used)++] = c;
}

/* Reads a value at `text` and goes behind it. What does not fit is cut. */
static void read_value(struct range *text, char *value, size_t size) {
    size_t used = 0;
    if (text->at < text->end && *text->at == '"') {
        for (text->at++; text->at < text->end && *text->at != '"'; text->at++) {
            if (*text->at == '\\' && text->at + 1 < text->end)
                text->at++;
            append(value, size, &used, *text->at);
        }
        if (text->at < text->end)
            text->at++;
    } else {
        for (; text->at < text->end && !strchr("; \t\r", *text->at); text->at++)
            append(value, size, &used, *text->at);
    }
    value[used] = '\0';
}

/* Whether the parameter is there; it gives its first value. */
static bool find_parameter(struct range text, const char *name, char *value, size_t size) {
    char other[2] = "";
    size_t length = strlen(name);
    while ((text.at = memchr(text.at, ';', (size_t)(text.end - text.at)))) {
        text.at++;
        skip_spaces(&text);
        const char *start = text.at;
        while (text.at < text.end && *text.at != '=' && *text.at != ';')
            text.at++;
        if (text.at == text.end)
            break;
        if (*text.at == ';')
            continue;
        bool wanted = (size_t)(text.at - start) == length && strncasecmp(start, name, length) == 0;
        text.at++;
        read_value(&text, wanted ? value : other, wanted ? size : sizeof other);
        if (wanted)
            return true;
    }
    return false;
}

/* ---- delimiters -------------------------------------------------------------------------- */

enum delimiter { DELIMITER_NONE, DELIMITER_OPEN, DELIMITER_CLOSE };

/* What follows a delimiter tells whether it is one, and which; *next is what comes after its line.
 */
static enum delimiter classify(const uint8_t *at, const uint8_t *end, const uint8_t **next) {
    if (end - at >= 2 && at[0] == '-' && at[1] == '-') {
        *next = NULL; /* what follows is not ours to read */
        return DELIMITER_CLOSE;
    }
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return DELIMITER_NONE;
    *next = at + 2;
    return DELIMITER_OPEN;
}

/* Finds the next delimiter line: *before is where what precedes it ends, and the body goes on at
 * `at`. */
static enum delimiter find_delimiter(struct multipart *multipart, const uint8_t **before) {
    const uint8_t *at = multipart->at;
    while ((at = memmem(at, (size_t)(multipart->end - at), multipart->delimiter,
                        multipart->delimiter_size))) {
        const uint8_t *next;
        enum delimiter delimiter = classify(at + multipart->delimiter_size, multipart->end, &next);
        if (delimiter != DELIMITER_NONE) {
            *before = at;
            multipart->at = next;
            return delimiter;
        }
        at++;
    }
    return DELIMITER_NONE;
}

bool multipart_begin(struct multipart *multipart, const char *content_type, const uint8_t *body,
                     size_t size, const char **why) {
    char *boundary = multipart->delimiter + 4;
    const struct range type = {content_type, content_type + strlen(content_type)};
    const uint8_t *next, *unused;
    memcpy(multipart->delimiter, "\r\n--", 4);
    *boundary = '\0';
    if (!find_parameter(type, "boundary", boundary, MULTIPART_BOUNDARY_MAX + 1) || !*boundary) {
        *why = "the Content-Type of the multipart body names no boundary";
        return false;
    }
    multipart->delimiter_size = strlen(multipart->delimiter);
    multipart->at = body;
    multipart->end = body + size;
    /* the first one may stand at the very beginning, without a line before it */
    const size_t line = multipart->delimiter_size - 2;
    if (size >= line && memcmp(body, multipart->delimiter + 2, line) == 0 &&
        classify(body + line, multipart->end, &next) == DELIMITER_OPEN) {
        multipart->at = next;
        return true;
    }
    if (find_delimiter(multipart, &unused) == DELIMITER_OPEN)
        return true;
    *why = "the multipart body does not begin with the boundary of its Content-Type";
    return false;
}

/* ---- parts ------------------------------------------------------------------------------- */

/* Reads the header lines at `at`, up to the empty line. False: there is none, or no name. */
static bool read_headers(struct multipart *multipart, struct multipart_part *part) {
    static const char wanted[] = "content-disposition:";
    bool named = false;
    const uint8_t *line_end;
    while (
        (line_end = memmem(multipart->at, (size_t)(multipart->end - multipart->at), "\r\n", 2))) {
        const struct range line = {(const char *)multipart->at, (const char *)line_end};
        const size_t length = (size_t)(line.end - line.at);
        multipart->at = line_end + 2;
        if (length == 0)
            return named;
        if (length >= sizeof wanted - 1 && strncasecmp(line.at, wanted, sizeof wanted - 1) == 0)
            named = find_parameter(line, "name", part->name, sizeof part->name);
    }
    return false;
}

enum multipart_step multipart_next(struct multipart *multipart, struct multipart_part *part,
                                   const char **why) {
    if (!multipart->at)
        return MULTIPART_END;
    if (!read_headers(multipart, part)) {
        *why = "a part of the multipart body has no Content-Disposition with a name";
        return MULTIPART_BROKEN;
    }
    part->bytes = multipart->at;
    multipart->at -= 2; /* an empty part's delimiter begins with the line end of its headers */
    const uint8_t *end;
    if (find_delimiter(multipart, &end) == DELIMITER_NONE) {
        *why = "the multipart body ends before its last boundary";
        return MULTIPART_BROKEN;
    }
    part->size = end > part->bytes ? (size_t)(end - part->bytes) : 0;
    return MULTIPART_PART;
}
