/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index of plain vectors, without pictures and without a catalog: exact and HNSW side by side.
 *
 * cc vector_index.c -o vector_index $(pkg-config --cflags --libs imgsim)
 * ./vector_index
 */
#include <imgsim/index.h>

#include <stdio.h>

#define ROWS 5000
#define DIMENSION 32
#define K 10

static float rows[ROWS][DIMENSION];

/* Numbers in [0, 1) that are the same on every machine. */
static float next_number(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 16777216.0f;
}

static imgsim_status build(int32_t kind, imgsim_index **out_index)
{
    imgsim_index_options options;
    imgsim_status status;

    imgsim_index_options_init(&options, sizeof(options));
    options.kind = kind;
    options.metric = IMGSIM_METRIC_L2;
    options.dimension = DIMENSION;
    status = imgsim_index_new(&options, out_index);
    return status == IMGSIM_OK ? imgsim_index_add(*out_index, rows[0], ROWS, NULL) : status;
}

int main(int argc, char **argv)
{
    imgsim_index *exact = NULL, *graph = NULL;
    int64_t truth[K], found[K];
    float distances[K];
    imgsim_status status;
    uint32_t state = 1;
    int common = 0;

    (void)argc;
    for (size_t i = 0; i < ROWS * DIMENSION; i++)
        rows[i / DIMENSION][i % DIMENSION] = next_number(&state);

    if ((status = build(IMGSIM_INDEX_EXACT, &exact)) != IMGSIM_OK ||
        (status = build(IMGSIM_INDEX_HNSW, &graph)) != IMGSIM_OK ||
        (status = imgsim_index_search(exact, rows[7], 1, K, NULL, truth, distances)) != IMGSIM_OK ||
        (status = imgsim_index_search(graph, rows[7], 1, K, NULL, found, distances)) != IMGSIM_OK)
        fprintf(stderr, "%s: %s\n", argv[0], imgsim_last_error());

    for (size_t i = 0; i < K && status == IMGSIM_OK; i++) {
        printf("%2zu  id %4lld  squared distance %.4f\n", i + 1, (long long)found[i], distances[i]);
        for (size_t j = 0; j < K; j++)
            common += found[i] == truth[j];
    }
    if (status == IMGSIM_OK)
        printf("%d of the %d true neighbours\n", common, K);
    imgsim_index_free(exact);
    imgsim_index_free(graph);
    return status == IMGSIM_OK ? 0 : 1;
}
