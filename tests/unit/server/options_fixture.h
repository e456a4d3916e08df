/* Options read in a directory of their own, without the environment of whoever runs the tests. */
#ifndef TESTS_UNIT_SERVER_OPTIONS_FIXTURE_H
#define TESTS_UNIT_SERVER_OPTIONS_FIXTURE_H

#include <stddef.h>

#include "server/options.h"

/* To be a checked fixture: goes to a new, empty directory and forgets every MASKD_ variable; and
 * back. */
void options_set_up(void);
void options_tear_down(void);

void go_to_the_repository(void);
void write_file(const char *path, const char *text);

/* What options_read made of some arguments. */
struct reading {
    struct options options;
    int count;         /* of faults, as returned */
    char faults[8192]; /* as reported */
};

/* Arguments up to a NULL. */
struct reading read_arguments(const char *const *arguments);

/* read_options("--port", "1"); none: read_options(NULL) */
#define read_options(...) read_arguments((const char *const[]){__VA_ARGS__, NULL})

/* What options_print prints; valid until the next call. */
const char *printed(const struct options *options);

/* Fails the test unless exactly this fault, a whole line, was reported. */
void check_only_fault(const struct reading *reading, const char *line);
void check_no_fault(const struct reading *reading);

#endif
