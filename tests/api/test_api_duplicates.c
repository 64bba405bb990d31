/* SPDX-License-Identifier: Apache-2.0 */
/* Duplicates: copies by content, near-duplicates by a feature of bits; against all pairs compared one by one. */
#include "public_bed.h"

#include <stdbool.h>

#define EACH 6u
#define IMAGES (BED_FAMILIES * EACH)
#define COPIES 3u
#define BITS 32u
#define MAX 200

static struct public_bed bed;

static imgsim_duplicates *find(int32_t near, uint32_t distance, uint32_t threads)
{
    imgsim_duplicates_options options;
    imgsim_duplicates *found = NULL;

    CHECK_OK(imgsim_duplicates_options_init(&options, sizeof(options)));
    options.feature = "marks";
    options.near = near;
    options.max_distance = distance;
    options.threads = threads;
    CHECK_OK(imgsim_derive_duplicates(bed.catalog, &options, &found));
    return found;
}

static void copy_picture(const char *from, const char *to)
{
    char command[1700], source[800];

    snprintf(source, sizeof(source), "%s", bed_path(&bed, from));
    snprintf(command, sizeof(command), "cp '%s' '%s'", source, bed_path(&bed, to));
    CHECK(system(command) == 0);
}

/* ---- copies ---- */

static int32_t keep_hash(const imgsim_file_info *file, void *user_data)
{
    snprintf(user_data, 40, "%s", file->content_hash);
    return 0;
}

static void copies_are_found(void)
{
    imgsim_duplicates *found = find(0, 0, 1);
    const int64_t *ids;
    const uint32_t *distances, *copies;
    size_t count;
    char first[40], other[40];

    CHECK_EQUAL(imgsim_duplicates_get_group_count(found), 2);
    CHECK_EQUAL(imgsim_duplicates_get_image_count(found), 3 + 2);
    CHECK_OK(imgsim_duplicates_get_group(found, 0, &ids, &distances, &copies, &count));
    CHECK_EQUAL(count, 3);
    for (size_t i = 0; i < count; i++) {
        CHECK_OK(imgsim_catalog_get_file(bed.catalog, ids[i], keep_hash, i == 0 ? first : other));
        CHECK(i == 0 || (strcmp(first, other) == 0 && ids[i - 1] < ids[i]));
        CHECK_EQUAL(distances[i], 0);
        CHECK_EQUAL(copies[i], 0);
    }
    CHECK_EQUAL(ids[0], bed_find(&bed, bed.catalog, "copies/d.png"));
    CHECK_OK(imgsim_duplicates_get_group(found, 1, &ids, NULL, NULL, &count));
    CHECK_EQUAL(count, 2);
    CHECK_FAILS(
        imgsim_duplicates_get_group(found, 2, &ids, NULL, NULL, &count),
        IMGSIM_ERROR_INVALID_ARGUMENT, "group is 2, there are 2");
    CHECK_FAILS(
        imgsim_duplicates_get_group(found, 0, NULL, NULL, NULL, NULL),
        IMGSIM_ERROR_INVALID_ARGUMENT, "out_count");
    imgsim_duplicates_free(found);
}

/* ---- near-duplicates ---- */

static uint8_t rows[MAX][BITS / 8];
static bool has_row[MAX];
static int set_of[MAX];

static uint32_t distance(int64_t a, int64_t b)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < BITS / 8; i++)
        bits += (uint32_t)__builtin_popcount((unsigned)(rows[a][i] ^ rows[b][i]));
    return bits;
}

/* Families of random rows with a few bits turned around; the last images have none. */
static void make_rows(int64_t count)
{
    imgsim_feature_definition definition = {
        .struct_size = sizeof(definition),
        .name = "marks",
        .fingerprint = "1",
        .dimension = BITS,
        .row_type = IMGSIM_ROW_BITS,
        .metric = IMGSIM_METRIC_HAMMING};
    int64_t ids[MAX];
    uint64_t state = 99;

    CHECK(count < MAX);
    for (int64_t id = 0; id < count; id++) {
        ids[id] = id;
        has_row[id] = id < count - 2;
        for (size_t i = 0; i < BITS / 8; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            rows[id][i] = id < 8 ? (uint8_t)(state >> 40) : rows[id % 8][i];
        }
        for (int64_t turn = 0; turn < id % 4 && id >= 8; turn++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            rows[id][state >> 60 & 3] ^= (uint8_t)(1 << (state >> 50 & 7));
        }
    }
    CHECK_OK(imgsim_catalog_put_features(
        bed.catalog, &definition, ids, (size_t)count - 2, rows, ((size_t)count - 2) * BITS / 8));
}

/* Components by spreading the smallest number until nothing changes. */
static void find_sets(int64_t count, uint32_t limit, const int64_t *content)
{
    bool changed = true;

    for (int64_t id = 0; id < count; id++)
        set_of[id] = (int)id;
    while (changed) {
        changed = false;
        for (int64_t a = 0; a < count; a++)
            for (int64_t b = 0; b < count; b++) {
                bool together = content[a] == content[b] ||
                                (has_row[a] && has_row[b] && distance(a, b) <= limit);

                if (together && set_of[b] < set_of[a]) {
                    set_of[a] = set_of[b];
                    changed = true;
                }
            }
    }
}

static void groups_are_the_components(uint32_t limit)
{
    const int64_t ids_given = (int64_t)imgsim_catalog_get_id_count(bed.catalog);
    static char hashes[MAX][40];
    int64_t content[MAX];
    uint64_t in_groups = 0, alone = 0;
    imgsim_duplicates *found, *again;
    size_t last = SIZE_MAX;

    for (int64_t a = 0; a < ids_given; a++) {
        CHECK_OK(imgsim_catalog_get_file(bed.catalog, a, keep_hash, hashes[a]));
        content[a] = a;
        for (int64_t b = a - 1; b >= 0; b--)
            if (strcmp(hashes[a], hashes[b]) == 0)
                content[a] = content[b];
    }
    find_sets(ids_given, limit, content);
    found = find(1, limit, 1);
    again = find(1, limit, 2);
    CHECK_EQUAL(imgsim_duplicates_get_group_count(found), imgsim_duplicates_get_group_count(again));
    for (uint64_t g = 0; g < imgsim_duplicates_get_group_count(found); g++) {
        const int64_t *ids, *other;
        const uint32_t *distances, *copies;
        size_t count, other_count;

        CHECK_OK(imgsim_duplicates_get_group(found, g, &ids, &distances, &copies, &count));
        CHECK_OK(imgsim_duplicates_get_group(again, g, &other, NULL, NULL, &other_count));
        CHECK(count == other_count && memcmp(ids, other, count * sizeof(*ids)) == 0);
        CHECK(count >= 2 && count <= last);
        last = count;
        in_groups += count;
        for (size_t i = 0; i < count; i++) {
            CHECK_EQUAL(set_of[ids[i]], set_of[ids[0]]);
            if (content[ids[i]] == content[ids[0]])
                CHECK_EQUAL(distances[i], 0);
            else if (!has_row[ids[i]] || !has_row[ids[0]])
                CHECK_EQUAL(distances[i], IMGSIM_DISTANCE_UNKNOWN);
            else
                CHECK_EQUAL(distances[i], distance(ids[0], ids[i]));
            CHECK(i < 2 || distances[i - 1] <= distances[i]);
            CHECK(copies[i] <= i && content[ids[copies[i]]] == content[ids[i]]);
            CHECK_EQUAL(copies[copies[i]], copies[i]);
        }
    }
    for (int64_t a = 0; a < ids_given; a++) {
        bool lonely = true;

        for (int64_t b = 0; b < ids_given; b++)
            lonely = lonely && (a == b || set_of[a] != set_of[b]);
        alone += lonely;
    }
    CHECK_EQUAL(imgsim_duplicates_get_image_count(found), in_groups);
    CHECK_EQUAL(in_groups + alone, ids_given);
    imgsim_duplicates_free(found);
    imgsim_duplicates_free(again);
}

/* ---- what cannot be ---- */

static int32_t stop(const imgsim_progress *progress, void *user_data)
{
    (void)progress;
    ++*(int *)user_data;
    return 1;
}

static void arguments_are_checked(void)
{
    imgsim_duplicates_options options;
    imgsim_duplicates *found = NULL;
    int calls = 0;

    CHECK_FAILS(
        imgsim_derive_duplicates(NULL, NULL, &found), IMGSIM_ERROR_INVALID_ARGUMENT, "catalog");
    CHECK_FAILS(
        imgsim_derive_duplicates(bed.catalog, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    CHECK_OK(imgsim_duplicates_options_init(&options, sizeof(options)));
    CHECK_EQUAL(options.near, 0);
    CHECK_EQUAL(options.max_distance, 4);
    options.near = 1;
    options.feature = "nothing";
    CHECK_FAILS(
        imgsim_derive_duplicates(bed.catalog, &options, &found), IMGSIM_ERROR_NOT_FOUND, "nothing");
    options.feature = "embedding";
    CHECK_FAILS(
        imgsim_derive_duplicates(bed.catalog, &options, &found), IMGSIM_ERROR_UNSUPPORTED, "bits");
    options.feature = NULL;
    options.max_distance = 65;
    CHECK_FAILS(
        imgsim_derive_duplicates(bed.catalog, &options, &found), IMGSIM_ERROR_INVALID_ARGUMENT,
        "0 to 64 bits");
    options.max_distance = 64;
    options.progress = stop;
    options.progress_data = &calls;
    CHECK_FAILS(
        imgsim_derive_duplicates(bed.catalog, &options, &found), IMGSIM_ERROR_CANCELLED, "");
    CHECK(calls == 1 && found == NULL);
    options.progress = NULL;
    CHECK_OK(imgsim_derive_duplicates(bed.catalog, &options, &found));
    CHECK_EQUAL(imgsim_duplicates_get_group_count(found), 1); /* everything is near */
    CHECK_EQUAL(
        imgsim_duplicates_get_image_count(found), imgsim_catalog_get_image_count(bed.catalog));
    imgsim_duplicates_free(found);
    imgsim_duplicates_free(NULL);
    CHECK_EQUAL(imgsim_duplicates_get_group_count(NULL), 0);
    CHECK_EQUAL(imgsim_duplicates_get_image_count(NULL), 0);
}

int main(void)
{
    imgsim_duplicates *found;
    char path[800];

    bed_open(&bed, EACH);
    snprintf(path, sizeof(path), "%s", bed_path(&bed, "copies"));
    CHECK(mkdir(path, 0777) == 0);
    make_rows(IMAGES);
    found = find(0, 0, 1);
    CHECK_EQUAL(imgsim_duplicates_get_group_count(found), 0);
    CHECK_EQUAL(imgsim_duplicates_get_image_count(found), 0);
    imgsim_duplicates_free(found);

    /* One picture twice more, another once; the copies have no rows of the host's feature. */
    copy_picture("family1/02.png", "copies/a.png");
    copy_picture("family1/02.png", "copies/b.png");
    copy_picture("family3/04.png", "copies/c.png");
    CHECK_EQUAL(bed_scan(&bed).added, COPIES);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    for (unsigned i = IMAGES - 2; i < IMAGES + COPIES; i++)
        has_row[i] = false;
    for (uint32_t limit = 0; limit <= 6; limit++)
        groups_are_the_components(limit);
    arguments_are_checked();

    /* The lowest id of a content comes first: that of a picture which went elsewhere. */
    CHECK(unlink(bed_path(&bed, "family1/02.png")) == 0);
    copy_picture("copies/a.png", "copies/d.png");
    (void)bed_scan(&bed);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    copies_are_found();
    bed_close(&bed);
    return 0;
}
