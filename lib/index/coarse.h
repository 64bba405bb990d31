/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planes of merged bins: for every histogram of an index a few bytes from which a lower bound of its key follows, for any
 * query. docs/exact-histograms.md derives the bounds.
 *
 * The bins are merged twice: into few groups, whose codes are laid out for scanning all rows, and into more, whose codes are
 * looked at for the rows that are left. Codes are roots: a group's mass is about scale * code^2. Chi-square has one level of many
 * groups, whose codes of four bits say between which two edges of the group a mass lies.
 */
#ifndef IMS_INDEX_COARSE_H
#define IMS_INDEX_COARSE_H

#include "index/collector.h"
#include "index/index_private.h"

/* Rows from which on planes pay. */
#define IMS_COARSE_ROWS 1000
/* Rows whose codes are stored together in the first plane. */
#define IMS_COARSE_BLOCK 64
/* Levels: few groups, more groups; a group of the second lies within one of the first. */
#define IMS_COARSE_LEVELS 2
#define IMS_COARSE_GROUPS_MAX 512
/* Chi-square: edges between the levels of a group, of which four bits name one. */
#define IMS_COARSE_EDGES 15
/* Sums of histograms for which the bounds are derived; others are compared without them. */
#define IMS_COARSE_LEAST 1e-3
#define IMS_COARSE_MOST 1e9

/* What is said about a row beside its codes. */
struct ims_coarse_row {
    float scale; /* of the codes */
    float
        extra; /* what rounding to codes can have hidden; +infinity: nothing is known, the row is never excluded */
};

struct ims_coarse {
    bool owned;
    uint32_t dimension;
    int size;      /* which of the sizes that planes come in, 0 the largest */
    bool tight;    /* there is a limit: no room ahead of rows to come */
    bool by_edges; /* chi-square: codes of four bits, two blocks of rows in the halves of a byte */
    int levels;    /* with codes: 1 or 2 */
    uint32_t groups[IMS_COARSE_LEVELS];    /* multiples of 16 */
    uint16_t *group_of[IMS_COARSE_LEVELS]; /* dimension groups of bins */
    uint16_t parent_of
        [IMS_COARSE_GROUPS_MAX];       /* group of the first level that holds one of the second */
    uint64_t made_at;                  /* rows that the groups were chosen for */
    size_t slot_count;                 /* slots with codes */
    size_t capacity;                   /* slots there is room for: whole blocks */
    uint8_t *codes[IMS_COARSE_LEVELS]; /* 0: block, or two of them, group, row; 1: row, group */
    /* groups x IMS_COARSE_EDGES, rising: a code is the number of edges that are not above the mass. */
    float *edges;
    float *scale[IMS_COARSE_LEVELS];
    float *extra[IMS_COARSE_LEVELS];
    float *offset; /* L1: a row's sum; correlation: sum / (dimension sqrt(variance)) */
};

/* A query made ready for bounds. Zero it, release it with ims_coarse_query_clear(). */
struct ims_coarse_query {
    bool usable; /* false: out of the range in which the bounds are derived */
    /* Of the first level only groups where the query has something, `list`; of the second all. */
    uint16_t *list;
    size_t list_count;
    float *q[IMS_COARSE_LEVELS];
    uint8_t *tables; /* chi-square: terms by code of the listed groups, in units of by_sum */
    /* score = base + by_offset * offset + by_extra * extra + by_sum * sum, the sum times the row's scale if `scaled`. */
    float base, by_offset, by_extra, by_sum;
    bool scaled;
};

/* ---- coarse_groups.c ---- */

/*
 * Merge `dimension` bins, whose weights are given, into at most counts[level] groups per level. group_of[level] has room for
 * `dimension` groups; counts become how many there are.
 */
imgsim_status ims_coarse_merge(
    const double *weights,
    uint32_t dimension,
    uint32_t counts[IMS_COARSE_LEVELS],
    uint16_t *const group_of[IMS_COARSE_LEVELS]);

/* ---- coarse_levels.c: codes by edges ---- */

/* Choose the edges from `rows` rows of masses per group. */
imgsim_status ims_levels_fit(struct ims_coarse *coarse, const float *masses, size_t rows);
void ims_levels_encode(struct ims_coarse *coarse, uint32_t slot, const double *masses);
/* Tables of chi-square. */
imgsim_status ims_levels_prepare(
    const imgsim_index *index,
    const struct ims_prepared_query *prepared,
    struct ims_coarse_query *query);
void ims_levels_scores(
    const struct ims_coarse *coarse,
    const struct ims_coarse_query *query,
    size_t block,
    float out[IMS_COARSE_BLOCK]);

/* ---- coarse.c ---- */

/* Slots come in multiples of this. */
static inline size_t ims_coarse_step(const struct ims_coarse *coarse)
{
    return coarse->by_edges ? 2 * IMS_COARSE_BLOCK : IMS_COARSE_BLOCK;
}
/* Bytes of a slot's codes. */
static inline size_t ims_coarse_code_size(const struct ims_coarse *coarse, int level)
{
    return coarse->by_edges ? coarse->groups[level] / 2 : coarse->groups[level];
}

/* Whether rows of this form and metric have planes, and max_bytes leaves room for some. */
bool ims_coarse_serves(const imgsim_index *index);
/* The planes over all rows, made or extended if need be. */
imgsim_status ims_coarse_ready(const imgsim_index *index, struct ims_pool *pool);
/* A slot's row was replaced: its codes follow. */
void ims_coarse_update(imgsim_index *index, uint32_t slot);
/* Fill parent_of. */
void ims_coarse_find_parents(struct ims_coarse *coarse);
/* Bytes that planes take. */
size_t ims_coarse_bytes(const struct ims_coarse *coarse);
/* Copy what is mapped. */
imgsim_status ims_coarse_own(struct ims_coarse *coarse);
void ims_coarse_free(struct ims_coarse *coarse);

/* ---- coarse_query.c ---- */

imgsim_status ims_coarse_prepare(
    const imgsim_index *index,
    const struct ims_prepared_query *prepared,
    struct ims_coarse_query *out);
void ims_coarse_query_clear(struct ims_coarse_query *query);
/*
 * Scores of the rows of a block by the first plane: no row's key is below what its score says. A score is a key, for
 * Bhattacharyya the key's square.
 */
void ims_coarse_block_scores(
    const imgsim_index *index,
    const struct ims_coarse_query *query,
    size_t block,
    float out[IMS_COARSE_BLOCK]);
/* The same of one row by the second plane. */
float ims_coarse_row_score(
    const imgsim_index *index,
    const struct ims_coarse_query *query,
    uint32_t slot);
/* The largest score a row can have whose key does not exceed `key`. */
float ims_coarse_score_of_key(const imgsim_index *index, double key);

/* ---- coarse_search.c ---- */

/* Whether a search is better answered by the planes than by comparing with all rows that the filter lets through. */
bool ims_coarse_pays(const struct ims_search *search);
/* The true answer of a search by the planes, which are made if need be. */
imgsim_status ims_coarse_search(const struct ims_search *search);

#endif
