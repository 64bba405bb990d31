/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many processors this process may use: its affinity mask and the CPU quota of its control
 * groups.
 */
#include "core/threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096

/* Processors in the affinity mask; the mask grows until the kernel's fits in. */
static uint32_t affinity_count(void)
{
    for (int processors = 1024; processors <= 1 << 20; processors *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)processors);
        size_t size = CPU_ALLOC_SIZE((size_t)processors);
        int result, error, count;

        if (set == NULL)
            break;
        CPU_ZERO_S(size, set);
        result = sched_getaffinity(0, size, set);
        error = errno;
        count = result == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (result == 0)
            return count > 0 ? (uint32_t)count : 1;
        if (error != EINVAL)
            break;
    }
    {
        long online = sysconf(_SC_NPROCESSORS_ONLN);

        return online > 0 ? (uint32_t)online : 1;
    }
}

/* First line of a small file; 0 if it cannot be read. */
static int read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    int ok;

    if (file == NULL)
        return 0;
    ok = fgets(line, (int)size, file) != NULL;
    fclose(file);
    return ok;
}

/* Processors that the quota of one group allows, rounded up; 0 for no quota. */
static uint32_t group_quota(const char *base, const char *group, int version)
{
    char path[PATH_SIZE + 256];
    char line[128], line_of_period[128];
    long long quota = 0, period = 0;

    if (version == 2) {
        snprintf(path, sizeof(path), "%s%s/cpu.max", base, group);
        if (!read_line(path, line, sizeof(line)) || sscanf(line, "%lld %lld", &quota, &period) != 2)
            return 0;
    } else {
        snprintf(path, sizeof(path), "%s%s/cpu.cfs_quota_us", base, group);
        if (!read_line(path, line, sizeof(line)))
            return 0;
        snprintf(path, sizeof(path), "%s%s/cpu.cfs_period_us", base, group);
        if (!read_line(path, line_of_period, sizeof(line_of_period)))
            return 0;
        quota = atoll(line);
        period = atoll(line_of_period);
    }
    if (quota <= 0 || period <= 0)
        return 0;
    return (uint32_t)((quota + period - 1) / period);
}

/* The smallest quota from a group up to the root; a container may see only the root. */
static uint32_t lowest_quota(const char *base, char *group, int version)
{
    uint32_t lowest = 0;

    for (;;) {
        uint32_t quota = group_quota(base, group, version);
        char *slash = strrchr(group, '/');

        if (quota != 0 && (lowest == 0 || quota < lowest))
            lowest = quota;
        if (slash == NULL)
            return lowest;
        *slash = '\0';
    }
}

/* Whether a list of controllers "cpu,cpuacct" names the one for CPU quotas. */
static int lists_cpu(const char *controllers)
{
    while (*controllers != '\0') {
        size_t length = strcspn(controllers, ",");

        if (length == 3 && strncmp(controllers, "cpu", 3) == 0)
            return 1;
        controllers += length + (controllers[length] == ',');
    }
    return 0;
}

static uint32_t quota_count;

/*
 * Lines of /proc/self/cgroup read "number:controllers:/group"; version 2 has number 0 and no
 * controllers.
 */
static void find_quota(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_SIZE];

    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        uint32_t quota = 0;

        if (group == NULL)
            continue;
        *group++ = '\0';
        controllers++;
        group[strcspn(group, "\n")] = '\0';
        if (*controllers == '\0')
            quota = lowest_quota("/sys/fs/cgroup", group, 2);
        else if (lists_cpu(controllers))
            quota = lowest_quota("/sys/fs/cgroup/cpu", group, 1);
        if (quota != 0 && (quota_count == 0 || quota < quota_count))
            quota_count = quota;
    }
    fclose(file);
}

uint32_t ims_cpu_count(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint32_t count = affinity_count();

    pthread_once(&once, find_quota);
    if (quota_count != 0 && quota_count < count)
        count = quota_count;
    return count;
}
