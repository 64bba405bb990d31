/* SPDX-License-Identifier: Apache-2.0 */
/* What is computed from a catalog's features and kept with it: projections and indexes. */
#ifndef IMGSIM_DERIVE_H
#define IMGSIM_DERIVE_H

#include <imgsim/catalog.h>
#include <imgsim/cluster.h>
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
    /** Name of the new feature; NULL: source + "-pca" + dimension, with a kernel source + "-kpca" + dimension. */
    const char *name;
    /** Method, kernel, whitening, threads, ...; NULL for the defaults. */
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
 *         components or landmarks); IMGSIM_ERROR_INVALID_ARGUMENT (no float rows, or the name is that of a feature
 *         that is no projection, or what imgsim_projector_fit() refuses); IMGSIM_ERROR_CANCELLED (what was there before stays);
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
    /**
     * The image's first label in order of bytes, those of clusters and predictions left out; images without a label are in no
     * class.
     */
    IMGSIM_CLASSES_LABELS = 1,
    /** The last part of the folder that the image lies in. */
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
 * are dropped), and remove index files and neighbour graphs that are stale. Kept maps are removed when their feature was made anew
 * or is gone; those of other images than there are now stay, as imgsim_map_options.place has a use for them. Since 0.1.
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

/* ---- clusters kept as labels ---- */

/** A cluster of images. Only the library makes these; the texts are valid during the callback. Since 0.1. */
typedef struct imgsim_cluster_info {
    size_t struct_size;
    /** Its label, "cluster:NAME/12": the images of the cluster have it, and searches can be limited to it. */
    const char *label;
    /** The most frequent label of its images or, in a catalog without labels, the most frequent folder; "" if none. */
    const char *name;
    /** Share of its images that have this name, 0 to 1. */
    double share;
    /** Id of the image in its middle. */
    int64_t medoid;
    uint64_t size;
    /** Its number among the clusters, from 0, by falling size. */
    uint32_t number;
    uint32_t reserved;
} imgsim_cluster_info;

/** Gets one cluster, in order of number; non-zero stops, and nothing is stored. Since 0.1. */
typedef int32_t (*imgsim_cluster_callback)(const imgsim_cluster_info *cluster, void *user_data);

/** What came of clustering images; zero it, set struct_size. Since 0.1. */
typedef struct imgsim_cluster_report {
    /** sizeof(imgsim_cluster_report). */
    size_t struct_size;
    /** Images that have the feature, clusters, images that are noise. */
    uint64_t image_count;
    uint64_t cluster_count;
    uint64_t noise_count;
    /** Images that have a label (or, in a catalog without labels, a folder): those that agreement is about. */
    uint64_t labelled_count;
    /** Agreement with them as imgsim_compare_labels() defines it; NaN where there are none. */
    double ari;
    double nmi;
    /** Mean silhouette of up to 2,000 images against all; NaN with fewer than two clusters. */
    double silhouette;
} imgsim_cluster_report;

/** Settings of clusters kept as labels; fill with imgsim_cluster_labels_options_init(). Since 0.1. */
typedef struct imgsim_cluster_labels_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Feature with float rows; NULL: the projection of "embedding" if there is one, else "embedding". */
    const char *feature;
    /** Name of this set of clusters, 1 to 63 of [a-z0-9_.-]; NULL: that of the method. One of the same name is replaced. */
    const char *name;
    /** Method and its settings, progress included; NULL for the defaults. */
    const imgsim_cluster_options *cluster;
    /** Gets each cluster; NULL for none. */
    imgsim_cluster_callback callback;
    void *user_data;
    /** Non-zero: store no labels, only tell. Default 0. */
    int32_t dry_run;
    uint32_t reserved;
} imgsim_cluster_labels_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_cluster_labels_options_init(imgsim_cluster_labels_options *options, size_t struct_size);

/**
 * Cluster the images of a catalog by a feature and keep the result as labels "cluster:NAME/0", "cluster:NAME/1", ... and
 * "cluster:NAME/noise", in one transaction. Images that come later have none until this is called again.
 *
 * @param options       NULL for the defaults
 * @param report        NULL, or filled in
 * @param out_clusters  NULL, or returned: release with imgsim_clusters_free(); row i is the i-th image, in order of id, that has
 *                      the feature
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such feature); IMGSIM_ERROR_NOT_READY (no image has it);
 *         IMGSIM_ERROR_INVALID_ARGUMENT (no float rows, name); IMGSIM_ERROR_BUSY; what imgsim_cluster_rows() returns. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_derive_clusters(
    imgsim_catalog *catalog,
    const imgsim_cluster_labels_options *options,
    imgsim_cluster_report *report,
    imgsim_clusters **out_clusters);

/* ---- labels predicted for images without ---- */

/** What is predicted for an image. Only the library makes these; the text is valid during the callback. Since 0.1. */
typedef struct imgsim_prediction {
    size_t struct_size;
    int64_t id;
    /** The label, or "" where the neighbours do not agree, or the network is not sure, enough. */
    const char *label;
    /** Share of the votes for the best label, or probability of the best class, 0 to 1. */
    double share;
    /** Distance to the nearest labelled image, as the index gives it; 0 with IMGSIM_PREDICT_NETWORK. */
    double distance;
    /** IMGSIM_PREDICT_NETWORK: the most probable classes and their probabilities, class_count of each; else NULL and 0. */
    const char *const *class_labels;
    const double *class_shares;
    size_t class_count;
} imgsim_prediction;

/** Gets one prediction, in order of id; non-zero stops, and nothing is stored. Since 0.1. */
typedef int32_t (*imgsim_prediction_callback)(const imgsim_prediction *prediction, void *user_data);

/** What came of predicting; zero it, set struct_size. Since 0.1. */
typedef struct imgsim_predict_report {
    /** sizeof(imgsim_predict_report). */
    size_t struct_size;
    /** Images that have labels, and how many labels there are. */
    uint64_t labelled_count;
    uint64_t label_count;
    /** Images that were asked about, and of these those whose neighbours agreed. */
    uint64_t asked_count;
    uint64_t predicted_count;
    /** Leave one out: labelled images tried, those with an answer, and those whose answer is one of their labels. */
    uint64_t tried_count;
    uint64_t answered_count;
    uint64_t right_count;
} imgsim_predict_report;

/** Who predicts. Since 0.1. */
enum {
    /** The nearest labelled images. */
    IMGSIM_PREDICT_NEIGHBOURS = 0,
    /** The network, by its last layer: classes that a scan stored (imgsim_extractor_new_classes()). */
    IMGSIM_PREDICT_NETWORK = 1
};

/** Settings of predictions; fill with imgsim_predict_options_init(). Since 0.1. */
typedef struct imgsim_predict_options {
    /** Written by the init function. */
    size_t struct_size;
    /**
     * Feature with float rows; NULL: the projection of "embedding" if there is one, else "embedding". IMGSIM_PREDICT_NETWORK: the
     * feature with the classes; NULL: "classes".
     */
    const char *feature;
    /** Images to ask about, NULL: all that have the feature and no label. */
    const int64_t *ids;
    size_t id_count;
    /** Gets each prediction; NULL for none. */
    imgsim_prediction_callback callback;
    void *user_data;
    /** Told about the phases "build", "predict" and "try"; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
    /** Labelled neighbours that vote, 1 to 1000. Default 10. */
    uint32_t k;
    /** Threads, 0 for one per processor (default). The result does not depend on it. */
    uint32_t threads;
    /** A label needs more than this share of the votes, or more probability, 0 to 1. Default 0.5. */
    double min_share;
    /** Neighbours farther than this do not vote. Default +infinity. */
    double max_distance;
    /** Labelled images tried by leaving each out, spread over all; 0: none. Default 2000. */
    uint64_t try_count;
    /** Non-zero: give the images the labels "predicted:LABEL"; those of an earlier call are replaced. Default 0. */
    int32_t store;
    uint32_t reserved;
    /** IMGSIM_PREDICT_NEIGHBOURS (default) or NETWORK, which takes no k, max_distance and try_count. */
    int32_t by;
    uint32_t reserved2;
    /**
     * IMGSIM_PREDICT_NETWORK: a text file with the name of one class per line, in the network's order; a first line "background" may
     * come on top. NULL (default): the names in the metadata of the model file, under "classes" (imgsim.convert --classes).
     */
    const char *names_path;
} imgsim_predict_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_predict_options_init(imgsim_predict_options *options, size_t struct_size);

/**
 * Predict labels from the nearest labelled images: each has one vote, shared among its labels, that counts by its similarity; of
 * equal ones the label of the nearest wins. Labels "cluster:..." and "predicted:..." do not vote. Or take what the network said at
 * the scan: then an image gets its most probable class, if it is probable enough, and nothing is tried.
 *
 * @param options  NULL for the defaults
 * @param report   NULL, or filled in
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such feature, or an id without a row of it; the network's classes have no names);
 *         IMGSIM_ERROR_NOT_READY (no image has a label); IMGSIM_ERROR_INVALID_ARGUMENT (also another number of names than of
 *         classes); IMGSIM_ERROR_CANCELLED (nothing is stored then); IMGSIM_ERROR_BUSY.
 *
 * Source: Cover & Hart, IEEE Trans. Inf. Theory 13(1), 1967; weights: Dudani, IEEE Trans. SMC 6(4), 1976. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_derive_predictions(
    imgsim_catalog *catalog,
    const imgsim_predict_options *options,
    imgsim_predict_report *report);

#ifdef __cplusplus
}
#endif

#endif
