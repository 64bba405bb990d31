/* SPDX-License-Identifier: Apache-2.0 */
/* The public handle of a page: what is shown of a map. */
#include "map/map_page.h"

#include "core/memory.h"
#include "map/map.h"

#include <stdio.h>
#include <string.h>

/* ---- texts ---- */

imgsim_status ims_texts_copy(const char *const *items, size_t count, struct ims_texts *out)
{
    size_t size = 1, used = 0;

    for (size_t i = 0; i < count; i++) {
        if (items[i] == NULL)
            return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "text %zu is NULL", i);
        if (!ims_add_size(size, strlen(items[i]) + 1, &size))
            return ims_fail_memory(SIZE_MAX);
    }
    out->bytes = ims_alloc(size);
    out->items = ims_alloc_array(count, sizeof(*out->items));
    if (out->bytes == NULL || out->items == NULL) {
        ims_texts_clear(out);
        return ims_fail_memory(size);
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(items[i]) + 1;

        memcpy(out->bytes + used, items[i], length);
        out->items[i] = out->bytes + used;
        used += length;
    }
    out->count = count;
    return IMGSIM_OK;
}

void ims_texts_clear(struct ims_texts *texts)
{
    ims_free(texts->bytes);
    ims_free(texts->items);
    memset(texts, 0, sizeof(*texts));
}

/* ---- making ---- */

/* A copy of count x width elements of 4 or 8 bytes. */
static imgsim_status copy_rows(const void *from, size_t count, size_t width, void *out)
{
    void **copy = out;

    if ((*copy = ims_alloc_array(count, width)) == NULL)
        return ims_fail_memory(count * width);
    memcpy(*copy, from, count * width);
    return IMGSIM_OK;
}

static imgsim_status copy_positions(imgsim_page *page, const imgsim_map *map)
{
    return copy_rows(
        map->positions, map->count, map->dimension * sizeof(float),
        map->dimension == 2 ? &page->flat : &page->deep);
}

/* The nearest ones of each point. */
static imgsim_status take_neighbours(imgsim_page *page, const uint32_t *neighbours, uint32_t each)
{
    uint32_t kept = each < IMS_PAGE_NEIGHBOURS_MAX ? each : IMS_PAGE_NEIGHBOURS_MAX;
    uint32_t *copied = ims_alloc_array(page->count, kept * sizeof(uint32_t));

    if (copied == NULL)
        return ims_fail_memory(page->count * kept * sizeof(uint32_t));
    for (size_t i = 0; i < page->count; i++)
        memcpy(copied + i * kept, neighbours + i * each, kept * sizeof(uint32_t));
    ims_free(page->neighbours);
    page->neighbours = copied;
    page->neighbour_count = kept;
    return IMGSIM_OK;
}

static imgsim_status copy_neighbours(imgsim_page *page, const imgsim_map *map)
{
    if (map->neighbours == NULL || map->neighbour_count == 0)
        return IMGSIM_OK;
    return take_neighbours(page, map->neighbours, map->neighbour_count);
}

static void name_layout(imgsim_page *page, const imgsim_map *map)
{
    static const char *const names[] = {"map", "PCA", "UMAP", "t-SNE"};
    const char *layout = map->layout > 0 && map->layout < 4 ? names[map->layout] : names[0];

    if (map->feature[0] != '\0')
        snprintf(page->layout, sizeof(page->layout), "%s of %s", layout, map->feature);
    else
        snprintf(page->layout, sizeof(page->layout), "%s", layout);
}

imgsim_status imgsim_page_new(const imgsim_map *map, imgsim_page **out_page)
{
    imgsim_page *page;
    imgsim_status status;

    if (out_page == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_page must not be NULL");
    *out_page = NULL;
    if (map == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map must not be NULL");
    if (map->count > IMS_PAGE_POINTS_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "a map of %zu points, a page has at most %zu", map->count,
            IMS_PAGE_POINTS_MAX);
    if ((page = ims_calloc(1, sizeof(*page))) == NULL)
        return ims_fail_memory(sizeof(*page));
    page->count = map->count;
    name_layout(page, map);
    if ((status = copy_rows(map->ids, map->count, sizeof(int64_t), &page->ids)) != IMGSIM_OK ||
        (status = copy_positions(page, map)) != IMGSIM_OK ||
        (status = copy_neighbours(page, map)) != IMGSIM_OK) {
        imgsim_page_free(page);
        return status;
    }
    *out_page = page;
    return IMGSIM_OK;
}

static void column_clear(struct ims_own_column *column)
{
    ims_free(column->title);
    ims_free(column->values);
    ims_texts_clear(&column->names);
    memset(column, 0, sizeof(*column));
}

void imgsim_page_free(imgsim_page *page)
{
    if (page == NULL)
        return;
    ims_free(page->ids);
    ims_free(page->flat);
    ims_free(page->deep);
    ims_free(page->neighbours);
    ims_texts_clear(&page->paths);
    ims_free(page->dates);
    for (size_t c = 0; c < page->column_count; c++)
        column_clear(&page->columns[c]);
    for (size_t i = 0; i < page->figure_count; i++) {
        ims_free(page->figures[i].name);
        ims_free(page->figures[i].note);
    }
    ims_free(page->figures);
    imgsim_features_free(page->thumbnails);
    ims_free(page);
}

/* ---- adding ---- */

imgsim_status imgsim_page_add_map(imgsim_page *page, const imgsim_map *map)
{
    imgsim_status status;

    if (page == NULL || map == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and map must not be NULL");
    if (map->count != page->count || memcmp(map->ids, page->ids, map->count * sizeof(int64_t)) != 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a map of other images: %zu points, the page has %zu",
            map->count, page->count);
    if ((map->dimension == 2 ? page->flat : page->deep) != NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "the page has a map of dimension %u already",
            (unsigned)map->dimension);
    if (page->neighbours == NULL && (status = copy_neighbours(page, map)) != IMGSIM_OK)
        return status;
    return copy_positions(page, map);
}

imgsim_status imgsim_page_add_paths(imgsim_page *page, const char *const *paths)
{
    struct ims_texts copied = {0};
    imgsim_status status;

    if (page == NULL || paths == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and paths must not be NULL");
    if ((status = ims_texts_copy(paths, page->count, &copied)) != IMGSIM_OK)
        return status;
    ims_texts_clear(&page->paths);
    page->paths = copied;
    return IMGSIM_OK;
}

imgsim_status
imgsim_page_add_neighbours(imgsim_page *page, const uint32_t *neighbours, uint32_t neighbour_count)
{
    if (page == NULL || neighbours == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and neighbours must not be NULL");
    if (neighbour_count == 0 || neighbour_count > 1000)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u neighbours, expected 1 to 1000",
            (unsigned)neighbour_count);
    for (size_t i = 0; i < page->count * neighbour_count; i++)
        if (neighbours[i] >= page->count)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "point %zu has neighbour %u, there are %zu points",
                i / neighbour_count, (unsigned)neighbours[i], page->count);
    return take_neighbours(page, neighbours, neighbour_count);
}

imgsim_status imgsim_page_add_dates(imgsim_page *page, const int64_t *dates)
{
    int64_t *copied = NULL;
    imgsim_status status;

    if (page == NULL || dates == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and dates must not be NULL");
    if ((status = copy_rows(dates, page->count, sizeof(int64_t), &copied)) != IMGSIM_OK)
        return status;
    ims_free(page->dates);
    page->dates = copied;
    return IMGSIM_OK;
}

imgsim_status ims_page_take_column(imgsim_page *page, struct ims_own_column *column)
{
    for (size_t c = 0; c < page->column_count; c++)
        if (strcmp(page->columns[c].title, column->title) == 0) {
            column_clear(&page->columns[c]);
            page->columns[c] = *column;
            return IMGSIM_OK;
        }
    if (page->column_count == IMS_PAGE_COLUMNS_MAX) {
        column_clear(column);
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "a page has at most %d properties", IMS_PAGE_COLUMNS_MAX);
    }
    page->columns[page->column_count++] = *column;
    return IMGSIM_OK;
}

/* "TITLE 1", "TITLE 2", ... */
static imgsim_status number_names(const char *title, size_t count, struct ims_texts *out)
{
    size_t size = strlen(title) + 24;

    out->bytes = ims_alloc_array(count, size);
    out->items = ims_alloc_array(count, sizeof(*out->items));
    if (out->bytes == NULL || out->items == NULL)
        return ims_fail_memory(count * size);
    for (size_t i = 0; i < count; i++) {
        snprintf(out->bytes + i * size, size, "%s %zu", title, i + 1);
        out->items[i] = out->bytes + i * size;
    }
    out->count = count;
    return IMGSIM_OK;
}

static imgsim_status
check_values(const imgsim_page *page, const char *title, const int32_t *values, size_t name_count)
{
    if (name_count == 0 || name_count > ((size_t)1 << 24))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "property %s has %zu names, expected 1 to 2^24", title,
            name_count);
    for (size_t i = 0; i < page->count; i++)
        if (values[i] >= 0 && (size_t)values[i] >= name_count)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "property %s: value %d of point %zu, expected below %zu", title, (int)values[i], i,
                name_count);
    return IMGSIM_OK;
}

imgsim_status imgsim_page_add_column(
    imgsim_page *page,
    const char *title,
    const int32_t *values,
    const char *const *names,
    size_t name_count)
{
    struct ims_own_column column = {0};
    imgsim_status status;

    if (page == NULL || title == NULL || values == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page, title and values must not be NULL");
    if ((status = check_values(page, title, values, name_count)) != IMGSIM_OK)
        return status;
    if ((column.title = ims_strdup(title)) == NULL)
        status = ims_fail_memory(strlen(title));
    if (status == IMGSIM_OK)
        status = copy_rows(values, page->count, sizeof(int32_t), &column.values);
    if (status == IMGSIM_OK)
        status = names != NULL ? ims_texts_copy(names, name_count, &column.names)
                               : number_names(title, name_count, &column.names);
    if (status == IMGSIM_OK)
        return ims_page_take_column(page, &column);
    column_clear(&column);
    return status;
}

imgsim_status
imgsim_page_add_figure(imgsim_page *page, const char *name, double value, const char *note)
{
    struct ims_own_figure figure = {.value = value};

    if (page == NULL || name == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and name must not be NULL");
    figure.name = ims_strdup(name);
    figure.note = ims_strdup(note != NULL ? note : "");
    if (figure.name == NULL || figure.note == NULL ||
        !ims_grow(
            (void **)&page->figures, &page->figure_capacity, page->figure_count + 1,
            sizeof(figure))) {
        ims_free(figure.name);
        ims_free(figure.note);
        return ims_fail_memory(sizeof(figure));
    }
    page->figures[page->figure_count++] = figure;
    return IMGSIM_OK;
}

imgsim_status
imgsim_page_set_pictures(imgsim_page *page, imgsim_picture_callback callback, void *user_data)
{
    if (page == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page must not be NULL");
    page->picture = callback;
    page->picture_data = user_data;
    return IMGSIM_OK;
}
