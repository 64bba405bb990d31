/* SPDX-License-Identifier: Apache-2.0 */
/* "embedding=0.7,color=0.2" and "color=chi-square": channels are added, all of them or none. */
#include "fuzz/fuzz.h"

#include <imgsim/query.h>

static imgsim_catalog *catalog;
static char folder[600];

static void clean_up(void)
{
    imgsim_catalog_free(catalog);
    fuzz_remove_folder(folder);
}

/* An empty catalog with two features. */
static void prepare(void)
{
    static const char *const names[2] = {"embedding", "color"};
    imgsim_catalog_options options;
    char path[700];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/.imgsim", folder);
    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    CHECK_OK(imgsim_catalog_open(path, &options, &catalog));
    for (int i = 0; i < 2; i++) {
        imgsim_feature_definition definition = {
            .struct_size = sizeof(definition),
            .name = names[i],
            .dimension = 4,
            .row_type = IMGSIM_ROW_FLOAT32,
            .metric = IMGSIM_METRIC_L2,
        };

        CHECK_OK(imgsim_catalog_put_features(catalog, &definition, NULL, 0, NULL, 0));
    }
    CHECK_OK(imgsim_catalog_refresh(catalog));
    CHECK(atexit(clean_up) == 0);
}

/* The text before the first line end says by what, the rest with which metrics. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size), *metrics = strchr(text, '\n');
    imgsim_query *query = NULL;
    imgsim_status status;
    int64_t id;

    if (catalog == NULL)
        prepare();
    if (metrics != NULL)
        *metrics++ = '\0';
    CHECK_OK(imgsim_query_new(catalog, NULL, &query));
    status = imgsim_query_add_channels(query, text, metrics);
    if (status != IMGSIM_OK) {
        fuzz_check_refused(status);
        /* None was added. */
        CHECK_OK(imgsim_query_add_channels(query, "embedding=0.5,color", NULL));
    }
    if ((status = imgsim_catalog_find(catalog, text, &id)) != IMGSIM_OK)
        fuzz_check_refused(status);
    imgsim_query_free(query);
    free(text);
    return 0;
}
