/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal component analysis of an array, fed in tiles: how few dimensions hold how much of it?
 *
 * cc project.c -o project $(pkg-config --cflags --libs imgsim) -lm
 * ./project
 */
#include <imgsim/projector.h>

#include <math.h>
#include <stdio.h>

#define ROWS 2000
#define TILE 500
#define INPUT 24
#define OUTPUT 4

static float rows[ROWS][INPUT], projected[ROWS][OUTPUT];

/* Points near a surface of two dimensions, rolled up in 24. */
static void make_rows(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        const double u = (double)(i % 50) / 50, v = (double)(i / 50) / 40;

        for (size_t j = 0; j < INPUT; j++)
            rows[i][j] = (float)(sin((double)(j + 1) * u / 4) + 0.5 * cos((double)(j + 2) * v / 5));
    }
}

int main(int argc, char **argv)
{
    imgsim_projector *projector = NULL;
    imgsim_status status = imgsim_projector_new(INPUT, OUTPUT, NULL, &projector);
    double kept = 0;

    (void)argc;
    make_rows();
    for (size_t first = 0; first < ROWS && status == IMGSIM_OK; first += TILE)
        status = imgsim_projector_add(projector, rows[first], TILE);
    if (status == IMGSIM_OK)
        status = imgsim_projector_train(projector);
    if (status == IMGSIM_OK)
        status = imgsim_projector_transform(projector, rows[0], ROWS, projected[0]);
    if (status != IMGSIM_OK)
        fprintf(stderr, "%s: %s\n", argv[0], imgsim_last_error());

    for (uint32_t i = 0; i < OUTPUT && status == IMGSIM_OK; i++) {
        kept += imgsim_projector_get_variances(projector)[i];
        printf(
            "%u axes hold %.2f %% of the variance\n", i + 1,
            100 * kept / imgsim_projector_get_total_variance(projector));
    }
    if (status == IMGSIM_OK)
        printf(
            "the first row becomes (%.3f, %.3f, %.3f, %.3f)\n", projected[0][0], projected[0][1],
            projected[0][2], projected[0][3]);
    imgsim_projector_free(projector);
    return status == IMGSIM_OK ? 0 : 1;
}
