/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Candidates: coarse search in a projection with failover, and merged candidates of several
 * indexes.
 */
#include "query/query.h"

#include "core/memory.h"
#include "simd/metric.h"

#include <string.h>

/* After this many times of more candidates the exact scan runs. */
#define FAILOVERS_MAX 3
#define FAILOVER_GROWTH 4

void ims_candidates_clear(struct ims_candidates *candidates)
{
    ims_bitset_clear(&candidates->set);
    memset(candidates, 0, sizeof(*candidates));
}

imgsim_status ims_search_row(
    const imgsim_query *query,
    const imgsim_index *index,
    const struct ims_channel_rows *rows,
    size_t row,
    size_t k,
    const struct ims_bitset *eligible,
    int64_t *out_ids,
    float *out_distances)
{
    imgsim_status status;
    imgsim_search_options options;

    if ((status = imgsim_search_options_init(&options, sizeof(options))) != IMGSIM_OK)
        return status;
    options.search_width = query->options.search_width;
    options.threads = query->options.threads;
    options.filter = eligible->bytes;
    options.filter_bits = eligible->count;
    if (rows->bits)
        return imgsim_index_search_bits(
            index, ims_rows_at(rows, row), 1, k, &options, out_ids, out_distances);
    return imgsim_index_search(
        index, ims_rows_at(rows, row), 1, k, &options, out_ids, out_distances);
}

/* The stored index of a space if there is a fresh one, else the exact one. */
static imgsim_status
space_index(const imgsim_query *query, struct ims_space *space, const imgsim_index **out_index)
{
    imgsim_status status;

    if ((status = ims_space_stored(query, space, out_index)) == IMGSIM_OK && *out_index == NULL)
        status = ims_space_exact(space, out_index);
    return status;
}

/* What one coarse search tells about its own worth. */
struct coarse {
    double best;     /* similarity of the nearest; 0 if nothing was found */
    double kth;      /* of the k-th, at least the second */
    bool has_spread; /* there was a second one */
};

static struct coarse measure(
    const imgsim_query *query,
    const struct ims_space *space,
    const float *distances,
    size_t found)
{
    struct coarse coarse = {0};
    size_t kth = query->options.k < 2 ? 2 : query->options.k;

    if (found == 0)
        return coarse;
    kth = kth > found ? found : kth;
    coarse.best = ims_metric_similarity_of(
        space->metric, space->dimension, ims_metric_value(space->metric, distances[0]));
    coarse.kth = ims_metric_similarity_of(
        space->metric, space->dimension, ims_metric_value(space->metric, distances[kth - 1]));
    coarse.has_spread = found > 1;
    return coarse;
}

/* Search the positive rows in an index and add what is found to the set; out_coarse may be NULL. */
static imgsim_status collect_near(
    const imgsim_query *query,
    const struct ims_space *space,
    const imgsim_index *index,
    const struct ims_channel_rows *rows,
    size_t wanted,
    const struct ims_bitset *eligible,
    struct ims_bitset *set,
    struct coarse *out_coarse)
{
    imgsim_status status = IMGSIM_OK;
    int64_t *ids = ims_alloc_array(wanted, sizeof(*ids));
    float *distances = ims_alloc_array(wanted, sizeof(*distances));

    if (ids == NULL || distances == NULL)
        status = ims_fail_memory(wanted * sizeof(*ids));
    for (size_t row = 0; row < rows->count && status == IMGSIM_OK; row++) {
        size_t found = 0;

        if (rows->weights[row] < 0)
            continue;
        status = ims_search_row(query, index, rows, row, wanted, eligible, ids, distances);
        if (status != IMGSIM_OK)
            break;
        for (; found < wanted && ids[found] >= 0; found++)
            ims_bitset_set(set, ids[found]);
        if (out_coarse != NULL)
            out_coarse[row] = measure(query, space, distances, found);
    }
    ims_free(ids);
    ims_free(distances);
    return status;
}

/* ---- cascade ---- */

/* The first float channel with a projection. */
static imgsim_status find_projection(imgsim_query *query, struct ims_space **out_projection)
{
    imgsim_status status;

    *out_projection = NULL;
    for (size_t i = 0; i < query->channel_count && *out_projection == NULL; i++)
        if ((status = ims_channel_projection(query, &query->channels[i], out_projection)) !=
            IMGSIM_OK)
            return status;
    if (*out_projection == NULL)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "a cascade needs a projection of a channel's feature, make one with: "
            "imgsim pca");
    return IMGSIM_OK;
}

/*
 * Whether any positive image's coarse search is doubtful: nothing near, or everything equally near.
 */
static bool is_doubtful(
    const imgsim_query *query,
    const struct ims_channel_rows *rows,
    const struct coarse coarse[IMGSIM_QUERY_IMAGES_MAX])
{
    for (size_t row = 0; row < rows->count; row++) {
        if (rows->weights[row] < 0)
            continue;
        if (coarse[row].best < query->options.failover_score)
            return true;
        if (coarse[row].has_spread &&
            coarse[row].best - coarse[row].kth < query->options.failover_spread)
            return true;
    }
    return false;
}

static imgsim_status coarse_rows(
    imgsim_query *query,
    const struct ims_space *projection,
    struct ims_channel_rows *out_rows)
{
    imgsim_status status = ims_rows_collect(query, projection, out_rows);

    if (status == IMGSIM_OK && query->options.images == IMGSIM_IMAGES_MEAN)
        status = ims_rows_mean(projection, out_rows);
    return status;
}

imgsim_status ims_cascade_candidates(
    imgsim_query *query,
    const struct ims_bitset *eligible,
    uint64_t eligible_count,
    struct ims_candidates *out_candidates)
{
    imgsim_status status;
    struct ims_space *projection;
    struct ims_channel_rows rows = {0};
    const imgsim_index *index;
    uint64_t wanted = query->options.candidates;
    struct coarse coarse[IMGSIM_QUERY_IMAGES_MAX];

    memset(out_candidates, 0, sizeof(*out_candidates));
    if ((status = find_projection(query, &projection)) != IMGSIM_OK ||
        (status = coarse_rows(query, projection, &rows)) != IMGSIM_OK ||
        (status = space_index(query, projection, &index)) != IMGSIM_OK)
        goto done;
    if (!ims_bitset_init(&out_candidates->set, query->live.count, false)) {
        status = ims_fail_memory((size_t)(query->live.count / 8));
        goto done;
    }

    wanted = wanted < query->options.k ? query->options.k : wanted;
    for (;;) {
        if (wanted >= eligible_count || wanted > IMGSIM_K_MAX ||
            out_candidates->failovers == FAILOVERS_MAX) {
            out_candidates->all = true;
            break;
        }
        if ((status = collect_near(
                 query, projection, index, &rows, (size_t)wanted, eligible, &out_candidates->set,
                 coarse)) != IMGSIM_OK ||
            !is_doubtful(query, &rows, coarse))
            break;
        out_candidates->failovers++;
        wanted *= FAILOVER_GROWTH;
    }

done:
    ims_channel_rows_clear(&rows);
    return status;
}

/* ---- merged candidates ---- */

/* Add the nearest in one channel's own rows and in its projection's. */
static imgsim_status add_channel_candidates(
    imgsim_query *query,
    struct ims_channel *channel,
    const struct ims_channel_rows *rows,
    size_t wanted,
    const struct ims_bitset *eligible,
    struct ims_bitset *set)
{
    imgsim_status status;
    const imgsim_index *index;
    struct ims_space *projection;
    struct ims_channel_rows projected = {0};

    if ((status = space_index(query, &channel->space, &index)) != IMGSIM_OK ||
        (status = collect_near(query, &channel->space, index, rows, wanted, eligible, set, NULL)) !=
            IMGSIM_OK ||
        (status = ims_channel_projection(query, channel, &projection)) != IMGSIM_OK)
        return status;
    if (projection == NULL)
        return IMGSIM_OK;

    if ((status = coarse_rows(query, projection, &projected)) == IMGSIM_OK &&
        (status = space_index(query, projection, &index)) == IMGSIM_OK)
        status = collect_near(query, projection, index, &projected, wanted, eligible, set, NULL);
    ims_channel_rows_clear(&projected);
    return status;
}

imgsim_status ims_double_candidates(
    imgsim_query *query,
    const struct ims_channel_rows *rows,
    const struct ims_bitset *eligible,
    uint64_t eligible_count,
    struct ims_candidates *out_candidates)
{
    imgsim_status status = IMGSIM_OK;
    uint64_t wanted = query->options.candidates;
    bool any = false;

    memset(out_candidates, 0, sizeof(*out_candidates));
    wanted = wanted < query->options.k ? query->options.k : wanted;
    for (size_t i = 0; i < query->channel_count; i++)
        any |= query->channels[i].space.row_type == IMGSIM_ROW_FLOAT32;
    if (!any || wanted >= eligible_count || wanted > IMGSIM_K_MAX) {
        out_candidates->all = true;
        return IMGSIM_OK;
    }

    if (!ims_bitset_init(&out_candidates->set, query->live.count, false))
        return ims_fail_memory((size_t)(query->live.count / 8));
    for (size_t i = 0; i < query->channel_count && status == IMGSIM_OK; i++)
        if (query->channels[i].space.row_type == IMGSIM_ROW_FLOAT32)
            status = add_channel_candidates(
                query, &query->channels[i], &rows[i], (size_t)wanted, eligible,
                &out_candidates->set);
    return status;
}
