#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/parallel.h"

/* The first two words of a small file of /sys/fs/cgroup. */
static bool read_words(const char *path, char first[32], char second[32]) {
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    first[0] = second[0] = '\0';
    int words = fscanf(file, "%31s %31s", first, second);
    fclose(file);
    return words >= 1;
}

/* CPU time per wall time that the cgroup grants, or 0 when it grants all. */
static double cgroup_quota(void) {
    char quota[32], period[32], rest[32];
    double granted = 0, every = 0;
    if (read_words("/sys/fs/cgroup/cpu.max", quota, period)) {
        if (sscanf(quota, "%lf", &granted) != 1 || sscanf(period, "%lf", &every) != 1)
            return 0; /* "max" */
    } else if (read_words("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, rest) &&
               read_words("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, rest)) {
        if (sscanf(quota, "%lf", &granted) != 1 || sscanf(period, "%lf", &every) != 1)
            return 0;
    }
    return granted > 0 && every > 0 ? granted / every : 0;
}

int usable_cores(void) {
    cpu_set_t set;
    int cores = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    if (cores < 1)
        cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    double quota = cgroup_quota();
    if (quota > 0 && quota < cores)
        cores = (int)(quota + 0.5);
    return cores < 1 ? 1 : cores;
}
