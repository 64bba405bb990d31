/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms of the library may do with an index beyond the public header. */
#ifndef IMS_INDEX_H
#define IMS_INDEX_H

#include <imgsim/index.h>

#include "core/status.h"
#include "core/topk.h"

#include <stdbool.h>

/*
 * An exact index over rows that stay the caller's (a mapped matrix): row i has id i. Only ids whose bit is set in `present`
 * (bit_count bits) are in. Rows: float or bits by the metric; they must outlive the index.
 */
imgsim_status ims_index_new_borrowed(
    const imgsim_index_options *options,
    const void *rows,
    size_t row_count,
    const uint8_t *present,
    uint64_t bit_count,
    imgsim_index **out_index);

/*
 * The same over mapped sparse histograms. With `normalize` each histogram counts as divided by its sum: its values are the
 * floats nearest to count / sum.
 */
imgsim_status ims_index_new_borrowed_sparse(
    const imgsim_index_options *options,
    const uint64_t *offsets,
    const uint32_t *lengths,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t row_count,
    const uint8_t *present,
    uint64_t bit_count,
    int normalize,
    imgsim_index **out_index);

/* Whether a row has this id: 1 or 0. */
int ims_index_has_id(const imgsim_index *index, int64_t id);

/*
 * Metric *values* (not distances), in double precision by lib/simd/reference.h, of one query against given ids, which must be in
 * the index. The query is one row of the index's row type (histograms: floats).
 */
imgsim_status ims_index_values(
    const imgsim_index *index,
    const void *query,
    const int64_t *ids,
    size_t id_count,
    double *out_values);

/* Metric values of one query against every row of the index, at out_values[id]; other entries are left alone. For fusion. */
imgsim_status ims_index_values_all(
    const imgsim_index *index,
    const void *query,
    uint32_t threads,
    double *out_values,
    size_t value_count);

/* Whether the index holds a row of this id: 1 or 0. */
int ims_index_has_id(const imgsim_index *index, int64_t id);

/* ---- bounds of keys, for searches that add up several indexes ---- */

/*
 * One query of an exact index of floats, prepared for bounds. A row's key is what a search orders by: the metric's distance, but
 * 1 - cosine for angular. The index must not change while bounds of it are in use; bounds of one query may be asked for from
 * several threads.
 */
struct ims_bounds;

/*
 * Make the planes of the index if it should have some, and prepare the query (one row). NULL in *out_bounds where the index can
 * have no planes (its metric, few rows, no budget, rows that belong to a feature) or they say nothing about this query: there
 * every row has to be compared.
 */
imgsim_status
ims_bounds_new(const imgsim_index *index, const float *query, struct ims_bounds **out_bounds);
void ims_bounds_free(struct ims_bounds *bounds);
/* Slots there are; slot numbers are stable, ids are those of ims_bounds_id(). */
size_t ims_bounds_slot_count(const struct ims_bounds *bounds);
/* Id of a slot's row, -1 if it has none. */
int64_t ims_bounds_id(const struct ims_bounds *bounds, uint32_t slot);
/* Slot of an id, 0xffffffff if it is not there. */
uint32_t ims_bounds_slot(const struct ims_bounds *bounds, int64_t id);

/*
 * Lower bounds of the keys of slots first to first + count - 1 from the first plane, about a nanosecond each; `first` is a
 * multiple of 16. Slots without a row, and rows about which nothing is known, have -infinity.
 */
void ims_bounds_block(
    const struct ims_bounds *bounds,
    size_t first,
    size_t count,
    double *out_lower);
/*
 * Sharper ones from all planes for some slots, in any order; no sharper than `limit` is of use: a row whose bound exceeds it after
 * some plane keeps that bound.
 */
imgsim_status ims_bounds_refine(
    const struct ims_bounds *bounds,
    const uint32_t *slots,
    size_t count,
    double limit,
    double *out_lower);
/* The above in the planes' own terms: scores of slots, raised plane by plane (`plane` 1 to ims_bounds_planes() - 1). */
uint32_t ims_bounds_planes(const struct ims_bounds *bounds);
/* Bytes per row. */
size_t ims_bounds_plane_size(const struct ims_bounds *bounds, uint32_t plane);
void ims_bounds_scan(
    const struct ims_bounds *bounds,
    size_t first,
    size_t count,
    float *out_scores);
void ims_bounds_sharpen(
    const struct ims_bounds *bounds,
    uint32_t plane,
    const uint32_t *slots,
    size_t count,
    float *state,
    float *scores);
/* A key is at least *out_factor * score + *out_addend. */
void ims_bounds_key_terms(const struct ims_bounds *bounds, double *out_factor, double *out_addend);
/* The keys themselves, in double precision by lib/simd/reference.h. Slots must have rows. */
void ims_bounds_keys(
    const struct ims_bounds *bounds,
    const uint32_t *slots,
    size_t count,
    double *out_keys);

/* ---- bounds of keys for any metric, for fusion ---- */

struct ims_pool;

/*
 * One query (one row as ims_index_values() takes it) of an exact index, prepared for bounds of keys: the metric's distance, but
 * 1 - cosine for angular. Not for the host's metrics. The index must not change meanwhile; the functions below may be called
 * from several threads.
 */
struct ims_key_bounds;
/* Ids of one call at most. */
#define IMS_KEY_BOUNDS_MAX 1024

/* Whether the index has planes already, and its rows of ids below id_count stand in the slots of these numbers. */
bool ims_index_has_planes_of_ids(const imgsim_index *index, size_t id_count);
/* Makes what bounds need from all rows on the threads of `pool`; planes of histograms from the fourth search on, of floats from the eighth. */
imgsim_status ims_key_bounds_new(
    const imgsim_index *index,
    const void *query,
    struct ims_pool *pool,
    struct ims_key_bounds **out_bounds);
void ims_key_bounds_free(struct ims_key_bounds *bounds);
/*
 * Whether there are coarse bounds: borrowed rows with planes, and bits. They come as scores, which grow with the bounds and are turned
 * to these by ims_key_bounds_keys(); the ids are those of the rows.
 */
bool ims_key_bounds_has_coarse(const struct ims_key_bounds *bounds);
/* `first` in ims_key_bounds_scan() is a multiple of this. */
#define IMS_KEY_BLOCK 64
/* Scores of ids first to first + count - 1, which lie below the number of rows; those of ids without a row say nothing. */
void ims_key_bounds_scan(
    const struct ims_key_bounds *bounds,
    size_t first,
    size_t count,
    float *out_scores);
/* How often scores can be sharpened. */
uint32_t ims_key_bounds_steps(const struct ims_key_bounds *bounds);
/* Bytes that a step reads per row. */
size_t ims_key_bounds_step_cost(const struct ims_key_bounds *bounds, uint32_t step);
/*
 * Raise the scores of some ids, at most IMS_KEY_BOUNDS_MAX of them; `step` 0 comes after the scan, each of the following after the one
 * before it, with the `state` of the row that this has left.
 */
void ims_key_bounds_sharpen(
    const struct ims_key_bounds *bounds,
    uint32_t step,
    const uint32_t *ids,
    size_t count,
    float *state,
    float *scores);
/* A key is at least *out_factor * score + *out_addend; for Bhattacharyya its square is. */
void ims_key_bounds_terms(
    const struct ims_key_bounds *bounds,
    double *out_factor,
    double *out_addend);
/* Lower bounds of the keys, rounded down; not a number: nothing is known. */
void ims_key_bounds_keys(
    const struct ims_key_bounds *bounds,
    const float *scores,
    size_t count,
    float *out_lower);
/* Bounds on both sides from float arithmetic on the rows, up to IMS_KEY_BOUNDS_MAX ids that are in the index. */
imgsim_status ims_key_bounds_estimate(
    const struct ims_key_bounds *bounds,
    const int64_t *ids,
    size_t count,
    double *out_lower,
    double *out_upper);

#endif
