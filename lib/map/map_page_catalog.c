/* SPDX-License-Identifier: Apache-2.0 */
/* What a catalog knows of a page's images: paths, labels, clusters, dates, thumbnails. */
#include "map/map_page.h"

#include "catalog/classes.h"
#include "core/memory.h"
#include "map/map.h"

#include <stdio.h>
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

/* ---- properties ---- */

/* One property of the images; nothing where no image has any. */
static imgsim_status take_column(
    imgsim_page *page,
    const imgsim_catalog *catalog,
    const char *title,
    int32_t color_by,
    const char *cluster)
{
    struct ims_map_groups groups = {0};
    imgsim_status status =
        ims_groups_of_ids(page->ids, page->count, catalog, color_by, cluster, &groups);

    if (status == IMGSIM_ERROR_NOT_FOUND)
        return IMGSIM_OK;
    if (status == IMGSIM_OK && color_by == IMGSIM_COLOR_CLUSTER)
        status = ims_groups_name_clusters(page->ids, page->count, catalog, &groups);
    if (status == IMGSIM_OK && groups.count > 0)
        status = imgsim_page_add_column(
            page, title, groups.of_point, (const char *const *)groups.names, groups.count);
    ims_map_groups_clear(&groups);
    return status;
}

static imgsim_status take_clusters(imgsim_page *page, const imgsim_catalog *catalog)
{
    struct ims_cluster_sets sets = {0};
    imgsim_status status = ims_cluster_sets_find(catalog, &sets);

    for (size_t i = 0; i < sets.count && status == IMGSIM_OK; i++) {
        char title[300];

        if (page->column_count == IMS_PAGE_COLUMNS_MAX) {
            ims_log(
                IMGSIM_LOG_WARNING, "the page has room for %d properties: no colours by \"%s\"",
                IMS_PAGE_COLUMNS_MAX, sets.names[i]);
            continue;
        }
        snprintf(title, sizeof(title), "Cluster: %s", sets.names[i]);
        status = take_column(page, catalog, title, IMGSIM_COLOR_CLUSTER, sets.names[i]);
    }
    ims_cluster_sets_clear(&sets);
    return status;
}

static imgsim_status take_properties(imgsim_page *page, const imgsim_catalog *catalog)
{
    imgsim_status status;

    if ((status = take_column(page, catalog, "Label", IMGSIM_COLOR_LABEL, NULL)) != IMGSIM_OK ||
        (status = take_column(page, catalog, "Predicted label", IMGSIM_COLOR_PREDICTED, NULL)) !=
            IMGSIM_OK)
        return status;
    return take_clusters(page, catalog);
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
        (status = take_properties(page, catalog)) != IMGSIM_OK)
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
