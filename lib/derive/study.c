/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a feature its principal components keep, for several numbers of them: variance, true neighbours, classes, time.
 *
 * One PCA with the largest number serves all: its first m components are those of a PCA with m. Projected rows are kept once
 * and made narrower in place, from the largest number to the smallest.
 */
#include "derive/derive_internal.h"

#include "core/memory.h"
#include "core/options.h"
#include "core/rng.h"
#include "index/index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)16 << 20)
#define DIMENSIONS_MAX 64
#define QUERIES_MAX 100000
#define NEIGHBOURS_MAX 1000

static const imgsim_study_options defaults = {
    .struct_size = sizeof(imgsim_study_options),
    .source = "embedding",
    .queries = 1000,
    .neighbours = 10,
    .precision_at = 5,
    .seed = 1,
};

imgsim_status imgsim_study_options_init(imgsim_study_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* One call. Images are numbered in order of their ids: their place. */
struct study {
    const imgsim_catalog *catalog;
    imgsim_study_options options;
    imgsim_features *source;
    imgsim_projector
        *projector; /* to the largest number of components; NULL if there is none above 0 */
    struct ims_meter meter;

    size_t image_count;
    int64_t *ids; /* of each place */
    struct ims_classes classes;
    struct ims_bitset all; /* every place */
    size_t query_count;
    size_t *queries; /* their places, rising */
    size_t listed;   /* nearest places kept per query, the query itself not counted */

    float *rows; /* projected: image_count x width */
    size_t width;
    float *query_rows;
    int64_t *found; /* query_count x (listed + 1) */
    float *distances;
    int64_t *truth;   /* query_count x listed places by the feature as it is */
    int64_t *nearest; /* the same by the components looked at */
};

static void close_study(struct study *study)
{
    imgsim_projector_free(study->projector);
    imgsim_features_free(study->source);
    ims_bitset_clear(&study->all);
    ims_free(study->ids);
    ims_classes_clear(&study->classes);
    ims_free(study->queries);
    ims_free(study->rows);
    ims_free(study->query_rows);
    ims_free(study->found);
    ims_free(study->distances);
    ims_free(study->truth);
    ims_free(study->nearest);
}

/* ---- options ---- */

static imgsim_status check_range(const char *name, uint32_t value, uint32_t most)
{
    if (value >= 1 && value <= most)
        return IMGSIM_OK;
    return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "%s is %u, must be 1 to %u", name, value, most);
}

static imgsim_status take_options(struct study *study, const imgsim_study_options *options)
{
    imgsim_study_options *own = &study->options;
    imgsim_status status;

    *own = defaults;
    if ((status = ims_options_read(own, sizeof(*own), options)) != IMGSIM_OK ||
        (status = check_range("queries", own->queries, QUERIES_MAX)) != IMGSIM_OK ||
        (status = check_range("neighbours", own->neighbours, NEIGHBOURS_MAX)) != IMGSIM_OK ||
        (status = check_range("precision_at", own->precision_at, NEIGHBOURS_MAX)) != IMGSIM_OK)
        return status;
    if (own->source == NULL)
        own->source = defaults.source;
    if (own->classes < IMGSIM_CLASSES_AUTO || own->classes > IMGSIM_CLASSES_FOLDERS)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "classes is %d, this library knows 0 to %d", own->classes,
            IMGSIM_CLASSES_FOLDERS);
    study->listed = own->neighbours > own->precision_at ? own->neighbours : own->precision_at;
    ims_meter_start(&study->meter, own->progress, own->user_data);
    return IMGSIM_OK;
}

/* The feature, and the dimensions in it. */
static imgsim_status
open_source(struct study *study, const uint32_t *dimensions, size_t dimension_count)
{
    uint32_t dimension, largest = 0;
    imgsim_status status;

    status = imgsim_catalog_open_features(study->catalog, study->options.source, &study->source);
    if (status != IMGSIM_OK)
        return status;
    if (imgsim_features_get_row_type(study->source) != IMGSIM_ROW_FLOAT32)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "feature \"%s\" has no float rows to project",
            study->options.source);
    dimension = imgsim_features_get_dimension(study->source);
    for (size_t i = 0; i < dimension_count; i++) {
        if (dimensions[i] > dimension)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "%u components, feature \"%s\" has %u dimensions",
                dimensions[i], study->options.source, dimension);
        largest = dimensions[i] > largest ? dimensions[i] : largest;
    }
    study->image_count = (size_t)ims_bitset_popcount(ims_features_present(study->source));
    if (study->image_count < 2 || study->image_count < largest)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "%zu images with feature \"%s\", %u are needed",
            study->image_count, study->options.source, largest > 2 ? largest : 2);
    study->width = largest;
    return IMGSIM_OK;
}

/* ---- images, classes, queries ---- */

static imgsim_status list_images(struct study *study)
{
    const struct ims_bitset *present = ims_features_present(study->source);
    size_t place = 0;

    study->ids = ims_alloc_array(study->image_count, sizeof(*study->ids));
    if (study->ids == NULL || !ims_bitset_init(&study->all, study->image_count, true))
        return ims_fail_memory(study->image_count * sizeof(*study->ids));
    for (int64_t id = 0; (uint64_t)id < present->count; id++)
        if (ims_bitset_test(present, id))
            study->ids[place++] = id;
    return IMGSIM_OK;
}

static int compare_ids(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Place of an id that has the feature; SIZE_MAX for others. */
static size_t find_place(const struct study *study, int64_t id)
{
    const int64_t *at =
        bsearch(&id, study->ids, study->image_count, sizeof(*study->ids), compare_ids);

    return at != NULL ? (size_t)(at - study->ids) : SIZE_MAX;
}

static imgsim_status classify(struct study *study)
{
    const int32_t classes = study->options.classes;
    imgsim_status status;

    if (classes != IMGSIM_CLASSES_FOLDERS) {
        status = ims_classes_by_label(study->catalog, &study->classes);
        if (status != IMGSIM_OK || classes == IMGSIM_CLASSES_LABELS || study->classes.count > 0)
            return status;
        ims_classes_clear(&study->classes);
    }
    return ims_classes_by_folder(study->catalog, &study->classes);
}

/* Draw the queries: every image has the same chance (selection sampling, Knuth, TAOCP 2, 3.4.2, Algorithm S). */
static imgsim_status draw_queries(struct study *study)
{
    const size_t wanted =
        study->options.queries < study->image_count ? study->options.queries : study->image_count;
    const size_t room = wanted * (study->listed + 1);
    struct ims_rng rng;

    study->queries = ims_alloc_array(wanted, sizeof(*study->queries));
    study->found = ims_alloc_array(room, sizeof(*study->found));
    study->distances = ims_alloc_array(room, sizeof(*study->distances));
    study->truth = ims_alloc_array(room, sizeof(*study->truth));
    study->nearest = ims_alloc_array(room, sizeof(*study->nearest));
    study->query_rows = ims_alloc_array(
        wanted, imgsim_features_get_dimension(study->source) * sizeof(*study->query_rows));
    if (study->queries == NULL || study->found == NULL || study->distances == NULL ||
        study->truth == NULL || study->nearest == NULL || study->query_rows == NULL)
        return ims_fail_memory(room * sizeof(*study->found));
    ims_rng_init(&rng, study->options.seed);
    for (size_t place = 0; study->query_count < wanted; place++)
        if (ims_rng_below(&rng, study->image_count - place) < wanted - study->query_count)
            study->queries[study->query_count++] = place;
    return IMGSIM_OK;
}

/* ---- projecting ---- */

static imgsim_status fit(struct study *study)
{
    imgsim_projector_options options;
    imgsim_status status;

    if ((status = imgsim_projector_options_init(&options, sizeof(options))) != IMGSIM_OK)
        return status;
    options.threads = study->options.threads;
    if ((status = imgsim_projector_new(
             imgsim_features_get_dimension(study->source), (uint32_t)study->width, &options,
             &study->projector)) != IMGSIM_OK)
        return status;
    return ims_projection_fit(study->projector, study->source, &study->meter);
}

static imgsim_status project(struct study *study)
{
    struct ims_batches batches;
    imgsim_status status;
    size_t place = 0;

    study->rows = ims_alloc_array(study->image_count, study->width * sizeof(*study->rows));
    if (study->rows == NULL)
        return ims_fail_memory(study->image_count * study->width * sizeof(*study->rows));
    if ((status = ims_batches_open(&batches, study->source, NULL, BATCH_BYTES)) != IMGSIM_OK)
        return status;
    ims_meter_phase(&study->meter, "transform", study->image_count);
    while ((status = ims_batches_next(&batches)) == IMGSIM_OK && batches.count > 0) {
        status = imgsim_projector_transform(
            study->projector, batches.batch_rows, batches.count,
            study->rows + place * study->width);
        place += batches.count;
        atomic_fetch_add(&study->meter.done, batches.count);
        if (status != IMGSIM_OK || (status = ims_meter_tick(&study->meter, false)) != IMGSIM_OK)
            break;
    }
    ims_batches_close(&batches);
    return status;
}

/* Keep the first `width` components of each row. */
static void make_narrower(struct study *study, size_t width)
{
    for (size_t place = 0; place < study->image_count; place++)
        memmove(
            study->rows + place * width, study->rows + place * study->width,
            width * sizeof(*study->rows));
    study->width = width;
}

/* ---- searching ---- */

/* Nearest places of each query without itself, from what was found; ids become places when `by_id`. */
static void take_nearest(const struct study *study, bool by_id, int64_t *out)
{
    for (size_t query = 0; query < study->query_count; query++) {
        const int64_t *found = study->found + query * (study->listed + 1);
        size_t kept = 0;

        for (size_t i = 0; i <= study->listed && kept < study->listed; i++) {
            const int64_t place =
                found[i] >= 0 && by_id ? (int64_t)find_place(study, found[i]) : found[i];

            if (place != (int64_t)study->queries[query])
                out[query * study->listed + kept++] = place;
        }
    }
}

/* Search all queries among rows; row i of `rows` has id i, of which `present` are in. */
static imgsim_status search(
    struct study *study,
    const float *rows,
    size_t row_count,
    uint32_t dimension,
    const struct ims_bitset *present,
    double *out_seconds)
{
    const bool by_id = present != &study->all;
    imgsim_index_options options;
    imgsim_index *index = NULL;
    imgsim_status status;
    double started;

    if ((status = imgsim_index_options_init(&options, sizeof(options))) != IMGSIM_OK)
        return status;
    options.dimension = dimension;
    options.metric = imgsim_features_get_metric(study->source);
    options.threads = study->options.threads;
    for (size_t query = 0; query < study->query_count; query++) {
        const size_t place = study->queries[query];

        memcpy(
            study->query_rows + query * dimension,
            rows + (by_id ? (size_t)study->ids[place] : place) * dimension,
            dimension * sizeof(float));
    }
    if ((status = ims_index_new_borrowed(
             &options, rows, row_count, present->bytes, present->count, &index)) != IMGSIM_OK)
        return status;
    started = ims_now();
    status = imgsim_index_search(
        index, study->query_rows, study->query_count, study->listed + 1, NULL, study->found,
        study->distances);
    *out_seconds = (ims_now() - started) / (double)study->query_count;
    imgsim_index_free(index);
    return status;
}

static double measure_recall(const struct study *study, const int64_t *nearest)
{
    const size_t k = study->options.neighbours;
    size_t hits = 0, wanted = 0;

    for (size_t query = 0; query < study->query_count; query++) {
        const int64_t *truth = study->truth + query * study->listed;

        for (size_t i = 0; i < k && truth[i] >= 0; i++, wanted++)
            for (size_t j = 0; j < k; j++)
                hits += nearest[query * study->listed + j] == truth[i];
    }
    return (double)hits / (double)wanted;
}

static int32_t class_of(const struct study *study, int64_t place)
{
    return ims_class_of(&study->classes, study->ids[place]);
}

static double measure_precision(const struct study *study, const int64_t *nearest)
{
    const size_t k = study->options.precision_at;
    size_t right = 0, looked = 0;

    for (size_t query = 0; query < study->query_count; query++) {
        const int32_t class = class_of(study, (int64_t)study->queries[query]);

        for (size_t i = 0; class >= 0 && i < k && nearest[query * study->listed + i] >= 0;
             i++, looked++)
            right += class_of(study, nearest[query * study->listed + i]) == class;
    }
    return looked > 0 ? (double)right / (double)looked : NAN;
}

/* Share of the variance in the first components. */
static double measure_energy(const struct study *study, size_t components)
{
    const double *variances = imgsim_projector_get_variances(study->projector);
    const double total = imgsim_projector_get_total_variance(study->projector);
    double kept = 0;

    for (size_t i = 0; i < components; i++)
        kept += variances[i];
    return total > 0 ? kept / total : 1.0;
}

/* ---- the table ---- */

/* Where the columns of the caller's table are. */
struct table {
    const uint32_t *dimensions;
    size_t count;
    double *energy;
    double *recall;
    double *precision;
    double *seconds;
};

/* Fill in all lines of one number of components. */
static void fill_lines(
    const struct study *study,
    const struct table *table,
    uint32_t components,
    const int64_t *nearest,
    double seconds)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->dimensions[i] != components)
            continue;
        table->energy[i] = components == 0 ? 1.0 : measure_energy(study, components);
        table->recall[i] = measure_recall(study, nearest);
        table->precision[i] = measure_precision(study, nearest);
        table->seconds[i] = seconds;
    }
}

/* The largest of the dimensions below `limit`; 0 if there is none. */
static uint32_t next_components(const struct table *table, uint32_t limit)
{
    uint32_t largest = 0;

    for (size_t i = 0; i < table->count; i++)
        if (table->dimensions[i] < limit && table->dimensions[i] > largest)
            largest = table->dimensions[i];
    return largest;
}

static imgsim_status study_source(struct study *study, const struct table *table)
{
    double seconds;
    imgsim_status status = search(
        study, imgsim_features_get_rows(study->source),
        (size_t)imgsim_features_get_row_count(study->source),
        imgsim_features_get_dimension(study->source), ims_features_present(study->source),
        &seconds);

    if (status != IMGSIM_OK)
        return status;
    take_nearest(study, true, study->truth);
    fill_lines(study, table, 0, study->truth, seconds);
    return IMGSIM_OK;
}

static imgsim_status study_components(struct study *study, const struct table *table)
{
    imgsim_status status = IMGSIM_OK;
    uint32_t components = UINT32_MAX;
    double seconds;

    while ((components = next_components(table, components)) > 0) {
        make_narrower(study, components);
        if ((status = search(
                 study, study->rows, study->image_count, components, &study->all, &seconds)) !=
            IMGSIM_OK)
            return status;
        take_nearest(study, false, study->nearest);
        fill_lines(study, table, components, study->nearest, seconds);
        atomic_fetch_add(&study->meter.done, 1);
        if ((status = ims_meter_tick(&study->meter, true)) != IMGSIM_OK)
            return status;
    }
    return IMGSIM_OK;
}

static imgsim_status run(struct study *study, const struct table *table)
{
    imgsim_status status;

    if ((status = open_source(study, table->dimensions, table->count)) != IMGSIM_OK ||
        (status = list_images(study)) != IMGSIM_OK || (status = classify(study)) != IMGSIM_OK ||
        (status = draw_queries(study)) != IMGSIM_OK)
        return status;
    if (study->width > 0 &&
        ((status = fit(study)) != IMGSIM_OK || (status = project(study)) != IMGSIM_OK))
        return status;
    ims_meter_phase(&study->meter, "search", table->count);
    if ((status = study_source(study, table)) != IMGSIM_OK)
        return status;
    return study_components(study, table);
}

imgsim_status imgsim_derive_study(
    const imgsim_catalog *catalog,
    const imgsim_study_options *options,
    const uint32_t *dimensions,
    size_t dimension_count,
    double *out_energy,
    double *out_recall,
    double *out_precision,
    double *out_seconds)
{
    const struct table table = {dimensions, dimension_count, out_energy,
                                out_recall, out_precision,   out_seconds};
    struct study study = {.catalog = catalog};
    imgsim_status status;

    if (catalog == NULL || dimensions == NULL || out_energy == NULL || out_recall == NULL ||
        out_precision == NULL || out_seconds == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "catalog, dimensions and outputs must not be NULL");
    if (dimension_count == 0 || dimension_count > DIMENSIONS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%zu dimensions, must be 1 to %d", dimension_count,
            DIMENSIONS_MAX);
    if ((status = take_options(&study, options)) == IMGSIM_OK)
        status = run(&study, &table);
    close_study(&study);
    return status;
}
