/* SPDX-License-Identifier: Apache-2.0 */
/* What is computed from a catalog's features and kept with it: projections and indexes. */
#ifndef IMGSIM_DERIVE_H
#define IMGSIM_DERIVE_H

#include <imgsim/catalog.h>
#include <imgsim/index.h>
#include <imgsim/projector.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Settings of a derived projection; fill with imgsim_projection_options_init(). Since 0.1. */
typedef struct imgsim_projection_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Feature to project, float rows; NULL: "embedding". */
    const char *source;
    /** Name of the new feature; NULL: source + "-pca" + dimension. */
    const char *name;
    /** Whitening, threads, ...; NULL for the defaults. */
    const imgsim_projector_options *projector;
    /** Told about the phases "fit" and "transform"; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *user_data;
    /** Components, 1 to the source's dimension. Default 128. */
    uint32_t dimension;
    uint32_t reserved;
} imgsim_projection_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_projection_options_init(imgsim_projection_options *options, size_t struct_size);

/**
 * Fit a PCA on a feature of all images and store the projected rows as a feature of its own. Its projector
 * is kept beside them (features/NAME.pca.ims), so that query images are projected too.
 *
 * @param options        NULL for the defaults
 * @param out_projector  NULL, or returned: release with imgsim_projector_free()
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such feature); IMGSIM_ERROR_NOT_READY (fewer images than
 *         components); IMGSIM_ERROR_INVALID_ARGUMENT (no float rows, or the name is that of a feature
 *         that is no projection); IMGSIM_ERROR_CANCELLED (what was there before stays);
 *         IMGSIM_ERROR_BUSY; IMGSIM_ERROR_NO_SPACE. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_derive_projection(
    imgsim_catalog *catalog,
    const imgsim_projection_options *options,
    imgsim_projector **out_projector);

/** What says which images belong together, when a study measures precision. Since 0.1. */
enum {
    /** Labels if any image with the feature has one, else folders (default). */
    IMGSIM_CLASSES_AUTO = 0,
    /** The image's first label in order of bytes; images without a label are in no class. */
    IMGSIM_CLASSES_LABELS = 1,
    /** The folder that the image lies in. */
    IMGSIM_CLASSES_FOLDERS = 2
};

/** Settings of a study of dimensions; fill with imgsim_study_options_init(). Since 0.1. */
typedef struct imgsim_study_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Feature to project, float rows; NULL: "embedding". */
    const char *source;
    /** Told about the phases "fit", "transform" and "search"; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *user_data;
    /** Images drawn as queries; fewer if there are fewer. 1 to 100000. Default 1000. */
    uint32_t queries;
    /** Neighbours whose recall is measured, 1 to 1000. Default 10. */
    uint32_t neighbours;
    /** Nearest images whose class is looked at for precision, 1 to 1000. Default 5. */
    uint32_t precision_at;
    /** IMGSIM_CLASSES_AUTO (default), LABELS or FOLDERS. */
    int32_t classes;
    /** Threads, 0 for one per processor (default). All but the times is the same for any number. */
    uint32_t threads;
    uint32_t reserved;
    /** Seed of the draw of queries. Default 1. */
    uint64_t seed;
} imgsim_study_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_study_options_init(imgsim_study_options *options, size_t struct_size);

/**
 * How much of a feature its principal components keep: one PCA is fitted on all images, and for each number of
 * components the nearest images of a sample of queries are found exactly, without the query itself, by the feature's metric.
 * Nothing is stored. Memory: images x the largest of the dimensions floats.
 *
 * @param dimensions       dimension_count numbers of components, each at most the feature's dimension; 0 stands for
 *                         the feature as it is
 * @param dimension_count  1 to 64
 * @param out_energy       share of the variance that the components keep, 0 to 1; dimension_count values, as all of these
 * @param out_recall       share of the `neighbours` nearest images in the feature that are among as many nearest ones here
 * @param out_precision    share of the `precision_at` nearest images that are in the query's class; NaN when no query has one
 * @param out_seconds      wall time of a query among all of them in one batch
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such feature); IMGSIM_ERROR_NOT_READY (fewer images than
 *         components, or fewer than two); IMGSIM_ERROR_INVALID_ARGUMENT (no float rows, a dimension or option out of
 *         range); IMGSIM_ERROR_CANCELLED; IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_derive_study(
    const imgsim_catalog *catalog,
    const imgsim_study_options *options,
    const uint32_t *dimensions,
    size_t dimension_count,
    double *out_energy,
    double *out_recall,
    double *out_precision,
    double *out_seconds);

/**
 * Build an index of a feature and store it (indexes/NAME.METRIC.ims). Does nothing when the stored one is of the same settings
 * and fresh.
 *
 * @param feature    NULL: the projection of "embedding" if there is one, else "embedding", else "hash"
 * @param options    dimension is filled in; metric IMGSIM_METRIC_DEFAULT means the feature's; NULL for the defaults
 * @param out_index  NULL, or returned: release with imgsim_index_free()
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_UNSUPPORTED (histograms, a callback or matrix as
 *         metric, HNSW with a metric it does not serve, a feature of the host's without fingerprint, as
 *         nothing would tell when its index is stale); IMGSIM_ERROR_CANCELLED (nothing is stored then);
 *         IMGSIM_ERROR_NO_SPACE. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_derive_index(
    imgsim_catalog *catalog,
    const char *feature,
    const imgsim_index_options *options,
    imgsim_index **out_index);

/**
 * After a scan: project the rows of new images with the stored projectors (projections whose source changed as a whole
 * are dropped), and remove index files that are stale. Since 0.1.
 *
 * @param out_changes  NULL, or how many derived things were brought up to date or dropped
 */
IMGSIM_API imgsim_status imgsim_derive_refresh(imgsim_catalog *catalog, size_t *out_changes);

/**
 * Check the stored indexes with all their checksums, and the projectors of the projections; reports each problem as a line. Stale
 * indexes are no problem: they are noticed and not used.
 *
 * @param callback  gets one line per problem; NULL for none
 * @return IMGSIM_OK (sound); IMGSIM_ERROR_CORRUPT (problems were found). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_derive_verify(
    const imgsim_catalog *catalog,
    void (*callback)(const char *problem, void *user_data),
    void *user_data);

#ifdef __cplusplus
}
#endif

#endif
