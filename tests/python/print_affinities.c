/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The affinities of a neighbour graph, for test_map.py. Standard input: n, k (uint32), perplexity (double, 0: UMAP), neighbours
 * (uint32, n x k), distances (float, n x k). Standard output: a line "i j weight" per edge.
 */
#include "core/memory.h"
#include "map/map_edges.h"

#include <stdio.h>
#include <stdlib.h>

static void read_all(void *out, size_t size, size_t count)
{
    if (fread(out, size, count, stdin) != count)
        exit(2);
}

int main(void)
{
    struct ims_map_rows rows = {0};
    struct ims_map_job job = {.rows = &rows};
    struct ims_map_edges edges = {0};
    uint32_t sizes[2], *neighbours;
    float *distances, *weights;
    double perplexity;
    size_t count;

    read_all(sizes, sizeof(uint32_t), 2);
    read_all(&perplexity, sizeof(double), 1);
    rows.count = sizes[0];
    count = (size_t)sizes[0] * sizes[1];
    neighbours = malloc(count * sizeof(uint32_t));
    distances = malloc(count * sizeof(float));
    weights = malloc(count * sizeof(float));
    if (neighbours == NULL || distances == NULL || weights == NULL)
        return 2;
    read_all(neighbours, sizeof(uint32_t), count);
    read_all(distances, sizeof(float), count);
    if ((perplexity > 0.0 ? ims_tsne_weights(&job, sizes[1], perplexity, distances, weights)
                          : ims_umap_weights(&job, sizes[1], distances, weights)) != IMGSIM_OK ||
        ims_map_symmetric(
            &job, sizes[1], neighbours, weights,
            perplexity > 0.0 ? IMS_UNION_MEAN : IMS_UNION_FUZZY, &edges) != IMGSIM_OK) {
        fprintf(stderr, "%s\n", imgsim_last_error());
        return 1;
    }
    for (size_t i = 0; i < edges.count; i++)
        for (uint64_t e = edges.starts[i]; e < edges.starts[i + 1]; e++)
            printf("%zu %u %.9g\n", i, edges.targets[e], (double)edges.weights[e]);
    ims_map_edges_clear(&edges);
    free(neighbours);
    free(distances);
    free(weights);
    return 0;
}
