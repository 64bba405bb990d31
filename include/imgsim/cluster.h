/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of rows: k-means, DBSCAN, HDBSCAN and agglomerative; how good they are. */
#ifndef IMGSIM_CLUSTER_H
#define IMGSIM_CLUSTER_H

#include <imgsim/base.h>
#include <imgsim/metric.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Clusters of rows, the result of one call; it does not change. Release it with imgsim_clusters_free(). Clusters are numbered
 * by falling size, those of equal size by their first row; -1 is noise. Since 0.1.
 */
typedef struct imgsim_clusters imgsim_clusters;

/** How to cluster. Since 0.1. */
enum {
    /**
     * k clusters of least squared distance to their means. Lloyd's algorithm from greedy k-means++ seeds; bounds leave out what
     * cannot change, so the partition is that of Lloyd's algorithm from the same seeds.
     *
     * Source: Lloyd, IEEE Trans. Inf. Theory 28(2), 1982; Arthur & Vassilvitskii, SODA 2007; bounds: Elkan, ICML 2003, and
     * Hamerly, SDM 2010.
     */
    IMGSIM_CLUSTER_KMEANS = 1,
    /**
     * Rows within eps of each other, where at least min_samples rows (the row itself counted) are within eps. Rows that are
     * within eps of such a core row of several clusters belong to that whose first core row comes first. Exact.
     *
     * Source: Ester, Kriegel, Sander & Xu, KDD 1996; in 2-D and 3-D by a grid: Gunawan, TU Eindhoven, 2013.
     */
    IMGSIM_CLUSTER_DBSCAN = 2,
    /**
     * The stable clusters of DBSCAN for all eps at once. Exact: the spanning tree is that of all rows.
     *
     * Source: Campello, Moulavi & Sander, PAKDD 2013; McInnes & Healy, ICDM Workshops 2017.
     */
    IMGSIM_CLUSTER_HDBSCAN = 3,
    /**
     * The two nearest clusters are joined until one is left; the tree is cut at k clusters or at a height. Exact.
     *
     * Source: Murtagh, The Computer Journal 26(4), 1983; Muellner, J. Stat. Softw. 53(9), 2013.
     */
    IMGSIM_CLUSTER_AGGLOMERATIVE = 4
};

/** Distance of two clusters for IMGSIM_CLUSTER_AGGLOMERATIVE. Since 0.1. */
enum {
    /** Rise of the sum of squares by joining, as height sqrt(2 ab / (a + b)) times the distance of the means. Default. */
    IMGSIM_LINKAGE_WARD = 0,
    /** Least distance of two rows. */
    IMGSIM_LINKAGE_SINGLE = 1,
    /** Greatest distance of two rows. */
    IMGSIM_LINKAGE_COMPLETE = 2,
    /** Mean distance of two rows. */
    IMGSIM_LINKAGE_AVERAGE = 3
};

/** Which clusters of HDBSCAN's tree are taken. Since 0.1. */
enum {
    /** Those of most stability (excess of mass). Default. */
    IMGSIM_SELECT_EOM = 0,
    /** The leaves: smaller and more even. */
    IMGSIM_SELECT_LEAF = 1
};

/** Settings; fill with imgsim_cluster_options_init(). What a method does not use, it does not look at. Since 0.1. */
typedef struct imgsim_cluster_options {
    /** Written by the init function. */
    size_t struct_size;
    /** IMGSIM_CLUSTER_KMEANS (default), ... */
    int32_t method;
    /**
     * IMGSIM_METRIC_L2 (default), or IMGSIM_METRIC_COSINE: rows are scaled to length 1 first, rows of zeros stay. With k-means
     * and cosine the means are scaled, too (spherical k-means).
     */
    int32_t metric;
    /** Seed of all that is drawn. Default 1. */
    uint64_t seed;
    /** Threads, 0 for one per processor (default). The result does not depend on it. */
    uint32_t threads;
    /** k-means, agglomerative: number of clusters, 1 to the number of rows. Default 8; agglomerative: 0 cuts at cut_height. */
    uint32_t k;
    /** k-means: rounds at most, 1 or more. Default 100. */
    uint32_t max_iterations;
    /** k-means: how often to begin anew; the best is kept. 1 to 1000, default 1. */
    uint32_t runs;
    /**
     * k-means: stop once the means' squared moves sum up to at most this times the mean variance of the columns. 0: only when
     * no row changes its cluster. Default 1e-4.
     */
    double tolerance;
    /** k-means: k x dimension means to begin with instead of drawn ones, borrowed; NULL (default): draw. */
    const float *initial_means;
    /** DBSCAN: radius, as distance (not squared). 0 (default): the knee of the sorted distances to the min_samples-th row. */
    double eps;
    /**
     * DBSCAN: rows within eps that make a row a core row, itself counted; 0 (default): 5. HDBSCAN: the row whose distance is the
     * core distance, itself not counted; 0: min_cluster_size. At most 10000. Both as their usual Python packages count.
     */
    uint32_t min_samples;
    /** HDBSCAN: least size of a cluster, 2 or more. Default 15. */
    uint32_t min_cluster_size;
    /** HDBSCAN: clusters that part below this distance stay together. Default 0. */
    double selection_epsilon;
    /** HDBSCAN: IMGSIM_SELECT_EOM (default) or LEAF. */
    int32_t selection;
    /** HDBSCAN: non-zero: one single cluster is a possible answer. Default 0. */
    int32_t allow_single;
    /** Agglomerative: IMGSIM_LINKAGE_WARD (default), ... */
    int32_t linkage;
    /**
     * Agglomerative with Ward: more rows than this are first put into so many micro-clusters by k-means, which are then joined,
     * weighted: exact given the micro-clusters. 2 to 65536, default 20000. The tree's leaves are then the micro-clusters.
     */
    uint32_t micro_clusters;
    /** Agglomerative with k = 0: joins up to this height are kept. */
    double cut_height;
    /** Agglomerative, complete and average: bytes for the matrix of distances at most, 4 n (n - 1). Default 4 GiB. */
    uint64_t memory_limit;
    /** Told about the phases "seed", "assign", "count", "join", "tree", ...; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *user_data;
} imgsim_cluster_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_cluster_options_init(imgsim_cluster_options *options, size_t struct_size);

/**
 * Cluster rows.
 *
 * Time and memory for n rows of d values, beside the rows, which may be mapped. k-means: n x (up to 256 floats and 40
 * candidates), k x d doubles. DBSCAN: O(n) in 2-D and 3-D unless eps is far too large; else n^2 d time, O(n) memory. HDBSCAN and
 * single linkage: a k-d tree up to 8 values, else n^2 d time; O(n min_samples) memory. Ward: n^2 d time, O(n d) memory.
 * Complete and average linkage: n^2 d time, 4 n^2 bytes.
 *
 * @param rows          row_count x dimension floats, finite
 * @param row_count     1 or more
 * @param dimension     1 to 65536
 * @param options       NULL for the defaults
 * @param out_clusters  returned: release with imgsim_clusters_free()
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NaN or infinity: the text names row and column; k greater than row_count;
 *         a setting out of range); IMGSIM_ERROR_LIMIT (memory_limit; 2^31 rows or more); IMGSIM_ERROR_UNSUPPORTED (unknown
 *         method, linkage, selection or another metric); IMGSIM_ERROR_CANCELLED (by the callback);
 *         IMGSIM_ERROR_OUT_OF_MEMORY.
 *         Fewer distinct rows than k give as many clusters as there are distinct rows (k-means). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_cluster_rows(
    const float *rows,
    size_t row_count,
    uint32_t dimension,
    const imgsim_cluster_options *options,
    imgsim_clusters **out_clusters);

/** Release clusters; NULL is fine. */
IMGSIM_API void imgsim_clusters_free(imgsim_clusters *clusters);

/** Rows that were clustered. */
IMGSIM_API size_t imgsim_clusters_get_row_count(const imgsim_clusters *clusters);
/** Clusters, without noise. */
IMGSIM_API size_t imgsim_clusters_get_count(const imgsim_clusters *clusters);
/** Rows that are noise. */
IMGSIM_API size_t imgsim_clusters_get_noise_count(const imgsim_clusters *clusters);
/** Cluster of each row, -1 for noise; row_count values. */
IMGSIM_API const int32_t *imgsim_clusters_get_labels(const imgsim_clusters *clusters);
/** Rows of each cluster; count values. */
IMGSIM_API const uint64_t *imgsim_clusters_get_sizes(const imgsim_clusters *clusters);
/**
 * Medoid of each cluster as its row number: the row of least summed squared distance to the cluster's rows, which is the one
 * nearest to their mean; the first of equals. Count values.
 */
IMGSIM_API const int64_t *imgsim_clusters_get_medoids(const imgsim_clusters *clusters);
/** How surely each row belongs to its cluster, 0 (noise) to 1; NULL unless HDBSCAN. Row_count values. */
IMGSIM_API const float *imgsim_clusters_get_probabilities(const imgsim_clusters *clusters);
/** Means of the clusters, count x dimension; NULL unless k-means. */
IMGSIM_API const float *imgsim_clusters_get_means(const imgsim_clusters *clusters);
/** Sum of squared distances of the rows to their means; 0 unless k-means. */
IMGSIM_API double imgsim_clusters_get_inertia(const imgsim_clusters *clusters);
/** Rounds that k-means took; 0 for the others. */
IMGSIM_API uint32_t imgsim_clusters_get_iterations(const imgsim_clusters *clusters);
/** Radius that was used, given or suggested; 0 unless DBSCAN. */
IMGSIM_API double imgsim_clusters_get_eps(const imgsim_clusters *clusters);
/** Leaves of the tree: row_count, or the number of micro-clusters; 0 unless agglomerative or HDBSCAN. */
IMGSIM_API size_t imgsim_clusters_get_leaf_count(const imgsim_clusters *clusters);
/**
 * The tree in SciPy's form, leaf_count - 1 joins by rising height, four numbers each: the two joined (a leaf, or leaf_count + the
 * number of an earlier join; the smaller first), the height, the leaves below it. NULL unless agglomerative or HDBSCAN.
 */
IMGSIM_API const double *imgsim_clusters_get_tree(const imgsim_clusters *clusters);
/** Leaf of each row where leaves are micro-clusters; else NULL, and row i is leaf i. */
IMGSIM_API const int32_t *imgsim_clusters_get_leaves(const imgsim_clusters *clusters);

/**
 * Cut the tree once more.
 *
 * @param k           number of clusters, 1 to the number of leaves; 0: keep the joins up to `height`
 * @param out_labels  row_count values, numbered by falling size
 * @param out_count   NULL, or the number of clusters
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_READY (no tree); IMGSIM_ERROR_INVALID_ARGUMENT (k). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_clusters_cut(
    const imgsim_clusters *clusters,
    size_t k,
    double height,
    int32_t *out_labels,
    size_t *out_count);

/**
 * Put other rows into the clusters of k-means: the nearest mean, the first of equals.
 *
 * @param rows           row_count x dimension floats
 * @param out_labels     row_count values
 * @param out_distances  NULL, or row_count distances (not squared)
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_READY (not k-means); IMGSIM_ERROR_INVALID_ARGUMENT (NaN or infinity). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_clusters_assign(
    const imgsim_clusters *clusters,
    const float *rows,
    size_t row_count,
    int32_t *out_labels,
    float *out_distances);

/**
 * How far two partitions of the same rows agree. Noise (any negative number) counts as one cluster of its own.
 *
 * @param out_ari  NULL, or the adjusted Rand index: 1 the same, 0 what chance gives, negative below that
 * @param out_nmi  NULL, or the normalised mutual information, by the mean of both entropies, 0 to 1
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (no row).
 *
 * Source: Hubert & Arabie, Journal of Classification 2, 1985; Strehl & Ghosh, JMLR 3, 2002. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_compare_labels(
    const int32_t *a,
    const int32_t *b,
    size_t row_count,
    double *out_ari,
    double *out_nmi);

/**
 * Silhouette: (b - a) / max(a, b) with a the mean distance to the row's own cluster and b that to the nearest other; rows alone
 * in their cluster have 0, noise is left out altogether. -1 to 1.
 *
 * @param labels      cluster of each row, negative for noise; at least two clusters
 * @param metric      IMGSIM_METRIC_L2 or IMGSIM_METRIC_COSINE (1 - cosine)
 * @param sample      0: the mean over all rows; else over so many, drawn by `seed`, against all rows
 * @param threads     0 for one per processor
 * @param out_values  NULL, or row_count values: NaN for noise and rows that were not drawn
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (fewer than two clusters, NaN); IMGSIM_ERROR_UNSUPPORTED (metric).
 *
 * Source: Rousseeuw, J. Comput. Appl. Math. 20, 1987. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_silhouette(
    const float *rows,
    size_t row_count,
    uint32_t dimension,
    const int32_t *labels,
    int32_t metric,
    size_t sample,
    uint64_t seed,
    uint32_t threads,
    double *out_mean,
    float *out_values);

/** Name of a method, "kmeans" for instance; NULL for unknown numbers. Since 0.1. */
IMGSIM_API const char *imgsim_cluster_method_name(int32_t method);
/** Number of a method's name. @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (the text lists the names). Since 0.1. */
IMGSIM_API imgsim_status imgsim_cluster_method_from_name(const char *name, int32_t *out_method);

#ifdef __cplusplus
}
#endif

#endif
