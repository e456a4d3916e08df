/* Runs the fuzz targets without libFuzzer, on inputs that are kept: fuzz-replay [TARGET ...]
 *
 * A target's inputs are its corpus, its past crashes, and the unit tests' fixtures for it. It runs
 * in a process of its own, which the input that ends it takes along; the next process goes on after
 * that. FUZZ_TARGETS(X) is the Makefile's: X(name) for each tests/fuzz/name_fuzz.c. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DECLARE(name) int name##_fuzz(const uint8_t *data, size_t size);
FUZZ_TARGETS(DECLARE)

static const struct target {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
} TARGETS[] = {
#define ENTRY(name) {#name, name##_fuzz},
    FUZZ_TARGETS(ENTRY)};

static const char *const FOLDERS[] = {"tests/fuzz/corpus", "tests/fuzz/crashes", "tests/unit/data"};

enum { INPUTS_MAX = 8192, INPUT_SECONDS = 120 };

struct inputs {
    size_t count;
    char *paths[INPUTS_MAX]; /* owned */
};

static void add_folder(struct inputs *inputs, const char *folder, const char *target) {
    char path[4096];
    struct dirent **entries;
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", folder, target);
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s/%.255s", folder, target, entries[i]->d_name);
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode) && inputs->count < INPUTS_MAX)
            inputs->paths[inputs->count++] = strdup(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void run_input(const struct target *target, const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status) != 0)
        exit(EXIT_FAILURE);
    const size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size ? size : 1); /* of this size, that a byte beyond is noticed */
    if (!data || fread(data, 1, size, file) != size)
        exit(EXIT_FAILURE);
    fclose(file);
    alarm(INPUT_SECONDS);
    target->run(data, size);
    alarm(0);
    free(data);
}

/* From input *at on, in a process of its own, which moves *at. Whether it came to its end. */
static bool run_inputs(const struct target *target, const struct inputs *inputs,
                       volatile size_t *at) {
    int status;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        for (; *at < inputs->count; (*at)++)
            run_input(target, inputs->paths[*at]);
        exit(EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fuzz-replay");
        exit(EXIT_FAILURE);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    printf("not ok %s: %s: %s %d\n", target->name,
           *at < inputs->count ? inputs->paths[*at] : "after the last input",
           WIFSIGNALED(status) ? "signal" : "exit status",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static void replay(const struct target *target, volatile size_t *at, size_t *passed,
                   size_t *failed) {
    static struct inputs inputs;
    inputs.count = 0;
    add_folder(&inputs, FOLDERS[0], target->name);
    if (inputs.count == 0) {
        printf("not ok %s: no corpus\n", target->name);
        ++*failed;
    }
    for (size_t i = 1; i < sizeof FOLDERS / sizeof *FOLDERS; i++)
        add_folder(&inputs, FOLDERS[i], target->name);
    size_t bad = 0;
    *at = 0;
    while (!run_inputs(target, &inputs, at) && bad++ <= inputs.count && *at < inputs.count)
        ++*at;
    *failed += bad;
    *passed += inputs.count > bad ? inputs.count - bad : 0;
    for (size_t i = 0; i < inputs.count; i++)
        free(inputs.paths[i]);
}

static bool is_wanted(const char *target, int count, char **names) {
    for (int i = 1; i < count; i++)
        if (strcmp(names[i], target) == 0)
            return true;
    return count < 2;
}

int main(int argc, char **argv) {
    size_t passed = 0, failed = 0;
    volatile size_t *at =
        mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return EXIT_FAILURE;
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++)
        if (is_wanted(TARGETS[i].name, argc, argv))
            replay(&TARGETS[i], at, &passed, &failed);
    printf("fuzz: %zu passed, %zu failed, 0 skipped\n", passed, failed);
    return passed > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
