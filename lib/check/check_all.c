/* SPDX-License-Identifier: Apache-2.0 */
/* Checking and repairing a catalog with all that was derived from it: joins what each room knows about its own. */
#include "check/check.h"

#include "catalog/catalog.h"
#include "catalog/repair.h"
#include "core/options.h"
#include "derive/derive.h"
#include "map/map_check.h"

#include <string.h>

static const imgsim_check_options default_check = {.struct_size = sizeof(default_check)};
static const imgsim_repair_options default_repair = {.struct_size = sizeof(default_repair)};

imgsim_status imgsim_check_options_init(imgsim_check_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &default_check, sizeof(default_check));
}

imgsim_status imgsim_repair_options_init(imgsim_repair_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &default_repair, sizeof(default_repair));
}

/* ---- checking ---- */

static void on_problem(const char *problem, void *user_data)
{
    struct ims_check_all *check = user_data;

    check->report.problems++;
    if (check->options.callback != NULL)
        check->options.callback(IMGSIM_CHECK_CATALOG, problem, check->options.user_data);
}

/* That problems were found is no failure of the check; one that ended it is a problem, too. */
static imgsim_status found(struct ims_check_all *check, imgsim_status status, uint64_t before)
{
    if (status != IMGSIM_ERROR_CORRUPT)
        return status;
    if (check->report.problems == before)
        on_problem(imgsim_last_error(), check);
    return IMGSIM_OK;
}

static imgsim_status check_all(struct ims_check_all *check)
{
    struct ims_verified rows = {0};
    imgsim_status status;
    uint64_t problems;

    ims_meter_start(&check->meter, check->options.progress, check->options.progress_data);
    status = found(check, ims_catalog_verify(check->catalog, on_problem, check, &rows), 0);
    check->report.rows = rows.rows;
    check->report.rows_unknown = rows.unknown;
    check->report.rows_damaged = rows.damaged;
    problems = check->report.problems;
    if (status != IMGSIM_OK ||
        (status =
             found(check, imgsim_derive_verify(check->catalog, on_problem, check), problems)) !=
            IMGSIM_OK ||
        (status = ims_maps_check(check->catalog, NULL, on_problem, check, &problems)) != IMGSIM_OK)
        return status;
    if (check->options.files != IMGSIM_CHECK_FILES_NONE)
        status = ims_check_image_files(check);
    if (status == IMGSIM_OK && check->report.problems > 0)
        status = ims_fail(
            IMGSIM_ERROR_CORRUPT, "%llu problems were found in %s",
            (unsigned long long)check->report.problems, imgsim_catalog_get_path(check->catalog));
    return status;
}

/* Hand out as much of a report as the caller knows. */
static void give_report(void *out, const void *report, size_t known, size_t size)
{
    if (out == NULL)
        return;
    memcpy(out, report, size < known ? size : known);
    memcpy(out, &size, sizeof(size));
}

imgsim_status imgsim_catalog_check(
    const imgsim_catalog *catalog,
    const imgsim_check_options *options,
    imgsim_check_report *out_report)
{
    struct ims_check_all check = {.catalog = catalog, .options = default_check};
    size_t size = out_report != NULL ? out_report->struct_size : 0;
    imgsim_status status;

    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if (out_report != NULL && size < sizeof(size_t) + sizeof(uint64_t))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_report has no struct_size");
    if ((status = ims_options_read(&check.options, sizeof(check.options), options)) != IMGSIM_OK)
        return status;
    if (check.options.files < IMGSIM_CHECK_FILES_NONE ||
        check.options.files > IMGSIM_CHECK_FILES_CONTENT)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "files is %d, expected 0 to %d", check.options.files,
            IMGSIM_CHECK_FILES_CONTENT);
    status = check_all(&check);
    give_report(out_report, &check.report, sizeof(check.report), size);
    return status;
}

/* ---- repairing ---- */

/* What a repair leaves has to pass the checks; otherwise it was of no use, and the caller is told. */
static imgsim_status repair_all(struct ims_repair *repair, const char *path)
{
    imgsim_catalog *catalog = NULL;
    imgsim_status status;
    uint64_t problems;

    if ((status = ims_repair_open(repair, path, &catalog)) == IMGSIM_OK &&
        (status = ims_repair_catalog(repair, catalog)) == IMGSIM_OK &&
        (status = ims_derive_repair(repair, catalog)) == IMGSIM_OK &&
        (status = ims_maps_check(catalog, repair, NULL, NULL, &problems)) == IMGSIM_OK &&
        (status = imgsim_catalog_refresh(catalog)) == IMGSIM_OK)
        status = imgsim_catalog_check(catalog, NULL, NULL);
    imgsim_catalog_free(catalog);
    return status;
}

imgsim_status imgsim_catalog_repair(
    const char *path,
    const imgsim_repair_options *options,
    imgsim_repair_report *out_report)
{
    struct ims_repair repair = {.options = default_repair};
    size_t size = out_report != NULL ? out_report->struct_size : 0;
    imgsim_status status;

    if (path == NULL || path[0] == '\0')
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path must not be NULL or empty");
    if (out_report != NULL && size < sizeof(size_t) + sizeof(uint64_t))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_report has no struct_size");
    if ((status = ims_options_read(&repair.options, sizeof(repair.options), options)) != IMGSIM_OK)
        return status;
    status = repair_all(&repair, path);
    give_report(out_report, &repair.report, sizeof(repair.report), size);
    return status;
}
