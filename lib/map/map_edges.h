/* SPDX-License-Identifier: Apache-2.0 */
/* Affinities: weighted edges from a neighbour graph, as UMAP and as t-SNE define them. */
#ifndef IMS_MAP_EDGES_H
#define IMS_MAP_EDGES_H

#include "map/map.h"

/* A symmetric graph, each edge at both ends, the edges of a vertex in order of their target. Zero it before use. */
struct ims_map_edges {
    size_t count;      /* vertices */
    uint64_t *starts;  /* count + 1 */
    uint32_t *targets; /* starts[count] */
    float *weights;
};

void ims_map_edges_clear(struct ims_map_edges *edges);

/*
 * UMAP's weights of directed edges, n x k: 1 up to the distance to the nearest that is not at distance 0 (rho), then
 * exp(-(d - rho) / sigma) with sigma such that they sum to log2(k + 1). McInnes, Healy & Melville, arXiv:1802.03426, Algorithm 3;
 * k + 1 as their k counts the point itself. `distances` are sorted, the point itself left out.
 */
imgsim_status ims_umap_weights(
    const struct ims_map_job *job,
    uint32_t k,
    const float *distances,
    float *out_weights);
void ims_umap_weights_row(const float *distances, uint32_t k, double all_mean, float *out_weights);
/* Weights of a row that is no point of the map: rho is 0, as nobody is certain to be its neighbour. */
void ims_umap_weights_new(const float *distances, uint32_t k, float *out_weights);

/*
 * t-SNE's p(j|i) of directed edges, n x k: exp(-beta d^2), summing to 1, with beta such that the entropy is log(perplexity).
 * Van der Maaten & Hinton, JMLR 9, 2008.
 */
imgsim_status ims_tsne_weights(
    const struct ims_map_job *job,
    uint32_t k,
    double perplexity,
    const float *distances,
    float *out_weights);
void ims_tsne_weights_row(
    const float *distances,
    uint32_t k,
    double perplexity,
    float *out_weights);

enum ims_union {
    IMS_UNION_FUZZY, /* a + b - ab: UMAP's */
    IMS_UNION_MEAN   /* (a + b) / 2n: t-SNE's joint probabilities, all together 1 */
};

/* Make directed edges symmetric. */
imgsim_status ims_map_symmetric(
    const struct ims_map_job *job,
    uint32_t k,
    const uint32_t *neighbours,
    const float *weights,
    enum ims_union kind,
    struct ims_map_edges *out_edges);

/*
 * a and b of 1 / (1 + a x^2b), nearest by least squares to 1 below min_dist and exp(-(x - min_dist) / spread) above, at 300 places
 * from 0 to 3 spread. Levenberg-Marquardt.
 */
void ims_umap_curve(double min_dist, double spread, double *out_a, double *out_b);

#endif
