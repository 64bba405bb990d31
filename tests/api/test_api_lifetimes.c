/* SPDX-License-Identifier: Apache-2.0 */
/* Handles may be freed in any order: what they were made from lives as long as they need it. */
#include "public_bed.h"

static int released;

static void on_release(void *user_data)
{
    (void)user_data;
    released++;
}

static imgsim_extractor *counted_extractor(void)
{
    imgsim_host_extractor table = {
        .struct_size = sizeof(table),
        .name = "embedding",
        .version = "tiles 4 x 4",
        .dimension = BED_VALUES,
        .row_type = IMGSIM_ROW_FLOAT32,
        .default_metric = IMGSIM_METRIC_COSINE,
        .concurrent = 1,
        .extract = bed_extract,
        .release = on_release,
    };
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_extractor_new_host(&table, NULL, &extractor));
    return extractor;
}

/* The catalog goes first, then the extractor, then the query, then the result and the features. */
static void everything_outlives_what_it_was_made_from(struct public_bed *bed)
{
    imgsim_catalog *catalog = bed_open_catalog(bed->catalog_path, 0);
    imgsim_extractor *extractor = counted_extractor();
    imgsim_features *features = NULL;
    imgsim_image *image = bed_image(1, 30);
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;
    imgsim_part part = {.struct_size = sizeof(part)};
    imgsim_hit hit;
    const float *rows;
    double sum = 0;

    CHECK_OK(imgsim_catalog_open_features(catalog, "embedding", &features));
    CHECK_OK(imgsim_query_new(catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_channel(query, "embedding", NULL));
    imgsim_catalog_free(catalog);

    CHECK_OK(imgsim_query_set_extractor(query, "embedding", extractor));
    imgsim_extractor_free(extractor);
    CHECK_EQUAL(released, 0);
    CHECK_OK(imgsim_query_add_image(query, image, 1.0));
    imgsim_image_free(image);
    CHECK_OK(imgsim_query_search(query, &result));
    imgsim_query_free(query);
    CHECK_EQUAL(released, 1);

    hit = bed_hit(result, 0);
    CHECK(strstr(hit.path, "/family1/") != NULL);
    CHECK_EQUAL(strlen(hit.uuid), 36);
    CHECK_OK(imgsim_result_get_part(result, 0, 0, &part));
    CHECK_TEXT(part.feature, "embedding");
    imgsim_result_free(result);

    rows = imgsim_features_get_rows(features);
    for (size_t i = 0; i < imgsim_features_get_row_count(features) * BED_VALUES; i++)
        sum += fabs((double)rows[i]);
    CHECK(sum > 0);
    imgsim_features_free(features);
}

/* Features that were replaced, or whose catalog was thrown away, stay readable. */
static void mapped_rows_outlive_their_files(struct public_bed *bed)
{
    imgsim_features *features = NULL;
    float before[BED_VALUES], after[BED_VALUES];
    int64_t id = 3;

    CHECK_OK(imgsim_catalog_open_features(bed->catalog, "embedding", &features));
    CHECK_OK(imgsim_features_read(features, &id, 1, before, sizeof(before)));
    CHECK_OK(imgsim_catalog_remove_features(bed->catalog, "embedding"));
    imgsim_catalog_free(bed->catalog);
    bed->catalog = NULL;
    bed_remove_folder(bed->catalog_path);
    CHECK_OK(imgsim_features_read(features, &id, 1, after, sizeof(after)));
    CHECK(memcmp(before, after, sizeof(before)) == 0);
    imgsim_features_free(features);
}

/* A derived index and projector need their catalog no longer, nor the catalog them. */
static void derived_handles_are_their_own(struct public_bed *bed)
{
    imgsim_catalog *catalog = bed_open_catalog(bed->catalog_path, 0);
    imgsim_projection_options projection;
    imgsim_projector *projector = NULL;
    imgsim_index *index = NULL;
    float row[BED_VALUES] = {1}, projected[8], distance;
    int64_t id = -1;

    CHECK_OK(imgsim_projection_options_init(&projection, sizeof(projection)));
    projection.dimension = 8;
    CHECK_OK(imgsim_derive_projection(catalog, &projection, &projector));
    CHECK_OK(imgsim_derive_index(catalog, NULL, NULL, &index));
    imgsim_catalog_free(catalog);
    CHECK_OK(imgsim_projector_transform(projector, row, 1, projected));
    imgsim_projector_free(projector);
    CHECK_OK(imgsim_index_search(index, projected, 1, 1, NULL, &id, &distance));
    CHECK(id >= 0);
    imgsim_index_free(index);
}

static void releasing_nothing_is_fine(void)
{
    imgsim_catalog_free(NULL);
    imgsim_extractor_free(NULL);
    imgsim_features_free(NULL);
    imgsim_image_free(NULL);
    imgsim_index_free(NULL);
    imgsim_projector_free(NULL);
    imgsim_query_free(NULL);
    imgsim_result_free(NULL);
}

int main(void)
{
    struct public_bed bed;

    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open(&bed, 5);
    releasing_nothing_is_fine();
    everything_outlives_what_it_was_made_from(&bed);
    derived_handles_are_their_own(&bed);
    mapped_rows_outlive_their_files(&bed);
    bed_close(&bed);
    return 0;
}
