/* SPDX-License-Identifier: Apache-2.0 */
/* CPU quota and memory limits from made-up /proc and /sys trees, cgroup version 1 and 2. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/context.h"
#include "base/limits.h"
#include "base/memory.h"

static int enter(void **state)
{
    static char root[32];
    snprintf(root, sizeof root, "/tmp/dfal-limits-XXXXXX");
    *state = root;
    return mkdtemp(root) ? 0 : -1;
}

static int drop(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts, (void)kind, (void)where;
    return remove(path);
}

static int leave(void **state)
{
    return nftw(*state, drop, 16, FTW_DEPTH | FTW_PHYS);
}

/* Write root/name with the folders above it. */
static void put(const char *root, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(path, 0700);
        *at = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const int64_t gib = INT64_C(1) << 30;
static const char meminfo[] =
    "MemTotal:       16777216 kB\nMemFree:         1 kB\nMemAvailable:    8388608 kB\n";

static void nothing_is_known_without_files(void **state)
{
    struct df_limits limits;
    df_limits_read(&limits, *state);
    assert_true(limits.cpus == 0);
    assert_int_equal(limits.memory, 0);
}

static void host_memory(void **state)
{
    put(*state, "proc/meminfo", meminfo);
    struct df_limits limits;
    df_limits_read(&limits, *state);
    assert_int_equal(limits.memory, 8 * gib);
    assert_true(limits.cpus == 0);
}

static void version_2_takes_the_tightest_on_the_way(void **state)
{
    put(*state, "proc/meminfo", meminfo);
    put(*state, "proc/self/cgroup", "0::/system/job\n");
    put(*state, "sys/fs/cgroup/system/cpu.max", "150000 100000\n");
    put(*state, "sys/fs/cgroup/system/job/cpu.max", "max 100000\n");
    put(*state, "sys/fs/cgroup/system/memory.max", "4294967296\n");
    put(*state, "sys/fs/cgroup/system/memory.current", "3221225472\n");
    put(*state, "sys/fs/cgroup/system/memory.stat", "anon 5\ninactive_file 1073741824\nactive_file 3\n");
    put(*state, "sys/fs/cgroup/system/job/memory.max", "max\n");
    put(*state, "sys/fs/cgroup/system/job/memory.current", "7\n");
    struct df_limits limits;
    df_limits_read(&limits, *state);
    assert_true(limits.cpus == 1.5);
    assert_int_equal(limits.memory, 2 * gib);
}

static void version_2_in_a_container(void **state)
{
    put(*state, "proc/meminfo", meminfo);
    put(*state, "proc/self/cgroup", "0::/\n");
    put(*state, "sys/fs/cgroup/cpu.max", "200000 100000\n");
    put(*state, "sys/fs/cgroup/memory.max", "1073741824\n");
    put(*state, "sys/fs/cgroup/memory.current", "2000000000\n"); /* over it for a moment */
    struct df_limits limits;
    df_limits_read(&limits, *state);
    assert_true(limits.cpus == 2);
    assert_int_equal(limits.memory, 1);
}

static void version_1_with_a_path_that_is_not_mounted(void **state)
{
    put(*state, "proc/meminfo", meminfo);
    put(*state, "proc/self/cgroup",
        "7:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n2:cpuset:/docker/abc\n");
    put(*state, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    put(*state, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put(*state, "sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
    put(*state, "sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n");
    struct df_limits limits;
    df_limits_read(&limits, *state);
    assert_true(limits.cpus == 3);
    assert_int_equal(limits.memory, gib);
}

static void version_1_without_limits(void **state)
{
    put(*state, "proc/meminfo", meminfo);
    put(*state, "proc/self/cgroup", "7:memory:/\n4:cpu,cpuacct:/\n");
    put(*state, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put(*state, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put(*state, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put(*state, "sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n");
    struct df_limits limits;
    df_limits_read(&limits, *state);
    assert_true(limits.cpus == 0);
    assert_int_equal(limits.memory, 8 * gib);
}

static void this_machine(void **state)
{
    (void)state;
    assert_true(df_cpu_count() >= 1);
    assert_true(df_cpu_count() <= sysconf(_SC_NPROCESSORS_CONF));
    assert_true(df_memory_available() > 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_known_without_files, enter, leave),
        cmocka_unit_test_setup_teardown(host_memory, enter, leave),
        cmocka_unit_test_setup_teardown(version_2_takes_the_tightest_on_the_way, enter, leave),
        cmocka_unit_test_setup_teardown(version_2_in_a_container, enter, leave),
        cmocka_unit_test_setup_teardown(version_1_with_a_path_that_is_not_mounted, enter, leave),
        cmocka_unit_test_setup_teardown(version_1_without_limits, enter, leave),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
