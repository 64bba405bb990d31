/* SPDX-License-Identifier: Apache-2.0 */
/* Saved indexes give the same answers when opened, change safely afterwards, and damage is noticed or does no harm. */
#include "check.h"
#include "core/rng.h"
#include "index/index.h"

#include <imgsim/index.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS 1200
#define DIMENSION 16
#define QUERIES 20
#define K 5

static float rows[(ROWS + 100) * DIMENSION];
static char path[600], other_path[600];

static imgsim_index *new_index(int32_t kind, int32_t metric, const double *matrix)
{
    imgsim_index_options options;
    imgsim_index *index;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = metric;
    options.dimension = DIMENSION;
    options.mahalanobis = matrix;
    options.max_links = 4;
    options.build_width = 40;
    options.search_width = 30;
    CHECK_OK(imgsim_index_new(&options, &index));
    return index;
}

static void answers(const imgsim_index *index, int64_t *ids, float *distances)
{
    CHECK_OK(imgsim_index_search(index, rows, QUERIES, K, NULL, ids, distances));
}

static void check_same_answers(const imgsim_index *a, const imgsim_index *b)
{
    int64_t ids[2][QUERIES * K];
    float distances[2][QUERIES * K];

    CHECK_EQUAL(imgsim_index_get_count(a), imgsim_index_get_count(b));
    answers(a, ids[0], distances[0]);
    answers(b, ids[1], distances[1]);
    CHECK(memcmp(ids[0], ids[1], sizeof(ids[0])) == 0);
    CHECK(memcmp(distances[0], distances[1], sizeof(distances[0])) == 0);
}

static void check_same_files(const char *a, const char *b)
{
    FILE *left = fopen(a, "rb"), *right = fopen(b, "rb");
    int byte;

    CHECK(left != NULL && right != NULL);
    while ((byte = fgetc(left)) != EOF)
        CHECK_EQUAL(byte, fgetc(right));
    CHECK_EQUAL(fgetc(right), EOF);
    fclose(left);
    fclose(right);
}

/* Saved, opened, saved again: the same; then both change the same way and stay the same. */
static void check_round_trip(imgsim_index *index)
{
    const int64_t gone[4] = {2, 3, 900, 17};
    imgsim_index *opened;
    size_t removed;

    CHECK_OK(imgsim_index_set_note(index, "made from 12ab, \xc3\xa9"));
    CHECK_OK(imgsim_index_remove(index, gone + 3, 1, NULL));
    for (int32_t verify = 0; verify <= 1; verify++) {
        CHECK_OK(imgsim_index_save(index, path));
        CHECK_OK(imgsim_index_open(path, verify, &opened));
        CHECK_TEXT(imgsim_index_get_note(opened), "made from 12ab, \xc3\xa9");
        CHECK_EQUAL(imgsim_index_get_kind(opened), imgsim_index_get_kind(index));
        CHECK_EQUAL(imgsim_index_get_metric(opened), imgsim_index_get_metric(index));
        CHECK_EQUAL(imgsim_index_get_dimension(opened), DIMENSION);
        check_same_answers(index, opened);
        CHECK_OK(imgsim_index_save(opened, other_path));
        check_same_files(path, other_path);
        imgsim_index_free(opened);
    }

    CHECK_OK(imgsim_index_open(path, 1, &opened));
    unlink(path); /* mapped files stay readable */
    CHECK_OK(imgsim_index_remove(opened, gone, 4, &removed));
    CHECK_EQUAL(removed, 3);
    CHECK_OK(imgsim_index_remove(index, gone, 4, &removed));
    CHECK_OK(imgsim_index_add(opened, rows + ROWS * DIMENSION, 100, NULL));
    CHECK_OK(imgsim_index_add(index, rows + ROWS * DIMENSION, 100, NULL));
    check_same_answers(index, opened);
    CHECK_OK(imgsim_index_save(index, path));
    CHECK_OK(imgsim_index_save(opened, other_path));
    check_same_files(path, other_path);
    imgsim_index_free(opened);
    imgsim_index_free(index);
}

static void every_kind_comes_back_as_it_was(void)
{
    static const int32_t metrics[] = {
        IMGSIM_METRIC_COSINE, IMGSIM_METRIC_L2, IMGSIM_METRIC_INNER_PRODUCT, IMGSIM_METRIC_L1};
    static double matrix[DIMENSION * DIMENSION];

    for (size_t i = 0; i < DIMENSION; i++)
        matrix[i * DIMENSION + i] = 1 + (double)i;
    for (size_t i = 0; i < 5; i++)
        for (int32_t kind = IMGSIM_INDEX_EXACT; kind <= IMGSIM_INDEX_HNSW; kind++) {
            imgsim_index *index;

            if (kind == IMGSIM_INDEX_HNSW && i < 4 && metrics[i] == IMGSIM_METRIC_L1)
                continue;
            index = new_index(
                kind, i < 4 ? metrics[i] : IMGSIM_METRIC_MAHALANOBIS, i < 4 ? NULL : matrix);
            CHECK_OK(imgsim_index_add(index, rows, ROWS, NULL));
            check_round_trip(index);
        }
}

/* Rows as sparse histograms of DIMENSION bins. */
static imgsim_index *sparse_index(void)
{
    static uint64_t offsets[ROWS];
    static uint32_t lengths[ROWS], counts[ROWS * DIMENSION];
    static uint16_t bins[ROWS * DIMENSION];
    imgsim_index *index = new_index(IMGSIM_INDEX_EXACT, IMGSIM_METRIC_CHI_SQUARE, NULL);
    size_t used = 0;

    for (size_t i = 0; i < ROWS; i++) {
        offsets[i] = used;
        for (size_t j = 0; j < DIMENSION; j++)
            if (rows[i * DIMENSION + j] > 0) {
                bins[used] = (uint16_t)j;
                counts[used++] = 1 + (uint32_t)(10 * rows[i * DIMENSION + j]);
            }
        lengths[i] = (uint32_t)(used - offsets[i]);
    }
    CHECK_OK(imgsim_index_add_sparse(index, offsets, lengths, bins, counts, ROWS, NULL));
    return index;
}

static void sparse_rows_and_bits_come_back(void)
{
    imgsim_index *index = sparse_index(), *opened;
    int64_t ids[2][K];
    float query[DIMENSION], distances[2][K];

    for (size_t j = 0; j < DIMENSION; j++)
        query[j] = fabsf(rows[j]);
    CHECK_OK(imgsim_index_save(index, path));
    CHECK_OK(imgsim_index_open(path, 1, &opened));
    CHECK_OK(imgsim_index_search(index, query, 1, K, NULL, ids[0], distances[0]));
    CHECK_OK(imgsim_index_search(opened, query, 1, K, NULL, ids[1], distances[1]));
    CHECK(memcmp(ids[0], ids[1], sizeof(ids[0])) == 0);
    for (int64_t id = 0; id < 1000; id++) /* their memory is used again */
        CHECK_OK(imgsim_index_remove(opened, &id, 1, NULL));
    CHECK_EQUAL(imgsim_index_get_count(opened), ROWS - 1000);
    imgsim_index_free(opened);
    imgsim_index_free(index);

    index = new_index(IMGSIM_INDEX_EXACT, IMGSIM_METRIC_HAMMING, NULL);
    CHECK_OK(imgsim_index_add_bits(index, (const uint8_t *)rows, ROWS, NULL));
    CHECK_OK(imgsim_index_save(index, path));
    CHECK_OK(imgsim_index_open(path, 1, &opened));
    CHECK_OK(
        imgsim_index_search_bits(opened, (const uint8_t *)rows, 1, K, NULL, ids[0], distances[0]));
    CHECK_OK(
        imgsim_index_search_bits(index, (const uint8_t *)rows, 1, K, NULL, ids[1], distances[1]));
    CHECK(memcmp(ids[0], ids[1], sizeof(ids[0])) == 0);
    imgsim_index_free(opened);
    imgsim_index_free(index);
}

/* Use whatever an opened, damaged file holds. */
static void use(imgsim_index *index)
{
    float query[DIMENSION] = {1, 2, 3};
    int64_t ids[K];
    float distances[K];
    imgsim_status status;

    if (imgsim_index_get_dimension(index) != DIMENSION)
        return;
    status = imgsim_index_search(index, query, 1, K, NULL, ids, distances);
    if (status == IMGSIM_ERROR_UNSUPPORTED)
        (void)imgsim_index_search_bits(index, (const uint8_t *)query, 1, K, NULL, ids, distances);
}

/* Change single bytes: with verification it is noticed, unless the byte does not matter; without, nothing breaks. */
static void check_damage(size_t step)
{
    const int file = open(path, O_RDWR);
    struct stat state;
    size_t noticed = 0, tried = 0;

    CHECK(file >= 0 && fstat(file, &state) == 0);
    for (off_t at = 0; at < state.st_size; at += (off_t)step) {
        unsigned char byte, changed;

        CHECK_EQUAL(pread(file, &byte, 1, at), 1);
        changed = (unsigned char)(byte ^ (1u << (tried % 8)));
        CHECK_EQUAL(pwrite(file, &changed, 1, at), 1);
        tried++;
        for (int32_t verify = 0; verify <= 1; verify++) {
            imgsim_index *index;
            const imgsim_status status = imgsim_index_open(path, verify, &index);

            CHECK(
                status == IMGSIM_OK || status == IMGSIM_ERROR_CORRUPT ||
                status == IMGSIM_ERROR_UNSUPPORTED);
            noticed += verify != 0 && status != IMGSIM_OK;
            if (status == IMGSIM_OK)
                use(index);
            imgsim_index_free(status == IMGSIM_OK ? index : NULL);
        }
        CHECK_EQUAL(pwrite(file, &byte, 1, at), 1);
    }
    printf("%zu of %zu changes noticed\n", noticed, tried);
    CHECK_EQUAL(noticed, tried);
    close(file);
}

static void check_truncation(void)
{
    struct stat state;
    imgsim_index *index;

    CHECK_EQUAL(stat(path, &state), 0);
    for (off_t size = state.st_size; size > 0; size -= 1 + size / 40) {
        CHECK_EQUAL(truncate(path, size - 1), 0);
        CHECK_FAILS(imgsim_index_open(path, 0, &index), IMGSIM_ERROR_CORRUPT, path);
        CHECK(index == NULL);
    }
}

static void damage_is_noticed_or_harmless(void)
{
    static const int64_t gone[] = {1, 2, 3, 700};
    imgsim_index *index = new_index(IMGSIM_INDEX_HNSW, IMGSIM_METRIC_COSINE, NULL);

    CHECK_OK(imgsim_index_add(index, rows, ROWS, NULL));
    CHECK_OK(imgsim_index_remove(index, gone, 4, NULL));
    CHECK_OK(imgsim_index_save(index, path));
    imgsim_index_free(index);
    check_damage(23);
    check_truncation();

    index = new_index(IMGSIM_INDEX_EXACT, IMGSIM_METRIC_L2, NULL);
    CHECK_OK(imgsim_index_add(index, rows, 30, NULL));
    CHECK_OK(imgsim_index_remove(index, gone, 4, NULL));
    CHECK_OK(imgsim_index_save(index, path));
    imgsim_index_free(index);
    check_damage(1);
    check_truncation();

    index = sparse_index();
    CHECK_OK(imgsim_index_save(index, path));
    imgsim_index_free(index);
    check_damage(17);
}

static void wrong_files_are_refused(void)
{
    imgsim_index *index = new_index(IMGSIM_INDEX_EXACT, IMGSIM_METRIC_COSINE, NULL);
    imgsim_index *opened;
    char missing[700], note[5000];
    FILE *file;

    snprintf(missing, sizeof(missing), "%s-missing", path);
    CHECK_FAILS(imgsim_index_open(missing, 0, &opened), IMGSIM_ERROR_NOT_FOUND, "missing");
    CHECK((file = fopen(path, "wb")) != NULL);
    fputs(
        "this is no index, only a text that is long enough to be taken for a header of one", file);
    fclose(file);
    CHECK_FAILS(imgsim_index_open(path, 0, &opened), IMGSIM_ERROR_CORRUPT, path);
    CHECK_FAILS(imgsim_index_open(NULL, 0, &opened), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    memset(note, 'x', sizeof(note) - 1);
    note[sizeof(note) - 1] = '\0';
    CHECK_FAILS(imgsim_index_set_note(index, note), IMGSIM_ERROR_INVALID_ARGUMENT, "4095");
    CHECK_OK(imgsim_index_save(index, path)); /* an empty one */
    CHECK_OK(imgsim_index_open(path, 1, &opened));
    CHECK_EQUAL(imgsim_index_get_count(opened), 0);
    CHECK_TEXT(imgsim_index_get_note(opened), "");
    CHECK_OK(imgsim_index_add(opened, rows, 3, NULL));
    CHECK_EQUAL(imgsim_index_get_count(opened), 3);
    imgsim_index_free(opened);
    imgsim_index_free(index);
}

int main(void)
{
    const char *folder = check_temporary_folder();
    struct ims_rng rng;

    snprintf(path, sizeof(path), "%s/a.ims", folder);
    snprintf(other_path, sizeof(other_path), "%s/b.ims", folder);
    ims_rng_init(&rng, 1);
    for (size_t i = 0; i < (ROWS + 100) * DIMENSION; i++)
        rows[i] = (float)ims_rng_normal(&rng);
    every_kind_comes_back_as_it_was();
    sparse_rows_and_bits_come_back();
    damage_is_noticed_or_harmless();
    wrong_files_are_refused();
    unlink(path);
    unlink(other_path);
    rmdir(folder);
    return 0;
}
