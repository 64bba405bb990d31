/* SPDX-License-Identifier: Apache-2.0 */
/* Making a query and giving it settings, images to look for, and extractors. */
#include "query/query.h"

#include "catalog/catalog.h"
#include "core/file.h"
#include "core/memory.h"
#include "core/options.h"
#include "extract/extractor.h"
#include "image/image.h"
#include "simd/metric.h"

#include <math.h>
#include <string.h>

/* ---- settings ---- */

static imgsim_query_options default_options(void)
{
    imgsim_query_options options;

    memset(&options, 0, sizeof(options));
    options.struct_size = sizeof(options);
    options.k = 5;
    options.images = IMGSIM_IMAGES_MEAN;
    options.fusion = IMGSIM_FUSE_SUM;
    options.search = IMGSIM_SEARCH_AUTO;
    options.candidates = 200;
    options.rrf_k = 60;
    options.failover_score = 0.3;
    options.failover_spread = 0.005;
    options.exclude_queries = 1;
    return options;
}

imgsim_status imgsim_query_options_init(imgsim_query_options *options, size_t struct_size)
{
    imgsim_query_options defaults = default_options();

    if (options == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "options must not be NULL");
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

static imgsim_status check_modes(const imgsim_query_options *options)
{
    if (options->images < IMGSIM_IMAGES_MEAN || options->images > IMGSIM_IMAGES_BEST)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown way to join images %d", options->images);
    if (options->fusion < IMGSIM_FUSE_SUM || options->fusion > IMGSIM_FUSE_CALLBACK)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown fusion %d", options->fusion);
    if (options->search < IMGSIM_SEARCH_AUTO || options->search > IMGSIM_SEARCH_DOUBLE)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown search %d", options->search);
    if (options->fusion == IMGSIM_FUSE_CALLBACK && options->fuse == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "fusion by callback needs the function fuse");
    return IMGSIM_OK;
}

static imgsim_status read_options(const imgsim_query_options *given, imgsim_query_options *out)
{
    imgsim_query_options options = default_options();
    imgsim_status status;

    if ((status = ims_options_read(&options, sizeof(options), given)) != IMGSIM_OK ||
        (status = check_modes(&options)) != IMGSIM_OK)
        return status;
    if (options.k == 0 || options.k > IMGSIM_K_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "k is %u, expected 1 to %d", options.k, IMGSIM_K_MAX);
    if (options.candidates == 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "candidates is 0, expected 1 or more");
    if (!isfinite(options.rrf_k) || options.rrf_k < 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "rrf_k is %g, expected 0 or more", options.rrf_k);
    if (isnan(options.failover_score) || isnan(options.failover_spread) || isnan(options.min_score))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "failover_score, failover_spread or min_score is not a number");

    *out = options;
    return IMGSIM_OK;
}

/* ---- making and releasing ---- */

imgsim_status imgsim_query_new(
    const imgsim_catalog *catalog,
    const imgsim_query_options *options,
    imgsim_query **out_query)
{
    imgsim_status status;
    imgsim_query *query = NULL;
    imgsim_query_options checked;
    const struct ims_bitset *live;

    if (out_query == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_query must not be NULL");
    *out_query = NULL;
    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((status = read_options(options, &checked)) != IMGSIM_OK)
        return status;

    if ((query = ims_calloc(1, sizeof(*query))) == NULL)
        return ims_fail_memory(sizeof(*query));
    query->options = checked;

    /* The catalog's own set changes when it is refreshed; the query goes on with what it saw. */
    live = ims_catalog_live(catalog);
    if (!ims_bitset_copy(&query->live, live->bytes, live->count)) {
        ims_free(query);
        return ims_fail_memory(live->count / 8);
    }
    query->catalog = ims_catalog_keep(catalog);

    *out_query = query;
    return IMGSIM_OK;
}

void imgsim_query_free(imgsim_query *query)
{
    if (query == NULL)
        return;
    imgsim_query_clear_images(query);
    imgsim_query_clear_filters(query);
    ims_channels_clear(query);
    for (size_t i = 0; i < query->extractor_count; i++)
        imgsim_extractor_free((imgsim_extractor *)query->extractors[i].extractor);
    for (size_t i = 0; i < query->projector_count; i++)
        imgsim_projector_free(query->projectors[i].projector);
    ims_free(query->extractors);
    ims_free(query->projectors);
    ims_bitset_clear(&query->live);
    ims_pool_free(query->pool);
    ims_free_aligned(query->room);
    imgsim_catalog_free((imgsim_catalog *)query->catalog);
    ims_free(query);
}

imgsim_status ims_query_pool(imgsim_query *query, struct ims_pool **out_pool)
{
    imgsim_status status;

    *out_pool = NULL;
    if (query->options.threads == 1)
        return IMGSIM_OK;
    if (query->pool == NULL || query->pool_threads != query->options.threads) {
        ims_pool_free(query->pool);
        query->pool = NULL;
        if ((status = ims_pool_new(query->options.threads, &query->pool)) != IMGSIM_OK)
            return status;
        query->pool_threads = query->options.threads;
    }
    *out_pool = query->pool;
    return IMGSIM_OK;
}

imgsim_status imgsim_query_set_options(imgsim_query *query, const imgsim_query_options *options)
{
    if (query == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query must not be NULL");
    return read_options(options, &query->options);
}

/* ---- images to look for ---- */

/* The next free place for an image; it counts only once add_done() has been called. */
static imgsim_status
add_begin(imgsim_query *query, double weight, struct ims_query_image **out_image)
{
    struct ims_query_image *image = NULL;

    if (query == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query must not be NULL");
    if (!isfinite(weight) || weight == 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "weight of an image is %g, expected a finite number other than 0", weight);
    if (query->image_count == IMGSIM_QUERY_IMAGES_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "a query has at most %d images", IMGSIM_QUERY_IMAGES_MAX);

    image = &query->images[query->image_count];
    memset(image, 0, sizeof(*image));
    image->weight = weight;
    image->id = -1;
    *out_image = image;
    return IMGSIM_OK;
}

/* Count the new image, or release what it has so far. */
static imgsim_status
add_done(imgsim_query *query, struct ims_query_image *image, imgsim_status status)
{
    if (status == IMGSIM_OK)
        query->image_count++;
    else
        ims_image_clear(image);
    return status;
}

static imgsim_status copy_text(const char *text, char **out)
{
    if ((*out = ims_strdup(text)) == NULL)
        return ims_fail_memory(strlen(text) + 1);
    return IMGSIM_OK;
}

imgsim_status imgsim_query_add_file(imgsim_query *query, const char *path, double weight)
{
    imgsim_status status;
    struct ims_query_image *image = NULL;

    if ((status = add_begin(query, weight, &image)) != IMGSIM_OK)
        return status;
    if (path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path must not be NULL");

    if ((status = copy_text(path, &image->name)) == IMGSIM_OK &&
        (status = ims_absolute_path(path, &image->path)) == IMGSIM_OK &&
        (status = ims_image_decode_at(image, ims_query_min_side(query), path)) == IMGSIM_OK)
        status = ims_image_recognise(query, image);
    return add_done(query, image, status);
}

imgsim_status
imgsim_query_add_memory(imgsim_query *query, const void *data, size_t data_size, double weight)
{
    imgsim_status status;
    struct ims_query_image *image = NULL;

    if ((status = add_begin(query, weight, &image)) != IMGSIM_OK)
        return status;
    if (data == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "data must not be NULL");

    if ((image->data = ims_alloc(data_size)) == NULL)
        return add_done(query, image, ims_fail_memory(data_size));
    memcpy(image->data, data, data_size);
    image->data_size = data_size;
    if ((status = copy_text("(memory)", &image->name)) == IMGSIM_OK)
        status = ims_image_decode_at(image, ims_query_min_side(query), image->name);
    return add_done(query, image, status);
}

imgsim_status imgsim_query_add_image(imgsim_query *query, const imgsim_image *given, double weight)
{
    imgsim_status status;
    struct ims_query_image *image = NULL;

    if ((status = add_begin(query, weight, &image)) != IMGSIM_OK)
        return status;
    if (given == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "image must not be NULL");

    if ((status = copy_text("(pixels)", &image->name)) == IMGSIM_OK &&
        (status = ims_image_alloc(given->width, given->height, &image->image)) == IMGSIM_OK) {
        memcpy(image->image->pixels, given->pixels, (size_t)given->width * given->height * 3);
        image->image->full_width = given->full_width;
        image->image->full_height = given->full_height;
        memcpy(image->image->format, given->format, sizeof(given->format));
    }
    return add_done(query, image, status);
}

/* Gets the file of an id that was added. */
struct added_file {
    struct ims_query_image *image;
    imgsim_status status;
};

static int32_t take_added_file(const imgsim_file_info *file, void *user_data)
{
    struct added_file *added = user_data;

    added->status = copy_text(file->path, &added->image->name);
    if (added->status == IMGSIM_OK)
        added->status = copy_text(file->path, &added->image->path);
    return 1;
}

imgsim_status imgsim_query_add_id(imgsim_query *query, int64_t id, double weight)
{
    imgsim_status status;
    struct ims_query_image *image = NULL;
    struct added_file added = {0};

    if ((status = add_begin(query, weight, &image)) != IMGSIM_OK)
        return status;
    if (id < 0 || !ims_bitset_test(&query->live, id))
        return ims_fail(
            IMGSIM_ERROR_NOT_FOUND, "no image with id %lld in the catalog", (long long)id);

    added.image = image;
    status = imgsim_catalog_get_file(query->catalog, id, take_added_file, &added);
    if (status == IMGSIM_OK)
        status = added.status;
    image->id = id;
    image->same_file = true;
    return add_done(query, image, status);
}

/* Check a given row against the feature it is of. */
static imgsim_status
check_row(const imgsim_features *features, const char *feature, const void *row, size_t row_size)
{
    uint32_t dimension = imgsim_features_get_dimension(features);
    int32_t row_type = imgsim_features_get_row_type(features);
    size_t expected = ims_row_size(row_type, dimension);
    const float *values = row;

    if (row_size != expected)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "row has %zu bytes, a row of feature \"%s\" has %zu",
            row_size, feature, expected);
    for (uint32_t i = 0; row_type == IMGSIM_ROW_FLOAT32 && i < dimension; i++)
        if (!isfinite(values[i]))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "value %u of the row is not a finite number", i);
    return IMGSIM_OK;
}

/* Keep a row that an image already has. */
static imgsim_status
keep_given_row(struct ims_query_image *image, const char *feature, const void *row, size_t row_size)
{
    struct ims_known_row *known = ims_calloc(1, sizeof(*known));

    if (known == NULL || (known->row = ims_alloc(row_size)) == NULL) {
        ims_free(known);
        return ims_fail_memory(row_size);
    }
    memcpy(known->row, row, row_size);
    strncpy(known->feature, feature, sizeof(known->feature) - 1);
    strncpy(image->feature, feature, sizeof(image->feature) - 1);
    known->next = image->rows;
    image->rows = known;
    return copy_text("(row)", &image->name);
}

imgsim_status imgsim_query_add_row(
    imgsim_query *query,
    const char *feature,
    const void *row,
    size_t row_size,
    double weight)
{
    imgsim_status status;
    struct ims_query_image *image = NULL;
    imgsim_features *features = NULL;

    if ((status = add_begin(query, weight, &image)) != IMGSIM_OK)
        return status;
    if (feature == NULL || row == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "feature and row must not be NULL");

    if ((status = imgsim_catalog_open_features(query->catalog, feature, &features)) == IMGSIM_OK &&
        (status = check_row(features, feature, row, row_size)) == IMGSIM_OK)
        status = keep_given_row(image, feature, row, row_size);
    imgsim_features_free(features);
    return add_done(query, image, status);
}

void imgsim_query_clear_images(imgsim_query *query)
{
    if (query == NULL)
        return;
    for (size_t i = 0; i < query->image_count; i++)
        ims_image_clear(&query->images[i]);
    query->image_count = 0;
}

/* ---- extractors ---- */

imgsim_status imgsim_query_set_extractor(
    imgsim_query *query,
    const char *feature,
    const imgsim_extractor *extractor)
{
    imgsim_status status;
    imgsim_features *features = NULL;
    struct ims_named_extractor *place = NULL;

    if (query == NULL || feature == NULL || extractor == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "query, feature and extractor must not be NULL");

    if ((status = imgsim_catalog_open_features(query->catalog, feature, &features)) != IMGSIM_OK)
        goto done;
    if (strcmp(ims_features_fingerprint(features), extractor->fingerprint) != 0) {
        status = ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "extractor \"%s\" is not the one that made feature \"%s\" (\"%s\")", extractor->spec,
            feature, ims_features_spec(features));
        goto done;
    }

    for (size_t i = 0; i < query->extractor_count; i++)
        if (strcmp(query->extractors[i].feature, feature) == 0)
            place = &query->extractors[i];
    if (place == NULL) {
        if (!ims_grow(
                (void **)&query->extractors, &query->extractor_capacity, query->extractor_count + 1,
                sizeof(*query->extractors))) {
            status = ims_fail_memory(sizeof(*query->extractors));
            goto done;
        }
        place = &query->extractors[query->extractor_count++];
        memset(place, 0, sizeof(*place));
        strncpy(place->feature, feature, sizeof(place->feature) - 1);
    }
    ims_extractor_keep(extractor);
    imgsim_extractor_free((imgsim_extractor *)place->extractor);
    place->extractor = extractor;

done:
    imgsim_features_free(features);
    return status;
}
