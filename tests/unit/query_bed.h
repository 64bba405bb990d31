/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog of made-up rows, and a plain search in double precision that queries are compared with.
 */
#ifndef IMS_TESTS_QUERY_BED_H
#define IMS_TESTS_QUERY_BED_H

#include "check.h"

#include <imgsim/query.h>

#include "catalog/catalog.h"
#include "core/hash.h"
#include "core/rng.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef BED_IMAGES
#define BED_IMAGES 260
#endif
#ifndef BED_FLOATS
#define BED_FLOATS 12
#endif
#define BED_BINS 48
#define BED_HASH_BYTES 8
#define BED_FEATURES 4

/* The features of the bed, in this order. */
enum { BED_EMBEDDING = 0, BED_COLOR = 1, BED_HASH = 2, BED_SMALL = 3 };

static const char *const bed_names[BED_FEATURES] = {"embedding", "color", "hash", "small"};
static const uint32_t bed_dimensions[BED_FEATURES] = {BED_FLOATS, BED_BINS, BED_HASH_BYTES * 8, 4};
static const int32_t bed_types[BED_FEATURES] = {
    IMGSIM_ROW_FLOAT32, IMGSIM_ROW_UINT32, IMGSIM_ROW_BITS, IMGSIM_ROW_FLOAT32};
static const int32_t bed_metrics[BED_FEATURES] = {
    IMGSIM_METRIC_COSINE, IMGSIM_METRIC_CHI_SQUARE, IMGSIM_METRIC_HAMMING, IMGSIM_METRIC_COSINE};

struct bed {
    char folder[600];
    char catalog_path[700];
    imgsim_catalog *catalog;
    float embedding[BED_IMAGES][BED_FLOATS];
    float small[BED_IMAGES][4]; /* the first values of the embedding: as good as a projection */
    uint32_t color[BED_IMAGES][BED_BINS];
    uint8_t hash[BED_IMAGES][BED_HASH_BYTES];
    int has[BED_FEATURES][BED_IMAGES];
    int live[BED_IMAGES];
};

static inline const void *bed_row(const struct bed *bed, int feature, int64_t id)
{
    switch (feature) {
    case BED_EMBEDDING:
        return bed->embedding[id];
    case BED_COLOR:
        return bed->color[id];
    case BED_HASH:
        return bed->hash[id];
    default:
        return bed->small[id];
    }
}

/* Rows of every kind; ids 40 to 49 repeat the rows of ids 30 to 39, so that there are ties. */
static inline void bed_make_rows(struct bed *bed)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 7);
    for (int id = 0; id < BED_IMAGES; id++) {
        int from = id >= 40 && id < 50 ? id - 10 : id;

        for (int i = 0; i < BED_FLOATS; i++)
            bed->embedding[id][i] = (float)(ims_rng_normal(&rng) * (i < 4 ? 2 : 0.5));
        for (int i = 0; i < BED_BINS; i++)
            bed->color[id][i] = ims_rng_below(&rng, 3) == 0 ? (uint32_t)ims_rng_below(&rng, 90) : 0;
        bed->color[id][id % BED_BINS] += 1;
        for (int i = 0; i < BED_HASH_BYTES; i++)
            bed->hash[id][i] = (uint8_t)ims_rng_next(&rng);
        if (from != id) {
            memcpy(bed->embedding[id], bed->embedding[from], sizeof(bed->embedding[id]));
            memcpy(bed->color[id], bed->color[from], sizeof(bed->color[id]));
            memcpy(bed->hash[id], bed->hash[from], sizeof(bed->hash[id]));
        }
        memcpy(bed->small[id], bed->embedding[id], sizeof(bed->small[id]));
        bed->live[id] = id % 31 != 5;
        for (int feature = 0; feature < BED_FEATURES; feature++)
            bed->has[feature][id] = 1;
        bed->has[BED_HASH][id] = id % 37 != 6;
    }
}

static inline void bed_define(struct ims_catalog_writer *writer, uint32_t numbers[BED_FEATURES])
{
    for (int feature = 0; feature < BED_FEATURES; feature++) {
        imgsim_feature_definition definition = {0};

        definition.struct_size = sizeof(definition);
        definition.name = bed_names[feature];
        definition.spec = "made:up";
        definition.fingerprint = "0123456789abcdef0123456789abcdef";
        definition.source = feature == BED_SMALL ? "embedding" : "";
        definition.dimension = bed_dimensions[feature];
        definition.row_type = bed_types[feature];
        definition.metric = bed_metrics[feature];
        CHECK_OK(ims_catalog_writer_feature(writer, &definition, 0, &numbers[feature]));
    }
}

static inline void bed_write(struct bed *bed)
{
    struct ims_catalog_writer *writer;
    uint32_t numbers[BED_FEATURES];

    CHECK_OK(ims_catalog_writer_open(bed->catalog, "test", &writer));
    bed_define(writer, numbers);
    for (int i = 0; i < BED_IMAGES; i++) {
        struct ims_file_record record = {0};
        char path[64];
        int64_t id;

        CHECK_OK(ims_catalog_writer_new_id(writer, &id));
        CHECK_EQUAL(id, i);
        snprintf(path, sizeof(path), "%s/p%03d.png", i % 3 == 0 ? "sea" : "sea/land", i);
        record.path = path;
        record.format = "png";
        record.reason = bed->live[i] ? "" : "gone";
        record.id = id;
        CHECK_OK(ims_uuid_new(record.uuid));
        record.state = bed->live[i] ? IMGSIM_FILE_OK : IMGSIM_FILE_MISSING;
        record.width = 100 + (uint32_t)i;
        record.height = 50;
        for (int feature = 0; feature < BED_FEATURES; feature++)
            if (bed->has[feature][i]) {
                record.features |= UINT64_C(1) << numbers[feature];
                CHECK_OK(ims_catalog_writer_put_row(
                    writer, numbers[feature], id, bed_row(bed, feature, id)));
            }
        CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    }
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(bed->catalog));
}

/* An empty catalog in a new folder. */
static inline void bed_open_empty(struct bed *bed)
{
    imgsim_catalog_options options;

    memset(bed, 0, sizeof(*bed));
    snprintf(bed->folder, sizeof(bed->folder), "%s", check_temporary_folder());
    snprintf(bed->catalog_path, sizeof(bed->catalog_path), "%s/.imgsim", bed->folder);
    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    CHECK_OK(imgsim_catalog_open(bed->catalog_path, &options, &bed->catalog));
}

static inline void bed_open(struct bed *bed)
{
    bed_open_empty(bed);
    bed_make_rows(bed);
    bed_write(bed);
}

static inline int
bed_remove(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)info;
    (void)kind;
    (void)position;
    return remove(path);
}

static inline void bed_close(struct bed *bed)
{
    imgsim_catalog_free(bed->catalog);
    CHECK(nftw(bed->folder, bed_remove, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* ---- the plain search ---- */

struct plain_channel {
    int feature;
    int32_t metric;
    double weight;
    const double *mahalanobis;
};

/* What is asked; everything else is as by default. */
struct plain {
    int64_t ids[IMGSIM_QUERY_IMAGES_MAX];
    double weights[IMGSIM_QUERY_IMAGES_MAX];
    int image_count;
    struct plain_channel channels[4];
    int channel_count;
    int32_t images;
    int32_t fusion;
    int include_queries;
    double rrf_k;
};

struct plain_hit {
    int64_t id;
    double score;
    double key;
    double values[4];
    double similarities[4];
};

struct plain_answer {
    struct plain_hit hits[BED_IMAGES];
    int count;
};

/* The distance of metric.h. */
static inline double plain_distance(int32_t metric, double value)
{
    if (metric == IMGSIM_METRIC_COSINE || metric == IMGSIM_METRIC_CORRELATION ||
        metric == IMGSIM_METRIC_JACCARD)
        return 1 - value;
    if (metric == IMGSIM_METRIC_INNER_PRODUCT || metric == IMGSIM_METRIC_INTERSECTION)
        return -value;
    return metric == IMGSIM_METRIC_L2 || metric == IMGSIM_METRIC_MAHALANOBIS ? value * value
                                                                             : value;
}

/* The callback metric of the tests: the largest difference of any value. */
static inline double plain_chebyshev(const float *a, const float *b, uint32_t dimension)
{
    double largest = 0;

    for (uint32_t i = 0; i < dimension; i++)
        largest = fmax(largest, fabs((double)a[i] - b[i]));
    return largest;
}

static inline double plain_mahalanobis(const float *a, const float *b, uint32_t d, const double *m)
{
    double sum = 0;

    for (uint32_t i = 0; i < d; i++)
        for (uint32_t j = 0; j < d; j++)
            sum += ((double)a[i] - b[i]) * m[i * d + j] * ((double)a[j] - b[j]);
    return sqrt(sum);
}

/* A row as it is compared: histograms as floats of sum 1. Bits stay bits. */
static inline void plain_row(const struct bed *bed, int feature, int64_t id, float *out)
{
    uint32_t dimension = bed_dimensions[feature];
    double sum = 0;

    if (feature == BED_HASH) {
        memcpy(out, bed->hash[id], BED_HASH_BYTES);
        return;
    }
    if (feature != BED_COLOR) {
        memcpy(out, bed_row(bed, feature, id), dimension * sizeof(float));
        return;
    }
    for (uint32_t i = 0; i < dimension; i++)
        sum += bed->color[id][i];
    for (uint32_t i = 0; i < dimension; i++)
        out[i] = (float)(bed->color[id][i] / sum);
}

static inline double plain_value(
    const struct bed *bed,
    const struct plain_channel *channel,
    const float *row,
    int64_t id)
{
    float stored[64];
    double value;
    uint32_t dimension = bed_dimensions[channel->feature];
    int32_t type = channel->feature == BED_HASH ? IMGSIM_ROW_BITS : IMGSIM_ROW_FLOAT32;

    plain_row(bed, channel->feature, id, stored);
    if (channel->metric == IMGSIM_METRIC_MAHALANOBIS)
        return plain_mahalanobis(row, stored, dimension, channel->mahalanobis);
    if (channel->metric == IMGSIM_METRIC_CALLBACK)
        return plain_chebyshev(row, stored, dimension);
    CHECK_OK(imgsim_compare(channel->metric, type, row, stored, dimension, &value));
    return value;
}

static inline double plain_similarity(const struct plain_channel *channel, double value)
{
    double similarity;

    CHECK_OK(imgsim_metric_similarity(
        channel->metric, bed_dimensions[channel->feature], value, &similarity));
    return similarity;
}

/* Sum of the weights of one sign, as a positive number. */
static inline double plain_weight(const struct plain *plain, int sign)
{
    double sum = 0;

    for (int j = 0; j < plain->image_count; j++)
        if (plain->weights[j] * sign > 0)
            sum += fabs(plain->weights[j]);
    return sum;
}

/*
 * p + l (p - n): p and n the means of the positive and the negative images, l the ratio of their
 * weights.
 */
static inline double plain_extrapolate(const struct plain *plain, const double *numbers)
{
    double positive = plain_weight(plain, 1), negative = plain_weight(plain, -1);
    double p = 0, n = 0;

    for (int j = 0; j < plain->image_count; j++)
        *(plain->weights[j] > 0 ? &p : &n) += fabs(plain->weights[j]) * numbers[j];
    p /= positive;
    n = negative > 0 ? n / negative : p;
    return p + negative / positive * (p - n);
}

/* The mean row of float and histogram channels. */
static inline void plain_mean(
    const struct bed *bed,
    const struct plain *plain,
    int feature,
    int32_t metric,
    float *out)
{
    uint32_t dimension = bed_dimensions[feature];
    float rows[IMGSIM_QUERY_IMAGES_MAX][64];
    double mean[64] = {0}, sum = 0;
    int unit = metric == IMGSIM_METRIC_COSINE || metric == IMGSIM_METRIC_ANGULAR;
    int points = !unit && metric != IMGSIM_METRIC_INNER_PRODUCT && feature != BED_COLOR;

    for (int j = 0; j < plain->image_count; j++)
        plain_row(bed, feature, plain->ids[j], rows[j]);
    for (uint32_t i = 0; i < dimension; i++) {
        double numbers[IMGSIM_QUERY_IMAGES_MAX];

        for (int j = 0; j < plain->image_count; j++) {
            double length = 0;

            for (uint32_t d = 0; d < dimension; d++)
                length += (double)rows[j][d] * rows[j][d];
            numbers[j] = rows[j][i];
            mean[i] += plain->weights[j] * rows[j][i] / (unit ? sqrt(length) : 1);
        }
        mean[i] /= plain_weight(plain, 1) + plain_weight(plain, -1);
        if (points)
            mean[i] = plain_extrapolate(plain, numbers);
        if (feature == BED_COLOR)
            mean[i] = fmax(mean[i], 0);
        sum += mean[i];
    }
    for (uint32_t i = 0; i < dimension; i++)
        out[i] = (float)(feature == BED_COLOR ? mean[i] / sum : mean[i]);
    if (plain->image_count == 1)
        memcpy(out, rows[0], dimension * sizeof(float));
}

/* Place of hit i, from 1, by the numbers of the answer's hits, then by id. */
static inline double plain_rank(const struct plain_answer *answer, const double *numbers, int i)
{
    int rank = 1;

    for (int other = 0; other < answer->count; other++)
        rank += numbers[other] < numbers[i] ||
                (numbers[other] == numbers[i] && answer->hits[other].id < answer->hits[i].id);
    return rank;
}

/* Fill value, similarity and key of one channel of all hits, MEAN. */
static inline void plain_channel_mean(
    const struct bed *bed,
    const struct plain *plain,
    int c,
    struct plain_answer *answer)
{
    const struct plain_channel *channel = &plain->channels[c];
    float row[64];

    if (channel->feature != BED_HASH)
        plain_mean(bed, plain, channel->feature, channel->metric, row);
    for (int i = 0; i < answer->count; i++) {
        struct plain_hit *hit = &answer->hits[i];
        double values[IMGSIM_QUERY_IMAGES_MAX];

        if (channel->feature == BED_HASH) {
            for (int j = 0; j < plain->image_count; j++)
                values[j] = plain_value(
                    bed, channel, (const float *)(const void *)bed->hash[plain->ids[j]], hit->id);
            hit->values[c] = plain_extrapolate(plain, values);
        } else {
            hit->values[c] = plain_value(bed, channel, row, hit->id);
        }
        hit->similarities[c] = plain_similarity(channel, hit->values[c]);
        hit->key = plain_distance(channel->metric, hit->values[c]);
    }
}

/* The same for RRF and BEST; `values` is image by image the metric's value to each hit. */
static inline void plain_channel_join(
    const struct plain *plain,
    int c,
    double (*values)[BED_IMAGES],
    struct plain_answer *answer)
{
    const struct plain_channel *channel = &plain->channels[c];
    double positive = plain_weight(plain, 1), largest = 0;
    static double distances[BED_IMAGES];
    int equal = 1;

    for (int j = 0; j < plain->image_count; j++) {
        largest = fmax(largest, plain->weights[j]);
        equal &= plain->weights[j] == plain->weights[0];
    }
    for (int i = 0; i < answer->count; i++) {
        struct plain_hit *hit = &answer->hits[i];
        double best = 0, worst = 0, nearest = INFINITY, chosen = -1;

        for (int j = 0; j < plain->image_count; j++) {
            double weight = plain->weights[j] / largest;
            double similarity = fabs(weight) * plain_similarity(channel, values[j][i]);

            nearest = fmin(nearest, plain_distance(channel->metric, values[j][i]));
            *(weight > 0 ? &best : &worst) = fmax(weight > 0 ? best : worst, similarity);
            if (weight > 0 && similarity > chosen) {
                chosen = similarity;
                hit->values[c] = values[j][i];
            }
        }
        hit->similarities[c] = fmax(best - worst, 0);
        hit->key = equal ? nearest : worst - best;
    }
    if (plain->images == IMGSIM_IMAGES_BEST)
        return;

    for (int i = 0; i < answer->count; i++)
        answer->hits[i].key = 0;
    for (int j = 0; j < plain->image_count; j++) {
        for (int i = 0; i < answer->count; i++)
            distances[i] = plain_distance(channel->metric, values[j][i]);
        for (int i = 0; i < answer->count; i++)
            answer->hits[i].key -=
                plain->weights[j] / (plain->rrf_k + plain_rank(answer, distances, i));
    }
    for (int i = 0; i < answer->count; i++) {
        answer->hits[i].key *= (plain->rrf_k + 1) / positive;
        answer->hits[i].similarities[c] = fmin(1, fmax(0, -answer->hits[i].key));
    }
}

static inline void plain_channel_compute(
    const struct bed *bed,
    const struct plain *plain,
    int c,
    struct plain_answer *answer)
{
    static double values[IMGSIM_QUERY_IMAGES_MAX][BED_IMAGES];
    float row[64];

    if (plain->images == IMGSIM_IMAGES_MEAN) {
        plain_channel_mean(bed, plain, c, answer);
        return;
    }
    for (int j = 0; j < plain->image_count; j++) {
        plain_row(bed, plain->channels[c].feature, plain->ids[j], row);
        for (int i = 0; i < answer->count; i++)
            values[j][i] = plain_value(bed, &plain->channels[c], row, answer->hits[i].id);
    }
    plain_channel_join(plain, c, values, answer);
}

static inline int plain_compare(const void *left, const void *right)
{
    const struct plain_hit *a = left, *b = right;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static inline int plain_eligible(const struct bed *bed, const struct plain *plain, int64_t id)
{
    int eligible = bed->live[id];

    for (int c = 0; c < plain->channel_count; c++)
        eligible = eligible && bed->has[plain->channels[c].feature][id];
    for (int j = 0; j < plain->image_count; j++)
        eligible = eligible && (plain->include_queries || plain->ids[j] != id);
    return eligible;
}

/* The fusion callback of the tests: the smallest similarity. */
static inline double plain_fuse(const double *similarities, int count)
{
    double smallest = 1;

    for (int c = 0; c < count; c++)
        smallest = fmin(smallest, (float)similarities[c]);
    return smallest;
}

/* All eligible images, best first, by the formulas of docs/searching.md and nothing else. */
static inline void
plain_search(const struct bed *bed, const struct plain *plain, struct plain_answer *answer)
{
    double weight_sum = 0;
    static double keys[BED_IMAGES];

    answer->count = 0;
    for (int64_t id = 0; id < BED_IMAGES; id++)
        if (plain_eligible(bed, plain, id))
            answer->hits[answer->count++] = (struct plain_hit){.id = id};
    for (int c = 0; c < plain->channel_count; c++)
        weight_sum += plain->channels[c].weight;

    for (int c = 0; c < plain->channel_count; c++) {
        double share = plain->channels[c].weight / weight_sum;

        plain_channel_compute(bed, plain, c, answer);
        for (int i = 0; i < answer->count; i++)
            keys[i] = answer->hits[i].key;
        for (int i = 0; i < answer->count; i++) {
            struct plain_hit *hit = &answer->hits[i];

            if (plain->fusion == IMGSIM_FUSE_SUM)
                hit->score += share * hit->similarities[c];
            if (plain->fusion == IMGSIM_FUSE_RRF)
                hit->score +=
                    share * (plain->rrf_k + 1) / (plain->rrf_k + plain_rank(answer, keys, i));
        }
    }
    for (int i = 0; i < answer->count; i++) {
        struct plain_hit *hit = &answer->hits[i];

        if (plain->fusion == IMGSIM_FUSE_CALLBACK)
            hit->score = plain_fuse(hit->similarities, plain->channel_count);
        if (plain->channel_count > 1 || plain->fusion == IMGSIM_FUSE_CALLBACK)
            hit->key = -hit->score;
    }
    qsort(answer->hits, (size_t)answer->count, sizeof(answer->hits[0]), plain_compare);
}

/* ---- the same by a query ---- */

static inline int32_t bed_chebyshev(
    const void *query,
    const void *rows,
    size_t row_count,
    uint32_t dimension,
    int32_t row_type,
    float *out_distances,
    void *user_data)
{
    (void)user_data;
    if (row_type != IMGSIM_ROW_FLOAT32)
        return 1;
    for (size_t i = 0; i < row_count; i++)
        out_distances[i] =
            (float)plain_chebyshev(query, (const float *)rows + i * dimension, dimension);
    return 0;
}

static inline int32_t bed_smallest(
    const float *similarities,
    size_t image_count,
    size_t channel_count,
    float *out_scores,
    void *user_data)
{
    (void)user_data;
    for (size_t i = 0; i < image_count; i++) {
        out_scores[i] = 1;
        for (size_t c = 0; c < channel_count; c++)
            out_scores[i] = fminf(out_scores[i], similarities[i * channel_count + c]);
    }
    return 0;
}

static inline void bed_query(
    const struct bed *bed,
    const struct plain *plain,
    uint32_t k,
    uint32_t threads,
    int32_t search,
    imgsim_query **out_query)
{
    imgsim_query_options options;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.k = k;
    options.threads = threads;
    options.search = search;
    options.images = plain->images;
    options.fusion = plain->fusion;
    options.rrf_k = plain->rrf_k;
    options.exclude_queries = !plain->include_queries;
    options.fuse = bed_smallest;
    CHECK_OK(imgsim_query_new(bed->catalog, &options, out_query));
    for (int j = 0; j < plain->image_count; j++)
        CHECK_OK(imgsim_query_add_id(*out_query, plain->ids[j], plain->weights[j]));
    for (int c = 0; c < plain->channel_count; c++) {
        imgsim_channel_options channel;

        CHECK_OK(imgsim_channel_options_init(&channel, sizeof(channel)));
        channel.weight = plain->channels[c].weight;
        channel.metric = plain->channels[c].metric;
        channel.mahalanobis = plain->channels[c].mahalanobis;
        channel.callback = bed_chebyshev;
        CHECK_OK(
            imgsim_query_add_channel(*out_query, bed_names[plain->channels[c].feature], &channel));
    }
}

/* A result must say what the plain search says: ids in order, scores, parts. */
static inline void bed_check(
    const struct plain *plain,
    const struct plain_answer *answer,
    const imgsim_result *result,
    uint32_t k)
{
    size_t expected = (size_t)answer->count < k ? (size_t)answer->count : k;

    CHECK_EQUAL(imgsim_result_get_count(result), expected);
    CHECK_EQUAL(imgsim_result_get_part_count(result), plain->channel_count);
    for (size_t i = 0; i < expected; i++) {
        imgsim_hit hit = {.struct_size = sizeof(hit)};
        const struct plain_hit *right = &answer->hits[i];

        CHECK_OK(imgsim_result_get_hit(result, i, &hit));
        CHECK_EQUAL(hit.id, right->id);
        CHECK_NEAR(hit.score, right->score, 2e-6);
        for (int c = 0; c < plain->channel_count; c++) {
            imgsim_part part = {.struct_size = sizeof(part)};

            CHECK_OK(imgsim_result_get_part(result, i, (size_t)c, &part));
            CHECK_TEXT(part.feature, bed_names[plain->channels[c].feature]);
            CHECK_EQUAL(part.metric, plain->channels[c].metric);
            CHECK_NEAR(part.value, right->values[c], 1e-5 * (1 + fabs(right->values[c])));
            CHECK_NEAR(part.similarity, right->similarities[c], 2e-6);
        }
    }
}

#endif
