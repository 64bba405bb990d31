/* SPDX-License-Identifier: Apache-2.0 */
/* Images of a catalog that are there more than once: exact copies, and pictures that look nearly the same. */
#ifndef IMGSIM_DUPLICATES_H
#define IMGSIM_DUPLICATES_H

#include <imgsim/base.h>
#include <imgsim/catalog.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Groups of images that are the same or nearly so. Release it with imgsim_duplicates_free(). Since 0.1. */
typedef struct imgsim_duplicates imgsim_duplicates;

/** What counts as a duplicate; fill with imgsim_duplicates_options_init(). Since 0.1. */
typedef struct imgsim_duplicates_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Feature of bit rows that near-duplicates are told by; NULL (default) is "hash". */
    const char *feature;
    /** 0 (default): files of equal content only. 1: also images whose rows differ in few bits. */
    int32_t near;
    /** In how many bits the rows of near-duplicates may differ, 0 to the feature's dimension. Default 4. */
    uint32_t max_distance;
    /** Threads; 0 (default) as many as there are processors. The groups do not depend on it. */
    uint32_t threads;
    uint32_t reserved;
    /** Told while near-duplicates are searched; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
} imgsim_duplicates_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_duplicates_options_init(imgsim_duplicates_options *options, size_t struct_size);

/** Stands for the distance of an image without a row of the feature, which is in a group as a copy. Since 0.1. */
#define IMGSIM_DISTANCE_UNKNOWN UINT32_MAX

/**
 * Group the images in state OK that are duplicates of each other. Copies are files of equal content (XXH3-128); with
 * options->near images also belong together when their rows of a feature differ in at most max_distance bits.
 *
 * Groups are connected components: two images are in one group exactly if a chain of duplicates joins them. None that has a
 * duplicate is missed, and the groups do not depend on any order; but the ends of a chain may differ in more than max_distance
 * bits, which the distances show. No image is in two groups, and none is alone in one.
 *
 * In a group the first image is the one with the most pixels, then of the largest file, then of the lowest id: the one to keep.
 * The others follow by their distance from it, then by id. Groups are in order of size, the largest first, then of their lowest id.
 *
 * Memory is about 12 bytes an id given, with near also some times the feature's rows, and what the result takes, however many pairs
 * of duplicates there are.
 *
 * @param catalog         any number of threads may ask at once
 * @param options         NULL for the defaults
 * @param out_duplicates  returned: release with imgsim_duplicates_free()
 *
 * @return IMGSIM_OK, also when there is none; IMGSIM_ERROR_NOT_FOUND (no such feature); IMGSIM_ERROR_UNSUPPORTED (not of bit rows);
 *         IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_CANCELLED; IMGSIM_ERROR_CORRUPT; IMGSIM_ERROR_OUT_OF_MEMORY
 *
 * Source: pairs as in imgsim_index_pairs(); components by disjoint sets: Tarjan, Journal of the ACM 22(2), 1975,
 * doi:10.1145/321879.321884. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_derive_duplicates(
    const imgsim_catalog *catalog,
    const imgsim_duplicates_options *options,
    imgsim_duplicates **out_duplicates);

/** Release groups; NULL is fine. */
IMGSIM_API void imgsim_duplicates_free(imgsim_duplicates *duplicates);
/** Groups. */
IMGSIM_API uint64_t imgsim_duplicates_get_group_count(const imgsim_duplicates *duplicates);
/** Images in all groups together. */
IMGSIM_API uint64_t imgsim_duplicates_get_image_count(const imgsim_duplicates *duplicates);

/**
 * One group. The arrays belong to the object and have out_count entries; each may be NULL if it is not wanted.
 *
 * @param group          0 to the number of groups less 1
 * @param out_ids        images, the one to keep first
 * @param out_distances  bits in which the row of each differs from that of the first; 0 between copies, IMGSIM_DISTANCE_UNKNOWN
 * @param out_copies     place in the group of the first image of the same content: equal numbers are copies of each other
 * @param out_count      images, 2 or more
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NULL, no such group). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_duplicates_get_group(
    const imgsim_duplicates *duplicates,
    uint64_t group,
    const int64_t **out_ids,
    const uint32_t **out_distances,
    const uint32_t **out_copies,
    size_t *out_count);

#ifdef __cplusplus
}
#endif

#endif
