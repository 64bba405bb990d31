/* SPDX-License-Identifier: Apache-2.0 */
/* Options structs grow without breaking anybody: older and newer callers against this library, for every struct. */
#include <imgsim/imgsim.h>

#include "check.h"

typedef imgsim_status (*init_function)(void *options, size_t struct_size);

static const struct {
    const char *name;
    init_function init;
    size_t size;
} structs[] = {
    {"catalog", (init_function)(void (*)(void))imgsim_catalog_options_init,
     sizeof(imgsim_catalog_options)},
    {"channel", (init_function)(void (*)(void))imgsim_channel_options_init,
     sizeof(imgsim_channel_options)},
    {"cnn", (init_function)(void (*)(void))imgsim_cnn_options_init, sizeof(imgsim_cnn_options)},
    {"color", (init_function)(void (*)(void))imgsim_color_options_init,
     sizeof(imgsim_color_options)},
    {"hash", (init_function)(void (*)(void))imgsim_hash_options_init, sizeof(imgsim_hash_options)},
    {"image", (init_function)(void (*)(void))imgsim_image_options_init,
     sizeof(imgsim_image_options)},
    {"index", (init_function)(void (*)(void))imgsim_index_options_init,
     sizeof(imgsim_index_options)},
    {"map", (init_function)(void (*)(void))imgsim_map_options_init, sizeof(imgsim_map_options)},
    {"page", (init_function)(void (*)(void))imgsim_page_options_init, sizeof(imgsim_page_options)},
    {"pairs", (init_function)(void (*)(void))imgsim_pairs_options_init,
     sizeof(imgsim_pairs_options)},
    {"plot", (init_function)(void (*)(void))imgsim_plot_options_init, sizeof(imgsim_plot_options)},
    {"projection", (init_function)(void (*)(void))imgsim_projection_options_init,
     sizeof(imgsim_projection_options)},
    {"study", (init_function)(void (*)(void))imgsim_study_options_init,
     sizeof(imgsim_study_options)},
    {"cluster", (init_function)(void (*)(void))imgsim_cluster_options_init,
     sizeof(imgsim_cluster_options)},
    {"cluster_labels", (init_function)(void (*)(void))imgsim_cluster_labels_options_init,
     sizeof(imgsim_cluster_labels_options)},
    {"predict", (init_function)(void (*)(void))imgsim_predict_options_init,
     sizeof(imgsim_predict_options)},
    {"projector", (init_function)(void (*)(void))imgsim_projector_options_init,
     sizeof(imgsim_projector_options)},
    {"quality", (init_function)(void (*)(void))imgsim_quality_options_init,
     sizeof(imgsim_quality_options)},
    {"query", (init_function)(void (*)(void))imgsim_query_options_init,
     sizeof(imgsim_query_options)},
    {"check", (init_function)(void (*)(void))imgsim_check_options_init,
     sizeof(imgsim_check_options)},
    {"duplicates", (init_function)(void (*)(void))imgsim_duplicates_options_init,
     sizeof(imgsim_duplicates_options)},
    {"repair", (init_function)(void (*)(void))imgsim_repair_options_init,
     sizeof(imgsim_repair_options)},
    {"scan", (init_function)(void (*)(void))imgsim_scan_options_init, sizeof(imgsim_scan_options)},
    {"search", (init_function)(void (*)(void))imgsim_search_options_init,
     sizeof(imgsim_search_options)},
    {"search_stats", (init_function)(void (*)(void))imgsim_search_stats_init,
     sizeof(imgsim_search_stats)},
};

/* A caller of this version gets the defaults and its own size. */
static void check_same_size(size_t i, uint8_t *defaults)
{
    memset(defaults, 0xff, structs[i].size);
    CHECK_OK(structs[i].init(defaults, structs[i].size));
    CHECK(memcmp(defaults, &structs[i].size, sizeof(size_t)) == 0);
}

/* An older caller with a shorter struct gets the beginning; nothing behind it is touched. */
static void check_older_caller(size_t i, const uint8_t *defaults)
{
    uint8_t memory[512];
    size_t size = structs[i].size - 4;

    memset(memory, 0xaa, sizeof(memory));
    CHECK_OK(structs[i].init(memory, size));
    CHECK(memcmp(memory, &size, sizeof(size_t)) == 0);
    CHECK(memcmp(memory + sizeof(size_t), defaults + sizeof(size_t), size - sizeof(size_t)) == 0);
    CHECK(memory[size] == 0xaa);
}

/* A newer caller with a longer struct gets zeros in the fields this library does not know. */
static void check_newer_caller(size_t i, const uint8_t *defaults)
{
    uint8_t memory[512];
    size_t size = structs[i].size + 16;

    memset(memory, 0xaa, sizeof(memory));
    CHECK_OK(structs[i].init(memory, size));
    CHECK(
        memcmp(
            memory + sizeof(size_t), defaults + sizeof(size_t), structs[i].size - sizeof(size_t)) ==
        0);
    for (size_t byte = structs[i].size; byte < size; byte++)
        CHECK_EQUAL(memory[byte], 0);
}

/* Reading: forgotten init, a newer field that is set, and one that is not. */
static void check_reading(void)
{
    struct {
        imgsim_projector_options options;
        uint64_t later;
    } newer;
    imgsim_projector_options forgotten;
    imgsim_projector *projector = NULL;

    memset(&forgotten, 0, sizeof(forgotten));
    CHECK_FAILS(
        imgsim_projector_new(4, 2, &forgotten, &projector), IMGSIM_ERROR_INVALID_ARGUMENT, "init");

    memset(&newer, 0, sizeof(newer));
    CHECK_OK(imgsim_projector_options_init(&newer.options, sizeof(newer)));
    CHECK_OK(imgsim_projector_new(4, 2, &newer.options, &projector));
    imgsim_projector_free(projector);
    newer.later = 1;
    CHECK_FAILS(
        imgsim_projector_new(4, 2, &newer.options, &projector), IMGSIM_ERROR_UNSUPPORTED,
        "library");
    CHECK(projector == NULL);
}

int main(void)
{
    uint8_t defaults[512];

    for (size_t i = 0; i < sizeof(structs) / sizeof(structs[0]); i++) {
        printf("%s\n", structs[i].name);
        CHECK(structs[i].size + 16 <= sizeof(defaults));
        check_same_size(i, defaults);
        check_older_caller(i, defaults);
        check_newer_caller(i, defaults);
        CHECK_FAILS(structs[i].init(NULL, structs[i].size), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    }
    check_reading();
    return 0;
}
