/* SPDX-License-Identifier: Apache-2.0 */
/* Query rows: from the catalog, an extractor or a projector; and the mean of several images. */
#include "query/query.h"

#include "catalog/catalog.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"
#include "derive/derive.h"
#include "extract/extractor.h"
#include "image/image.h"
#include "simd/metric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Features computed from features computed from ... : a longer chain is a circle. */
#define SOURCE_DEPTH_MAX 8

/* ---- the image itself ---- */

void ims_image_clear(struct ims_query_image *image)
{
    while (image->rows != NULL) {
        struct ims_known_row *next = image->rows->next;

        ims_free(image->rows->row);
        ims_free(image->rows);
        image->rows = next;
    }
    imgsim_image_free(image->image);
    ims_free(image->data);
    ims_free(image->name);
    ims_free(image->path);
    memset(image, 0, sizeof(*image));
}

imgsim_status
ims_image_decode_at(struct ims_query_image *image, uint32_t side, const char *name_for_errors)
{
    imgsim_status status;
    imgsim_image_options options;
    imgsim_image *decoded = NULL;

    if (image->image != NULL &&
        (side <= image->decoded_side || image->image->width == image->image->full_width ||
         (image->data == NULL && image->path == NULL)))
        return IMGSIM_OK;

    if ((status = imgsim_image_options_init(&options, sizeof(options))) != IMGSIM_OK)
        return status;
    options.min_side = side;
    if (image->data != NULL)
        status =
            ims_image_decode(image->data, image->data_size, &options, name_for_errors, &decoded);
    else
        status = imgsim_image_load_file(image->path, &options, &decoded);
    if (status != IMGSIM_OK)
        return status;
    imgsim_image_free(image->image);
    image->image = decoded;
    image->decoded_side = side;
    return IMGSIM_OK;
}

/* The catalog's id of a path, as it is or with its links resolved; -1 if it has none. */
static int64_t find_path(const imgsim_catalog *catalog, const char *path)
{
    int64_t id = -1;
    char *resolved;

    if (imgsim_catalog_find(catalog, path, &id) == IMGSIM_OK)
        return id;
    if ((resolved = realpath(path, NULL)) != NULL) {
        if (imgsim_catalog_find(catalog, resolved, &id) != IMGSIM_OK)
            id = -1;
        free(resolved);
    }
    return id;
}

/* Compares the content of a file with what the catalog has seen of it. */
struct content_check {
    char hash[33];
    bool same;
};

static int32_t compare_content(const imgsim_file_info *file, void *user_data)
{
    struct content_check *check = user_data;

    check->same = strcmp(file->content_hash, check->hash) == 0;
    return 1;
}

imgsim_status ims_image_recognise(const imgsim_query *query, struct ims_query_image *image)
{
    imgsim_status status;
    struct ims_map map = {0};
    struct content_check check = {0};
    uint8_t hash[16];

    image->id = find_path(query->catalog, image->path);
    if (image->id < 0)
        return IMGSIM_OK;

    if ((status = ims_map_open(&map, image->path)) != IMGSIM_OK)
        return status;
    ims_hash128(map.data, map.size, hash);
    ims_map_close(&map);
    ims_hex(hash, sizeof(hash), check.hash);
    if (imgsim_catalog_get_file(query->catalog, image->id, compare_content, &check) == IMGSIM_OK)
        image->same_file = check.same;
    return IMGSIM_OK;
}

/* ---- extractors and projectors ---- */

static const imgsim_extractor *find_extractor(const imgsim_query *query, const char *feature)
{
    for (size_t i = 0; i < query->extractor_count; i++)
        if (strcmp(query->extractors[i].feature, feature) == 0)
            return query->extractors[i].extractor;
    return NULL;
}

/* Make the extractor that a feature's specification describes. */
static imgsim_status make_extractor(const struct ims_space *space, imgsim_extractor **out_extractor)
{
    imgsim_status status;
    const char *spec = ims_features_spec(space->features);
    const char *fingerprint = ims_features_fingerprint(space->features);
    char reason[IMS_ERROR_TEXT_SIZE / 2];

    if (strncmp(spec, "cnn:", 4) == 0)
        status = ims_extractor_new_cnn_spec(spec, fingerprint, out_extractor);
    else
        status = imgsim_extractor_new_spec(spec, out_extractor);
    if (status == IMGSIM_ERROR_OUT_OF_MEMORY || status == IMGSIM_ERROR_CORRUPT)
        return status;

    if (status != IMGSIM_OK) {
        snprintf(reason, sizeof(reason), "%s", imgsim_last_error());
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "feature \"%s\" needs its extractor for images that are not in the "
            "catalog: %s",
            space->name, reason);
    }
    if (strcmp((*out_extractor)->fingerprint, fingerprint) != 0) {
        imgsim_extractor_free(*out_extractor);
        *out_extractor = NULL;
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "feature \"%s\" was made by another version of its extractor, scan again", space->name);
    }
    return IMGSIM_OK;
}

/* The extractor of a feature, made and kept if need be. */
static imgsim_status get_extractor(
    imgsim_query *query,
    const struct ims_space *space,
    const imgsim_extractor **out_extractor)
{
    imgsim_status status;
    imgsim_extractor *made = NULL;

    if ((*out_extractor = find_extractor(query, space->name)) != NULL)
        return IMGSIM_OK;
    if ((status = make_extractor(space, &made)) != IMGSIM_OK)
        return status;
    status = imgsim_query_set_extractor(query, space->name, made);
    *out_extractor = status == IMGSIM_OK ? made : NULL;
    imgsim_extractor_free(made); /* the query has its own reference */
    return status;
}

static imgsim_status get_projector(
    imgsim_query *query,
    const struct ims_space *space,
    const imgsim_projector **out_projector)
{
    imgsim_status status;
    struct ims_named_projector *place;
    imgsim_projector *opened;

    for (size_t i = 0; i < query->projector_count; i++)
        if (strcmp(query->projectors[i].feature, space->name) == 0) {
            *out_projector = query->projectors[i].projector;
            return IMGSIM_OK;
        }
    if (!ims_grow(
            (void **)&query->projectors, &query->projector_capacity, query->projector_count + 1,
            sizeof(*query->projectors)))
        return ims_fail_memory(sizeof(*query->projectors));
    if ((status = ims_derive_open_projector(query->catalog, space->name, &opened)) != IMGSIM_OK)
        return status == IMGSIM_ERROR_NOT_FOUND
                   ? ims_fail(
                         IMGSIM_ERROR_NOT_READY,
                         "feature \"%s\" has no projector for images that are not in the "
                         "catalog",
                         space->name)
                   : status;

    place = &query->projectors[query->projector_count++];
    memset(place, 0, sizeof(*place));
    snprintf(place->feature, sizeof(place->feature), "%s", space->name);
    *out_projector = place->projector = opened;
    return IMGSIM_OK;
}

/*
 * Shorter side that a feature's extractor needs, by its specification; 0 if it does not say. A
 * network's is read off the text: opening its model for that would take long.
 */
static uint32_t spec_min_side(const char *spec)
{
    imgsim_extractor *extractor = NULL;
    const char *size = strstr(spec, ",size=");
    const char *model = strstr(spec, ",model=");
    uint32_t side = 0;

    if (strncmp(spec, "cnn:", 4) == 0) {
        unsigned long input = size != NULL ? strtoul(size + 6, NULL, 10) : 0;

        if (input == 0 || input > 1024 || model == NULL || size > model)
            return 0;
        if (strstr(spec, "preprocess=torchvision") != NULL)
            return (uint32_t)(input * 256 + 112) / 224; /* resized to this, then cropped */
        return (uint32_t)input;
    }
    if (imgsim_extractor_new_spec(spec, &extractor) == IMGSIM_OK)
        side = extractor->min_side;
    imgsim_extractor_free(extractor);
    return side;
}

static int32_t raise_min_side(const imgsim_feature_info *feature, void *user_data)
{
    uint32_t *side = user_data;
    uint32_t needed = spec_min_side(feature->spec);

    if (feature->source[0] == '\0' && needed > *side)
        *side = needed;
    return 0;
}

/* The side the scan decoded to, 0 for in full; its default where the catalog does not say. */
static uint32_t scanned_min_side(const imgsim_catalog *catalog)
{
    char text[16];

    if (imgsim_catalog_get_setting(catalog, "scan.min_side", text, sizeof(text)) != IMGSIM_OK)
        return 256;
    return (uint32_t)strtoul(text, NULL, 10);
}

uint32_t ims_query_min_side(const imgsim_query *query)
{
    uint32_t side = scanned_min_side(query->catalog);

    if (side == 0)
        return 0;
    imgsim_catalog_visit_features(query->catalog, raise_min_side, &side);
    for (size_t i = 0; i < query->extractor_count; i++)
        if (query->extractors[i].extractor->min_side > side)
            side = query->extractors[i].extractor->min_side;
    return side;
}

/* ---- one row ---- */

static const void *known_row(const struct ims_query_image *image, const char *feature)
{
    for (const struct ims_known_row *known = image->rows; known != NULL; known = known->next)
        if (strcmp(known->feature, feature) == 0)
            return known->row;
    return NULL;
}

/* An unset row of the space, kept with the image. */
static imgsim_status new_row(const struct ims_space *space, struct ims_known_row **out_known)
{
    size_t size = ims_row_size(space->row_type, space->dimension);
    struct ims_known_row *known = ims_calloc(1, sizeof(*known));

    if (known == NULL || (known->row = ims_alloc(size)) == NULL) {
        ims_free(known);
        return ims_fail_memory(size);
    }
    snprintf(known->feature, sizeof(known->feature), "%s", space->name);
    *out_known = known;
    return IMGSIM_OK;
}

static imgsim_status row_at_depth(
    imgsim_query *query,
    struct ims_query_image *image,
    const struct ims_space *space,
    int depth,
    const void **out_row);

/*
 * Compute a projected row from the row of its source; *out_done is false when the image has none.
 */
static imgsim_status project_row(
    imgsim_query *query,
    struct ims_query_image *image,
    const struct ims_space *space,
    int depth,
    void *out_row,
    bool *out_done)
{
    imgsim_status status;
    imgsim_channel_options options;
    struct ims_space source = {0};
    const imgsim_projector *projector = NULL;
    const void *row = NULL;

    *out_done = false;
    if (depth == SOURCE_DEPTH_MAX)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "feature \"%s\" is its own source", space->name);
    if ((status = imgsim_channel_options_init(&options, sizeof(options))) != IMGSIM_OK ||
        (status = ims_space_open(
             query->catalog, ims_features_source(space->features), &options, &source)) != IMGSIM_OK)
        return status;

    if ((status = row_at_depth(query, image, &source, depth + 1, &row)) != IMGSIM_OK || row == NULL)
        goto done;
    if ((status = get_projector(query, space, &projector)) != IMGSIM_OK)
        goto done;
    if (source.row_type != IMGSIM_ROW_FLOAT32 ||
        imgsim_projector_get_input_dimension(projector) != source.dimension ||
        imgsim_projector_get_output_dimension(projector) != space->dimension) {
        status = ims_fail(
            IMGSIM_ERROR_CORRUPT, "projector of feature \"%s\" has another shape", space->name);
        goto done;
    }
    status = imgsim_projector_transform(projector, row, 1, out_row);
    *out_done = status == IMGSIM_OK;

done:
    ims_space_close(&source);
    return status;
}

/* Compute a row from the image's pixels. */
static imgsim_status extract_row(
    imgsim_query *query,
    struct ims_query_image *image,
    const struct ims_space *space,
    void *out_row)
{
    imgsim_status status;
    const imgsim_extractor *extractor;
    const imgsim_image *pixels;

    if (image->image == NULL)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "image %lld has no row in feature \"%s\"", (long long)image->id,
            space->name);
    if ((status = get_extractor(query, space, &extractor)) != IMGSIM_OK ||
        (status = ims_image_decode_at(image, ims_query_min_side(query), image->name)) != IMGSIM_OK)
        return status;
    pixels = image->image;
    return imgsim_extractor_extract(
        extractor, &pixels, 1, out_row, ims_row_size(space->row_type, space->dimension));
}

static imgsim_status make_row(
    imgsim_query *query,
    struct ims_query_image *image,
    const struct ims_space *space,
    int depth,
    void *out_row,
    bool *out_done)
{
    bool projected = ims_features_source(space->features)[0] != '\0';

    *out_done = true;
    if (image->same_file && imgsim_features_has_row(space->features, image->id))
        return imgsim_features_read(
            space->features, &image->id, 1, out_row,
            ims_row_size(space->row_type, space->dimension));
    if (projected)
        return project_row(query, image, space, depth, out_row, out_done);
    if (image->feature[0] != '\0') {
        *out_done = false;
        return IMGSIM_OK;
    }
    return extract_row(query, image, space, out_row);
}

static imgsim_status row_at_depth(
    imgsim_query *query,
    struct ims_query_image *image,
    const struct ims_space *space,
    int depth,
    const void **out_row)
{
    imgsim_status status;
    struct ims_known_row *known = NULL;
    bool done;

    if ((*out_row = known_row(image, space->name)) != NULL)
        return IMGSIM_OK;
    if ((status = new_row(space, &known)) != IMGSIM_OK)
        return status;
    status = make_row(query, image, space, depth, known->row, &done);
    if (status != IMGSIM_OK || !done) {
        ims_free(known->row);
        ims_free(known);
        return status;
    }
    known->next = image->rows;
    image->rows = known;
    *out_row = known->row;
    return IMGSIM_OK;
}

imgsim_status ims_image_row(
    imgsim_query *query,
    struct ims_query_image *image,
    const struct ims_space *space,
    const void **out_row)
{
    return row_at_depth(query, image, space, 0, out_row);
}

/* ---- the rows of a channel ---- */

void ims_normalise_counts(const uint32_t *counts, uint32_t dimension, float *out_row)
{
    double sum = 0;

    for (uint32_t i = 0; i < dimension; i++)
        sum += counts[i];
    for (uint32_t i = 0; i < dimension; i++)
        out_row[i] = sum > 0 ? (float)(counts[i] / sum) : 0;
}

static imgsim_status
rows_init(const struct ims_space *space, size_t count, struct ims_channel_rows *rows)
{
    int32_t type = space->row_type == IMGSIM_ROW_BITS ? IMGSIM_ROW_BITS : IMGSIM_ROW_FLOAT32;

    memset(rows, 0, sizeof(*rows));
    rows->bits = type == IMGSIM_ROW_BITS;
    rows->row_size = ims_row_size(type, space->dimension);
    if ((rows->rows = ims_alloc_array(count, rows->row_size)) == NULL)
        return ims_fail_memory(count * rows->row_size);
    return IMGSIM_OK;
}

static void rows_append(
    struct ims_channel_rows *rows,
    const struct ims_space *space,
    const void *row,
    double weight)
{
    uint8_t *place = rows->rows + rows->count * rows->row_size;

    if (space->row_type == IMGSIM_ROW_UINT32)
        ims_normalise_counts(row, space->dimension, (float *)(void *)place);
    else
        memcpy(place, row, rows->row_size);
    rows->weights[rows->count++] = weight;
}

imgsim_status ims_rows_collect(
    imgsim_query *query,
    const struct ims_space *space,
    struct ims_channel_rows *out_rows)
{
    imgsim_status status;
    bool positive = false;

    if ((status = rows_init(space, query->image_count, out_rows)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < query->image_count; i++) {
        struct ims_query_image *image = &query->images[i];
        const void *row;

        if ((status = ims_image_row(query, image, space, &row)) != IMGSIM_OK)
            return status;
        if (row == NULL)
            continue;
        rows_append(out_rows, space, row, image->weight);
        positive |= image->weight > 0;
    }
    if (!positive)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "no image to look for has a row in channel \"%s\"",
            space->name);
    return IMGSIM_OK;
}

void ims_channel_rows_clear(struct ims_channel_rows *rows)
{
    ims_free(rows->rows);
    memset(rows, 0, sizeof(*rows));
}

const void *ims_rows_at(const struct ims_channel_rows *rows, size_t i)
{
    return rows->rows + i * rows->row_size;
}

/* ---- mean ---- */

/*
 * Shares of the rows in a mean of points, p + l (p - n): p and n are the weighted means of the
 * positive and the negative images, l is the ratio of their weights. The shares sum to 1, so that
 * moving all rows moves the mean alike.
 */
static void
point_shares(const struct ims_channel_rows *rows, double out_shares[IMGSIM_QUERY_IMAGES_MAX])
{
    double positive = 0;
    double negative = 0;

    for (size_t i = 0; i < rows->count; i++)
        *(rows->weights[i] > 0 ? &positive : &negative) += fabs(rows->weights[i]);
    for (size_t i = 0; i < rows->count; i++)
        out_shares[i] =
            rows->weights[i] / positive * (rows->weights[i] > 0 ? 1 + negative / positive : 1);
}

/* Whether a metric looks at directions, or histograms, rather than at points. */
static bool adds_directions(const struct ims_space *space)
{
    return space->row_type == IMGSIM_ROW_UINT32 || ims_metric_is_histogram(space->metric) ||
           space->metric == IMGSIM_METRIC_COSINE || space->metric == IMGSIM_METRIC_ANGULAR ||
           space->metric == IMGSIM_METRIC_INNER_PRODUCT;
}

/* What each row is multiplied with before they are added. */
static void mean_factors(
    const struct ims_space *space,
    const struct ims_channel_rows *rows,
    double out_factors[IMGSIM_QUERY_IMAGES_MAX])
{
    double sum = 0;

    if (!adds_directions(space)) {
        point_shares(rows, out_factors);
        return;
    }
    for (size_t i = 0; i < rows->count; i++)
        sum += fabs(rows->weights[i]);
    for (size_t i = 0; i < rows->count; i++) {
        const float *row = ims_rows_at(rows, i);
        double squares = 0;
        bool unit = space->metric == IMGSIM_METRIC_COSINE || space->metric == IMGSIM_METRIC_ANGULAR;

        for (uint32_t d = 0; unit && d < space->dimension; d++)
            squares += (double)row[d] * row[d];
        out_factors[i] = rows->weights[i] / sum / (squares > 0 ? sqrt(squares) : 1);
    }
}

/*
 * The mean of histograms has no negative bins; where there were negative images it is brought to
 * sum 1 again.
 */
static void finish_histogram(double *mean, uint32_t dimension, bool rescale)
{
    double sum = 0;

    for (uint32_t d = 0; d < dimension; d++) {
        mean[d] = mean[d] > 0 ? mean[d] : 0;
        sum += mean[d];
    }
    for (uint32_t d = 0; rescale && sum > 0 && d < dimension; d++)
        mean[d] /= sum;
}

imgsim_status ims_rows_mean(const struct ims_space *space, struct ims_channel_rows *rows)
{
    double factors[IMGSIM_QUERY_IMAGES_MAX];
    double *mean;
    float *out = (float *)(void *)rows->rows;
    bool zero = true;

    if (rows->bits || rows->count == 1) {
        if (rows->count == 1)
            rows->weights[0] = 1;
        return IMGSIM_OK;
    }
    if ((mean = ims_calloc(space->dimension, sizeof(*mean))) == NULL)
        return ims_fail_memory(space->dimension * sizeof(*mean));

    mean_factors(space, rows, factors);
    for (size_t i = 0; i < rows->count; i++) {
        const float *row = ims_rows_at(rows, i);

        for (uint32_t d = 0; d < space->dimension; d++)
            mean[d] += factors[i] * row[d];
    }
    if (space->row_type == IMGSIM_ROW_UINT32 || ims_metric_is_histogram(space->metric))
        finish_histogram(mean, space->dimension, space->row_type == IMGSIM_ROW_UINT32);
    for (uint32_t d = 0; d < space->dimension; d++) {
        out[d] = (float)mean[d];
        zero &= out[d] == 0;
    }
    ims_free(mean);

    for (size_t i = 0; zero && adds_directions(space) && i < rows->count; i++)
        if (rows->weights[i] < 0)
            return ims_fail(
                IMGSIM_ERROR_NOT_READY,
                "the negative images cancel the positive ones in channel \"%s\"", space->name);
    rows->count = 1;
    rows->weights[0] = 1;
    return IMGSIM_OK;
}
