/* SPDX-License-Identifier: Apache-2.0 */
/* Letting go of pages of mapped files. */
#include "core/mapping.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* One line of /proc/self/maps; false where it says something else. */
static bool read_line(FILE *maps, uintptr_t *begin, uintptr_t *end, bool *shared)
{
    char line[128], permissions[5] = "";
    unsigned long inode = 0;
    int c = '\n';

    if (fgets(line, sizeof(line), maps) == NULL)
        return false;
    /* The path at the end may be as long as it likes. */
    for (size_t i = 0; line[i] != '\0'; i++)
        c = line[i];
    while (c != '\n' && c != EOF)
        c = fgetc(maps);
    if (sscanf(
            line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*x:%*x %lu", begin, end, permissions,
            &inode) != 4)
        return false;
    *shared = permissions[3] == 's' && inode != 0;
    return true;
}

bool ims_mapping_is_shared(const void *data, size_t size)
{
    uintptr_t next = (uintptr_t)data, begin, end;
    const uintptr_t last = next + size;
    FILE *maps = fopen("/proc/self/maps", "re");
    bool shared = false;

    if (maps == NULL)
        return false;
    /* Lines come in order of address. */
    while (next < last && read_line(maps, &begin, &end, &shared)) {
        if (end <= next)
            continue;
        if (begin > next || !shared)
            break;
        next = end;
    }
    (void)fclose(maps);
    return next >= last;
}

void ims_mapping_release(const void *data, size_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)data + size) / page * page;

    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* advice only */
}
