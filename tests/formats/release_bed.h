/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a release hold: the same pictures, rows and settings on every machine and in every version. */
#ifndef IMS_TESTS_RELEASE_BED_H
#define IMS_TESTS_RELEASE_BED_H

#include "public_bed.h"

/* Pictures per family in the collection. */
#define RELEASE_EACH 2u
#define RELEASE_IMAGES (BED_FAMILIES * RELEASE_EACH)
#define RELEASE_PCA 4u

/* Rows of the indexes and of the projector. */
/* More than an HNSW index compares directly, so that its graph is there. */
#define RELEASE_ROWS 1030u
#define RELEASE_VALUES 4u
/* This id was removed from each index before it was saved. */
#define RELEASE_REMOVED 17
#define RELEASE_NOTE "written by imgsim 0.1"

/* Counts from 0 to 199, so that the rows serve for histograms, too. */
static inline void release_rows(float rows[RELEASE_ROWS * RELEASE_VALUES])
{
    uint64_t state = 20250101;

    for (size_t i = 0; i < RELEASE_ROWS * RELEASE_VALUES; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        rows[i] = (float)(state >> 33) / (float)(1u << 31) * 200.0F;
    }
}

/* An index of a release. */
struct release_index {
    const char *name;
    int32_t kind;
    int32_t metric;
};

static const struct release_index release_indexes[] = {
    {"exact-l2.ims", IMGSIM_INDEX_EXACT, IMGSIM_METRIC_L2},
    {"exact-chi-square.ims", IMGSIM_INDEX_EXACT, IMGSIM_METRIC_CHI_SQUARE},
    {"exact-hamming.ims", IMGSIM_INDEX_EXACT, IMGSIM_METRIC_HAMMING},
    {"hnsw-cosine.ims", IMGSIM_INDEX_HNSW, IMGSIM_METRIC_COSINE},
};
#define RELEASE_INDEXES (sizeof(release_indexes) / sizeof(release_indexes[0]))

/* Few rows where there is no graph. */
static inline size_t release_row_count(const struct release_index *release)
{
    return release->kind == IMGSIM_INDEX_HNSW ? RELEASE_ROWS : 100;
}

/* Bit rows are as long as the float rows. */
static inline uint32_t release_dimension(const struct release_index *release)
{
    return release->metric == IMGSIM_METRIC_HAMMING ? RELEASE_VALUES * 32 : RELEASE_VALUES;
}

static inline void
release_add(imgsim_index *index, const float *rows, size_t count, const int64_t *ids)
{
    if (imgsim_index_get_metric(index) == IMGSIM_METRIC_HAMMING)
        CHECK_OK(imgsim_index_add_bits(index, (const uint8_t *)rows, count, ids));
    else
        CHECK_OK(imgsim_index_add(index, rows, count, ids));
}

static inline void release_search(
    const imgsim_index *index,
    const float *rows,
    size_t count,
    size_t k,
    int64_t *ids,
    float *distances)
{
    if (imgsim_index_get_metric(index) == IMGSIM_METRIC_HAMMING)
        CHECK_OK(
            imgsim_index_search_bits(index, (const uint8_t *)rows, count, k, NULL, ids, distances));
    else
        CHECK_OK(imgsim_index_search(index, rows, count, k, NULL, ids, distances));
}

/* The index made now, by this version, of its kind or another. */
static inline imgsim_index *release_make_index(const struct release_index *release, int32_t kind)
{
    static const int64_t removed = RELEASE_REMOVED;
    static float rows[RELEASE_ROWS * RELEASE_VALUES];
    imgsim_index_options options;
    imgsim_index *index = NULL;

    release_rows(rows);
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = release->metric;
    options.dimension = release_dimension(release);
    options.max_links = 2;
    CHECK_OK(imgsim_index_new(&options, &index));
    release_add(index, rows, release_row_count(release), NULL);
    CHECK_OK(imgsim_index_remove(index, &removed, 1, NULL));
    CHECK_OK(imgsim_index_set_note(index, RELEASE_NOTE));
    return index;
}

/* The projector made now, by this version. */
static inline imgsim_projector *release_make_projector(void)
{
    static float rows[RELEASE_ROWS * RELEASE_VALUES];
    imgsim_projector_options options;
    imgsim_projector *projector = NULL;

    release_rows(rows);
    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    options.whiten = 0.5;
    options.normalize = 1;
    CHECK_OK(imgsim_projector_new(RELEASE_VALUES, 3, &options, &projector));
    CHECK_OK(imgsim_projector_add(projector, rows, RELEASE_ROWS));
    CHECK_OK(imgsim_projector_train(projector));
    return projector;
}

#endif
