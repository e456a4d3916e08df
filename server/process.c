#include "server/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Fields 14, 15, 22, 23 and 24 of /proc/self/stat; the second, the name, may have anything in it.
 */
static bool read_stat(struct process *process) {
    char line[1024];
    unsigned long long user, system, start, bytes, pages;
    FILE *file = fopen("/proc/self/stat", "re");
    const bool got = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    const char *rest = got ? strrchr(line, ')') : NULL;
    if (!rest || sscanf(rest,
                        ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
                        "%*d %*d %llu %llu %llu",
                        &user, &system, &start, &bytes, &pages) != 5)
        return false;
    const double ticks = (double)sysconf(_SC_CLK_TCK);
    process->cpu_seconds = (double)(user + system) / ticks;
    process->start_seconds =
        seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + (double)start / ticks;
    process->virtual_bytes = bytes;
    process->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static bool count_files(struct process *process) {
    struct rlimit limit;
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return false;
    process->open_files = 0;
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            process->open_files++;
    closedir(directory);
    process->open_files--; /* the directory itself */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    process->files_limit = limit.rlim_cur;
    return true;
}

bool process_look(struct process *process) {
    return read_stat(process) && count_files(process);
}
