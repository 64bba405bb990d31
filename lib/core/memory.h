/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All memory of the library: checked sizes, alignment, and a switch for tests that lets the n-th
 * allocation fail.
 */
#ifndef IMS_CORE_MEMORY_H
#define IMS_CORE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory for `size` bytes (0 gives a valid pointer), NULL on failure. Release with ims_free(). */
void *ims_alloc(size_t size);
/* The same, zeroed, count x size with overflow check. */
void *ims_calloc(size_t count, size_t size);
/* The same, not zeroed: count x size with overflow check. */
void *ims_alloc_array(size_t count, size_t size);
/* Grow or shrink; on failure NULL and the old block stays. */
void *ims_realloc(void *block, size_t size);
/* 64-byte aligned; large blocks are advised to use huge pages. Release with ims_free_aligned(). */
void *ims_alloc_aligned(size_t size);
void ims_free(void *block);
void ims_free_aligned(void *block);
char *ims_strdup(const char *text);

/* *out = a * b (a + b); false on overflow. */
bool ims_mul_size(size_t a, size_t b, size_t *out);
bool ims_add_size(size_t a, size_t b, size_t *out);

/* Tests only: let the n-th allocation from now fail (0: none), count allocations. */
void ims_memory_fail_at(uint64_t n);
uint64_t ims_memory_count(void);

/*
 * Make room for `needed` elements of `size` bytes in a growing array: doubles *capacity. False when
 * out of memory, nothing changed then.
 */
bool ims_grow(void **array, size_t *capacity, size_t needed, size_t size);

#endif
