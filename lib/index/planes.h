/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planes: what exact search reads instead of the rows. A row less the mean of all is turned to principal axes and kept as one
 * byte per axis, the first axes in a plane of their own, further ones in others; with two numbers per row and plane, how long
 * the rest is and what the bytes leave out, a query has a lower bound of every row's key. Rows whose bound is above what k
 * others reach need not be read. docs/exact-search.md derives the bounds.
 */
#ifndef IMS_INDEX_PLANES_H
#define IMS_INDEX_PLANES_H

#include "core/progress.h"
#include "index/index_private.h"
#include "simd/kernels.h"

#define IMS_PLANES_MAX 4
/* Fewer rows have no planes. */
#define IMS_PLANES_ROWS 1024
/* Shorter rows have none: they cost as much as their bounds. */
#define IMS_PLANES_DIMENSION 16
/* Bytes after the codes of a row in the second plane and later: base and tail. */
#define IMS_PLANE_SIDE 8

/* Axes start to start + axes - 1. The first plane holds blocks of 16 rows (kernels.h), the others a record per row. */
struct ims_plane {
    uint32_t start;
    uint32_t axes;
    size_t record; /* bytes of a row */
    uint8_t *data;
    double residual; /* largest |W rho| of a row, of those whose bounds count */
};

struct ims_planes {
    bool owned;
    bool rotated; /* false: the axes are the row's values */
    uint32_t dimension;
    uint32_t axes; /* of all planes */
    uint32_t count;
    struct ims_plane planes[IMS_PLANES_MAX];
    float *mean;     /* dimension */
    float *rotation; /* W: axes x dimension, NULL unless rotated */
    float *steps;    /* per axis: value of a code of 1 */
    double delta;    /* |W W^T - I| at most */
    double eta; /* share of |W^T z|^2 given up so that residuals need not be multiplied with it */
    double typical; /* length of a row less the mean */
    size_t fitted;  /* rows there were then */
    size_t slot_count;
    size_t slot_capacity;
    /* Of the rows whose bounds count: */
    double reach;     /* largest |row less mean| */
    double code_norm; /* largest length of a row's codes */
    double base_size; /* largest magnitudes of the two numbers */
    double tail_size;
};

/* ---- planes_fit.c ---- */

/* Whether keys of the metric can be bounded by planes. */
bool ims_metric_has_planes(int32_t metric);
/* Mean, axes and steps from the index's rows; NULL where planes would not help or `max_bytes` leaves no room. */
imgsim_status
ims_planes_fit(const imgsim_index *index, struct ims_pool *pool, struct ims_planes **out_planes);
void ims_planes_free(struct ims_planes *planes);
/* Row of a slot as planes see it: of length 1 for cosine, less the mean. */
void ims_planes_centre(
    const imgsim_index *index,
    const struct ims_planes *planes,
    uint32_t slot,
    float *out);
/* Bytes per row of all planes. */
size_t ims_planes_row_size(const struct ims_planes *planes);

/* ---- planes_encode.c ---- */

/* Encode the slots [planes->slot_count, slot_count of the rows). */
imgsim_status ims_planes_extend(
    const imgsim_index *index,
    struct ims_planes *planes,
    struct ims_pool *pool,
    struct ims_meter *meter);
/* Encode one slot again, after its row changed. */
imgsim_status
ims_planes_replace(const imgsim_index *index, struct ims_planes *planes, uint32_t slot);
/* The slot has no row any more. */
void ims_planes_forget(struct ims_planes *planes, uint32_t slot);
imgsim_status ims_planes_own(struct ims_planes *planes);
/* Relative error of W x as computed, for this many axes. */
double ims_planes_turning_error(const struct ims_planes *planes, size_t axes);
/* Bytes of a plane for so many slots. */
size_t ims_plane_bytes(const struct ims_planes *planes, uint32_t plane, size_t slot_count);

/* ---- planes_query.c ---- */

/* A query made ready for planes; the weights follow one another in `weights`. */
struct ims_plane_target {
    int8_t *weights; /* 2 x axes: high, low */
    float *work;
    struct ims_plane_query planes[IMS_PLANES_MAX];
    /* Keys to what bounds are compared with: threshold = factor * key + addend. */
    double threshold_factor;
    double threshold_addend;
    bool usable; /* false: nothing can be said about this query */
};

imgsim_status ims_plane_target_init(
    const imgsim_index *index,
    const struct ims_planes *planes,
    const struct ims_prepared_query *query,
    struct ims_plane_target *target);
void ims_plane_target_clear(struct ims_plane_target *target);
/* What a bound must exceed for its row to be out when k keys of at most `key` are known. */
float ims_plane_threshold(const struct ims_plane_target *target, double key);
/* Bound in key space of a bound in a plane's space. */
double ims_plane_key(const struct ims_plane_target *target, double bound);

/*
 * Rows that passed the planes so far. `estimates` are without the tail: lower bound + tail_factor * tail of the last plane.
 */
struct ims_plane_list {
    uint32_t *slots;
    float *estimates;
    float *lower;
    size_t count;
    size_t capacity;
};

/* Tail of a slot in the first plane, and where it stands. */
const uint8_t *ims_plane_first_tail_at(const struct ims_planes *planes, size_t slot);
float ims_plane_first_tail(const struct ims_planes *planes, size_t slot);
bool ims_plane_list_reserve(struct ims_plane_list *list, size_t count);
void ims_plane_list_clear(struct ims_plane_list *list);
/* Those of the rows in [start, start + count) whose first bounds do not exceed the threshold are appended. */
bool ims_plane_pass_first(
    const struct ims_planes *planes,
    const struct ims_plane_target *target,
    size_t start,
    size_t count,
    const float *lower,
    float threshold,
    struct ims_plane_list *list);
/* Bounds by plane `plane` for list[from..], keeping those that do not exceed the threshold. */
void ims_plane_pass(
    const struct ims_planes *planes,
    const struct ims_plane_target *target,
    uint32_t plane,
    float threshold,
    struct ims_plane_list *list,
    size_t from);

/* ---- planes_file.c ---- */

/* Section "axhead". */
struct ims_planes_header {
    uint32_t rotated;
    uint32_t count;
    uint32_t axes[IMS_PLANES_MAX];
    double residual[IMS_PLANES_MAX];
    double delta;
    double eta;
    double typical;
    double reach;
    double code_norm;
    double base_size;
    double tail_size;
    uint64_t fitted;
    uint64_t slot_count;
};

/* Describe the planes in sections, the first of which is `header`; returns their number, at most 8. */
size_t ims_planes_sections(
    const struct ims_planes *planes,
    struct ims_planes_header *header,
    struct ims_section_data *sections);
/* Attach to mapped planes after checking their structure. */
imgsim_status ims_planes_open(const imgsim_index *index, struct ims_planes **out_planes);

/* ---- planes_search.c ---- */

/* Whether an index of this kind and metric should have planes. */
bool ims_index_wants_planes(const imgsim_index *index);
/*
 * Make the planes of an index that wants them, or extend them over rows added since. Rows that are mapped have the planes they were
 * saved with, or none.
 */
imgsim_status ims_planes_prepare(const imgsim_index *index, struct ims_pool *pool);
/* Whether planes serve this search; makes them first where they should be there. */
imgsim_status ims_planes_ready(const struct ims_search *search, bool *out_ready);
/* Answer the queries by planes, which are ready. */
imgsim_status ims_planes_search(const struct ims_search *search);

/* ---- planes_bounds.c ---- */

/* As ims_bounds_new(), for rows that may be mapped; the sums of all rows are known. */
imgsim_status ims_bounds_by_planes(
    const imgsim_index *index,
    const float *query,
    struct ims_pool *pool,
    struct ims_bounds **out_bounds);

#endif
