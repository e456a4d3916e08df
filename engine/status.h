/* status: how a function of maskd says that it failed.
 *
 * A function that can fail returns an enum status and, when it is not STATUS_OK, leaves one
 * sentence for a person in the caller's struct error. Nothing is printed and nothing exits below
 * main(). */
#ifndef ENGINE_STATUS_H
#define ENGINE_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_INVALID,     /* readable, but wrong: a value out of range, a shape that does not fit */
    STATUS_UNSUPPORTED, /* not a thing we read, or damaged so that it cannot be read */
    STATUS_TOO_LARGE,   /* a limit was passed; the message names the limit */
    STATUS_NO_MEMORY,
    STATUS_IO, /* the system refused: a file that is missing, a disk that is full */
};

struct error {
    char message[256]; /* UTF-8, no newline; empty when nothing failed */
};

/* Writes the formatted message (cut to fit) and returns status, so that a failure is one line:
 *     return error_set(error, STATUS_INVALID, "%s has %d dimensions, not 4", name, rank);
 * error may be NULL. */
enum status error_set(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
