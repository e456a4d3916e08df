#include "tests/unit/server/options_fixture.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static int repository = -1;
static char directory[64];

static void forget_environment(void) {
    for (char **entry = environ; *entry;) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*entry, "="), *entry);
        if (strncmp(name, "MASKD_", 6) == 0 && unsetenv(name) == 0)
            entry = environ;
        else
            entry++;
    }
}

void options_set_up(void) {
    forget_environment();
    repository = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(repository, 0);
    strcpy(directory, P_tmpdir "/options-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

void go_to_the_repository(void) {
    ck_assert_int_eq(fchdir(repository), 0);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)info, (void)type, (void)at;
    return remove(path);
}

void options_tear_down(void) {
    go_to_the_repository();
    close(repository);
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    forget_environment();
}

void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

struct reading read_arguments(const char *const *arguments) {
    struct reading reading = {.count = -1};
    char name[] = "maskd", *copies[64] = {name}, *given[64];
    int count = 1;
    for (; *arguments && count < 63; arguments++)
        copies[count++] = strdup(*arguments);
    memcpy(given, copies, sizeof given); /* getopt changes the order */
    FILE *faults = fmemopen(reading.faults, sizeof reading.faults, "w");
    ck_assert_ptr_nonnull(faults);
    reading.count = options_read(count, given, &reading.options, faults);
    fclose(faults);
    for (int i = 1; i < count; i++)
        free(copies[i]);
    return reading;
}

const char *printed(const struct options *options) {
    static char text[16384];
    memset(text, 0, sizeof text);
    FILE *out = fmemopen(text, sizeof text, "w");
    ck_assert_ptr_nonnull(out);
    options_print(options, out);
    fclose(out);
    return text;
}

void check_only_fault(const struct reading *reading, const char *line) {
    char expected[2200];
    snprintf(expected, sizeof expected, "%s\n", line);
    ck_assert_str_eq(reading->faults, expected);
    ck_assert_int_eq(reading->count, 1);
}

void check_no_fault(const struct reading *reading) {
    ck_assert_str_eq(reading->faults, "");
    ck_assert_int_eq(reading->count, 0);
}
