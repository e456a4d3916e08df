#include "server/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The process has one standard error; these are set once, before threads start. */
static enum log_level least = LOG_INFO;
static enum log_format form = LOG_TEXT;

static const char *const LEVELS[] = {"debug", "info", "warning", "error"};

void log_configure(enum log_level level, enum log_format format) {
    least = level;
    form = format;
}

static void put_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20 || *c >= 0x7f) /* whatever its encoding was: the log stays ASCII */
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

/* Quoted only where it would be hard to read back. */
static void put_text_string(FILE *out, const char *text) {
    if (*text && !strpbrk(text, " \"=\\")) {
        const unsigned char *c = (const unsigned char *)text;
        while (*c > 0x20 && *c < 0x7f)
            c++;
        if (!*c) {
            fputs(text, out);
            return;
        }
    }
    put_json_string(out, text);
}

static void put_value(FILE *out, const struct log_field *field) {
    const char *string = field->value.string;
    switch (field->kind) {
    case LOG_FIELD_STRING:
        (form == LOG_JSON ? put_json_string : put_text_string)(out, string ? string : "");
        break;
    case LOG_FIELD_INTEGER:
        fprintf(out, "%lld", (long long)field->value.integer);
        break;
    case LOG_FIELD_NUMBER:
        fprintf(out, "%.3f", isfinite(field->value.number) ? field->value.number : 0.0);
        break;
    }
}

static void put_line(FILE *out, enum log_level level, const char *event,
                     const struct log_field *fields, int count) {
    struct timespec now;
    struct tm utc;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    long milliseconds = now.tv_nsec / 1000000;
    if (form == LOG_JSON) {
        fprintf(out, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":", stamp, milliseconds,
                LEVELS[level]);
        put_json_string(out, event);
    } else {
        fprintf(out, "%s.%03ldZ %-7s %s", stamp, milliseconds, LEVELS[level], event);
    }
    for (int i = 0; i < count; i++) {
        fprintf(out, form == LOG_JSON ? ",\"%s\":" : " %s=", fields[i].key);
        put_value(out, &fields[i]);
    }
    fputs(form == LOG_JSON ? "}\n" : "\n", out);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, int count) {
    char *line = NULL;
    size_t size = 0;
    if (level < least)
        return;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return;
    put_line(out, level, event, fields, count);
    if (fclose(out) == 0) {
        ssize_t ignored =
            write(STDERR_FILENO, line, size); /* a log that is gone stops no service */
        (void)ignored;
    }
    free(line);
}
