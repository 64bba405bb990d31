/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes that overflow, alignment, growing, and failures on demand. */
#include "check.h"

#include "core/memory.h"

static void sizes_that_overflow_are_noticed(void)
{
    size_t size = 0;

    CHECK(ims_mul_size(3, 5, &size) && size == 15);
    CHECK(!ims_mul_size(SIZE_MAX / 2, 3, &size));
    CHECK(ims_add_size(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
    CHECK(!ims_add_size(SIZE_MAX, 1, &size));
    CHECK(ims_alloc_array(SIZE_MAX / 2, 3) == NULL);
    CHECK(ims_calloc(SIZE_MAX / 2, 3) == NULL);
    CHECK(ims_alloc_aligned(SIZE_MAX) == NULL);
}

static void nothing_is_a_valid_block(void)
{
    void *block = ims_alloc(0);
    void *aligned = ims_alloc_aligned(0);
    void *zeroed = ims_calloc(0, 4);

    CHECK(block != NULL && aligned != NULL && zeroed != NULL);
    ims_free(block);
    ims_free_aligned(aligned);
    ims_free(zeroed);
    ims_free(NULL);
    ims_free_aligned(NULL);
}

static void aligned_blocks_are_aligned(void)
{
    static const size_t sizes[] = {1, 63, 64, 65, 4096, (size_t)5 << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *block = ims_alloc_aligned(sizes[i]);

        CHECK(block != NULL);
        CHECK_EQUAL((uintptr_t)block % 64, 0);
        memset(block, 1, sizes[i]);
        ims_free_aligned(block);
    }
}

static void the_nth_allocation_fails_and_only_that(void)
{
    void *blocks[6];

    ims_memory_fail_at(3);
    blocks[0] = ims_alloc(1);
    blocks[1] = ims_calloc(1, 1);
    blocks[2] = ims_alloc_aligned(1);
    blocks[3] = ims_strdup("x");
    blocks[4] = ims_alloc_array(2, 2);
    blocks[5] = ims_realloc(NULL, 8);
    for (int i = 0; i < 6; i++)
        CHECK((blocks[i] == NULL) == (i == 2));
    CHECK_EQUAL(ims_memory_count(), 6);
    ims_memory_fail_at(0);
    CHECK_EQUAL(ims_memory_count(), 0);
    for (int i = 0; i < 6; i++)
        ims_free(blocks[i]);
}

static void growing_keeps_the_content_also_when_it_fails(void)
{
    void *array = NULL;
    size_t capacity = 0;
    int *numbers;

    CHECK(ims_grow(&array, &capacity, 5, sizeof(int)));
    CHECK(capacity >= 5);
    numbers = array;
    for (int i = 0; i < 5; i++)
        numbers[i] = i;
    ims_memory_fail_at(1);
    CHECK(!ims_grow(&array, &capacity, 1000, sizeof(int)));
    ims_memory_fail_at(0);
    CHECK(array == numbers && capacity < 1000);
    CHECK(!ims_grow(&array, &capacity, SIZE_MAX - 1, sizeof(int)));
    CHECK(ims_grow(&array, &capacity, 1000, sizeof(int)));
    CHECK(capacity >= 1000);
    numbers = array;
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(numbers[i], i);
    ims_free(array);
}

int main(void)
{
    sizes_that_overflow_are_noticed();
    nothing_is_a_valid_block();
    aligned_blocks_are_aligned();
    the_nth_allocation_fails_and_only_that();
    growing_keeps_the_content_also_when_it_fails();
    return 0;
}
