/* SPDX-License-Identifier: Apache-2.0 */
/* The page of a result: one HTML file with its pictures inside, without scripts. */
#include "query/query.h"

#include "core/file.h"
#include "core/memory.h"
#include "image/image.h"

#include <stdio.h>
#include <string.h>

/* Hits beyond this are left out of the page, which says so. */
#define PAGE_HITS_MAX 1000
/* Twice the size they are shown at, for dense screens, within reason. */
#define PICTURE_SIDE 360

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'\">\n"
    "<meta name=\"generator\" content=\"libimgsim\">\n"
    "<title>Similar images</title>\n<style>\n"
    ":root{color-scheme:light dark;--paper:#fbfbfc;--card:#fff;--box:#eff1f4;--line:#dde1e7;"
    "--text:#1b2430;--faint:#66707f;--accent:#2463eb;--negative:#d6303e}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#12161c;--card:#1a2029;--box:#232b36;"
    "--line:#323c49;--text:#e8ecf1;--faint:#98a3b1;--accent:#6b9bff;--negative:#ff6b76}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:1500px;padding:2rem clamp(1rem,3vw,3rem);background:var(--paper);"
    "color:var(--text);font:15px/1.45 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}\n"
    "h1{margin:0;font-size:1.6rem;letter-spacing:-.01em}\n"
    "h2{margin:2rem 0 .9rem;font-size:1.05rem}\n"
    "p{margin:.3rem 0 0;color:var(--faint)}\n"
    "a{color:inherit;text-decoration:none}a:hover{text-decoration:underline}\n"
    ".queries{display:flex;flex-wrap:wrap;gap:1.1rem}\n"
    ".hits{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:1.1rem}\n"
    "figure{margin:0;display:flex;flex-direction:column;background:var(--card);"
    "border:1px solid var(--line);border-radius:10px;overflow:hidden}\n"
    ".queries figure{width:240px;border:4px solid var(--accent)}\n"
    ".queries figure.negative{border-color:var(--negative)}\n"
    ".box{position:relative;display:flex;align-items:center;justify-content:center;"
    "aspect-ratio:1/1;background:var(--box);color:var(--faint)}\n"
    ".box img{width:100%;height:100%;object-fit:contain}\n"
    ".rank{position:absolute;left:.6rem;top:.6rem;min-width:1.9rem;padding:.1rem .5rem;"
    "border-radius:999px;background:var(--text);color:var(--paper);font-weight:700;"
    "text-align:center}\n"
    "figcaption{padding:.7rem .85rem .8rem}\n"
    ".score{display:flex;align-items:baseline;justify-content:space-between;gap:.5rem}\n"
    ".score b{font-size:1.35rem;font-variant-numeric:tabular-nums}\n"
    ".score span,.note{color:var(--faint);font-size:.85rem}\n"
    ".bar{height:4px;margin:.35rem 0 .5rem;border-radius:2px;background:var(--line)}\n"
    ".bar i{display:block;height:100%;border-radius:2px;background:var(--accent)}\n"
    ".name{display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}\n"
    "table{width:100%;margin-top:.5rem;border-collapse:collapse;font-size:.8rem;"
    "color:var(--faint);font-variant-numeric:tabular-nums}\n"
    "th{padding:.12rem .4rem .12rem 0;font-weight:400;text-align:left}\n"
    "th small{display:block;opacity:.8}\n"
    "td{padding:.12rem 0 .12rem .4rem;text-align:right}\n"
    "td .bar{width:3.4rem;margin:0 0 0 auto}\n"
    "</style>\n</head>\n<body>\n";

/* ---- pieces ---- */

/* A picture as data inside the page, or words when it cannot be read. Releases the picture. */
static imgsim_status add_picture(struct ims_text *page, imgsim_image *picture)
{
    imgsim_status status = IMGSIM_OK;
    uint8_t *data = NULL;
    size_t size = 0;

    if (picture == NULL) {
        ims_text_add(page, "no picture");
        return IMGSIM_OK;
    }
    status = ims_image_encode(picture, "jpeg", 82, &data, &size);
    if (status == IMGSIM_OK) {
        ims_text_add(page, "<img alt=\"\" src=\"data:image/jpeg;base64,");
        ims_text_add_base64(page, data, size);
        ims_text_add(page, "\">");
    }
    ims_free(data);
    imgsim_image_free(picture);
    return status;
}

/* A bar of a share of its line, 0 to 1. */
static void add_bar(struct ims_text *page, double share)
{
    share = share > 0 ? share : 0;
    share = share < 1 ? share : 1;
    ims_text_add(page, "<div class=\"bar\"><i style=\"width:");
    ims_text_add_decimal(page, share * 100, 1);
    ims_text_add(page, "%\"></i></div>");
}

/* Folder and file name, linked to the file; the whole path appears on hovering. */
static void add_name(struct ims_text *page, const char *path, const char *name)
{
    if (path != NULL) {
        ims_text_add(page, "<a class=\"name\" href=\"");
        ims_text_add_url(page, path);
        ims_text_add(page, "\" title=\"");
        ims_text_add_html(page, path);
    } else {
        ims_text_add(page, "<a class=\"name\" title=\"");
        ims_text_add_html(page, name);
    }
    ims_text_add(page, "\"><bdi>");
    ims_text_add_html(page, ims_short_name(name));
    ims_text_add(page, "</bdi></a>");
}

static imgsim_status add_query_image(
    struct ims_text *page,
    const imgsim_features *thumbs,
    const struct ims_query_image *image)
{
    imgsim_status status;

    ims_text_add(
        page, image->weight > 0 ? "<figure><div class=\"box\">"
                                : "<figure class=\"negative\"><div class=\"box\">");
    if ((status = add_picture(page, ims_picture_query(thumbs, image, PICTURE_SIDE))) != IMGSIM_OK)
        return status;
    ims_text_add(page, "</div><figcaption>");
    add_name(page, image->path, image->name);
    if (image->weight != 1) {
        ims_text_add(
            page, image->weight > 0 ? "<div class=\"note\">weight "
                                    : "<div class=\"note\">not like this, weight ");
        ims_text_add_decimal(page, image->weight, 2);
        ims_text_add(page, "</div>");
    }
    ims_text_add(page, "</figcaption></figure>\n");
    return IMGSIM_OK;
}

/* One line of a hit's table: feature, metric, its value, similarity as a bar. */
static void add_part(
    struct ims_text *page,
    const struct ims_result_channel *channel,
    const struct ims_result_part *part)
{
    ims_text_add(page, "<tr><th>");
    ims_text_add_html(page, channel->feature);
    ims_text_add(page, "<small>");
    ims_text_add_html(page, imgsim_metric_name(channel->metric));
    ims_text_add(page, " \xC2\xB7 ");
    ims_text_add_decimal(page, channel->weight * 100, 0);
    ims_text_add(page, " %</small></th><td>");
    ims_text_add_decimal(page, part->value, 3);
    ims_text_add(page, "</td><td title=\"similarity ");
    ims_text_add_decimal(page, part->similarity, 3);
    ims_text_add(page, "\">");
    add_bar(page, part->similarity);
    ims_text_add(page, "</td></tr>\n");
}

static imgsim_status
add_hit(struct ims_text *page, const imgsim_features *thumbs, const imgsim_result *result, size_t i)
{
    imgsim_status status;
    const struct ims_result_hit *hit = &result->hits[i];
    char line[64];

    ims_text_add(page, "<figure><div class=\"box\">");
    if ((status = add_picture(page, ims_picture_hit(thumbs, hit, PICTURE_SIDE))) != IMGSIM_OK)
        return status;
    snprintf(line, sizeof(line), "<span class=\"rank\">%zu</span></div>", i + 1);
    ims_text_add(page, line);

    ims_text_add(page, "<figcaption><div class=\"score\"><b>");
    ims_text_add_decimal(page, hit->score, 3);
    snprintf(line, sizeof(line), "</b><span>%u \xC3\x97 %u</span></div>", hit->width, hit->height);
    ims_text_add(page, line);
    add_bar(page, hit->score);
    add_name(page, hit->path, hit->path);
    ims_text_add(page, "<table>\n");
    for (size_t c = 0; c < result->channel_count; c++)
        add_part(page, &result->channels[c], &result->parts[i * result->channel_count + c]);
    ims_text_add(page, "</table></figcaption></figure>\n");
    return IMGSIM_OK;
}

static void add_heading(struct ims_text *page, const imgsim_result *result)
{
    ims_text_add(page, page_head);
    ims_text_add(page, "<header><h1>Similar images</h1><p>");
    ims_text_add_summary(page, result);
    ims_text_add(page, "</p><p>");
    ims_text_add_channels(page, result);
    ims_text_add(page, "</p></header>\n");
}

static imgsim_status
build_page(struct ims_text *page, const imgsim_result *result, const imgsim_query *query)
{
    imgsim_status status = IMGSIM_OK;
    size_t hits = result->count < PAGE_HITS_MAX ? result->count : PAGE_HITS_MAX;
    imgsim_features *thumbs = ims_picture_thumbs(query->catalog);

    add_heading(page, result);
    ims_text_add(page, "<h2>Query</h2>\n<div class=\"queries\">\n");
    for (size_t i = 0; i < query->image_count && status == IMGSIM_OK; i++)
        status = add_query_image(page, thumbs, &query->images[i]);
    ims_text_add(
        page, hits > 0 ? "</div>\n<h2>Most similar</h2>\n<div class=\"hits\">\n"
                       : "</div>\n<h2>Nothing found</h2>\n<div class=\"hits\">\n");
    for (size_t i = 0; i < hits && status == IMGSIM_OK; i++)
        status = add_hit(page, thumbs, result, i);
    ims_text_add(page, "</div>\n");
    if (hits < result->count) {
        ims_text_add(page, "<p>The first ");
        ims_text_add_count(page, hits);
        ims_text_add(page, " of ");
        ims_text_add_count(page, result->count);
        ims_text_add(page, " hits are shown.</p>\n");
    }
    ims_text_add(page, "</body>\n</html>\n");
    imgsim_features_free(thumbs);

    if (status == IMGSIM_OK && page->failed)
        status = ims_fail_memory(page->size);
    return status;
}

imgsim_status
imgsim_result_write_html(const imgsim_result *result, const imgsim_query *query, const char *path)
{
    imgsim_status status;
    struct ims_text page = {0};
    struct ims_writer writer = {0};

    if (result == NULL || query == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "result, query and path must not be NULL");

    if ((status = build_page(&page, result, query)) == IMGSIM_OK &&
        (status = ims_writer_open(&writer, path)) == IMGSIM_OK &&
        (status = ims_writer_write(&writer, page.bytes, page.size)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);
    ims_writer_close(&writer);
    ims_text_clear(&page);
    return status;
}
