/* usable_cores with made-up cgroup files and affinity, for which this file includes it, and as it
 * is here. */
#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/parallel.h"
#include "tests/unit/suites.h"

/* What the system would say; NULL: there is no such file. */
static struct {
    const char *cpu_max, *quota, *period;
    int affinity; /* cores; 0: the call fails */
    long online;
    const char *own;           /* /proc/self/cgroup */
    const char *outer, *inner; /* cpu.max of /a and of /a/b */
} fake;

static FILE *fake_open(const char *path, const char *mode) {
    const char *text = NULL;
    if (strcmp(path, "/sys/fs/cgroup/cpu.max") == 0)
        text = fake.cpu_max;
    else if (strcmp(path, "/proc/self/cgroup") == 0)
        text = fake.own;
    else if (strcmp(path, "/sys/fs/cgroup/a/cpu.max") == 0)
        text = fake.outer;
    else if (strcmp(path, "/sys/fs/cgroup/a/b/cpu.max") == 0)
        text = fake.inner;
    else if (strcmp(path, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us") == 0)
        text = fake.quota;
    else if (strcmp(path, "/sys/fs/cgroup/cpu/cpu.cfs_period_us") == 0)
        text = fake.period;
    else
        ck_abort_msg("%s is not a file to read", path);
    (void)mode;
    return text ? fmemopen((char *)text, strlen(text), "r") : NULL;
}

static int fake_affinity(pid_t pid, size_t size, cpu_set_t *set) {
    (void)pid, (void)size;
    CPU_ZERO(set);
    for (int i = 0; i < fake.affinity; i++)
        CPU_SET(3 * i, set);
    return fake.affinity ? 0 : -1;
}

static long fake_sysconf(int name) {
    ck_assert_int_eq(name, _SC_NPROCESSORS_ONLN);
    return fake.online;
}

#define usable_cores included_usable_cores
#define fopen fake_open
#define sched_getaffinity fake_affinity
#define sysconf fake_sysconf
int included_usable_cores(void);
#include "engine/cores.c"
#undef usable_cores
#undef sched_getaffinity
#undef sysconf

START_TEST(affinity_and_quota) {
    static const struct {
        const char *cpu_max, *quota, *period;
        int affinity;
        long online;
        int expected;
    } cases[] = {
        {NULL, NULL, NULL, 8, 16, 8},
        {NULL, NULL, NULL, 0, 16, 16},
        {NULL, NULL, NULL, 0, -1, 1},
        {"max 100000\n", NULL, NULL, 8, 16, 8},
        {"200000 100000\n", NULL, NULL, 8, 16, 2},
        {"250000 50000\n", NULL, NULL, 8, 16, 5},
        {"160000 100000\n", NULL, NULL, 8, 16, 2}, /* rounded */
        {"140000 100000\n", NULL, NULL, 8, 16, 1},
        {"10000 100000\n", NULL, NULL, 8, 16, 1},
        {"900000 100000\n", NULL, NULL, 8, 16, 8},
        {"790000 100000\n", NULL, NULL, 8, 16, 8},
        {"0 100000\n", NULL, NULL, 8, 16, 8}, /* nonsense counts for nothing */
        {"100000 0\n", NULL, NULL, 8, 16, 8},
        {"100000\n", NULL, NULL, 8, 16, 8},
        {"200000 100000\n", "300000\n", "100000\n", 8, 16, 2}, /* version 2 goes first */
        {NULL, "300000\n", "100000\n", 8, 16, 3},
        {NULL, "-1\n", "100000\n", 8, 16, 8},
        {NULL, "300000\n", NULL, 8, 16, 8},
        {NULL, "300000\n", "x\n", 8, 16, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake.cpu_max = cases[i].cpu_max;
        fake.quota = cases[i].quota;
        fake.period = cases[i].period;
        fake.affinity = cases[i].affinity;
        fake.online = cases[i].online;
        int cores = included_usable_cores();
        ck_assert_msg(cores == cases[i].expected, "case %zu: %d, not %d", i, cores,
                      cases[i].expected);
    }
}
END_TEST

/* The quota that counts is the least of the process's own cgroup and of those around it. */
START_TEST(quotas_of_cgroups_in_cgroups) {
    static const struct {
        const char *own, *root, *outer, *inner;
        int expected;
    } cases[] = {
        {"0::/a/b\n", NULL, NULL, NULL, 8},
        {"0::/a/b\n", NULL, "max 100000\n", "300000 100000\n", 3},
        {"0::/a/b\n", NULL, "200000 100000\n", "max 100000\n", 2},
        {"0::/a/b\n", NULL, "200000 100000\n", "300000 100000\n", 2},
        {"0::/a/b\n", NULL, "300000 100000\n", "200000 100000\n", 2},
        {"0::/a/b\n", "100000 100000\n", "200000 100000\n", "300000 100000\n", 1},
        {"1:cpu:/x\n0::/a\n", NULL, "400000 100000\n", "300000 100000\n", 4},
        {"0::/\n", "500000 100000\n", "200000 100000\n", NULL, 5},
        {"nonsense", "500000 100000\n", "200000 100000\n", NULL, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&fake, 0, sizeof fake);
        fake.affinity = 8;
        fake.own = cases[i].own;
        fake.cpu_max = cases[i].root;
        fake.outer = cases[i].outer;
        fake.inner = cases[i].inner;
        ck_assert_msg(included_usable_cores() == cases[i].expected, "case %zu", i);
    }
}
END_TEST

/* The real ones: at least one, at most those of this thread's affinity. */
START_TEST(cores_of_this_machine) {
    cpu_set_t all, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_int_ge(usable_cores(), 1);
    ck_assert_int_le(usable_cores(), CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(usable_cores(), 1);
    ck_assert_int_eq(sched_setaffinity(0, sizeof all, &all), 0);
}
END_TEST

Suite *cores_suite(void) {
    Suite *suite = suite_create("cores");
    TCase *cases = tcase_create("cores");
    tcase_add_test(cases, affinity_and_quota);
    tcase_add_test(cases, quotas_of_cgroups_in_cgroups);
    tcase_add_test(cases, cores_of_this_machine);
    suite_add_tcase(suite, cases);
    return suite;
}
