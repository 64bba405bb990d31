/* SPDX-License-Identifier: Apache-2.0 */
/* The search itself: from query rows through candidates and scores to a result. */
#include "query/query.h"

#include "catalog/catalog.h"
#include "core/memory.h"
#include "core/progress.h"

/* One search from its rows to its result. */
struct search {
    imgsim_query *query;
    struct ims_channel_rows rows[IMS_CHANNELS_MAX];
    struct ims_bitset eligible; /* without the query images */
    uint64_t eligible_count;
    uint64_t image_count; /* eligible, query images included */
    bool exact;
    uint32_t failovers;
    imgsim_result *result;
};

static imgsim_status check_images(const imgsim_query *query)
{
    for (size_t i = 0; i < query->image_count; i++)
        if (query->images[i].weight > 0)
            return IMGSIM_OK;
    return ims_fail(
        IMGSIM_ERROR_NOT_READY, query->image_count == 0 ? "the query has no image to look for"
                                                        : "the query has only negative images");
}

/* Query rows of every channel. */
static imgsim_status collect_rows(struct search *search)
{
    imgsim_status status;
    imgsim_query *query = search->query;

    for (size_t i = 0; i < query->channel_count; i++) {
        const struct ims_space *space = &query->channels[i].space;

        if ((status = ims_rows_collect(query, space, &search->rows[i])) != IMGSIM_OK)
            return status;
        if (query->options.images == IMGSIM_IMAGES_MEAN &&
            (status = ims_rows_mean(space, &search->rows[i])) != IMGSIM_OK)
            return status;
    }
    return IMGSIM_OK;
}

/*
 * The parts of all hits of the result; `similarity` and `rank` of hit i are at positions[i] of the
 * scores.
 */
static imgsim_status
fill_parts(struct search *search, const struct ims_scores *scores, const size_t *positions)
{
    imgsim_status status = IMGSIM_OK;
    imgsim_query *query = search->query;
    imgsim_result *result = search->result;
    size_t channels = query->channel_count;
    int64_t *ids = ims_alloc_array(result->count, sizeof(*ids));
    double *values = ims_alloc_array(result->count, sizeof(*values));

    if (ids == NULL || values == NULL) {
        status = ims_fail_memory(result->count * sizeof(*ids));
        goto done;
    }
    for (size_t hit = 0; hit < result->count; hit++)
        ids[hit] = result->hits[hit].id;
    for (size_t c = 0; c < channels; c++) {
        if ((status = ims_channel_values(
                 query, &query->channels[c], &search->rows[c], ids, result->count, values)) !=
            IMGSIM_OK)
            goto done;
        for (size_t hit = 0; hit < result->count; hit++) {
            struct ims_result_part *part = &result->parts[hit * channels + c];
            size_t position = positions[hit];

            part->value = values[hit];
            part->similarity = scores->similarity[c * scores->count + position];
            part->rank = scores->rank != NULL ? scores->rank[c * scores->count + position]
                         : channels == 1      ? (uint32_t)hit + 1
                                              : 0;
        }
    }

done:
    ims_free(ids);
    ims_free(values);
    return status;
}

/* Takes the best images into the result; one that another process has replaced or lost meanwhile is left out. */
struct taking {
    imgsim_result *result;
    const struct ims_scores *scores;
    const struct ims_neighbour *best; /* its ids are positions in the scores */
    size_t *positions;                /* of the hits, to fill */
};

static imgsim_status take_hit(const imgsim_file_info *file, size_t place, void *user_data)
{
    struct taking *taking = user_data;
    const size_t position = (size_t)taking->best[place].id;

    taking->positions[taking->result->count] = position;
    return ims_result_add(
        taking->result, file, taking->scores->ids[position], taking->scores->score[position]);
}

/* Hits and parts from the scores of the candidates. */
static imgsim_status build_result(struct search *search, const struct ims_scores *scores)
{
    imgsim_status status;
    const imgsim_query *query = search->query;
    size_t k = query->options.k < scores->count ? query->options.k : scores->count;
    struct ims_neighbour *best = ims_alloc_array(k, sizeof(*best));
    size_t *positions = ims_alloc_array(k, sizeof(*positions));
    int64_t *ids = ims_alloc_array(k, sizeof(*ids));
    size_t best_count, count = 0;

    if (best == NULL || positions == NULL || ids == NULL) {
        status = ims_fail_memory(k * sizeof(*best));
        goto done;
    }
    best_count = ims_scores_select(query, scores, k, best);
    if ((status = ims_result_new(query, best_count, &search->result)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < best_count; i++) {
        if (scores->score[best[i].id] < query->options.min_score)
            continue;
        ids[count] = scores->ids[best[i].id];
        best[count++] = best[i];
    }
    {
        struct taking taking = {search->result, scores, best, positions};

        if ((status = ims_catalog_visit_ids(query->catalog, ids, count, take_hit, &taking)) ==
            IMGSIM_OK)
            status = fill_parts(search, scores, positions);
    }

done:
    ims_free(best);
    ims_free(positions);
    ims_free(ids);
    return status;
}

/* Score every image of a set with every channel and take the best. */
static imgsim_status rank_set(struct search *search, const struct ims_bitset *set, bool all)
{
    imgsim_status status;
    struct ims_scores scores = {0};

    if ((status = ims_scores_init(search->query, set, &scores)) == IMGSIM_OK) {
        scores.all = all;
        if ((status = ims_scores_compute(search->query, search->rows, &scores)) == IMGSIM_OK)
            status = build_result(search, &scores);
    }
    ims_scores_clear(&scores);
    return status;
}

/*
 * Whether one index search gives the answer: one channel, one query row, ranked by the metric
 * alone.
 */
static bool one_row_decides(const struct search *search)
{
    const imgsim_query *query = search->query;

    return query->channel_count == 1 && query->options.images == IMGSIM_IMAGES_MEAN &&
           query->options.fusion != IMGSIM_FUSE_CALLBACK && search->rows[0].count == 1;
}

/* The ids an index finds, as a set that is then ranked in double precision. */
static imgsim_status rank_index(struct search *search, const imgsim_index *index)
{
    imgsim_status status;
    const imgsim_query *query = search->query;
    size_t k = query->options.k < search->eligible_count ? query->options.k
                                                         : (size_t)search->eligible_count;
    struct ims_bitset found = {0};
    int64_t *ids = ims_alloc_array(k, sizeof(*ids));
    float *distances = ims_alloc_array(k, sizeof(*distances));

    if (ids == NULL || distances == NULL || !ims_bitset_init(&found, query->live.count, false)) {
        status = ims_fail_memory(k * sizeof(*ids));
        goto done;
    }
    if ((status = ims_search_row(
             query, index, &search->rows[0], 0, k, &search->eligible, ids, distances)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < k; i++)
        if (ids[i] >= 0)
            ims_bitset_set(&found, ids[i]);
    status = rank_set(search, &found, false);

done:
    ims_bitset_clear(&found);
    ims_free(ids);
    ims_free(distances);
    return status;
}

/* What the channels' bounds leave over is ranked in double precision. */
static imgsim_status rank_bounded(struct search *search)
{
    imgsim_status status;
    struct ims_bitset left = {0};

    if ((status = ims_bounded_candidates(
             search->query, search->rows, &search->eligible, search->eligible_count, &left)) ==
        IMGSIM_OK)
        status = rank_set(search, &left, ims_bitset_popcount(&left) > search->eligible_count / 2);
    ims_bitset_clear(&left);
    return status;
}

static imgsim_status search_exact(struct search *search)
{
    imgsim_status status;
    const imgsim_index *index;

    search->exact = true;
    if (ims_bounded_serves(search->query, search->rows, search->eligible_count))
        return rank_bounded(search);
    if (search->eligible_count == 0 || !one_row_decides(search))
        return rank_set(search, &search->eligible, true);
    if ((status = ims_space_exact(&search->query->channels[0].space, &index)) != IMGSIM_OK)
        return status;
    return rank_index(search, index);
}

static imgsim_status search_auto(struct search *search)
{
    imgsim_status status;
    struct ims_space *space = &search->query->channels[0].space;
    const imgsim_index *stored = NULL;

    if (search->eligible_count > 0 && one_row_decides(search) && !search->rows[0].bits &&
        (status = ims_space_stored(search->query, space, &stored)) != IMGSIM_OK)
        return status;
    if (stored == NULL)
        return search_exact(search);
    search->exact = imgsim_index_get_kind(stored) == IMGSIM_INDEX_EXACT;
    return rank_index(search, stored);
}

/* CASCADE and DOUBLE: candidates first, then all channels by the original rows. */
static imgsim_status search_candidates(struct search *search)
{
    imgsim_status status;
    imgsim_query *query = search->query;
    struct ims_candidates candidates = {0};

    if (query->options.search == IMGSIM_SEARCH_CASCADE)
        status =
            ims_cascade_candidates(query, &search->eligible, search->eligible_count, &candidates);
    else
        status = ims_double_candidates(
            query, search->rows, &search->eligible, search->eligible_count, &candidates);
    search->failovers = candidates.failovers;
    if (status == IMGSIM_OK && candidates.all)
        status = search_exact(search);
    else if (status == IMGSIM_OK)
        status = rank_set(search, &candidates.set, false);
    ims_candidates_clear(&candidates);
    return status;
}

static imgsim_status search_run(struct search *search)
{
    imgsim_status status;
    imgsim_query *query = search->query;

    if ((status = ims_query_eligible(query, &search->eligible)) != IMGSIM_OK)
        return status;
    search->image_count = ims_bitset_popcount(&search->eligible);
    if (query->options.exclude_queries)
        ims_query_exclude(query, &search->eligible);
    search->eligible_count = ims_bitset_popcount(&search->eligible);

    switch (query->options.search) {
    case IMGSIM_SEARCH_EXACT:
        return search_exact(search);
    case IMGSIM_SEARCH_AUTO:
        return search_auto(search);
    default:
        return search_candidates(search);
    }
}

imgsim_status imgsim_query_search(imgsim_query *query, imgsim_result **out_result)
{
    imgsim_status status;
    struct search search = {0};
    double started;

    if (query == NULL || out_result == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query and out_result must not be NULL");
    *out_result = NULL;

    search.query = query;
    if ((status = check_images(query)) != IMGSIM_OK ||
        (status = ims_channels_default(query)) != IMGSIM_OK ||
        (status = collect_rows(&search)) != IMGSIM_OK)
        goto done;

    started = ims_now();
    if ((status = search_run(&search)) != IMGSIM_OK)
        goto done;

    search.result->image_count = search.image_count;
    search.result->exact = search.exact;
    search.result->failovers = search.failovers;
    search.result->elapsed_ms = (ims_now() - started) * 1e3;
    *out_result = search.result;
    search.result = NULL; /* now the caller's */

done:
    imgsim_result_free(search.result);
    ims_bitset_clear(&search.eligible);
    for (size_t i = 0; i < query->channel_count; i++)
        ims_channel_rows_clear(&search.rows[i]);
    return status;
}
