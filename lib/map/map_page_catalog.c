/* SPDX-License-Identifier: Apache-2.0 */
/* What a catalog knows of a page's images: paths, labels, dates, thumbnails. */
#include "map/map_page.h"

#include "catalog/catalog.h"
#include "core/memory.h"

#include <string.h>

/* ---- files ---- */

struct file_visit {
    imgsim_page *page;
    size_t next; /* first point whose file has not come yet; ids ascend on both sides */
    char *bytes;
    size_t used;
    size_t capacity;
    size_t *starts;
    int64_t *dates;
    bool failed;
};

static int32_t take_file(const imgsim_file_info *file, void *user_data)
{
    struct file_visit *visit = user_data;
    size_t length = strlen(file->path) + 1;

    if (visit->next == visit->page->count || file->id != visit->page->ids[visit->next])
        return 0;
    if (!ims_grow((void **)&visit->bytes, &visit->capacity, visit->used + length, 1)) {
        visit->failed = true;
        return 1;
    }
    memcpy(visit->bytes + visit->used, file->path, length);
    visit->starts[visit->next] = visit->used;
    visit->used += length;
    visit->dates[visit->next] =
        file->mtime_ns > 0 ? file->mtime_ns / 1000000000 : IMGSIM_PAGE_NO_DATE;
    visit->next++;
    return 0;
}

/* Ids of a map of a catalog ascend, as the visited files do. */
static imgsim_status check_ids(const imgsim_page *page)
{
    for (size_t i = 1; i < page->count; i++)
        if (page->ids[i] <= page->ids[i - 1])
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "ids of the page do not ascend: it is not a map of a catalog");
    return IMGSIM_OK;
}

static imgsim_status take_files(imgsim_page *page, const imgsim_catalog *catalog)
{
    struct file_visit visit = {.page = page};
    struct ims_texts paths = {0};
    imgsim_status status;

    visit.starts = ims_alloc_array(page->count, sizeof(*visit.starts));
    visit.dates = ims_alloc_array(page->count, sizeof(*visit.dates));
    paths.items = ims_alloc_array(page->count, sizeof(*paths.items));
    if (visit.starts == NULL || visit.dates == NULL || paths.items == NULL) {
        status = ims_fail_memory(page->count * sizeof(*visit.starts));
        goto done;
    }
    status = imgsim_catalog_visit_files(catalog, IMGSIM_FILE_OK, take_file, &visit);
    if (status == IMGSIM_OK && visit.failed)
        status = ims_fail_memory(visit.capacity);
    if (status == IMGSIM_OK && visit.next < page->count)
        status = ims_fail(
            IMGSIM_ERROR_NOT_FOUND, "image %lld of the map is not in the catalog any more",
            (long long)page->ids[visit.next]);
    if (status != IMGSIM_OK)
        goto done;

    for (size_t i = 0; i < page->count; i++)
        paths.items[i] = visit.bytes + visit.starts[i];
    paths.bytes = visit.bytes;
    paths.count = page->count;
    visit.bytes = NULL;
    ims_texts_clear(&page->paths);
    page->paths = paths;
    memset(&paths, 0, sizeof(paths));
    ims_free(page->dates);
    page->dates = visit.dates;
    visit.dates = NULL;

done:
    ims_free(visit.bytes);
    ims_free(visit.starts);
    ims_free(visit.dates);
    ims_texts_clear(&paths);
    return status;
}

/* ---- labels ---- */

struct label_visit {
    char **labels;
    size_t count;
    size_t capacity;
    bool failed;
};

static int32_t take_label(const char *label, uint64_t image_count, void *user_data)
{
    struct label_visit *visit = user_data;

    (void)image_count;
    if (!ims_grow(
            (void **)&visit->labels, &visit->capacity, visit->count + 1, sizeof(*visit->labels)) ||
        (visit->labels[visit->count] = ims_strdup(label)) == NULL) {
        visit->failed = true;
        return 1;
    }
    visit->count++;
    return 0;
}

/* Points whose image has the label and no earlier one. */
static imgsim_status mark_label(
    const imgsim_page *page,
    const imgsim_catalog *catalog,
    const char *label,
    int32_t value,
    int32_t *values)
{
    struct ims_bitset ids = {0};
    imgsim_status status = ims_catalog_ids_with_label(catalog, label, &ids);

    if (status == IMGSIM_ERROR_NOT_FOUND)
        status = IMGSIM_OK; /* only images that are gone have it */
    else if (status == IMGSIM_OK)
        for (size_t i = 0; i < page->count; i++)
            if (values[i] < 0 && ims_bitset_test(&ids, page->ids[i]))
                values[i] = value;
    ims_bitset_clear(&ids);
    return status;
}

static imgsim_status take_labels(imgsim_page *page, const imgsim_catalog *catalog)
{
    struct label_visit visit = {0};
    int32_t *values = ims_alloc_array(page->count, sizeof(*values));
    imgsim_status status;

    if (values == NULL)
        return ims_fail_memory(page->count * sizeof(*values));
    memset(values, 0xFF, page->count * sizeof(*values));
    status = imgsim_catalog_visit_labels(catalog, -1, take_label, &visit);
    if (status == IMGSIM_OK && visit.failed)
        status = ims_fail_memory(visit.capacity);
    for (size_t i = 0; i < visit.count && status == IMGSIM_OK; i++)
        status = mark_label(page, catalog, visit.labels[i], (int32_t)i, values);
    if (status == IMGSIM_OK && visit.count > 0)
        status = imgsim_page_add_column(
            page, "Label", values, (const char *const *)visit.labels, visit.count);
    for (size_t i = 0; i < visit.count; i++)
        ims_free(visit.labels[i]);
    ims_free(visit.labels);
    ims_free(values);
    return status;
}

/* ---- all of it ---- */

imgsim_status imgsim_page_add_catalog(imgsim_page *page, const imgsim_catalog *catalog)
{
    imgsim_features *thumbnails = NULL;
    imgsim_status status;

    if (page == NULL || catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and catalog must not be NULL");
    if ((status = check_ids(page)) != IMGSIM_OK ||
        (status = take_files(page, catalog)) != IMGSIM_OK ||
        (status = take_labels(page, catalog)) != IMGSIM_OK)
        return status;
    status = imgsim_catalog_open_features(catalog, "thumbnail", &thumbnails);
    if (status == IMGSIM_ERROR_NOT_FOUND)
        return IMGSIM_OK; /* the page goes without */
    if (status == IMGSIM_OK) {
        imgsim_features_free(page->thumbnails);
        page->thumbnails = thumbnails;
    }
    return status;
}
