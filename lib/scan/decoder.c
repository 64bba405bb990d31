/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding for one thread of the pipeline: in a worker of its own, or here, behind one set of functions. */
#include "scan/worker.h"

#include "core/memory.h"
#include "core/module.h"

#include <string.h>

struct ims_decoder {
    const struct ims_prepare_settings *settings;
    struct ims_isolation *isolation;
    struct ims_worker_settings worker_settings;
    struct ims_worker *worker; /* NULL: decodes here */
    struct ims_file_buffer buffer;
    bool worked; /* the worker has been ready */
};

imgsim_status ims_isolation_choose(struct ims_isolation *isolation)
{
    int32_t mode = isolation->mode;

    if (mode == IMGSIM_ISOLATION_NONE)
        return IMGSIM_OK;
    if (ims_module_find_program(
            IMS_WORKER_PROGRAM, IMS_WORKER_VARIABLE, isolation->program,
            sizeof(isolation->program)))
        return IMGSIM_OK;
    if (mode == IMGSIM_ISOLATION_WORKERS)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "the worker program is missing (%.600s); install it there, name it in $%s, or decode "
            "in this process (isolation none)",
            isolation->program, IMS_WORKER_VARIABLE);
    ims_log(
        IMGSIM_LOG_WARNING, "images are decoded in this process: no worker program at %.600s",
        isolation->program);
    isolation->mode = IMGSIM_ISOLATION_NONE;
    return IMGSIM_OK;
}

/* No worker here: the end of it, or decoding here if that was agreed and nobody has had one yet. */
static imgsim_status fall_back(struct ims_decoder *decoder, imgsim_status status)
{
    struct ims_isolation *isolation = decoder->isolation;

    if (status != IMGSIM_ERROR_UNSUPPORTED || isolation->mode != IMGSIM_ISOLATION_AUTO ||
        atomic_load(&isolation->started))
        return status;
    if (!atomic_exchange(&isolation->given_up, true))
        ims_log(IMGSIM_LOG_WARNING, "images are decoded in this process: %s", imgsim_last_error());
    return IMGSIM_OK;
}

imgsim_status ims_decoder_new(
    const struct ims_prepare_settings *settings,
    struct ims_isolation *isolation,
    const atomic_bool *halt,
    struct ims_decoder **out_decoder)
{
    struct ims_decoder *decoder = ims_calloc(1, sizeof(*decoder));
    imgsim_status status = IMGSIM_OK;

    *out_decoder = NULL;
    if (decoder == NULL)
        return ims_fail_memory(sizeof(*decoder));
    decoder->settings = settings;
    decoder->isolation = isolation;
    if (isolation->mode != IMGSIM_ISOLATION_NONE) {
        decoder->worker_settings = (struct ims_worker_settings){
            .prepare = settings,
            .program = isolation->program,
            .memory = isolation->memory,
            .timeout_ms = isolation->timeout_ms,
            .halt = halt};
        status = ims_worker_new(&decoder->worker_settings, &decoder->worker);
        if (status != IMGSIM_OK)
            status = fall_back(decoder, status);
    }
    if (status != IMGSIM_OK) {
        ims_decoder_free(decoder);
        return status;
    }
    *out_decoder = decoder;
    return IMGSIM_OK;
}

void ims_decoder_free(struct ims_decoder *decoder)
{
    if (decoder == NULL)
        return;
    ims_worker_free(decoder->worker);
    ims_free(decoder->buffer.data);
    ims_free(decoder);
}

size_t ims_decoder_batch_size(const struct ims_decoder *decoder)
{
    return decoder->worker != NULL ? ims_worker_batch_size(decoder->worker) : 1;
}

struct ims_file_buffer *ims_decoder_buffer(struct ims_decoder *decoder, size_t i)
{
    return decoder->worker != NULL ? ims_worker_buffer(decoder->worker, i) : &decoder->buffer;
}

/* Whether there is a worker to decode with; it is started when the first file needs it. */
static imgsim_status find_worker(struct ims_decoder *decoder, bool *out_found)
{
    struct ims_isolation *isolation = decoder->isolation;
    imgsim_status status;

    *out_found = false;
    if (decoder->worker == NULL || atomic_load(&isolation->given_up))
        return IMGSIM_OK;
    *out_found = true;
    if (decoder->worked)
        return IMGSIM_OK;
    if ((status = ims_worker_start(decoder->worker)) == IMGSIM_OK) {
        decoder->worked = true;
        atomic_store(&isolation->started, true);
        return IMGSIM_OK;
    }
    *out_found = false;
    return fall_back(decoder, status);
}

imgsim_status ims_decoder_run(struct ims_decoder *decoder, const struct ims_job *jobs, size_t count)
{
    imgsim_status status;
    bool found;

    if (count == 0)
        return IMGSIM_OK;
    if ((status = find_worker(decoder, &found)) != IMGSIM_OK)
        return status;
    if (found)
        return ims_worker_run(decoder->worker, jobs, count);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        status = ims_prepare_decode(
            decoder->settings, jobs[i].path, jobs[i].buffer, jobs[i].needed, jobs[i].out);
    return status;
}
