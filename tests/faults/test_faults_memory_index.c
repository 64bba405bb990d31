/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whichever allocation fails: an index keeps exactly the rows it had, a projector its model, a file what was saved before.
 */
#include "faults/fault_bed.h"
#include "faults/fault_steps.h"

#include <imgsim/index.h>
#include <imgsim/projector.h>

#include "core/rng.h"

/* More than an HNSW index compares directly, so that there is a graph. */
#define FIRST 1040u
/* Rows that are asked for. */
#define ASKED 50u
#define SECOND 40u
#define VALUES 4u
#define K 4u

static float rows[(FIRST + SECOND) * VALUES];
static char folder[600], path[700];
static imgsim_index *index_handle;
static imgsim_projector *projector;
static int32_t kind;

static void make_index(void)
{
    imgsim_index_options options;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = IMGSIM_METRIC_L2;
    options.dimension = VALUES;
    options.threads = 1;
    CHECK_OK(imgsim_index_new(&options, &index_handle));
    CHECK_OK(imgsim_index_add(index_handle, rows, FIRST, NULL));
}

/* The first rows must all find themselves. */
static void check_first_rows(const imgsim_index *index)
{
    int64_t ids[ASKED * K];
    float distances[ASKED * K];

    CHECK_OK(imgsim_index_search(index, rows, ASKED, K, NULL, ids, distances));
    for (int64_t i = 0; i < ASKED; i++)
        CHECK(ids[i * K] == i && distances[i * K] == 0);
}

/* ---- add ---- */

static imgsim_status add_once(void)
{
    return imgsim_index_add(index_handle, rows + FIRST * VALUES, SECOND, NULL);
}

static void check_added(imgsim_status status)
{
    CHECK_EQUAL(imgsim_index_get_count(index_handle), status == IMGSIM_OK ? FIRST + SECOND : FIRST);
    check_first_rows(index_handle);
    imgsim_index_free(index_handle);
    make_index();
}

/* ---- remove from a mapped index, which is copied first ---- */

static size_t removed;

static imgsim_status remove_once(void)
{
    static const int64_t ids[3] = {FIRST + 1, FIRST + 5, 99999};

    removed = 0;
    return imgsim_index_remove(index_handle, ids, 3, &removed);
}

static void check_removed(imgsim_status status)
{
    CHECK_EQUAL(removed, status == IMGSIM_OK ? 2 : 0);
    CHECK_EQUAL(imgsim_index_get_count(index_handle), FIRST + SECOND - removed);
    check_first_rows(index_handle);
    imgsim_index_free(index_handle);
    CHECK_OK(imgsim_index_open(path, 0, &index_handle));
}

/* ---- search, save, open ---- */

static imgsim_status use_once(void)
{
    imgsim_index *opened = NULL;
    imgsim_status status;
    int64_t ids[ASKED * K];
    float distances[ASKED * K];

    if ((status = imgsim_index_search(index_handle, rows, ASKED, K, NULL, ids, distances)) !=
            IMGSIM_OK ||
        (status = imgsim_index_set_note(index_handle, "a note")) != IMGSIM_OK ||
        (status = imgsim_index_save(index_handle, path)) != IMGSIM_OK ||
        (status = imgsim_index_open(path, 1, &opened)) != IMGSIM_OK ||
        (status = imgsim_index_search(opened, rows, ASKED, K, NULL, ids, distances)) != IMGSIM_OK ||
        (status = imgsim_index_add(opened, rows + FIRST * VALUES, 1, NULL)) != IMGSIM_OK)
        goto done;

done:
    imgsim_index_free(opened);
    return status;
}

static void check_used(imgsim_status status)
{
    imgsim_index *opened = NULL;

    (void)status;
    CHECK_OK(imgsim_index_open(path, 1, &opened));
    check_first_rows(opened);
    check_first_rows(index_handle);
    imgsim_index_free(opened);
}

/* ---- projector ---- */

static imgsim_status fit_once(void)
{
    imgsim_projector *own = NULL, *loaded = NULL;
    imgsim_status status;
    float out[2 * VALUES];

    if ((status = imgsim_projector_new(VALUES, 2, NULL, &own)) != IMGSIM_OK ||
        (status = imgsim_projector_add(own, rows, FIRST)) != IMGSIM_OK ||
        (status = imgsim_projector_train(own)) != IMGSIM_OK ||
        (status = imgsim_projector_transform(own, rows, VALUES, out)) != IMGSIM_OK ||
        (status = imgsim_projector_save(own, path)) != IMGSIM_OK ||
        (status = imgsim_projector_load(path, &loaded)) != IMGSIM_OK)
        goto done;
    CHECK_TEXT(imgsim_projector_get_fingerprint(own), imgsim_projector_get_fingerprint(loaded));

done:
    imgsim_projector_free(loaded);
    imgsim_projector_free(own);
    return status;
}

static void check_fitted(imgsim_status status)
{
    imgsim_projector *loaded = NULL;

    (void)status;
    CHECK_OK(imgsim_projector_load(path, &loaded));
    imgsim_projector_free(loaded);
}

/* More rows and training again: the model of before stays until the new one is whole. */
static imgsim_status train_once(void)
{
    imgsim_status status = imgsim_projector_add(projector, rows, FIRST);

    return status != IMGSIM_OK ? status : imgsim_projector_train(projector);
}

static void check_trained(imgsim_status status)
{
    float out[2];

    (void)status;
    CHECK_OK(imgsim_projector_transform(projector, rows, 1, out));
    CHECK(isfinite(out[0]) && isfinite(out[1]));
    CHECK_EQUAL(strlen(imgsim_projector_get_fingerprint(projector)), 32);
}

static void indexes(void)
{
    make_index();
    fail_each_allocation(add_once, check_added);
    CHECK_OK(add_once());
    CHECK_OK(use_once());
    fail_each_allocation(use_once, check_used);
    imgsim_index_free(index_handle);
    CHECK_OK(imgsim_index_open(path, 0, &index_handle));
    fail_each_allocation(remove_once, check_removed);
    imgsim_index_free(index_handle);
}

static void projectors(void)
{
    CHECK_OK(fit_once());
    fail_each_allocation(fit_once, check_fitted);
    CHECK_OK(imgsim_projector_new(VALUES, 2, NULL, &projector));
    CHECK_OK(train_once());
    fail_each_allocation(train_once, check_trained);
    imgsim_projector_free(projector);
}

int main(void)
{
    struct ims_rng rng;

    use_memory_folder();
    CHECK_OK(imgsim_set_blas_threads(1));
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/file.ims", folder);
    ims_rng_init(&rng, 3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        rows[i] = (float)ims_rng_normal(&rng);

    kind = IMGSIM_INDEX_EXACT;
    indexes();
    kind = IMGSIM_INDEX_HNSW;
    indexes();
    projectors();
    CHECK(remove(path) == 0);
    CHECK(rmdir(folder) == 0); /* no temporary file was left */
    return 0;
}
