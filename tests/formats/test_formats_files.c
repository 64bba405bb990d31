/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes and projectors written by each release open, answer as one made today, and can be added to. */
#include "formats/release_bed.h"

#define K 5

static char folder[600];
static float rows[RELEASE_ROWS * RELEASE_VALUES];

static const char *data_path(const char *version, const char *name)
{
    static char path[1000];

    snprintf(path, sizeof(path), "%s/tests/data/%s/%s", IMGSIM_SOURCE_DIR, version, name);
    return path;
}

/*
 * Both answer alike: the old one, whose graph is not the one built today, and an exact one made today. Of a graph's answers one
 * in fifty may be another.
 */
static void check_answers(const imgsim_index *old, const imgsim_index *exact, size_t row_count)
{
    static int64_t ids[RELEASE_ROWS * K], expected[RELEASE_ROWS * K];
    static float distances[RELEASE_ROWS * K], wanted[RELEASE_ROWS * K];
    size_t misses = 0;

    release_search(old, rows, row_count, K, ids, distances);
    release_search(exact, rows, row_count, K, expected, wanted);
    for (size_t i = 0; i < row_count * K; i++) {
        CHECK(ids[i] >= 0 && ids[i] != RELEASE_REMOVED);
        misses += !(fabs((double)distances[i] - wanted[i]) <= 1e-4 * (1 + fabs((double)wanted[i])));
    }
    CHECK(misses <= (imgsim_index_get_kind(old) == IMGSIM_INDEX_HNSW ? row_count * K / 50 : 0));
}

static void check_index(const char *version, const struct release_index *release)
{
    imgsim_index *old = NULL, *again = NULL, *exact;
    int64_t id = 100000, found[1];
    char path[700];
    float distance;

    exact = release_make_index(release, IMGSIM_INDEX_EXACT);
    CHECK_OK(imgsim_index_open(data_path(version, release->name), 1, &old));
    CHECK_EQUAL(imgsim_index_get_kind(old), release->kind);
    CHECK_EQUAL(imgsim_index_get_metric(old), release->metric);
    CHECK_EQUAL(imgsim_index_get_dimension(old), release_dimension(release));
    CHECK_EQUAL(imgsim_index_get_count(old), release_row_count(release) - 1);
    CHECK_TEXT(imgsim_index_get_note(old), RELEASE_NOTE);
    check_answers(old, exact, release_row_count(release));

    release_add(old, rows + RELEASE_REMOVED * RELEASE_VALUES, 1, &id);
    snprintf(path, sizeof(path), "%s/%s", folder, release->name);
    CHECK_OK(imgsim_index_save(old, path));
    CHECK_OK(imgsim_index_open(path, 1, &again));
    CHECK_EQUAL(imgsim_index_get_count(again), release_row_count(release));
    release_search(again, rows + RELEASE_REMOVED * RELEASE_VALUES, 1, 1, found, &distance);
    CHECK_EQUAL(found[0], id);
    imgsim_index_free(again);
    imgsim_index_free(old);
    imgsim_index_free(exact);
}

static void check_projector(const char *version)
{
    imgsim_projector *old = NULL, *fresh = release_make_projector();
    static float out[RELEASE_ROWS * 3], expected[RELEASE_ROWS * 3];

    CHECK_OK(imgsim_projector_load(data_path(version, "projector.ims"), &old));
    CHECK_EQUAL(imgsim_projector_get_row_count(old), RELEASE_ROWS);
    CHECK_EQUAL(imgsim_projector_get_input_dimension(old), RELEASE_VALUES);
    CHECK_EQUAL(imgsim_projector_get_output_dimension(old), 3);
    CHECK_NEAR(
        imgsim_projector_get_total_variance(old) / imgsim_projector_get_total_variance(fresh), 1.0,
        1e-6); /* products are summed in single precision, 1,024 rows at a time */
    CHECK_OK(imgsim_projector_transform(old, rows, RELEASE_ROWS, out));
    CHECK_OK(imgsim_projector_transform(fresh, rows, RELEASE_ROWS, expected));
    for (size_t i = 0; i < RELEASE_ROWS * 3; i++)
        CHECK_NEAR(out[i], expected[i], 1e-4);
    imgsim_projector_free(old);
    imgsim_projector_free(fresh);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    release_rows(rows);
    for (size_t i = 0; i < RELEASE_INDEXES; i++)
        check_index("0.1", &release_indexes[i]);
    check_projector("0.1");
    bed_remove_folder(folder);
    return 0;
}
