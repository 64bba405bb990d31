/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of a page: folders and names, sorted, each with what it shares with the one before. */
#include "page/write.h"

#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- folders ---- */

/* Bytes of a path up to its last slash, without it. */
static size_t folder_size(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? (size_t)(slash - path) : 0;
}

size_t ims_common_folder(const char *const *paths, size_t count)
{
    size_t shared = folder_size(paths[0]);

    for (size_t i = 1; i < count && shared > 0; i++) {
        size_t here = 0;

        while (here < shared && paths[i][here] == paths[0][here])
            here++;
        if (here == shared && paths[i][here] == '/')
            continue;
        /* Back to the last whole folder. */
        while (here > 0 && paths[0][here] != '/')
            here--;
        shared = here;
    }
    return shared;
}

/* ---- links ---- */

static void add_url(struct ims_bytes *url, const char *path, size_t size)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    char encoded[4];

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)path[i];

        if (memchr(plain, c, sizeof(plain) - 1) != NULL) {
            ims_bytes_add(url, &path[i], 1);
        } else {
            snprintf(encoded, sizeof(encoded), "%%%02X", (unsigned)c);
            ims_bytes_text(url, encoded);
        }
    }
}

/*
 * The link from the page to a folder: relative where it lies below the page's folder, so that both
 * can be moved together, else file://. Ends with a slash unless it is empty.
 */
static imgsim_status
link_folder(const char *page_path, const char *folder, size_t size, char **out_link)
{
    struct ims_bytes url = {0};
    char *absolute = NULL;
    size_t own;
    imgsim_status status = ims_absolute_path(page_path, &absolute);

    if (status != IMGSIM_OK)
        return status;
    own = folder_size(absolute);
    if (size >= own && memcmp(folder, absolute, own) == 0 && (size == own || folder[own] == '/')) {
        if (size > own)
            add_url(&url, folder + own + 1, size - own - 1);
    } else {
        ims_bytes_text(&url, size > 0 && folder[0] != '/' ? "" : "file://");
        add_url(&url, folder, size);
    }
    if (url.size > 0)
        ims_bytes_text(&url, "/");
    ims_bytes_add(&url, "", 1);
    if ((status = ims_bytes_status(&url)) == IMGSIM_OK)
        *out_link = (char *)url.data;
    else
        ims_bytes_clear(&url);
    ims_free(absolute);
    return status;
}

imgsim_status ims_page_links(struct ims_page *page)
{
    const char *const *paths = page->input->paths;
    char *folder = NULL;
    imgsim_status status = IMGSIM_OK;

    if (paths != NULL)
        status = link_folder(
            page->path, paths[0], ims_common_folder(paths, page->input->count), &page->base_link);
    if (status == IMGSIM_OK && page->settings->tiles_folder != NULL &&
        page->input->picture != NULL &&
        (status = ims_absolute_path(page->settings->tiles_folder, &folder)) == IMGSIM_OK)
        status = link_folder(page->path, folder, strlen(folder), &page->tiles_link);
    ims_free(folder);
    return status;
}

/* ---- sorting ---- */

struct name {
    const char *folder; /* below the common one */
    size_t folder_size;
    const char *file;
    uint32_t point;
};

static int by_folder_and_file(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    size_t least = x->folder_size < y->folder_size ? x->folder_size : y->folder_size;
    int order = memcmp(x->folder, y->folder, least);

    if (order == 0)
        order = (x->folder_size > y->folder_size) - (x->folder_size < y->folder_size);
    if (order == 0)
        order = strcmp(x->file, y->file);
    return order != 0 ? order : (x->point > y->point) - (x->point < y->point);
}

static struct name *sorted_names(const struct ims_page_input *input, size_t common)
{
    struct name *names = ims_alloc_array(input->count, sizeof(*names));

    if (names == NULL)
        return NULL;
    for (size_t i = 0; i < input->count; i++) {
        const char *path = input->paths[i];
        const char *slash = strrchr(path, '/');
        size_t start = common > 0 ? common + 1 : 0;
        size_t end = slash != NULL ? (size_t)(slash - path) : 0;

        names[i].folder = path + (end > start ? start : end);
        names[i].folder_size = end > start ? end - start : 0;
        names[i].file = slash != NULL ? slash + 1 : path;
        names[i].point = (uint32_t)i;
    }
    qsort(names, input->count, sizeof(*names), by_folder_and_file);
    return names;
}

/* ---- blocks ---- */

/* The lengths of the three streams and the streams. */
static imgsim_status
write_front(struct ims_page *page, const char *name, struct ims_front_coder *coder)
{
    struct ims_bytes bytes = {0};
    imgsim_status status;

    ims_bytes_varint(&bytes, (uint32_t)coder->shared.size);
    ims_bytes_varint(&bytes, (uint32_t)coder->lengths.size);
    ims_bytes_add(&bytes, coder->shared.data, coder->shared.size);
    ims_bytes_add(&bytes, coder->lengths.data, coder->lengths.size);
    ims_bytes_add(&bytes, coder->rests.data, coder->rests.size);
    bytes.failed =
        bytes.failed || coder->shared.failed || coder->lengths.failed || coder->rests.failed;
    status = ims_page_block(page, name, -1, &bytes);
    ims_bytes_clear(&bytes);
    return status;
}

/* The common folder, then each folder below it; and how many names each has, 0 for the first. */
static imgsim_status write_folders(struct ims_page *page, const struct name *names, size_t common)
{
    struct ims_front_coder folders = {0};
    struct ims_bytes counts = {0};
    size_t count = page->input->count, end;
    imgsim_status status;

    ims_front_add(&folders, page->input->paths[0], common);
    ims_bytes_varint(&counts, 0);
    for (size_t start = 0; start < count; start = end) {
        for (end = start + 1;
             end < count && names[end].folder_size == names[start].folder_size &&
             memcmp(names[end].folder, names[start].folder, names[start].folder_size) == 0;)
            end++;
        ims_front_add(&folders, names[start].folder, names[start].folder_size);
        ims_bytes_varint(&counts, (uint32_t)(end - start));
    }
    if ((status = write_front(page, "folders", &folders)) == IMGSIM_OK)
        status = ims_page_block(page, "foldersizes", -1, &counts);
    ims_front_clear(&folders);
    ims_bytes_clear(&counts);
    return status;
}

/* Where along the curve each name stands. */
static imgsim_status write_places(struct ims_page *page, const struct name *names)
{
    size_t count = page->input->count;
    uint32_t *places = ims_alloc_array(count, sizeof(*places));
    struct ims_bytes bytes = {0};
    imgsim_status status;

    if (places == NULL)
        return ims_fail_memory(count * sizeof(*places));
    for (size_t i = 0; i < count; i++)
        places[i] = page->places[names[i].point];
    ims_bytes_planes(&bytes, places, count, ims_planes_needed(places, count));
    status = ims_page_block(page, "places", -1, &bytes);
    ims_bytes_clear(&bytes);
    ims_free(places);
    return status;
}

imgsim_status ims_page_names(struct ims_page *page)
{
    const struct ims_page_input *input = page->input;
    struct ims_front_coder files = {0};
    struct name *names;
    size_t common;
    imgsim_status status;

    if (input->paths == NULL)
        return IMGSIM_OK;
    common = ims_common_folder(input->paths, input->count);
    if ((names = sorted_names(input, common)) == NULL)
        return ims_fail_memory(input->count * sizeof(*names));
    for (size_t i = 0; i < input->count; i++)
        ims_front_add(&files, names[i].file, strlen(names[i].file));
    if ((status = write_folders(page, names, common)) == IMGSIM_OK &&
        (status = write_front(page, "files", &files)) == IMGSIM_OK)
        status = write_places(page, names);
    ims_front_clear(&files);
    ims_free(names);
    return status;
}
