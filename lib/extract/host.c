/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own extractor: a table of callbacks. */
#include "extract/extractor.h"

#include "core/memory.h"
#include "core/options.h"
#include "simd/metric.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct host_extractor {
    imgsim_extractor common;
    imgsim_host_extractor table;
    void *user_data;
    pthread_mutex_t lock; /* held around extract() unless the table says concurrent */
};

/* A number that is not finite would make every distance to this row meaningless. */
static imgsim_status check_rows(const imgsim_extractor *extractor, const void *rows, size_t count)
{
    const float *values = rows;

    if (extractor->row_type != IMGSIM_ROW_FLOAT32)
        return IMGSIM_OK;
    for (size_t i = 0; i < count * extractor->dimension; i++)
        if (!isfinite(values[i]))
            return ims_fail(
                IMGSIM_ERROR_CALLBACK, "extractor \"%s\": value %zu is not finite", extractor->name,
                i % extractor->dimension);
    return IMGSIM_OK;
}

static int32_t call_host(
    struct host_extractor *host,
    const imgsim_image *const *images,
    size_t count,
    void *out_rows)
{
    int32_t result;

    if (host->common.serial)
        pthread_mutex_lock(&host->lock);
    result = host->table.extract(images, count, out_rows, host->user_data);
    if (host->common.serial)
        pthread_mutex_unlock(&host->lock);
    return result;
}

/* A batch that fails is tried image by image, so that the message can name the one. */
static imgsim_status host_extract_many(
    const imgsim_extractor *extractor,
    const imgsim_image *const *images,
    size_t count,
    void *out_rows)
{
    struct host_extractor *host = (struct host_extractor *)extractor;
    uint8_t *rows = out_rows;
    int32_t result = call_host(host, images, count, out_rows);

    for (size_t i = 0; result != 0 && i < count; i++) {
        int32_t single =
            count == 1 ? result : call_host(host, images + i, 1, rows + i * extractor->row_size);

        if (single != 0)
            return ims_fail(
                IMGSIM_ERROR_CALLBACK, "extractor \"%s\" failed with %d on image %zu of %zu",
                extractor->name, (int)single, i + 1, count);
    }
    return check_rows(extractor, out_rows, count);
}

static void host_free(imgsim_extractor *extractor)
{
    struct host_extractor *host = (struct host_extractor *)extractor;

    if (host->table.release != NULL)
        host->table.release(host->user_data);
    pthread_mutex_destroy(&host->lock);
}

static const struct ims_extractor_kind host_kind = {
    .name = "host",
    .extract_many = host_extract_many,
    .free = host_free};

/* ---- making ---- */

static bool name_is_fine(const char *name)
{
    size_t size = strlen(name);

    return size >= 1 && size <= 63 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == size;
}

static imgsim_status check_table(const imgsim_host_extractor *table)
{
    if (table->name == NULL || !name_is_fine(table->name))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "name must be 1 to 63 characters of [a-z0-9_-]");
    if (table->version == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "version must not be NULL");
    if (table->extract == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "extract must not be NULL");
    if (table->dimension < 1 || table->dimension > 65536)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "dimension is %u, must be 1 to 65536", table->dimension);
    if (table->row_type != IMGSIM_ROW_FLOAT32 && table->row_type != IMGSIM_ROW_UINT32 &&
        table->row_type != IMGSIM_ROW_BITS)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "row_type is %d, must be IMGSIM_ROW_FLOAT32, UINT32 or BITS", (int)table->row_type);
    if (table->row_type == IMGSIM_ROW_BITS && table->dimension % 8 != 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "dimension is %u, of bits it must be a multiple of 8",
            table->dimension);
    if (table->default_metric == IMGSIM_METRIC_CALLBACK ||
        table->default_metric == IMGSIM_METRIC_MAHALANOBIS ||
        !ims_metric_takes(table->default_metric, table->row_type))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "default_metric %d is none for rows of this type, or needs more than rows",
            (int)table->default_metric);
    return IMGSIM_OK;
}

imgsim_status imgsim_extractor_new_host(
    const imgsim_host_extractor *table,
    void *user_data,
    imgsim_extractor **out_extractor)
{
    imgsim_status status;
    imgsim_host_extractor read = {.struct_size = sizeof(read)};
    struct host_extractor *host = NULL;
    char *spec = NULL;
    size_t spec_size;

    if (table == NULL || out_extractor == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "table and out_extractor must not be NULL");
    *out_extractor = NULL;
    if ((status = ims_options_read(&read, sizeof(read), table)) != IMGSIM_OK ||
        (status = check_table(&read)) != IMGSIM_OK)
        return status;

    spec_size = strlen(read.name) + strlen(read.version) + 64;
    spec = ims_alloc(spec_size);
    host = ims_calloc(1, sizeof(*host));
    if (spec == NULL || host == NULL || pthread_mutex_init(&host->lock, NULL) != 0) {
        status = ims_fail_memory(sizeof(*host) + spec_size);
        goto done;
    }
    snprintf(
        spec, spec_size, "host:name=%s,version=%s,dimension=%u,row_type=%d", read.name,
        read.version, read.dimension, (int)read.row_type);
    host->table = read;
    host->table.name = host->table.version = NULL; /* the host's memory; ours is in spec and name */
    host->user_data = user_data;
    host->common.serial = read.concurrent == 0;
    status = ims_extractor_init(
        &host->common, &host_kind, read.name, read.row_type, read.dimension, read.default_metric,
        spec, NULL);
    if (status != IMGSIM_OK) {
        pthread_mutex_destroy(&host->lock);
        ims_free(host->common.spec);
        goto done;
    }
    *out_extractor = &host->common;
    host = NULL; /* now the caller's */

done:
    ims_free(host);
    ims_free(spec);
    return status;
}
