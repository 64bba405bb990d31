/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory may be let go, and that what it says is the same afterwards. */
#include "check.h"

#include "core/mapping.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 8

static size_t page;

/* Pages of a mapping that are in memory of this process. */
static size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t all = 0, here = 0;

    CHECK(file != NULL);
    CHECK_EQUAL(fscanf(file, "%zu %zu", &all, &here), 2);
    fclose(file);
    return here;
}

static int make_file(size_t size)
{
    char path[] = "/tmp/test-mapping-XXXXXX";
    const int fd = mkstemp(path);

    CHECK(fd >= 0);
    CHECK_EQUAL(unlink(path), 0);
    for (size_t i = 0; i < size; i += page)
        CHECK_EQUAL(pwrite(fd, "page", 4, (off_t)i), 4);
    CHECK_EQUAL(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void only_shared_files_may_go(void)
{
    const size_t size = PAGES * page;
    const int fd = make_file(size);
    char *shared = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    char *own = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *heap = malloc(size);
    int local = 0;

    CHECK(shared != MAP_FAILED && own != MAP_FAILED && heap != NULL);
    CHECK(ims_mapping_is_shared(shared, size));
    CHECK(ims_mapping_is_shared(shared + 1, size - 2));
    CHECK(!ims_mapping_is_shared(own, size)); /* written pages would be lost */
    CHECK(!ims_mapping_is_shared(heap, size));
    CHECK(!ims_mapping_is_shared(&local, sizeof(local)));
    /* A part in the middle that is something else. */
    CHECK(
        mmap(
            shared + 3 * page, page, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == shared + 3 * page);
    CHECK(!ims_mapping_is_shared(shared, size));
    CHECK(ims_mapping_is_shared(shared, 3 * page));
    CHECK(ims_mapping_is_shared(shared + 4 * page, 4 * page));
    munmap(shared, size);
    CHECK(!ims_mapping_is_shared(shared, size));
    munmap(own, size);
    free(heap);
    close(fd);
}

static void pages_go_and_come_back(void)
{
    const size_t size = 4096 * page;
    const int fd = make_file(size);
    char *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    size_t before, sum = 0;

    CHECK(data != MAP_FAILED);
    for (size_t i = 0; i < size; i += page)
        sum += data[i] == 'p';
    CHECK_EQUAL(sum, 4096);
    before = resident();
    ims_mapping_release(data + 1, size - 2); /* all but the first and the last */
    CHECK(resident() + 3500 < before);
    ims_mapping_release(data + 1, 1); /* no whole page */
    for (size_t i = 0; i < size; i += page)
        CHECK(memcmp(data + i, "page", 4) == 0);
    munmap(data, size);
    close(fd);
}

int main(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    only_shared_files_may_go();
    pages_go_and_come_back();
    return 0;
}
