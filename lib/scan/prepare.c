/* SPDX-License-Identifier: Apache-2.0 */
/* One file becomes a plain result: read and hash, decode once, let every extractor work on the same pixels. */
#include "scan/scan.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"
#include "extract/extractor.h"
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that decide whether a file may be an image; smaller files are read whole in the same call. */
#define FIRST_READ 65536
/* Buffers above this are not kept for the next file. */
#define BUFFER_KEPT (16u << 20)
/* When decoding something this large runs out of memory the file is to blame, otherwise the machine. */
#define LARGE_IMAGE (64u << 20)

void ims_prepared_set(struct ims_prepared_file *prepared, int32_t state, const char *format, ...)
{
    va_list arguments;

    prepared->state = state;
    va_start(arguments, format);
    vsnprintf(prepared->reason, sizeof(prepared->reason), format, arguments);
    va_end(arguments);
    for (char *at = prepared->reason; *at != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
}

void ims_prepared_file_clear(struct ims_prepared_file *prepared)
{
    ims_free_aligned(prepared->block);
    ims_free_aligned(prepared->packed);
    *prepared = (struct ims_prepared_file){0};
}

static bool place(size_t *end, size_t size, size_t *out_at)
{
    *out_at = *end;
    return ims_add_size(*end, size, end) && ims_add_size(*end, 63, end) && (*end &= ~(size_t)63, 1);
}

imgsim_status ims_prepare_layout(struct ims_prepare_settings *settings)
{
    settings->block_size = 0;
    settings->network_mask = 0;
    for (size_t i = 0; i < settings->extractor_count; i++) {
        const imgsim_extractor *extractor = settings->extractors[i];

        if (!place(&settings->block_size, extractor->row_size, &settings->row_at[i]) ||
            !place(&settings->block_size, extractor->input_size, &settings->input_at[i]))
            return ims_fail(IMGSIM_ERROR_LIMIT, "the rows of the extractors are too large");
        if (extractor->input_size > 0)
            settings->network_mask |= UINT64_C(1) << i;
    }
    return IMGSIM_OK;
}

/* ---- reading ---- */

static bool reserve(struct ims_file_buffer *buffer, size_t size)
{
    if (buffer->capacity >= size && (buffer->capacity <= BUFFER_KEPT || size > BUFFER_KEPT))
        return true;
    if (buffer->reserve != NULL)
        return buffer->reserve(buffer, size);
    ims_free(buffer->data);
    buffer->capacity = 0;
    if (size < FIRST_READ)
        size = FIRST_READ;
    buffer->data = ims_alloc(size);
    if (buffer->data == NULL)
        return false;
    buffer->capacity = size;
    return true;
}

/* Read until `size` bytes are there or the file ends; -1 and errno on failure. */
static ssize_t read_up_to(int descriptor, uint8_t *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t count = read(descriptor, data + done, size - done);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return (ssize_t)done;
}

static void note_stat(struct ims_prepared_file *out, const struct stat *info)
{
    out->bytes = S_ISREG(info->st_mode) ? (uint64_t)info->st_size : 0;
    out->mtime_ns = (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

/* State and reason of a file that need not be read, judged by its stat: false. */
static bool worth_reading(
    const struct ims_prepare_settings *settings,
    const struct stat *info,
    struct ims_prepared_file *out)
{
    note_stat(out, info);
    if (!S_ISREG(info->st_mode))
        ims_prepared_set(out, IMGSIM_FILE_SKIPPED, "not a regular file");
    else if (info->st_size == 0)
        ims_prepared_set(out, IMGSIM_FILE_FAILED, "empty");
    else if ((uint64_t)info->st_size > settings->image.max_bytes)
        ims_prepared_set(out, IMGSIM_FILE_SKIPPED, "too many bytes");
    else
        return true;
    return false;
}

/* Read an open file once: *out_stable is false when it changed meanwhile. */
static imgsim_status read_once(
    const struct ims_prepare_settings *settings,
    int descriptor,
    struct ims_file_buffer *buffer,
    struct ims_prepared_file *out,
    bool *out_stable)
{
    struct stat before, after;
    size_t size, first;
    ssize_t count, more = 0;

    *out_stable = true;
    if (fstat(descriptor, &before) != 0)
        goto unreadable;
    if (!worth_reading(settings, &before, out))
        return IMGSIM_OK;
    size = (size_t)before.st_size;
    if (!reserve(buffer, size))
        return ims_fail_memory(size);

    first = size < FIRST_READ ? size : FIRST_READ;
    if ((count = read_up_to(descriptor, buffer->data, first)) < 0)
        goto unreadable;
    out->bytes_read += (uint64_t)count;
    if (count > 0 && !ims_sniff_image(buffer->data, (size_t)count)) {
        ims_prepared_set(out, IMGSIM_FILE_SKIPPED, "not an image");
        return IMGSIM_OK;
    }
    if (size > first && (size_t)count == first &&
        (more = read_up_to(descriptor, buffer->data + first, size - first)) < 0)
        goto unreadable;
    out->bytes_read += (uint64_t)more;
    if (fstat(descriptor, &after) != 0)
        goto unreadable;
    buffer->size = (size_t)(count + more);
    *out_stable = buffer->size == size && after.st_size == before.st_size &&
                  after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
                  after.st_mtim.tv_nsec == before.st_mtim.tv_nsec;
    return IMGSIM_OK;

unreadable:
    if (errno == ENOMEM)
        return ims_fail_errno(errno, "reading a file");
    ims_prepared_set(out, IMGSIM_FILE_FAILED, "unreadable: %s", strerror(errno));
    return IMGSIM_OK;
}

imgsim_status ims_prepare_read(
    const struct ims_prepare_settings *settings,
    const char *path,
    struct ims_file_buffer *buffer,
    struct ims_prepared_file *out)
{
    /* Non-blocking: a FIFO may have taken the file's place since the walk. */
    int descriptor = ims_open_path(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    imgsim_status status = IMGSIM_OK;
    bool stable = false;

    if (descriptor < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            return ims_fail_errno(errno, "%s", path);
        ims_prepared_set(out, IMGSIM_FILE_FAILED, "unreadable: %s", strerror(errno));
        return IMGSIM_OK;
    }
    for (int attempt = 0; attempt < 2 && status == IMGSIM_OK && !stable; attempt++) {
        if (attempt > 0 && lseek(descriptor, 0, SEEK_SET) != 0)
            break;
        status = read_once(settings, descriptor, buffer, out, &stable);
    }
    close(descriptor);
    if (status != IMGSIM_OK || out->state != IMGSIM_FILE_OK)
        return status;
    if (!stable) {
        ims_prepared_set(out, IMGSIM_FILE_FAILED, "changed while being read");
        return IMGSIM_OK;
    }
    ims_hash128(buffer->data, buffer->size, out->hash);
    out->has_hash = true;
    return IMGSIM_OK;
}

/* ---- decoding and extracting ---- */

/* Faults of the machine end the scan, all others are the file's. */
static bool ends_scan(imgsim_status status)
{
    return status == IMGSIM_ERROR_OUT_OF_MEMORY || status == IMGSIM_ERROR_NO_SPACE;
}

static imgsim_status decode_failed(
    const struct ims_prepare_settings *settings,
    const struct ims_file_buffer *buffer,
    imgsim_status status,
    struct ims_prepared_file *out)
{
    const char *reason = ims_image_last_reason();
    int32_t state = IMGSIM_FILE_FAILED;

    if (status == IMGSIM_ERROR_OUT_OF_MEMORY) {
        if (ims_sniff_memory(buffer->data, buffer->size, settings->image.min_side) < LARGE_IMAGE)
            return status;
        reason = "too large for memory";
    } else if (status == IMGSIM_ERROR_NO_SPACE) {
        return status;
    }
    /* Left alone on purpose, not broken. */
    if (status == IMGSIM_ERROR_LIMIT || status == IMGSIM_ERROR_UNSUPPORTED ||
        (reason != NULL && strcmp(reason, "not an image") == 0))
        state = IMGSIM_FILE_SKIPPED;
    ims_prepared_set(
        out, state, "%s", reason != NULL && reason[0] != '\0' ? reason : imgsim_last_error());
    return IMGSIM_OK;
}

/* The first value of a float row that is not finite, or the row's length. */
static uint32_t find_not_finite(const imgsim_extractor *extractor, const uint8_t *row)
{
    if (extractor->row_type != IMGSIM_ROW_FLOAT32)
        return extractor->dimension;
    for (uint32_t i = 0; i < extractor->dimension; i++) {
        float value;

        memcpy(&value, row + i * sizeof(value), sizeof(value));
        if (!isfinite(value))
            return i;
    }
    return extractor->dimension;
}

static void take_row(
    const imgsim_extractor *extractor,
    size_t position,
    const uint8_t *row,
    struct ims_prepared_file *out)
{
    uint32_t bad = find_not_finite(extractor, row);

    if (bad < extractor->dimension)
        ims_prepared_set(
            out, IMGSIM_FILE_FAILED, "extractor %s: value %u is not finite", extractor->name, bad);
    else
        out->rows |= UINT64_C(1) << position;
}

static imgsim_status extract_one(
    const struct ims_prepare_settings *settings,
    size_t position,
    const imgsim_image *image,
    struct ims_prepared_file *out)
{
    const imgsim_extractor *extractor = settings->extractors[position];
    uint8_t *row = out->block + settings->row_at[position];
    imgsim_status status;

    if (extractor->input_size > 0) {
        status =
            extractor->kind->prepare(extractor, image, out->block + settings->input_at[position]);
        if (status == IMGSIM_OK)
            out->inputs |= UINT64_C(1) << position;
    } else {
        if (extractor->kind->extract != NULL)
            status = extractor->kind->extract(extractor, image, row);
        else
            status = extractor->kind->extract_many(extractor, &image, 1, row);
        if (status == IMGSIM_OK)
            take_row(extractor, position, row, out);
    }
    if (status != IMGSIM_OK && !ends_scan(status)) {
        ims_prepared_set(
            out, IMGSIM_FILE_FAILED, "extractor %s: %s", extractor->name, imgsim_last_error());
        status = IMGSIM_OK;
    }
    return status;
}

static void note_step(const struct ims_prepare_settings *settings, uint32_t step)
{
    if (settings->note_step != NULL)
        settings->note_step(settings->step_context, step);
}

imgsim_status ims_prepare_image(
    const struct ims_prepare_settings *settings,
    const char *path,
    const struct ims_file_buffer *buffer,
    struct ims_prepared_file *out,
    imgsim_image **out_image)
{
    imgsim_image *image = NULL;
    imgsim_status status;

    *out_image = NULL;
    note_step(settings, IMS_STEP_DECODE);
    status = ims_image_decode(buffer->data, buffer->size, &settings->image, path, &image);
    if (status != IMGSIM_OK)
        return decode_failed(settings, buffer, status, out);
    out->width = image->full_width;
    out->height = image->full_height;
    memcpy(out->format, image->format, sizeof(out->format));
    *out_image = image;
    return IMGSIM_OK;
}

imgsim_status ims_prepare_extract(
    const struct ims_prepare_settings *settings,
    const char *path,
    const imgsim_image *image,
    uint64_t needed,
    struct ims_prepared_file *out)
{
    imgsim_status status = IMGSIM_OK;

    if (out->block == NULL && (out->block = ims_alloc_aligned(settings->block_size)) == NULL)
        return ims_fail_memory(settings->block_size);
    for (size_t i = 0; i < settings->extractor_count; i++) {
        if (status != IMGSIM_OK || out->state != IMGSIM_FILE_OK || (needed >> i & 1) == 0)
            continue;
        note_step(settings, (uint32_t)i);
        if (settings->stop != NULL && atomic_load(settings->stop))
            status = ims_fail(IMGSIM_ERROR_CANCELLED, "stopped while preparing %s", path);
        else
            status = extract_one(settings, i, image, out);
    }
    return status;
}

imgsim_status ims_prepare_decode(
    const struct ims_prepare_settings *settings,
    const char *path,
    const struct ims_file_buffer *buffer,
    uint64_t needed,
    struct ims_prepared_file *out)
{
    imgsim_image *image = NULL;
    imgsim_status status = ims_prepare_image(settings, path, buffer, out, &image);

    if (status == IMGSIM_OK && image != NULL)
        status = ims_prepare_extract(settings, path, image, needed, out);
    imgsim_image_free(image);
    return status;
}

/* ---- networks ---- */

/* Inputs and rows of one batch, one after another. */
struct batch {
    uint8_t *inputs;
    uint8_t *rows;
    struct ims_prepared_file **members;
    size_t count;
};

static imgsim_status
run_batch(const struct ims_prepare_settings *settings, size_t position, struct batch *batch)
{
    const imgsim_extractor *extractor = settings->extractors[position];
    size_t step = extractor->row_size, failed_alone = 0;
    imgsim_status status;

    if (batch->count == 0)
        return IMGSIM_OK;
    status = extractor->kind->run(extractor, batch->inputs, batch->count, batch->rows);
    if (ends_scan(status))
        return status;
    for (size_t i = 0; i < batch->count; i++) {
        struct ims_prepared_file *member = batch->members[i];
        imgsim_status alone = status;

        /* Find out which image the batch failed on. */
        if (status != IMGSIM_OK)
            alone = extractor->kind->run(
                extractor, batch->inputs + i * extractor->input_size, 1, batch->rows + i * step);
        if (ends_scan(alone))
            return alone;
        if (alone != IMGSIM_OK) {
            ims_prepared_set(
                member, IMGSIM_FILE_FAILED, "extractor %s: %s", extractor->name,
                imgsim_last_error());
            failed_alone++;
            continue;
        }
        memcpy(member->block + settings->row_at[position], batch->rows + i * step, step);
        take_row(extractor, position, batch->rows + i * step, member);
    }
    batch->count = 0;
    if (failed_alone > 1)
        ims_log(
            IMGSIM_LOG_WARNING, "extractor %s failed for %zu images of one batch", extractor->name,
            failed_alone);
    return IMGSIM_OK;
}

static imgsim_status run_network(
    const struct ims_prepare_settings *settings,
    size_t position,
    struct ims_prepared_file *const *results,
    size_t count)
{
    const imgsim_extractor *extractor = settings->extractors[position];
    size_t size = extractor->batch_size > 0 ? extractor->batch_size : 1, inputs_size, rows_size;
    imgsim_status status = IMGSIM_OK;
    struct batch batch = {0};

    if (!ims_mul_size(size, extractor->input_size, &inputs_size) ||
        !ims_mul_size(size, extractor->row_size, &rows_size))
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "batches of extractor %s are too large", extractor->name);
    batch.inputs = ims_alloc_aligned(inputs_size);
    batch.rows = ims_alloc_aligned(rows_size);
    batch.members = ims_calloc(size, sizeof(*batch.members));
    if (batch.inputs == NULL || batch.rows == NULL || batch.members == NULL) {
        status = ims_fail_memory(inputs_size + rows_size);
        goto done;
    }
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        struct ims_prepared_file *result = results[i];

        if (result->state != IMGSIM_FILE_OK || (result->inputs >> position & 1) == 0)
            continue;
        memcpy(
            batch.inputs + batch.count * extractor->input_size,
            result->block + settings->input_at[position], extractor->input_size);
        result->inputs &= ~(UINT64_C(1) << position);
        batch.members[batch.count++] = result;
        if (batch.count == size)
            status = run_batch(settings, position, &batch);
    }
    if (status == IMGSIM_OK)
        status = run_batch(settings, position, &batch);

done:
    ims_free_aligned(batch.inputs);
    ims_free_aligned(batch.rows);
    ims_free(batch.members);
    return status;
}

imgsim_status ims_prepare_networks(
    const struct ims_prepare_settings *settings,
    struct ims_prepared_file *const *results,
    size_t count)
{
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < settings->extractor_count && status == IMGSIM_OK; i++)
        if ((settings->network_mask >> i & 1) != 0)
            status = run_network(settings, i, results, count);
    return status;
}
