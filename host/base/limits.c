/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/memory.h"

/* A container may show its cgroup's path although only the cgroup's own files are mounted: every step
 * from the path up to the mount point is looked at, and files that are missing say nothing. */
struct group {
    char folder[PATH_MAX];
};

/* The first number of a file; false when there is none ("max", no file). */
static bool read_number(int64_t *value, const struct group *group, const char *name, int skip_words)
{
    char path[PATH_MAX + 64], line[256];
    snprintf(path, sizeof path, "%s/%s", group->folder, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool found = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    char *at = line;
    for (; found && skip_words > 0; skip_words--) {
        at = strchr(at, ' ');
        found = at != NULL;
        at += found;
    }
    if (!found)
        return false;
    char *end;
    *value = strtoll(at, &end, 10);
    return end != at;
}

/* The number behind a key of a "key value" file. */
static bool read_key(int64_t *value, const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char line[256];
    size_t length = strlen(key);
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) == 0 && (line[length] == ' ' || line[length] == ':')) {
            *value = strtoll(line + length + 1, NULL, 10);
            found = true;
        }
    }
    fclose(file);
    return found;
}

static void tighten_cpus(struct df_limits *limits, int64_t quota, int64_t period)
{
    if (quota <= 0 || period <= 0)
        return;
    double cpus = (double)quota / (double)period;
    if (limits->cpus == 0 || cpus < limits->cpus)
        limits->cpus = cpus;
}

/* Pages of files that were not used lately can be dropped: they count as available. */
static void tighten_memory(struct df_limits *limits, const struct group *group, const char *limit_name,
                           const char *usage_name, const char *inactive_key)
{
    int64_t limit, usage, inactive = 0;
    if (!read_number(&limit, group, limit_name, 0) || !read_number(&usage, group, usage_name, 0))
        return;
    if (limit >= INT64_MAX / 2) /* version 1 writes "no limit" as a number near 2^63 */
        return;
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/memory.stat", group->folder);
    if (!read_key(&inactive, path, inactive_key))
        inactive = 0;
    int64_t left = limit - usage + inactive;
    if (left > limit)
        left = limit;
    if (left < 1)
        left = 1;
    if (limits->memory == 0 || left < limits->memory)
        limits->memory = left;
}

static void read_v2(struct df_limits *limits, const struct group *group)
{
    int64_t quota, period;
    if (read_number(&quota, group, "cpu.max", 0) && read_number(&period, group, "cpu.max", 1))
        tighten_cpus(limits, quota, period);
    tighten_memory(limits, group, "memory.max", "memory.current", "inactive_file");
}

static void read_v1_cpu(struct df_limits *limits, const struct group *group)
{
    int64_t quota, period;
    if (read_number(&quota, group, "cpu.cfs_quota_us", 0) &&
        read_number(&period, group, "cpu.cfs_period_us", 0))
        tighten_cpus(limits, quota, period);
}

static void read_v1_memory(struct df_limits *limits, const struct group *group)
{
    tighten_memory(limits, group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
}

/* Visit mount/path, its parents, and mount itself. */
static void climb(struct df_limits *limits, const char *mount, const char *path,
                  void (*visit)(struct df_limits *, const struct group *))
{
    char below[PATH_MAX];
    snprintf(below, sizeof below, "%s", path);
    for (;;) {
        struct group group;
        int length = snprintf(group.folder, sizeof group.folder, "%s%s", mount, below);
        if (length > 0 && (size_t)length < sizeof group.folder)
            visit(limits, &group);
        char *slash = strrchr(below, '/');
        if (!slash)
            return;
        *slash = 0;
    }
}

static bool lists(const char *controllers, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == 0))
            return true;
    }
    return false;
}

void df_limits_read(struct df_limits *limits, const char *root)
{
    *limits = (struct df_limits){0};
    char path[PATH_MAX], line[PATH_MAX];
    int64_t kilobytes;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (read_key(&kilobytes, path, "MemAvailable"))
        limits->memory = kilobytes * 1024;

    /* Lines of /proc/self/cgroup: "number:controllers:/path", version 2 with number 0 and no controllers. */
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char mount[PATH_MAX];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *below = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!below)
            continue;
        *controllers++ = 0;
        *below++ = 0;
        if (strcmp(below, "/") == 0)
            below++;
        if (*controllers == 0) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
            climb(limits, mount, below, read_v2);
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/unified", root);
            climb(limits, mount, below, read_v2);
        }
        if (lists(controllers, "cpu")) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root);
            climb(limits, mount, below, read_v1_cpu);
        }
        if (lists(controllers, "memory")) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/memory", root);
            climb(limits, mount, below, read_v1_memory);
        }
    }
    fclose(file);
}

int64_t df_memory_available(void)
{
    struct df_limits limits;
    df_limits_read(&limits, "");
    return limits.memory;
}

/* CPUs in the affinity mask; machines with more CPUs than cpu_set_t holds need a larger set. */
static int32_t affinity_count(void)
{
    for (int cpus = 1024; cpus <= 1 << 18; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set)
            break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return 1;
}

int32_t df_cpu_count(void)
{
    int32_t count = affinity_count();
    struct df_limits limits;
    df_limits_read(&limits, "");
    /* A quota of 1.5 CPUs keeps two threads waiting for each other: rounded down, at least one. */
    if (limits.cpus > 0 && limits.cpus < count)
        count = limits.cpus < 1 ? 1 : (int32_t)limits.cpus;
    return count;
}
