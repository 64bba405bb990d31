/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inner loops of layouts: one body, map_kernels_body.h, compiled for each instruction set. Every sum has a fixed order (16 lanes,
 * then the lanes in turn or by halves) and nothing is contracted, so that all sets give the same bits.
 */
#ifndef IMS_MAP_KERNELS_H
#define IMS_MAP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define IMS_LANES 16

/* One epoch of UMAP as its inner loop sees it. */
struct ims_umap_step {
    const uint64_t
        *starts; /* edges of the i-th vertex that is moved are starts[i] to starts[i + 1] */
    const uint32_t
        *targets; /* the other end of each edge; IMS_LANES more can be read, as of the rates */
    const uint32_t *rates;  /* share of epochs in which the edge pulls, in 2^-32 */
    const float *positions; /* n x dimension, frozen during a block */
    uint32_t count;         /* n */
    uint32_t dimension;     /* 2 or 3 */
    uint32_t epoch;
    uint32_t salt; /* changes with seed and epoch */
    uint32_t negatives;
    uint32_t reserved;
    float a;
    float b;
    float alpha; /* step length of this epoch */
    float repulsion;
};

/* Edges of a t-SNE graph: symmetric, each edge listed at both ends. */
struct ims_tsne_edges {
    const uint64_t *starts;
    const uint32_t *targets;
    const float *weights; /* p_ij */
    const float *positions;
    uint32_t dimension;
};

/* A butterfly pass over 16 transforms at once; see fft.c. */
struct ims_fft_pass {
    const float *in; /* [n][2][16] */
    float *out;
    const float *twiddles; /* (radix - 1) pairs for each of the `groups` */
    size_t groups;         /* n / radix / stride */
    size_t stride;
    uint32_t radix; /* 2, 3, 4 or 5 */
    int32_t inverse;
};

/* A cell of the tree of t-SNE in space; its children follow it. */
struct ims_bh_cell {
    float centre[3]; /* mean of its points */
    float mass;      /* how many there are */
    float reach;     /* (size / theta)^2: nearer than that, squared, it is opened */
    uint32_t skip;   /* the next cell that is not inside this one */
    uint32_t first;  /* its points are charges first ... */
    uint32_t leaf;   /* ... if it is a leaf, so many; else 0 */
};

struct ims_map_kernels {
    const char *name;
    /*
     * Of keys norms[j] - 2 dots[j], those below `bound`: their positions and keys, in order; returns how many. Room for
     * `count` of each.
     */
    size_t (*filter)(
        const float *dots,
        const float *norms,
        size_t count,
        float bound,
        uint32_t *out_positions,
        float *out_keys);
    /*
     * New positions of the vertices first + i * stride, i from `begin` to `end` - 1, at moved[i * dimension]. Each vertex is
     * pulled by its edges in turn, then pushed by strangers; all others stand still.
     */
    void (*umap_move)(
        const struct ims_umap_step *step,
        size_t first,
        size_t stride,
        size_t begin,
        size_t end,
        float *moved);
    /*
     * Attraction: out (dimension per vertex) = sum p_ij (y_i - y_j) / (1 + r^2) for vertices begin to end - 1; returns the sum of
     * p_ij log(1 + r^2) if `divergence` is not 0, else 0.
     */
    double (*tsne_attract)(
        const struct ims_tsne_edges *edges,
        size_t begin,
        size_t end,
        int divergence,
        float *out);
    /* Sum of products; no part of it may leave 32 bits. */
    int32_t (*dot_fixed)(const int16_t *a, const int16_t *b, size_t count);
    /* |y_j - y|^2 of points given by coordinate: columns[c] has `count` values. */
    void (*low_distances)(
        const float *const *columns,
        uint32_t dimension,
        const float *point,
        size_t count,
        float *out);
    /* How many of `values` are below `bound`, and how many equal to it come before `before`. */
    size_t (*rank)(const float *values, size_t count, float bound, size_t before);
    /*
     * Fields of the charges of a tree at 16 places y: three of forces sum_j (y - y_j) q^2, then sum_j q, with q = 1 / (1 + r^2).
     */
    void (*tree_walk)(
        const struct ims_bh_cell *cells,
        size_t cell_count,
        const float *charges,
        float (*y)[IMS_LANES],
        float (*fields)[IMS_LANES]);
    void (*fft_pass)(const struct ims_fft_pass *pass);
    /* x^b for x > 0, relative error at most 1e-5 for results and arguments within 2^+-100. */
    void (*power)(const float *values, float exponent, size_t count, float *out);
};

/* The set that goes with ims_kernels(). */
const struct ims_map_kernels *ims_map_kernels(void);
/* One that is compiled in and the processor has, else NULL. For tests. */
const struct ims_map_kernels *ims_map_kernels_named(const char *name);

extern const struct ims_map_kernels ims_map_kernels_scalar;
#if defined(__x86_64__)
extern const struct ims_map_kernels ims_map_kernels_avx2;
extern const struct ims_map_kernels ims_map_kernels_avx512;
#endif

#endif
