/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim_scan(): options, extractors and features, and the order of walk, plan, pipeline and store. */
#include "scan/scan.h"

#include "core/memory.h"
#include "core/options.h"
#include "core/threads.h"
#include "extract/extractor.h"
#include "extract/thumb.h"

#include <stdio.h>
#include <string.h>

#define THREADS_MAX 1024
#define FILE_TIMEOUT_MS 30000
#define FILE_TIMEOUT_MS_MIN 100
#define WORKER_MEMORY (UINT64_C(1) << 31)
#define WORKER_MEMORY_MIN (UINT64_C(1) << 26)

/* One call of imgsim_scan(). */
struct scan {
    imgsim_catalog *catalog;
    imgsim_scan_options options;
    const imgsim_extractor *extractors[IMS_SCAN_EXTRACTORS_MAX];
    /* Made here when the caller gave none, and the one of thumbnails. */
    imgsim_extractor *own[3];
    struct ims_prepare_settings settings;
    struct ims_isolation isolation;
    struct ims_catalog_writer *writer;
    struct ims_meter meter;
    struct ims_patterns include;
    struct ims_patterns exclude;
    struct ims_walk walk;
    struct ims_plan plan;
    struct ims_store store;
    imgsim_scan_report report;
    double started;
};

static imgsim_scan_options default_options(void)
{
    return (imgsim_scan_options){
        .struct_size = sizeof(imgsim_scan_options),
        .transaction_size = 500,
        .min_side = 256,
        .thumb_side = IMGSIM_THUMB_SIDE_AS_IS,
        .isolation = IMGSIM_ISOLATION_NONE,
        .file_timeout_ms = FILE_TIMEOUT_MS,
        .worker_memory = WORKER_MEMORY};
}

imgsim_status imgsim_scan_options_init(imgsim_scan_options *options, size_t struct_size)
{
    const imgsim_scan_options defaults = default_options();

    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* ---- options ---- */

static int32_t find_thumbs(const imgsim_feature_info *feature, void *user_data)
{
    uint32_t *side = user_data;

    if (strcmp(feature->name, IMS_THUMB_FEATURE) != 0)
        return 0;
    *side = ims_thumb_spec_side(feature->spec);
    return 1;
}

/* Thumbnails of the side asked for, or of the side that the catalog's have. */
static imgsim_status take_thumbs(struct scan *scan)
{
    uint32_t side = scan->options.thumb_side;
    imgsim_status status;

    if (side == 0)
        return IMGSIM_OK;
    if (side == IMGSIM_THUMB_SIDE_AS_IS) {
        side = 0;
        if ((status = imgsim_catalog_visit_features(scan->catalog, find_thumbs, &side)) !=
            IMGSIM_OK)
            return status;
        if (side == 0)
            side = IMS_THUMB_SIDE_DEFAULT;
    }
    if (scan->settings.extractor_count == IMS_SCAN_EXTRACTORS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%zu extractors leave no room for thumbnails",
            scan->settings.extractor_count);
    if ((status = ims_extractor_new_thumb(side, &scan->own[2])) == IMGSIM_OK)
        scan->extractors[scan->settings.extractor_count++] = scan->own[2];
    return status;
}

/* The caller's extractors, or the default ones. */
static imgsim_status take_extractors(struct scan *scan)
{
    const imgsim_scan_options *options = &scan->options;
    size_t count = options->extractor_count;
    imgsim_status status;

    if (count == 0) {
        if ((status = imgsim_extractor_new_color(NULL, &scan->own[0])) != IMGSIM_OK ||
            (status = imgsim_extractor_new_hash(NULL, &scan->own[1])) != IMGSIM_OK)
            return status;
        scan->extractors[0] = scan->own[0];
        scan->extractors[1] = scan->own[1];
        count = 2;
    } else {
        if (options->extractors == NULL || count > IMS_SCAN_EXTRACTORS_MAX)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "%zu extractors%s, at most %d", count,
                options->extractors == NULL ? " at NULL" : "", IMS_SCAN_EXTRACTORS_MAX);
        memcpy(scan->extractors, options->extractors, count * sizeof(*scan->extractors));
    }
    for (size_t i = 0; i < count; i++) {
        if (scan->extractors[i] == NULL)
            return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "extractor %zu is NULL", i);
        if (strcmp(scan->extractors[i]->name, IMS_THUMB_FEATURE) == 0)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "extractor %zu is named \"" IMS_THUMB_FEATURE "\", which thumbnails have", i);
        for (size_t j = 0; j < i; j++)
            if (strcmp(scan->extractors[i]->name, scan->extractors[j]->name) == 0)
                return ims_fail(
                    IMGSIM_ERROR_INVALID_ARGUMENT, "two extractors are named \"%s\"",
                    scan->extractors[i]->name);
    }
    scan->settings.extractors = scan->extractors;
    scan->settings.extractor_count = count;
    if ((status = take_thumbs(scan)) != IMGSIM_OK)
        return status;
    return ims_prepare_layout(&scan->settings);
}

/* How images are decoded: as small as all extractors allow, unless full size is asked for. */
static imgsim_status take_image_options(struct scan *scan)
{
    imgsim_image_options *image = &scan->settings.image;
    imgsim_status status;

    if ((status = imgsim_image_options_init(image, sizeof(*image))) != IMGSIM_OK ||
        (status = ims_options_read(image, sizeof(*image), scan->options.image_options)) !=
            IMGSIM_OK)
        return status;
    if (scan->options.min_side == 0) {
        image->min_side = 0;
        return IMGSIM_OK;
    }
    if (image->min_side < scan->options.min_side)
        image->min_side = scan->options.min_side;
    for (size_t i = 0; i < scan->settings.extractor_count; i++)
        if (image->min_side < scan->extractors[i]->min_side)
            image->min_side = scan->extractors[i]->min_side;
    return IMGSIM_OK;
}

/* Where images are decoded, and the limits there. */
static imgsim_status take_isolation(struct scan *scan)
{
    const imgsim_scan_options *options = &scan->options;
    struct ims_isolation *isolation = &scan->isolation;

    if (options->isolation < IMGSIM_ISOLATION_NONE || options->isolation > IMGSIM_ISOLATION_AUTO)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown isolation %d", (int)options->isolation);
    isolation->mode = options->isolation;
    isolation->timeout_ms =
        options->file_timeout_ms != 0 ? options->file_timeout_ms : FILE_TIMEOUT_MS;
    isolation->memory = options->worker_memory != 0 ? options->worker_memory : WORKER_MEMORY;
    if (isolation->timeout_ms < FILE_TIMEOUT_MS_MIN)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "file_timeout_ms is %u, must be 0 or at least %d",
            options->file_timeout_ms, FILE_TIMEOUT_MS_MIN);
    if (isolation->memory < WORKER_MEMORY_MIN)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "worker_memory is %llu, must be 0 or at least %llu",
            (unsigned long long)options->worker_memory, (unsigned long long)WORKER_MEMORY_MIN);
    return ims_isolation_choose(isolation);
}

static imgsim_status take_options(struct scan *scan, const imgsim_scan_options *options)
{
    imgsim_status status;

    scan->options = default_options();
    if ((status = ims_options_read(&scan->options, sizeof(scan->options), options)) != IMGSIM_OK)
        return status;
    if (scan->options.transaction_size < 1 || scan->options.transaction_size > IMS_TRANSACTION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "transaction_size is %u, must be 1 to 10000",
            scan->options.transaction_size);
    if (scan->options.threads > THREADS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "threads is %u, at most %d", scan->options.threads,
            THREADS_MAX);
    if (scan->options.threads == 0)
        scan->options.threads = ims_cpu_count();
    if ((status = take_isolation(scan)) != IMGSIM_OK ||
        (status = ims_patterns_open(
             &scan->include, "include", scan->options.include, scan->options.include_count)) !=
            IMGSIM_OK ||
        (status = ims_patterns_open(
             &scan->exclude, "exclude", scan->options.exclude, scan->options.exclude_count)) !=
            IMGSIM_OK ||
        (status = take_extractors(scan)) != IMGSIM_OK)
        return status;
    return take_image_options(scan);
}

/* ---- the steps ---- */

/* A feature of this name with other settings: rows of both kinds do not mix. */
static imgsim_status refuse_feature(imgsim_status status)
{
    struct ims_error error = {0};

    if (status != IMGSIM_ERROR_INVALID_ARGUMENT)
        return status;
    ims_error_save(&error, status);
    return ims_fail(
        status,
        "%.800s; to have it computed anew, remove it first "
        "(imgsim_catalog_remove_features, imgsim scan --replace)",
        error.text);
}

static imgsim_status open_features(struct scan *scan)
{
    imgsim_status status;

    for (size_t i = 0; i < scan->settings.extractor_count; i++) {
        const imgsim_extractor *extractor = scan->extractors[i];
        imgsim_feature_definition definition = {
            .struct_size = sizeof(definition),
            .name = extractor->name,
            .spec = extractor->spec,
            .fingerprint = extractor->fingerprint,
            .dimension = extractor->dimension,
            .row_type = extractor->row_type,
            .metric = extractor->metric};

        status = ims_catalog_writer_feature(scan->writer, &definition, 0, &scan->store.numbers[i]);
        if (status != IMGSIM_OK)
            return refuse_feature(status);
    }
    return IMGSIM_OK;
}

static imgsim_status find_work(struct scan *scan, const char *const *paths, size_t path_count)
{
    const struct ims_walk_options walk = {
        .catalog = scan->catalog,
        .paths = paths,
        .path_count = path_count,
        .meter = &scan->meter,
        .include = &scan->include,
        .exclude = &scan->exclude,
        .min_bytes = scan->options.min_bytes,
        .include_hidden = scan->options.include_hidden != 0,
        .follow_links = scan->options.follow_links != 0,
        .one_file_system = scan->options.one_file_system != 0};
    struct ims_plan_options plan = {
        .catalog = scan->catalog,
        .writer = scan->writer,
        .walk = &scan->walk,
        .max_bytes = scan->settings.image.max_bytes,
        .isolation = &scan->isolation,
        .recheck = scan->options.recheck != 0};
    imgsim_status status;

    for (size_t i = 0; i < scan->settings.extractor_count; i++)
        plan.wanted |= UINT64_C(1) << scan->store.numbers[i];
    status = ims_walk_run(&walk, &scan->walk);
    scan->report.seen = scan->walk.count;
    if (status != IMGSIM_OK || (status = ims_plan_make(&plan, &scan->plan)) != IMGSIM_OK)
        return status;
    scan->report.unchanged = scan->plan.unchanged;
    return IMGSIM_OK;
}

/* What there is to do, for the estimate of the time left. */
static struct ims_meter_load load_of(const struct scan *scan)
{
    uint32_t cpus = ims_cpu_count(), threads = scan->options.threads;
    struct ims_meter_load load = {
        .item_work = scan->settings.network_mask != 0 ? IMS_NETWORK_WORK : IMS_FILE_WORK,
        .work_seconds = IMS_WORK_SECONDS / (threads < cpus ? threads : cpus)};

    for (size_t i = 0; i < scan->plan.item_count; i++) {
        load.bytes += scan->plan.items[i].bytes;
        load.work += ims_file_work(scan->plan.items[i].bytes);
    }
    return load;
}

/* Work through the plan; what was stored is committed also when the host asks to stop. */
static imgsim_status do_work(struct scan *scan)
{
    const struct ims_pipeline_options options = {
        .plan = &scan->plan,
        .settings = &scan->settings,
        .isolation = &scan->isolation,
        .store = &scan->store,
        .meter = &scan->meter,
        .threads = scan->options.threads};
    const struct ims_meter_load load = load_of(scan);
    imgsim_status status;

    ims_meter_phase(&scan->meter, "scan", scan->plan.item_count);
    ims_meter_bytes(&scan->meter, &load);
    if ((status = ims_pipeline_run(&options)) == IMGSIM_OK &&
        (status = ims_store_finish(&scan->store)) == IMGSIM_OK) {
        if ((status = ims_store_commit(&scan->store)) == IMGSIM_OK)
            status = ims_meter_tick(&scan->meter, true);
    } else if (status == IMGSIM_ERROR_CANCELLED) {
        struct ims_error error = {0};

        ims_error_save(&error, status);
        if ((status = ims_store_commit(&scan->store)) == IMGSIM_OK)
            status = ims_error_raise(&error);
    }
    return status;
}

static imgsim_status run(struct scan *scan, const char *const *paths, size_t path_count)
{
    imgsim_status status;

    if ((status = ims_catalog_writer_open(scan->catalog, "scan", &scan->writer)) != IMGSIM_OK ||
        (status = open_features(scan)) != IMGSIM_OK)
        return status;
    scan->store.writer = scan->writer;
    scan->store.plan = &scan->plan;
    scan->store.settings = &scan->settings;
    scan->store.report = &scan->report;
    scan->store.meter = &scan->meter;
    scan->store.transaction_size = scan->options.transaction_size;
    scan->store.last_commit = ims_now();
    scan->settings.stop = &scan->meter.stop;

    if ((status = find_work(scan, paths, path_count)) != IMGSIM_OK)
        return status;
    return do_work(scan);
}

/*
 * Remember how small images were decoded: histograms of images from elsewhere compare best when they are decoded alike.
 * Only a hint, so that failing to write it is no failure of the scan.
 */
static void remember_min_side(const struct scan *scan)
{
    char before[16], now[16];

    if (scan->report.added + scan->report.refreshed == 0)
        return;
    snprintf(now, sizeof(now), "%u", scan->settings.image.min_side);
    if (imgsim_catalog_get_setting(scan->catalog, IMS_SCAN_MIN_SIDE, before, sizeof(before)) ==
            IMGSIM_OK &&
        strcmp(before, now) == 0)
        return;
    if (imgsim_catalog_set_setting(scan->catalog, IMS_SCAN_MIN_SIDE, now) != IMGSIM_OK)
        ims_log(
            IMGSIM_LOG_WARNING, "the setting %s is not stored: %s", IMS_SCAN_MIN_SIDE,
            imgsim_last_error());
}

/* Release all, let the handle see what was stored, and keep the error that ended the scan. */
static imgsim_status close_scan(struct scan *scan, imgsim_status status)
{
    struct ims_error error = {0};
    imgsim_status refreshed = IMGSIM_OK;

    if (status != IMGSIM_OK)
        ims_error_save(&error, status);
    if (scan->writer != NULL) {
        ims_catalog_writer_close(scan->writer);
        remember_min_side(scan);
        refreshed = imgsim_catalog_refresh(scan->catalog);
    }
    ims_plan_close(&scan->plan);
    ims_walk_close(&scan->walk);
    ims_patterns_close(&scan->include);
    ims_patterns_close(&scan->exclude);
    imgsim_extractor_free(scan->own[0]);
    imgsim_extractor_free(scan->own[1]);
    imgsim_extractor_free(scan->own[2]);
    ims_free(scan);
    return error.status != IMGSIM_OK ? ims_error_raise(&error) : refreshed;
}

/* Images whose transaction failed were not stored, whatever was counted meanwhile. */
static void take_back_uncommitted(struct scan *scan)
{
    scan->report.added = scan->store.committed.added;
    scan->report.refreshed = scan->store.committed.refreshed;
    scan->report.moved = scan->store.committed.moved;
}

/* Fill as much of the caller's report as there is room for. */
static void hand_over(const imgsim_scan_report *report, imgsim_scan_report *out, size_t size)
{
    memcpy(out, report, size < sizeof(*report) ? size : sizeof(*report));
    out->struct_size = size;
}

imgsim_status imgsim_scan(
    imgsim_catalog *catalog,
    const char *const *paths,
    size_t path_count,
    const imgsim_scan_options *options,
    imgsim_scan_report *out_report)
{
    size_t report_size = out_report != NULL ? out_report->struct_size : sizeof(*out_report);
    imgsim_status status;
    struct scan *scan;

    if (catalog == NULL || paths == NULL || path_count == 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and at least one path are needed");
    for (size_t i = 0; i < path_count; i++)
        if (paths[i] == NULL || paths[i][0] == '\0')
            return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path %zu is empty", i);
    if (report_size < sizeof(size_t) + sizeof(uint64_t))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_report has no struct_size");

    if ((scan = ims_calloc(1, sizeof(*scan))) == NULL)
        return ims_fail_memory(sizeof(*scan));
    scan->catalog = catalog;
    scan->started = ims_now();
    if ((status = take_options(scan, options)) == IMGSIM_OK) {
        ims_meter_start(&scan->meter, scan->options.progress, scan->options.user_data);
        status = run(scan, paths, path_count);
    }
    if (status != IMGSIM_OK)
        take_back_uncommitted(scan);
    scan->report.seconds = ims_now() - scan->started;
    if (out_report != NULL)
        hand_over(&scan->report, out_report, report_size);
    return close_scan(scan, status);
}
