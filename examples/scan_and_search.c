/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a folder of photos to the five that look most like one: the whole way in one page.
 *
 * cc scan_and_search.c -o scan_and_search $(pkg-config --cflags --libs imgsim)
 * ./scan_and_search photos photos/cat.jpg
 */
#include <imgsim/imgsim.h>

#include <stdio.h>

static int32_t on_progress(const imgsim_progress *progress, void *user_data)
{
    (void)user_data;
    fprintf(stderr, "\r%s %llu", progress->phase, (unsigned long long)progress->done);
    return 0; /* anything else would stop */
}

static void print_hits(const imgsim_result *result)
{
    fputc('\n', stderr);
    for (size_t i = 0; i < imgsim_result_get_count(result); i++) {
        imgsim_hit hit = {.struct_size = sizeof(hit)};

        if (imgsim_result_get_hit(result, i, &hit) == IMGSIM_OK)
            printf("%zu  %.3f  %s\n", i + 1, hit.score, hit.path);
    }
}

int main(int argc, char **argv)
{
    imgsim_catalog_options catalog_options;
    imgsim_scan_options scan_options;
    imgsim_catalog *catalog = NULL;
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;
    imgsim_status status;
    char folder[4096];

    if (argc != 3) {
        fprintf(stderr, "usage: %s FOLDER IMAGE\n", argv[0]);
        return 2;
    }
    imgsim_set_blas_threads(1);
    imgsim_catalog_options_init(&catalog_options, sizeof(catalog_options));
    catalog_options.create = 1;
    imgsim_scan_options_init(&scan_options, sizeof(scan_options));
    scan_options.progress = on_progress;
    snprintf(folder, sizeof(folder), "%s/.imgsim", argv[1]);

    if ((status = imgsim_catalog_open(folder, &catalog_options, &catalog)) != IMGSIM_OK ||
        (status = imgsim_scan(catalog, (const char *const *)&argv[1], 1, &scan_options, NULL)) !=
            IMGSIM_OK ||
        (status = imgsim_query_new(catalog, NULL, &query)) != IMGSIM_OK ||
        (status = imgsim_query_add_file(query, argv[2], 1.0)) != IMGSIM_OK ||
        (status = imgsim_query_search(query, &result)) != IMGSIM_OK)
        fprintf(stderr, "\n%s: %s\n", argv[0], imgsim_last_error());
    else
        print_hits(result);

    imgsim_result_free(result);
    imgsim_query_free(query);
    imgsim_catalog_free(catalog);
    return status == IMGSIM_OK ? 0 : 1;
}
