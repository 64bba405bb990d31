/* SPDX-License-Identifier: Apache-2.0 */
/* A collection drawn for the tests of pages: points in groups, names, properties, pictures. */
#ifndef IMS_TESTS_PAGE_BED_H
#define IMS_TESTS_PAGE_BED_H

#include "core/memory.h"
#include "core/rng.h"
#include "image/image.h"
#include "page/page.h"

#include "check.h"

#include <math.h>

#define BED_GROUPS 12

struct page_bed {
    struct ims_page_input input;
    float *flat;
    float *deep;
    char **paths;
    int64_t *dates;
    int32_t *labels;
    int32_t *clusters;
    uint32_t *neighbours;
    struct ims_page_column columns[2];
    struct ims_page_figure figures[2];
};

static const char *const bed_labels[BED_GROUPS] = {
    "airplane", "automobile", "bird", "cat",   "deer",   "dog",
    "frog",     "horse",      "ship", "truck", "flower", "mountain",
};
static const char *const bed_clusters[BED_GROUPS] = {
    "cluster 1", "cluster 2", "cluster 3", "cluster 4",  "cluster 5",  "cluster 6",
    "cluster 7", "cluster 8", "cluster 9", "cluster 10", "cluster 11", "cluster 12",
};

/* A picture of the group's colour with a disc that tells its point. */
static inline imgsim_status
bed_picture(void *user_data, size_t point, uint8_t **out_data, size_t *out_size)
{
    const struct page_bed *bed = user_data;
    uint32_t width = 60 + (uint32_t)(point % 5) * 14, height = 96;
    imgsim_image *image = NULL;
    uint32_t group = (uint32_t)bed->labels[point] % BED_GROUPS;
    imgsim_status status = ims_image_alloc(width, height, &image);

    if (status != IMGSIM_OK)
        return status;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image->pixels + ((size_t)y * width + x) * 3;
            double dx = x - (20.0 + (double)(point * 7 % 30)), dy = y - 48.0;
            int inside = dx * dx + dy * dy < 20.0 * 20;

            pixel[0] = (uint8_t)(inside ? 250 : 40 + group * 17);
            pixel[1] = (uint8_t)(inside ? 240 - (point * 13 % 160) : 200 - group * 12 + y / 4);
            pixel[2] = (uint8_t)(inside ? point * 31 % 255 : (group * 67) % 220);
        }
    status = ims_image_encode(image, "jpeg", 85, out_data, out_size);
    imgsim_image_free(image);
    return status;
}

/* Chance links inside the group: enough for a page. */
static inline void bed_link(struct page_bed *bed, size_t count, uint32_t links, struct ims_rng *rng)
{
    for (size_t i = 0; i < count; i++)
        for (uint32_t rank = 0; rank < links; rank++) {
            size_t other = (i + BED_GROUPS * (1 + ims_rng_below(rng, 40))) % count;

            bed->neighbours[i * links + rank] = (uint32_t)other;
        }
}

static inline void bed_place(struct page_bed *bed, size_t i, struct ims_rng *rng)
{
    uint32_t group = (uint32_t)(i % BED_GROUPS);
    double spread = 0.35 + 0.1 * (group % 4);

    for (int axis = 0; axis < 3; axis++) {
        double centre = axis == 2   ? (group % 3) * 2.0
                        : axis == 0 ? cos(group * 2.4) * (1 + group * 0.35)
                                    : sin(group * 2.4) * (1 + group * 0.35);
        double at = centre + spread * ims_rng_normal(rng);

        bed->deep[3 * i + (size_t)axis] = (float)at;
        if (axis < 2)
            bed->flat[2 * i + (size_t)axis] = (float)at;
    }
    bed->labels[i] = i % 17 == 3 ? -1 : (int32_t)group;
    bed->clusters[i] = i % 29 == 5 ? -1 : (int32_t)((group + (i % 31 == 0)) % BED_GROUPS);
    bed->dates[i] =
        i % 13 == 1 ? IMS_PAGE_NO_DATE : 1262304000 + (int64_t)(ims_rng_double(rng) * 4e8);
}

static inline void bed_name(struct page_bed *bed, size_t i)
{
    char path[256];

    snprintf(
        path, sizeof(path), "/photos/%s/%c%c/IMG_%06zu.jpg", bed_labels[i % BED_GROUPS],
        (char)('a' + i * 5 % 7), (char)('a' + i * 3 % 11), i * 2654435761u % 1000000);
    CHECK((bed->paths[i] = ims_strdup(path)) != NULL);
}

static inline void bed_open(struct page_bed *bed, size_t count, uint32_t links)
{
    struct ims_rng rng;

    memset(bed, 0, sizeof(*bed));
    ims_rng_init(&rng, 7);
    bed->flat = ims_alloc_array(count, 2 * sizeof(float));
    bed->deep = ims_alloc_array(count, 3 * sizeof(float));
    bed->paths = ims_calloc(count, sizeof(*bed->paths));
    bed->dates = ims_alloc_array(count, sizeof(*bed->dates));
    bed->labels = ims_alloc_array(count, sizeof(*bed->labels));
    bed->clusters = ims_alloc_array(count, sizeof(*bed->clusters));
    bed->neighbours = ims_alloc_array(count, links * sizeof(*bed->neighbours));
    CHECK(bed->flat && bed->deep && bed->paths && bed->dates && bed->labels && bed->clusters);
    for (size_t i = 0; i < count; i++) {
        bed_place(bed, i, &rng);
        bed_name(bed, i);
    }
    bed_link(bed, count, links, &rng);
    bed->columns[0] = (struct ims_page_column){"Cluster", bed->clusters, bed_clusters, BED_GROUPS};
    bed->columns[1] = (struct ims_page_column){"Label", bed->labels, bed_labels, BED_GROUPS};
    bed->figures[0] = (struct ims_page_figure){
        "trustworthiness", 0.9731,
        "1 is best: neighbours on the map are neighbours in the collection."};
    bed->figures[1] = (struct ims_page_figure){
        "continuity", 0.9544,
        "1 is best: neighbours in the collection stay neighbours on the map."};
    bed->input = (struct ims_page_input){
        .count = count,
        .flat = bed->flat,
        .deep = bed->deep,
        .paths = (const char *const *)bed->paths,
        .dates = bed->dates,
        .columns = bed->columns,
        .column_count = 2,
        .neighbours = bed->neighbours,
        .neighbour_count = links,
        .figures = bed->figures,
        .figure_count = 2,
        .layout = "UMAP of embedding",
        .picture = bed_picture,
        .picture_data = bed};
}

static inline void bed_close(struct page_bed *bed)
{
    for (size_t i = 0; i < bed->input.count; i++)
        ims_free(bed->paths[i]);
    ims_free(bed->flat);
    ims_free(bed->deep);
    ims_free(bed->paths);
    ims_free(bed->dates);
    ims_free(bed->labels);
    ims_free(bed->clusters);
    ims_free(bed->neighbours);
}

#endif
