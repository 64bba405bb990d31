/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images may be hits: filters by label, folder and bits, and what the channels have rows of.
 */
#include "query/query.h"

#include "catalog/catalog.h"
#include "core/memory.h"

/* Add ids to those that a kind of filter lets through; the set is used up. */
static void let_through(struct ims_bitset *kind, struct ims_bitset *ids)
{
    struct ims_bitset larger = *kind;
    struct ims_bitset smaller = *ids;

    if (ids->count > kind->count || kind->bytes == NULL) {
        larger = *ids;
        smaller = *kind;
    }
    if (smaller.bytes != NULL)
        ims_bitset_or(&larger, &smaller);
    ims_bitset_clear(&smaller);
    *kind = larger;
    *ids = (struct ims_bitset){0};
}

imgsim_status imgsim_query_filter_label(imgsim_query *query, const char *label)
{
    imgsim_status status;
    struct ims_bitset ids = {0};

    if (query == NULL || label == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query and label must not be NULL");
    if ((status = ims_catalog_ids_with_label(query->catalog, label, &ids)) == IMGSIM_OK)
        let_through(&query->labels, &ids);
    ims_bitset_clear(&ids);
    return status;
}

imgsim_status imgsim_query_filter_directory(imgsim_query *query, const char *directory)
{
    imgsim_status status;
    struct ims_bitset ids = {0};

    if (query == NULL || directory == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query and directory must not be NULL");
    if ((status = ims_catalog_ids_below(query->catalog, directory, &ids)) == IMGSIM_OK)
        let_through(&query->directories, &ids);
    ims_bitset_clear(&ids);
    return status;
}

imgsim_status imgsim_query_filter_bits(imgsim_query *query, const uint8_t *bits, uint64_t bit_count)
{
    struct ims_bitset ids = {0};

    if (query == NULL || bits == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query and bits must not be NULL");
    if (!ims_bitset_copy(&ids, bits, bit_count))
        return ims_fail_memory((size_t)(bit_count / 8 + 1));
    let_through(&query->bits, &ids);
    return IMGSIM_OK;
}

void imgsim_query_clear_filters(imgsim_query *query)
{
    if (query == NULL)
        return;
    ims_bitset_clear(&query->labels);
    ims_bitset_clear(&query->directories);
    ims_bitset_clear(&query->bits);
}

imgsim_status ims_query_eligible(const imgsim_query *query, struct ims_bitset *out_eligible)
{
    if (!ims_bitset_copy(out_eligible, query->live.bytes, query->live.count))
        return ims_fail_memory((size_t)(query->live.count / 8 + 1));
    for (size_t i = 0; i < query->channel_count; i++)
        ims_bitset_and(out_eligible, ims_features_present(query->channels[i].space.features));
    if (query->labels.bytes != NULL)
        ims_bitset_and(out_eligible, &query->labels);
    if (query->directories.bytes != NULL)
        ims_bitset_and(out_eligible, &query->directories);
    if (query->bits.bytes != NULL)
        ims_bitset_and(out_eligible, &query->bits);
    return IMGSIM_OK;
}

void ims_query_exclude(const imgsim_query *query, struct ims_bitset *eligible)
{
    for (size_t i = 0; i < query->image_count; i++) {
        int64_t id = query->images[i].id;

        if (id >= 0 && (uint64_t)id < eligible->count)
            ims_bitset_unset(eligible, id);
    }
}
