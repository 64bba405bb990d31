/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups of duplicates: connected components of "has equal content" and "differs in few bits".
 *
 * Disjoint sets with path halving, the smaller id as the root (Tarjan, Journal of the ACM 22(2), 1975; halving: Tarjan & van Leeuwen,
 * Journal of the ACM 31(2), 1984). They take in pair after pair, so memory does not grow with the number of pairs.
 */
#include <imgsim/duplicates.h>

#include "derive/derive_internal.h"

#include "core/memory.h"
#include "core/options.h"
#include "simd/kernels.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)16 << 20)
#define DEFAULT_DISTANCE 4

struct imgsim_duplicates {
    size_t group_count;
    size_t image_count;
    size_t *starts; /* group_count + 1 */
    int64_t *ids;   /* of each the following three: image_count */
    uint32_t *distances;
    uint32_t *copies;
};

static const imgsim_duplicates_options defaults = {
    .struct_size = sizeof(imgsim_duplicates_options),
    .max_distance = DEFAULT_DISTANCE};

imgsim_status imgsim_duplicates_options_init(imgsim_duplicates_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* One call. Ids are below 2^31. */
struct search {
    const imgsim_catalog *catalog;
    imgsim_duplicates_options options;
    const struct ims_bitset *live;
    uint32_t *parents;         /* of each id: an id of the same set, not above it */
    uint32_t *contents;        /* of each id: the lowest live one of the same content */
    uint32_t *places;          /* of each root: images of its set, then where the next one goes */
    imgsim_features *features; /* NULL: copies only */
    imgsim_duplicates *found;
};

/* ---- disjoint sets ---- */

static uint32_t root_of(uint32_t *parents, uint32_t id)
{
    while (parents[id] != id) {
        parents[id] = parents[parents[id]];
        id = parents[id];
    }
    return id;
}

static void join(uint32_t *parents, uint32_t a, uint32_t b)
{
    a = root_of(parents, a);
    b = root_of(parents, b);
    if (a < b)
        parents[b] = a;
    else
        parents[a] = b;
}

/* ---- pairs ---- */

/* Two files of equal content; those of one content come after each other, the lowest id with each. */
static void take_copy(int64_t first, int64_t id, void *user_data)
{
    struct search *search = user_data;

    search->contents[id] = (uint32_t)first;
    join(search->parents, (uint32_t)first, (uint32_t)id);
}

static int32_t take_pairs(
    const int64_t *ids_a,
    const int64_t *ids_b,
    const float *distances,
    size_t count,
    void *user_data)
{
    struct search *search = user_data;

    (void)distances;
    for (size_t i = 0; i < count; i++)
        join(search->parents, (uint32_t)ids_a[i], (uint32_t)ids_b[i]);
    return 0;
}

static imgsim_status fill_index(const struct search *search, imgsim_index *index)
{
    struct ims_batches batches;
    imgsim_status status;

    if ((status = ims_batches_open(&batches, search->features, NULL, BATCH_BYTES)) != IMGSIM_OK)
        return status;
    while ((status = ims_batches_next(&batches)) == IMGSIM_OK && batches.count > 0)
        if ((status = imgsim_index_add_bits(
                 index, batches.batch_rows, batches.count, batches.batch_ids)) != IMGSIM_OK)
            break;
    ims_batches_close(&batches);
    return status;
}

static imgsim_status find_near(struct search *search)
{
    imgsim_index_options settings;
    imgsim_pairs_options pairs;
    imgsim_index *index = NULL;
    imgsim_status status;

    if ((status = imgsim_index_options_init(&settings, sizeof(settings))) != IMGSIM_OK ||
        (status = imgsim_pairs_options_init(&pairs, sizeof(pairs))) != IMGSIM_OK)
        return status;
    settings.dimension = imgsim_features_get_dimension(search->features);
    settings.metric = IMGSIM_METRIC_HAMMING;
    settings.kind = IMGSIM_INDEX_EXACT;
    settings.threads = search->options.threads;
    pairs.max_distance = search->options.max_distance;
    pairs.progress = search->options.progress;
    pairs.progress_data = search->options.progress_data;
    if ((status = imgsim_index_new(&settings, &index)) == IMGSIM_OK &&
        (status = fill_index(search, index)) == IMGSIM_OK)
        status = imgsim_index_pairs(index, &pairs, take_pairs, search);
    imgsim_index_free(index);
    return status;
}

static imgsim_status open_feature(struct search *search)
{
    const char *name = search->options.feature != NULL ? search->options.feature : "hash";
    imgsim_status status;

    if (search->options.near == 0)
        return IMGSIM_OK;
    if ((status = imgsim_catalog_open_features(search->catalog, name, &search->features)) !=
        IMGSIM_OK)
        return status;
    if (imgsim_features_get_row_type(search->features) != IMGSIM_ROW_BITS)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "feature \"%s\" does not consist of bits, as hashes do",
            name);
    if (search->options.max_distance > imgsim_features_get_dimension(search->features))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "max_distance is %u, expected 0 to %u bits",
            search->options.max_distance, imgsim_features_get_dimension(search->features));
    return IMGSIM_OK;
}

/* ---- groups ---- */

/* An image while its group is put in order. */
struct member {
    uint64_t pixels;
    uint64_t bytes;
    int64_t id;
    uint32_t distance;
};

/* The one to keep comes first. */
static int compare_worth(const struct member *a, const struct member *b)
{
    if (a->pixels != b->pixels)
        return a->pixels > b->pixels ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int compare_distance(const void *left, const void *right)
{
    const struct member *a = left, *b = right;

    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Sizes of the sets at their roots, and how much there is in all. */
static void count_sets(const struct search *search, size_t *out_groups, size_t *out_images)
{
    const uint64_t ids = search->live->count;

    *out_groups = *out_images = 0;
    for (uint64_t id = 0; id < ids; id++)
        if (ims_bitset_test(search->live, (int64_t)id))
            search->places[root_of(search->parents, (uint32_t)id)]++;
    for (uint64_t id = 0; id < ids; id++)
        if (search->places[id] > 1) {
            ++*out_groups;
            *out_images += search->places[id];
        }
}

/* A set by its root; the root is its lowest id. */
struct set {
    uint32_t size;
    uint32_t root;
};

static int compare_sets(const void *left, const void *right)
{
    const struct set *a = left, *b = right;

    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a->root < b->root ? -1 : a->root > b->root;
}

/* Where each group begins, and its ids in order of id. */
static imgsim_status gather(struct search *search)
{
    imgsim_duplicates *found = search->found;
    struct set *sets = ims_alloc_array(found->group_count, sizeof(*sets));
    size_t count = 0, start = 0;

    if (sets == NULL)
        return ims_fail_memory(found->group_count * sizeof(*sets));
    for (uint64_t id = 0; id < search->live->count; id++)
        if (search->places[id] > 1)
            sets[count++] = (struct set){search->places[id], (uint32_t)id};
    qsort(sets, count, sizeof(*sets), compare_sets);

    memset(search->places, 0xff, (size_t)search->live->count * sizeof(*search->places));
    for (size_t i = 0; i < count; i++) {
        found->starts[i] = start;
        search->places[sets[i].root] = (uint32_t)start;
        start += sets[i].size;
    }
    found->starts[count] = start;
    for (uint64_t id = 0; id < search->live->count; id++) {
        uint32_t root = root_of(search->parents, (uint32_t)id);

        if (ims_bitset_test(search->live, (int64_t)id) && search->places[root] != UINT32_MAX)
            found->ids[search->places[root]++] = (int64_t)id;
    }
    ims_free(sets);
    return IMGSIM_OK;
}

static int32_t take_worth(const imgsim_file_info *file, void *user_data)
{
    struct member *member = user_data;

    member->pixels = (uint64_t)file->width * file->height;
    member->bytes = file->bytes;
    return 0;
}

/* Bits in which the rows of two images differ. */
static uint32_t distance_between(const struct search *search, int64_t a, int64_t b)
{
    const uint8_t *rows;
    size_t size;

    if (search->contents[a] == search->contents[b])
        return 0;
    if (search->features == NULL || !imgsim_features_has_row(search->features, a) ||
        !imgsim_features_has_row(search->features, b))
        return IMGSIM_DISTANCE_UNKNOWN;
    rows = imgsim_features_get_rows(search->features);
    size = ims_feature_row_size(search->features);
    return ims_kernels()->hamming(rows + (size_t)a * size, rows + (size_t)b * size, size);
}

/* Which members are copies of each other. `places` of contents are free to use by now. */
static void note_copies(const struct search *search, const int64_t *ids, uint32_t *copies, size_t n)
{
    for (size_t i = n; i-- > 0;)
        search->places[search->contents[ids[i]]] = (uint32_t)i;
    for (size_t i = 0; i < n; i++)
        copies[i] = search->places[search->contents[ids[i]]];
}

static imgsim_status order_group(struct search *search, size_t group, struct member *members)
{
    const imgsim_duplicates *found = search->found;
    const size_t start = found->starts[group], n = found->starts[group + 1] - start;
    imgsim_status status;
    size_t best = 0;

    for (size_t i = 0; i < n; i++) {
        members[i] = (struct member){.id = found->ids[start + i]};
        status = imgsim_catalog_get_file(search->catalog, members[i].id, take_worth, &members[i]);
        /* Gone since the handle was refreshed: it is what the handle sees, only not worth keeping. */
        if (status != IMGSIM_OK && status != IMGSIM_ERROR_NOT_FOUND)
            return status;
        if (compare_worth(&members[i], &members[best]) < 0)
            best = i;
    }
    {
        struct member first = members[best];

        members[best] = members[0];
        members[0] = first;
    }
    for (size_t i = 0; i < n; i++)
        members[i].distance = distance_between(search, members[0].id, members[i].id);
    qsort(members + 1, n - 1, sizeof(*members), compare_distance);
    for (size_t i = 0; i < n; i++) {
        found->ids[start + i] = members[i].id;
        found->distances[start + i] = members[i].distance;
    }
    note_copies(search, found->ids + start, found->copies + start, n);
    return IMGSIM_OK;
}

static imgsim_status make_groups(struct search *search)
{
    imgsim_duplicates *found = search->found;
    struct member *members = NULL;
    imgsim_status status;

    count_sets(search, &found->group_count, &found->image_count);
    if ((found->starts = ims_alloc_array(found->group_count + 1, sizeof(size_t))) == NULL ||
        (found->ids = ims_alloc_array(found->image_count, sizeof(int64_t))) == NULL ||
        (found->distances = ims_alloc_array(found->image_count, sizeof(uint32_t))) == NULL ||
        (found->copies = ims_alloc_array(found->image_count, sizeof(uint32_t))) == NULL)
        return ims_fail_memory(found->image_count * sizeof(int64_t));
    if ((status = gather(search)) != IMGSIM_OK)
        return status;
    if (found->group_count == 0)
        return IMGSIM_OK;
    /* The first group is the largest. */
    if ((members = ims_alloc_array(found->starts[1], sizeof(*members))) == NULL)
        return ims_fail_memory(found->starts[1] * sizeof(*members));
    for (size_t i = 0; i < found->group_count && status == IMGSIM_OK; i++)
        status = order_group(search, i, members);
    ims_free(members);
    return status;
}

static imgsim_status run_search(struct search *search)
{
    const size_t ids = (size_t)search->live->count;
    imgsim_status status;

    if ((search->found = ims_calloc(1, sizeof(*search->found))) == NULL ||
        (search->parents = ims_alloc_array(ids, sizeof(uint32_t))) == NULL ||
        (search->contents = ims_alloc_array(ids, sizeof(uint32_t))) == NULL ||
        (search->places = ims_calloc(ids, sizeof(uint32_t))) == NULL)
        return ims_fail_memory(ids * sizeof(uint32_t));
    for (size_t id = 0; id < ids; id++)
        search->parents[id] = search->contents[id] = (uint32_t)id;
    if ((status = ims_catalog_visit_copies(search->catalog, take_copy, search)) != IMGSIM_OK ||
        (search->features != NULL && (status = find_near(search)) != IMGSIM_OK))
        return status;
    return make_groups(search);
}

imgsim_status imgsim_derive_duplicates(
    const imgsim_catalog *catalog,
    const imgsim_duplicates_options *options,
    imgsim_duplicates **out_duplicates)
{
    struct search search = {.catalog = catalog, .options = defaults};
    imgsim_status status;

    if (catalog == NULL || out_duplicates == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and out_duplicates must not be NULL");
    *out_duplicates = NULL;
    if ((status = ims_options_read(&search.options, sizeof(search.options), options)) != IMGSIM_OK)
        return status;
    search.live = ims_catalog_live(catalog);
    if ((status = open_feature(&search)) == IMGSIM_OK &&
        (status = run_search(&search)) == IMGSIM_OK) {
        *out_duplicates = search.found;
        search.found = NULL;
    }
    imgsim_duplicates_free(search.found);
    imgsim_features_free(search.features);
    ims_free(search.parents);
    ims_free(search.contents);
    ims_free(search.places);
    return status;
}

/* ---- what was found ---- */

void imgsim_duplicates_free(imgsim_duplicates *duplicates)
{
    if (duplicates == NULL)
        return;
    ims_free(duplicates->starts);
    ims_free(duplicates->ids);
    ims_free(duplicates->distances);
    ims_free(duplicates->copies);
    ims_free(duplicates);
}

uint64_t imgsim_duplicates_get_group_count(const imgsim_duplicates *duplicates)
{
    return duplicates != NULL ? duplicates->group_count : 0;
}

uint64_t imgsim_duplicates_get_image_count(const imgsim_duplicates *duplicates)
{
    return duplicates != NULL ? duplicates->image_count : 0;
}

imgsim_status imgsim_duplicates_get_group(
    const imgsim_duplicates *duplicates,
    uint64_t group,
    const int64_t **out_ids,
    const uint32_t **out_distances,
    const uint32_t **out_copies,
    size_t *out_count)
{
    size_t start;

    if (duplicates == NULL || out_count == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "duplicates and out_count must not be NULL");
    if (group >= duplicates->group_count)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "group is %llu, there are %zu",
            (unsigned long long)group, duplicates->group_count);
    start = duplicates->starts[group];
    *out_count = duplicates->starts[group + 1] - start;
    if (out_ids != NULL)
        *out_ids = duplicates->ids + start;
    if (out_distances != NULL)
        *out_distances = duplicates->distances + start;
    if (out_copies != NULL)
        *out_copies = duplicates->copies + start;
    return IMGSIM_OK;
}
