/* SPDX-License-Identifier: Apache-2.0 */
/* All memory of the library: checked sizes, alignment, and failures on demand for tests. */
#include "core/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CACHE_LINE ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20)

static atomic_uint_fast64_t allocation_count;
static atomic_uint_fast64_t failing_allocation;

void ims_memory_fail_at(uint64_t n)
{
    atomic_store(&failing_allocation, 0);
    atomic_store(&allocation_count, 0);
    atomic_store(&failing_allocation, n);
}

uint64_t ims_memory_count(void)
{
    return atomic_load(&allocation_count);
}

/* Count one allocation; true if a test wants it to fail. */
static bool must_fail(void)
{
    uint64_t number =
        atomic_fetch_add_explicit(&allocation_count, 1, memory_order_relaxed) + UINT64_C(1);

    return number == atomic_load_explicit(&failing_allocation, memory_order_relaxed);
}

bool ims_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool ims_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

void *ims_alloc(size_t size)
{
    if (must_fail())
        return NULL;
    return malloc(size != 0 ? size : 1);
}

void *ims_calloc(size_t count, size_t size)
{
    size_t bytes;

    if (must_fail() || !ims_mul_size(count, size, &bytes))
        return NULL;
    return calloc(bytes != 0 ? bytes : 1, 1);
}

void *ims_alloc_array(size_t count, size_t size)
{
    size_t bytes;

    if (!ims_mul_size(count, size, &bytes))
        return NULL;
    return ims_alloc(bytes);
}

void *ims_realloc(void *block, size_t size)
{
    if (must_fail())
        return NULL;
    return realloc(block, size != 0 ? size : 1);
}

void *ims_alloc_aligned(size_t size)
{
    size_t alignment = size >= 2 * HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    size_t rounded;
    void *block;

    if (must_fail() || !ims_add_size(size != 0 ? size : 1, alignment - 1, &rounded))
        return NULL;
    rounded -= rounded % alignment;
    if ((block = aligned_alloc(alignment, rounded)) == NULL)
        return NULL;
    if (alignment == HUGE_PAGE)
        (void)madvise(block, rounded, MADV_HUGEPAGE); /* advice only */
    return block;
}

void ims_free(void *block)
{
    free(block);
}

void ims_free_aligned(void *block)
{
    free(block);
}

char *ims_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ims_alloc(size);

    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

bool ims_grow(void **array, size_t *capacity, size_t needed, size_t size)
{
    size_t grown = *capacity;
    size_t bytes;
    void *block;

    if (needed <= *capacity)
        return true;
    if (grown < 8)
        grown = 8;
    while (grown < needed)
        if (!ims_mul_size(grown, 2, &grown))
            return false;
    if (!ims_mul_size(grown, size, &bytes) || (block = ims_realloc(*array, bytes)) == NULL)
        return false;
    *array = block;
    *capacity = grown;
    return true;
}
