/* log: one line an event on standard error, as text or as a JSON object.
 *
 * A line is written by one write(2), so lines of several threads do not mix. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* What is logged from now on and how; before, everything from LOG_INFO on as text. To be called
 * before threads start. */
void log_configure(enum log_level level, enum log_format format);

enum log_kind { LOG_FIELD_STRING, LOG_FIELD_INTEGER, LOG_FIELD_NUMBER };

struct log_field {
    const char *key; /* an identifier of ours */
    enum log_kind kind;
    union {
        const char *string; /* any bytes; NULL reads as "" */
        int64_t integer;
        double number;
    } value;
};

#define LOG_STRING(name, text)                                                                     \
    { .key = (name), .kind = LOG_FIELD_STRING, .value.string = (text) }
#define LOG_INTEGER(name, n)                                                                       \
    { .key = (name), .kind = LOG_FIELD_INTEGER, .value.integer = (n) }
#define LOG_NUMBER(name, n)                                                                        \
    { .key = (name), .kind = LOG_FIELD_NUMBER, .value.number = (n) }

void log_write(enum log_level level, const char *event, const struct log_field *fields, int count);

/* log_event(LOG_INFO, "listening", LOG_STRING("host", host), LOG_INTEGER("port", port)); at least
 * one field */
#define log_event(level, event, ...)                                                               \
    do {                                                                                           \
        const struct log_field log_fields_[] = {__VA_ARGS__};                                      \
        log_write(level, event, log_fields_, (int)(sizeof log_fields_ / sizeof *log_fields_));     \
    } while (0)

#endif
