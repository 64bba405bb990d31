/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: a feature with metric and weight, its rows and indexes, and the channels a query has by
 * default.
 */
#include "query/query.h"

#include "catalog/catalog.h"
#include "core/memory.h"
#include "core/options.h"
#include "derive/derive.h"
#include "index/index.h"
#include "simd/metric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- settings ---- */

static imgsim_channel_options default_channel_options(void)
{
    imgsim_channel_options options;

    memset(&options, 0, sizeof(options));
    options.struct_size = sizeof(options);
    options.weight = 1;
    options.metric = IMGSIM_METRIC_DEFAULT;
    return options;
}

imgsim_status imgsim_channel_options_init(imgsim_channel_options *options, size_t struct_size)
{
    imgsim_channel_options defaults = default_channel_options();

    if (options == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "options must not be NULL");
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* ---- spaces ---- */

static const char *row_type_name(int32_t row_type)
{
    return row_type == IMGSIM_ROW_BITS     ? "bits"
           : row_type == IMGSIM_ROW_UINT32 ? "counts"
           : row_type == IMGSIM_ROW_BYTES  ? "bytes"
                                           : "floats";
}

static int32_t default_metric(int32_t row_type)
{
    return row_type == IMGSIM_ROW_BITS     ? IMGSIM_METRIC_HAMMING
           : row_type == IMGSIM_ROW_UINT32 ? IMGSIM_METRIC_CHI_SQUARE
                                           : IMGSIM_METRIC_COSINE;
}

/*
 * Take metric, callback and matrix from the options, the metric from the feature where they leave
 * it open.
 */
static imgsim_status
space_set_metric(struct ims_space *space, const imgsim_channel_options *options)
{
    int32_t metric = options->metric;
    size_t size;

    if (metric == IMGSIM_METRIC_DEFAULT)
        metric = imgsim_features_get_metric(space->features);
    if (metric == IMGSIM_METRIC_DEFAULT) /* the feature leaves it open, too */
        metric = default_metric(space->row_type);
    if (metric != IMGSIM_METRIC_CALLBACK && imgsim_metric_name(metric) == NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown metric %d", metric);
    if (!ims_metric_takes(metric, space->row_type))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "metric %s does not compare the rows of feature \"%s\", which are %s",
            imgsim_metric_name(metric), space->name, row_type_name(space->row_type));
    if (metric == IMGSIM_METRIC_CALLBACK && options->callback == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "channel \"%s\": callback must not be NULL",
            space->name);

    space->metric = metric;
    space->callback = options->callback;
    space->user_data = options->user_data;
    if (metric != IMGSIM_METRIC_MAHALANOBIS)
        return IMGSIM_OK;

    if (options->mahalanobis == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "channel \"%s\": metric mahalanobis needs its matrix",
            space->name);
    if (!ims_mul_size((size_t)space->dimension * space->dimension, sizeof(double), &size) ||
        (space->mahalanobis = ims_alloc(size)) == NULL)
        return ims_fail_memory((size_t)space->dimension * space->dimension * sizeof(double));
    memcpy(space->mahalanobis, options->mahalanobis, size);
    return IMGSIM_OK;
}

imgsim_status ims_space_open(
    const imgsim_catalog *catalog,
    const char *feature,
    const imgsim_channel_options *options,
    struct ims_space *out_space)
{
    imgsim_status status;
    struct ims_space space = {0};

    memset(out_space, 0, sizeof(*out_space));
    if ((status = imgsim_catalog_open_features(catalog, feature, &space.features)) != IMGSIM_OK)
        return status;
    space.name = ims_features_name(space.features);
    space.dimension = imgsim_features_get_dimension(space.features);
    space.row_type = imgsim_features_get_row_type(space.features);
    if ((status = space_set_metric(&space, options)) != IMGSIM_OK) {
        ims_space_close(&space);
        return status;
    }
    *out_space = space;
    return IMGSIM_OK;
}

void ims_space_close(struct ims_space *space)
{
    imgsim_index_free(space->stored);
    imgsim_index_free(space->exact); /* before the rows it borrows */
    imgsim_features_free(space->features);
    ims_free(space->mahalanobis);
    memset(space, 0, sizeof(*space));
}

/* The exact index over a histogram feature's mapped sparse rows. */
static imgsim_status new_sparse_index(struct ims_space *space, const imgsim_index_options *options)
{
    imgsim_status status;
    const struct ims_bitset *present = ims_features_present(space->features);
    const uint64_t *offsets;
    const uint32_t *lengths;
    const uint16_t *bins;
    const uint32_t *counts;

    if ((status = imgsim_features_get_sparse(
             space->features, &offsets, &lengths, &bins, &counts)) != IMGSIM_OK)
        return status;
    return ims_index_new_borrowed_sparse(
        options, offsets, lengths, bins, counts,
        (size_t)imgsim_features_get_row_count(space->features), present->bytes, present->count, 1,
        &space->exact);
}

imgsim_status ims_space_exact(struct ims_space *space, const imgsim_index **out_index)
{
    imgsim_status status = IMGSIM_OK;
    const struct ims_bitset *present = ims_features_present(space->features);
    imgsim_index_options options;

    if (space->exact == NULL) {
        if ((status = imgsim_index_options_init(&options, sizeof(options))) != IMGSIM_OK)
            return status;
        options.kind = IMGSIM_INDEX_EXACT;
        options.metric = space->metric;
        options.dimension = space->dimension;
        options.mahalanobis = space->mahalanobis;
        options.callback = space->callback;
        options.user_data = space->user_data;
        options.callback_row_type =
            space->row_type == IMGSIM_ROW_BITS ? IMGSIM_ROW_BITS : IMGSIM_ROW_FLOAT32;

        if (space->row_type == IMGSIM_ROW_UINT32)
            status = new_sparse_index(space, &options);
        else
            status = ims_index_new_borrowed(
                &options, imgsim_features_get_rows(space->features),
                (size_t)imgsim_features_get_row_count(space->features), present->bytes,
                present->count, &space->exact);
    }
    *out_index = space->exact;
    return status;
}

imgsim_status
ims_space_stored(const imgsim_query *query, struct ims_space *space, const imgsim_index **out_index)
{
    imgsim_status status;

    *out_index = NULL;
    if (space->metric == IMGSIM_METRIC_CALLBACK || space->metric == IMGSIM_METRIC_MAHALANOBIS)
        return IMGSIM_OK; /* a stored index does not know the caller's function or matrix */
    if (!space->stored_asked) {
        if ((status = ims_derive_open_index(
                 query->catalog, space->name, space->metric, &space->stored)) != IMGSIM_OK)
            return status;
        space->stored_asked = true;
    }
    *out_index = space->stored;
    return IMGSIM_OK;
}

/* ---- channels ---- */

static imgsim_status
check_channel(const imgsim_query *query, const char *feature, const imgsim_channel_options *options)
{
    if (!isfinite(options->weight) || options->weight <= 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "weight of channel \"%s\" is %g, expected a finite number above 0", feature,
            options->weight);
    if (options->reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    if (query->channel_count == IMS_CHANNELS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a query has at most %d channels", IMS_CHANNELS_MAX);
    for (size_t i = 0; i < query->channel_count; i++)
        if (strcmp(query->channels[i].space.name, feature) == 0)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "channel \"%s\" is there twice", feature);
    return IMGSIM_OK;
}

/* Append a channel, whatever was there before. */
static imgsim_status
append_channel(imgsim_query *query, const char *feature, const imgsim_channel_options *options)
{
    imgsim_status status;
    struct ims_channel channel = {0};

    if ((status = check_channel(query, feature, options)) != IMGSIM_OK ||
        (status = ims_space_open(query->catalog, feature, options, &channel.space)) != IMGSIM_OK)
        return status;
    channel.weight = options->weight;
    query->channels[query->channel_count++] = channel;
    return IMGSIM_OK;
}

imgsim_status imgsim_query_add_channel(
    imgsim_query *query,
    const char *feature,
    const imgsim_channel_options *options)
{
    imgsim_status status;
    imgsim_channel_options checked = default_channel_options();

    if (query == NULL || feature == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query and feature must not be NULL");
    if ((status = ims_options_read(&checked, sizeof(checked), options)) != IMGSIM_OK)
        return status;
    if (query->channels_are_default)
        ims_channels_clear(query);
    return append_channel(query, feature, &checked);
}

static void channel_close(struct ims_channel *channel)
{
    if (channel->projection != NULL)
        ims_space_close(channel->projection);
    ims_free(channel->projection);
    ims_space_close(&channel->space);
}

void ims_channels_truncate(imgsim_query *query, size_t count)
{
    while (query->channel_count > count)
        channel_close(&query->channels[--query->channel_count]);
}

void ims_channels_clear(imgsim_query *query)
{
    ims_channels_truncate(query, 0);
    query->channels_are_default = false;
}

double ims_channel_share(const imgsim_query *query, size_t channel)
{
    double sum = 0;

    for (size_t i = 0; i < query->channel_count; i++)
        sum += query->channels[i].weight;
    return query->channels[channel].weight / sum;
}

/* ---- default channels ---- */

/* What a visit of the features finds out for the defaults. */
struct known_features {
    bool embedding;
    bool color;
    bool hash;
    char first[IMS_FEATURE_NAME_SIZE]; /* the first made from images, or else the first of all */
    bool first_is_projected;
};

static int32_t note_feature(const imgsim_feature_info *feature, void *user_data)
{
    struct known_features *known = user_data;
    bool projected = feature->source[0] != '\0';

    known->embedding |= strcmp(feature->name, "embedding") == 0;
    known->color |= strcmp(feature->name, "color") == 0;
    known->hash |= strcmp(feature->name, "hash") == 0;
    if (known->first[0] == '\0' || (known->first_is_projected && !projected)) {
        snprintf(known->first, sizeof(known->first), "%s", feature->name);
        known->first_is_projected = projected;
    }
    return 0;
}

/* Names that are not in the list yet are appended. */
static void choose(struct ims_channel_choice *choice, const char *feature, double weight)
{
    for (size_t i = 0; i < choice->count; i++)
        if (strcmp(choice->names[i], feature) == 0)
            return;
    snprintf(choice->names[choice->count], IMS_FEATURE_NAME_SIZE, "%s", feature);
    choice->weights[choice->count++] = weight;
}

/* A query of nothing but rows speaks in their features only. */
static void choose_row_features(const imgsim_query *query, struct ims_channel_choice *choice)
{
    for (size_t i = 0; i < query->image_count; i++)
        if (query->images[i].feature[0] == '\0')
            return;
    for (size_t i = 0; i < query->image_count; i++)
        if (query->images[i].weight > 0)
            choose(choice, query->images[i].feature, 1);
}

imgsim_status ims_channels_choose(const imgsim_query *query, struct ims_channel_choice *out_choice)
{
    imgsim_status status;
    struct known_features known = {0};

    memset(out_choice, 0, sizeof(*out_choice));
    choose_row_features(query, out_choice);
    if (out_choice->count > 0)
        return IMGSIM_OK;

    if ((status = imgsim_catalog_visit_features(query->catalog, note_feature, &known)) != IMGSIM_OK)
        return status;
    if (known.first[0] == '\0')
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "the catalog has no feature to compare by, scan images first");
    if (known.embedding)
        choose(out_choice, "embedding", 1);
    else if (!known.color && !known.hash)
        choose(out_choice, known.first, 1);
    if (!known.embedding && known.color)
        choose(out_choice, "color", 0.7);
    if (!known.embedding && known.hash)
        choose(out_choice, "hash", 0.3);
    return IMGSIM_OK;
}

/* Whether the query's channels are these already: what they have loaded can stay then. */
static bool choice_is_there(const imgsim_query *query, const struct ims_channel_choice *choice)
{
    if (query->channel_count != choice->count)
        return false;
    for (size_t i = 0; i < choice->count; i++)
        if (strcmp(query->channels[i].space.name, choice->names[i]) != 0)
            return false;
    return true;
}

imgsim_status ims_channels_default(imgsim_query *query)
{
    imgsim_status status;
    struct ims_channel_choice choice;

    if (query->channel_count > 0 && !query->channels_are_default)
        return IMGSIM_OK;
    if ((status = ims_channels_choose(query, &choice)) != IMGSIM_OK ||
        choice_is_there(query, &choice))
        return status;

    ims_channels_clear(query);
    for (size_t i = 0; i < choice.count && status == IMGSIM_OK; i++) {
        imgsim_channel_options options = default_channel_options();

        options.weight = choice.weights[i];
        status = append_channel(query, choice.names[i], &options);
    }
    if (status == IMGSIM_OK)
        query->channels_are_default = true;
    else
        ims_channels_clear(query);
    return status;
}

/* ---- projections ---- */

/* A projection of the feature asked for. */
struct projection {
    char name[IMS_FEATURE_NAME_SIZE];
    uint32_t dimension;
    int32_t metric;
};

struct projections {
    const char *source;
    struct projection *items;
    size_t count;
    size_t capacity;
    bool out_of_memory;
};

static int32_t note_projection(const imgsim_feature_info *feature, void *user_data)
{
    struct projections *found = user_data;
    struct projection *item;

    if (strcmp(feature->source, found->source) != 0 || feature->row_type != IMGSIM_ROW_FLOAT32 ||
        feature->image_count == 0)
        return 0;
    if (!ims_grow(
            (void **)&found->items, &found->capacity, found->count + 1, sizeof(*found->items))) {
        found->out_of_memory = true;
        return 1;
    }
    item = &found->items[found->count++];
    snprintf(item->name, sizeof(item->name), "%s", feature->name);
    item->dimension = feature->dimension;
    item->metric = feature->metric;
    return 0;
}

/* Prefer a projection with a fresh index, then one of more dimensions, then the one made later. */
static imgsim_status choose_projection(
    const imgsim_catalog *catalog,
    const struct projections *found,
    const struct projection **out_best)
{
    const struct projection *best = NULL;
    bool best_has_index = false;

    for (size_t i = 0; i < found->count; i++) {
        const struct projection *item = &found->items[i];
        imgsim_index *index = NULL;
        imgsim_status status = ims_derive_open_index(catalog, item->name, item->metric, &index);
        bool has_index = index != NULL;

        imgsim_index_free(index);
        if (status != IMGSIM_OK)
            return status;
        if (best == NULL || has_index > best_has_index ||
            (has_index == best_has_index && item->dimension >= best->dimension)) {
            best = item;
            best_has_index = has_index;
        }
    }
    *out_best = best;
    return IMGSIM_OK;
}

imgsim_status ims_projection_of(
    const imgsim_catalog *catalog,
    const char *feature,
    char out_name[IMS_FEATURE_NAME_SIZE])
{
    imgsim_status status;
    struct projections found = {.source = feature};
    const struct projection *best = NULL;

    out_name[0] = '\0';
    status = imgsim_catalog_visit_features(catalog, note_projection, &found);
    if (status == IMGSIM_OK && found.out_of_memory)
        status = ims_fail_memory(sizeof(struct projection));
    if (status == IMGSIM_OK)
        status = choose_projection(catalog, &found, &best);
    if (status == IMGSIM_OK && best != NULL)
        memcpy(out_name, best->name, sizeof(best->name));
    ims_free(found.items);
    return status;
}

imgsim_status ims_channel_projection(
    const imgsim_query *query,
    struct ims_channel *channel,
    struct ims_space **out_projection)
{
    imgsim_status status;
    imgsim_channel_options options = default_channel_options();
    char name[IMS_FEATURE_NAME_SIZE];
    struct ims_space *projection;

    *out_projection = channel->projection;
    if (channel->projection_asked || channel->space.row_type != IMGSIM_ROW_FLOAT32)
        return IMGSIM_OK;
    if ((status = ims_projection_of(query->catalog, channel->space.name, name)) != IMGSIM_OK)
        return status;

    if (name[0] != '\0') {
        if ((projection = ims_alloc(sizeof(*projection))) == NULL)
            return ims_fail_memory(sizeof(*projection));
        if ((status = ims_space_open(query->catalog, name, &options, projection)) != IMGSIM_OK) {
            ims_free(projection);
            return status;
        }
        channel->projection = projection;
    }
    channel->projection_asked = true;
    *out_projection = channel->projection;
    return IMGSIM_OK;
}
