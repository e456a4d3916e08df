/* libFuzzer target: the configuration file. What is read without a fault prints as a file that
 * reads the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The faults of a file of these bytes. */
static int read_options(const void *bytes, size_t size, struct options *options) {
    static char discarded[65536];
    char path[64];
    FILE *faults = fmemopen(discarded, sizeof discarded, "w");
    int file = memfd_create("maskd.ini", 0);
    if (!faults || file < 0 || write(file, bytes, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    char *arguments[] = {(char[]){"maskd"}, (char[]){"--config"}, path, NULL};
    int count = options_read(3, arguments, options, faults);
    close(file);
    fclose(faults);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct options first, second;
    clearenv();
    if (read_options(data, size, &first) > 0)
        return 0;
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        abort();
    options_print(&first, out);
    fclose(out);
    if (read_options(text, length, &second) > 0)
        abort();
    memcpy(second.config, first.config, sizeof first.config);
    if (memcmp(&first, &second, sizeof first) != 0)
        abort();
    free(text);
    return 0;
}
