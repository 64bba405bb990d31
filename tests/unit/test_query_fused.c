/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums of similarities by bounds: ids, order, scores and parts are those of ranking every image, to the last bit. More hits than
 * bounds are used for make the same query rank everything; its first hits are the reference.
 */
#define BED_IMAGES 2400
#define BED_FLOATS 40 /* enough for planes */
#include "query_bed.h"

#include <imgsim/derive.h>

#include "index/index.h"
#include "query/query.h"

#define CASES 200
#define STORED_CASES 100
#define ALL_K 200 /* more than one in sixteen */

static struct bed bed;

static const int32_t float_metrics[] = {
    IMGSIM_METRIC_COSINE, IMGSIM_METRIC_INNER_PRODUCT, IMGSIM_METRIC_L2,
    IMGSIM_METRIC_L1,     IMGSIM_METRIC_ANGULAR,       IMGSIM_METRIC_MAHALANOBIS,
};
static const int32_t count_metrics[] = {
    IMGSIM_METRIC_CHI_SQUARE,    IMGSIM_METRIC_INTERSECTION, IMGSIM_METRIC_CORRELATION,
    IMGSIM_METRIC_BHATTACHARYYA, IMGSIM_METRIC_L1,
};
static const int32_t bit_metrics[] = {IMGSIM_METRIC_HAMMING, IMGSIM_METRIC_JACCARD};

static const double *matrix(void)
{
    static double values[BED_FLOATS * BED_FLOATS];

    for (int i = 0; i < BED_FLOATS; i++)
        for (int j = 0; j < BED_FLOATS; j++)
            values[i * BED_FLOATS + j] = i == j ? 1 + 0.25 * i : 0.03;
    return values;
}

/* Groups of alike images, copies of images, a few rows of zeros and of huge and tiny numbers. */
static void make_rows(void)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 11);
    bed_make_rows(&bed);
    for (int id = 100; id < BED_IMAGES; id++) {
        const int like = (int)ims_rng_below(&rng, 100);
        const int copy = id % 4 == 0 ? (int)ims_rng_below(&rng, (uint64_t)id) : -1;

        for (int i = 0; i < BED_FLOATS; i++)
            bed.embedding[id][i] = bed.embedding[like][i] + 0.3f * (float)ims_rng_normal(&rng);
        for (int i = 0; i < BED_BINS; i++)
            bed.color[id][i] =
                ims_rng_below(&rng, 3) == 0 ? bed.color[like][i] : bed.color[id][i] / 4;
        bed.color[id][id % BED_BINS] += 1;
        memcpy(bed.hash[id], bed.hash[like], BED_HASH_BYTES);
        bed.hash[id][id % BED_HASH_BYTES] ^= (uint8_t)ims_rng_below(&rng, 256);
        if (copy >= 0) {
            memcpy(bed.embedding[id], bed.embedding[copy], sizeof(bed.embedding[id]));
            memcpy(bed.color[id], bed.color[copy], sizeof(bed.color[id]));
            memcpy(bed.hash[id], bed.hash[copy], sizeof(bed.hash[id]));
        }
        for (int i = 0; id % 97 == 3 && i < BED_FLOATS; i++)
            bed.embedding[id][i] *= id % 3 == 0 ? 0 : id % 3 == 1 ? 1e15f : 1e-20f;
        memcpy(bed.small[id], bed.embedding[id], sizeof(bed.small[id]));
    }
}

/* ---- random questions ---- */

struct question {
    struct plain plain;
    double min_score;
    uint8_t filter[BED_IMAGES / 8];
    int filter_share; /* 0: none; else one image in so many is let through */
    int sea;          /* only the folder "sea/land" */
};

static struct question draw(struct ims_rng *rng)
{
    struct question question = {.plain = {.rrf_k = 60}};
    struct plain *plain = &question.plain;
    int images = ims_rng_below(rng, 2) == 0 ? 1 : 1 + (int)ims_rng_below(rng, 5);
    int first = (int)ims_rng_below(rng, 4), channels = 2 + (int)ims_rng_below(rng, 3);

    for (; plain->image_count < images; plain->image_count++) {
        int64_t id = (int64_t)ims_rng_below(rng, BED_IMAGES);

        while (!bed.live[id] || !bed.has[BED_HASH][id])
            id = (id + 1) % BED_IMAGES;
        plain->ids[plain->image_count] = id;
        plain->weights[plain->image_count] = 0.5 + (double)ims_rng_below(rng, 3) / 2;
        if (plain->image_count > 0 && ims_rng_below(rng, 3) == 0)
            plain->weights[plain->image_count] *= -0.4;
    }
    for (int c = 0; c < channels; c++) {
        const int feature = (first + c) % BED_FEATURES;
        struct plain_channel *channel = &plain->channels[plain->channel_count++];

        channel->feature = feature;
        channel->metric = feature == BED_COLOR   ? count_metrics[ims_rng_below(rng, 5)]
                          : feature == BED_HASH  ? bit_metrics[ims_rng_below(rng, 2)]
                          : feature == BED_SMALL ? float_metrics[ims_rng_below(rng, 5)]
                                                 : float_metrics[ims_rng_below(rng, 6)];
        channel->weight = 0.05 + (double)ims_rng_below(rng, 20) / 10;
        channel->mahalanobis = matrix();
    }
    plain->include_queries = (int)ims_rng_below(rng, 2);
    question.min_score = ims_rng_below(rng, 4) == 0 ? 0.6 + 0.1 * (double)ims_rng_below(rng, 4) : 0;
    question.filter_share = ims_rng_below(rng, 3) == 0 ? 2 + (int)ims_rng_below(rng, 4) : 0;
    for (int i = 0; question.filter_share > 0 && i < BED_IMAGES; i++)
        if (ims_rng_below(rng, (uint64_t)question.filter_share) == 0)
            question.filter[i / 8] |= (uint8_t)(1u << (i % 8));
    question.sea = ims_rng_below(rng, 4) == 0;
    return question;
}

static imgsim_query *ask(const struct question *question, uint32_t k, uint32_t threads)
{
    imgsim_query *query;
    imgsim_query_options options;
    char folder[700];

    bed_query(&bed, &question->plain, k, threads, IMGSIM_SEARCH_EXACT, &query);
    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options = query->options;
    options.min_score = question->min_score;
    CHECK_OK(imgsim_query_set_options(query, &options));
    if (question->filter_share > 0)
        CHECK_OK(imgsim_query_filter_bits(query, question->filter, BED_IMAGES));
    snprintf(folder, sizeof(folder), "%s/sea/land", bed.folder);
    if (question->sea)
        CHECK_OK(imgsim_query_filter_directory(query, folder));
    return query;
}

/* The first hits of `all` must be those of `few`, with everything that is said about them. */
static void check_same(const imgsim_result *few, const imgsim_result *all, size_t k)
{
    const size_t there = imgsim_result_get_count(all);

    CHECK_EQUAL(imgsim_result_get_count(few), there < k ? there : k);
    CHECK_EQUAL(imgsim_result_get_image_count(few), imgsim_result_get_image_count(all));
    CHECK_EQUAL(imgsim_result_get_exact(few), 1);
    for (size_t i = 0; i < imgsim_result_get_count(few); i++) {
        imgsim_hit mine = {.struct_size = sizeof(mine)}, right = {.struct_size = sizeof(right)};

        CHECK_OK(imgsim_result_get_hit(few, i, &mine));
        CHECK_OK(imgsim_result_get_hit(all, i, &right));
        CHECK_EQUAL(mine.id, right.id);
        CHECK(mine.score == right.score);
        for (size_t c = 0; c < imgsim_result_get_part_count(few); c++) {
            imgsim_part part = {.struct_size = sizeof(part)},
                        other = {.struct_size = sizeof(other)};

            CHECK_OK(imgsim_result_get_part(few, i, c, &part));
            CHECK_OK(imgsim_result_get_part(all, i, c, &other));
            CHECK(part.value == other.value && part.similarity == other.similarity);
        }
    }
}

/* Search several times: from the fourth on, planes of histograms are there, from the eighth on those of floats. */
static void compare(const struct question *question)
{
    imgsim_query *everything = ask(question, ALL_K, 1);
    imgsim_result *all;

    if (imgsim_query_search(everything, &all) != IMGSIM_OK) { /* negatives cancel positives */
        imgsim_query_free(everything);
        return;
    }
    for (uint32_t threads = 1; threads <= 2; threads++) {
        const uint32_t k = threads == 1 ? 10 : 1 + (uint32_t)question->plain.ids[0] % 12;
        imgsim_query *query = ask(question, k, threads);

        for (int turn = 0; turn < 10; turn++) {
            imgsim_result *result;

            CHECK_OK(imgsim_query_search(query, &result));
            check_same(result, all, k);
            imgsim_result_free(result);
        }
        imgsim_query_free(query);
    }
    imgsim_result_free(all);
    imgsim_query_free(everything);
}

static void random_questions_are_answered_as_by_ranking_all(uint64_t seed, int cases)
{
    struct ims_rng rng;

    ims_rng_init(&rng, seed);
    for (int i = 0; i < cases; i++) {
        struct question question = draw(&rng);

        compare(&question);
    }
}

/* The plain search of the bed knows nothing of either. */
static void answers_are_the_plain_ones(void)
{
    static struct plain_answer answer;
    struct ims_rng rng;

    ims_rng_init(&rng, 6);
    for (int i = 0; i < 10; i++) {
        struct question question = draw(&rng);
        imgsim_query *query;
        imgsim_result *result;

        question.plain.image_count = 1;
        question.plain.ids[0] = 20 + i;
        question.plain.channels[0] =
            (struct plain_channel){BED_EMBEDDING, IMGSIM_METRIC_COSINE, 0.7, NULL};
        question.plain.channels[1] =
            (struct plain_channel){BED_COLOR, count_metrics[i % 5], 0.2, NULL};
        question.plain.channels[2] =
            (struct plain_channel){BED_HASH, bit_metrics[i % 2], 0.1, NULL};
        question.plain.channel_count = 3;
        question.plain.include_queries = 0;
        if (!bed.live[20 + i] || !bed.has[BED_HASH][20 + i])
            continue;
        plain_search(&bed, &question.plain, &answer);
        bed_query(&bed, &question.plain, 5, 2, IMGSIM_SEARCH_EXACT, &query);
        CHECK_OK(imgsim_query_search(query, &result));
        bed_check(&question.plain, &answer, result, 5);
        imgsim_result_free(result);
        imgsim_query_free(query);
    }
}

/* Embedding, colour and hash of one image. */
static struct question usual_question(void)
{
    struct question question = {.plain = {.rrf_k = 60}};

    question.plain.ids[0] = 20;
    question.plain.weights[0] = 1;
    question.plain.image_count = 1;
    question.plain.channels[0] =
        (struct plain_channel){BED_EMBEDDING, IMGSIM_METRIC_COSINE, 0.7, NULL};
    question.plain.channels[1] =
        (struct plain_channel){BED_COLOR, IMGSIM_METRIC_CHI_SQUARE, 0.2, NULL};
    question.plain.channels[2] = (struct plain_channel){BED_HASH, IMGSIM_METRIC_HAMMING, 0.1, NULL};
    question.plain.channel_count = 3;
    return question;
}

/* Bounds must rule most images out, or else nothing of the above was seen. */
static void bounds_rule_images_out(void)
{
    const struct question question = usual_question();
    struct ims_channel_rows rows[3] = {0};
    struct ims_bitset eligible = {0}, left = {0};
    imgsim_query *query = ask(&question, 10, 2);
    uint64_t count;

    CHECK_OK(ims_query_eligible(query, &eligible));
    count = ims_bitset_popcount(&eligible);
    for (size_t c = 0; c < 3; c++)
        CHECK_OK(ims_rows_collect(query, &query->channels[c].space, &rows[c]));
    CHECK(ims_bounded_serves(query, rows, count));
    for (int turn = 0; turn < 10; turn++) {
        CHECK_OK(ims_bounded_candidates(query, rows, &eligible, count, &left));
        CHECK(ims_bitset_popcount(&left) >= 10 && ims_bitset_popcount(&left) < 40);
        ims_bitset_clear(&left);
    }
    CHECK(ims_index_has_planes_of_ids(query->channels[0].space.exact, BED_IMAGES));
    query->options.fusion = IMGSIM_FUSE_RRF;
    CHECK(!ims_bounded_serves(query, rows, count));
    query->options.fusion = IMGSIM_FUSE_SUM;
    query->options.images = IMGSIM_IMAGES_BEST;
    CHECK(!ims_bounded_serves(query, rows, count));
    query->options.images = IMGSIM_IMAGES_MEAN;
    query->options.k = ALL_K;
    CHECK(!ims_bounded_serves(query, rows, count));
    for (size_t c = 0; c < 3; c++)
        ims_channel_rows_clear(&rows[c]);
    ims_bitset_clear(&eligible);
    imgsim_query_free(query);
}

/* ---- a stored index ---- */

static void first_search(bool stored)
{
    const struct question question = usual_question();
    imgsim_query *query = ask(&question, 10, 2);
    imgsim_result *result;

    CHECK_OK(imgsim_query_search(query, &result));
    CHECK((query->channels[0].space.stored != NULL) == stored);
    CHECK((query->channels[0].space.exact == NULL) == stored);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

/* Fresh exact indexes have the planes from the first search on; others are not used. */
static void stored_planes_are_used_while_fresh(void)
{
    imgsim_index_options options;
    struct ims_catalog_writer *writer;
    uint32_t numbers[BED_FEATURES];
    struct ims_file_record record = {.path = "new.png", .format = "png", .reason = ""};
    int64_t id;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = IMGSIM_INDEX_EXACT;
    options.metric = IMGSIM_METRIC_DEFAULT;
    first_search(false);
    CHECK_OK(imgsim_derive_index(bed.catalog, "embedding", &options, NULL));
    first_search(true);
    random_questions_are_answered_as_by_ranking_all(9, STORED_CASES);

    CHECK_OK(ims_catalog_writer_open(bed.catalog, "test", &writer));
    bed_define(writer, numbers);
    CHECK_OK(ims_catalog_writer_new_id(writer, &id));
    record.id = id;
    CHECK_OK(ims_uuid_new(record.uuid));
    record.state = IMGSIM_FILE_OK;
    record.features = UINT64_C(1) << numbers[BED_EMBEDDING];
    CHECK_OK(ims_catalog_writer_put_row(writer, numbers[BED_EMBEDDING], id, bed.embedding[0]));
    CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    first_search(false);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open_empty(&bed);
    make_rows();
    bed_write(&bed);
    bounds_rule_images_out();
    random_questions_are_answered_as_by_ranking_all(5, CASES);
    answers_are_the_plain_ones();
    bed_close(&bed);

    bed_open_empty(&bed);
    make_rows();
    for (int i = 0; i < BED_IMAGES; i++) /* slots of a stored index are ids then */
        bed.has[BED_EMBEDDING][i] = bed.live[i] = 1;
    bed_write(&bed);
    stored_planes_are_used_while_fresh();
    bed_close(&bed);
    return 0;
}
