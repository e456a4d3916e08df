#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/parallel.h"

enum { PATH_SIZE = 1024 };

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

/* CPU time per wall time, out of its two numbers; 0: everything is granted, or it is nonsense. */
static double quota_of(const char *granted, const char *every) {
    double cpu = 0, wall = 0;
    bool numbers = sscanf(granted, "%lf", &cpu) == 1 && sscanf(every, "%lf", &wall) == 1;
    return numbers && cpu > 0 && wall > 0 ? cpu / wall : 0; /* "max" is no number */
}

/* This process's cgroup of version 2, such as "/system.slice/maskd.service"; "" for the root. */
static void own_cgroup(char group[PATH_SIZE]) {
    char line[PATH_SIZE];
    group[0] = '\0';
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0 && line[4])
            strcpy(group, line + 3);
    }
    if (file)
        fclose(file);
}

/* The least that this process's cgroup and those around it grant; 0: everything. */
static double cgroup_quota(void) {
    char group[PATH_SIZE], path[PATH_SIZE + 32], first[32], second[32], rest[32];
    double least = 0;
    bool version_2 = false;
    own_cgroup(group);
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
        if (read_words(path, first, second)) {
            double quota = quota_of(first, second);
            version_2 = true;
            if (quota > 0 && (least <= 0 || quota < least))
                least = quota;
        }
        if (!*group)
            break;
        *strrchr(group, '/') = '\0';
    }
    if (!version_2 && read_words("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", first, rest) &&
        read_words("/sys/fs/cgroup/cpu/cpu.cfs_period_us", second, rest))
        return quota_of(first, second);
    return least;
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
