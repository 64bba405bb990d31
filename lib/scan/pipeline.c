/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline: threads read and decode, one more runs the networks, and the calling thread stores results in order, reports
 * progress and notices that it should stop.
 *
 * Decoding threads run ahead of what is stored by at most a window of items; networks take groups of consecutive images while
 * decoding goes on. Groups begin where the last stored group ended, so that a scan that was stopped and goes on hands the
 * networks the same batches as one that was not. Memory is bounded by the window, two groups, and budgets for file
 * contents and for pixels, whatever the number of threads.
 */
#include "scan/parcel.h"

#include "core/memory.h"
#include "extract/extractor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* Bytes of results that wait for their turn. */
#define WINDOW_BYTES (48u << 20)
#define WINDOW_ITEMS_MAX 512
/* Bytes of file contents, and of pixels by estimate, that may be in memory together; one larger file comes alone. */
#define CONTENT_BYTES (64u << 20)
#define PIXEL_BYTES (160u << 20)
/* Files that are handed to a decoder together have at most so many bytes; a larger one comes alone. */
#define BATCH_BYTES (64u << 10)
#define BATCH_FILES_MAX 16
/* Failed and skipped files that wait together with a group of images. */
#define GROUP_ITEMS_MAX 65536
/* How long the calling thread sleeps at most, so that it notices soon that it should stop. */
#define WAIT_NANOSECONDS 40000000
/* Results that wait before the calling thread is woken for them. */
#define WAKE_RESULTS 16

/* Admits what fits beside what is there, and anything when nothing is there. */
struct budget {
    uint64_t used;
    uint64_t limit;
};

struct slot {
    struct ims_parcel *parcel;
    bool ready;
};

/* Consecutive parcels; `images` of them need networks. */
struct group {
    struct ims_parcel **parcels;
    struct ims_prepared_file **prepared;
    size_t count;
    size_t images;
    size_t capacity;
    size_t prepared_capacity;
};

enum network_state { NETWORK_IDLE, NETWORK_RUNNING, NETWORK_DONE };

struct pipeline {
    const struct ims_pipeline_options *options;
    const struct ims_plan *plan;
    const struct ims_prepare_settings *settings;

    /* Guards all up to the blank line. */
    pthread_mutex_t mutex;
    pthread_cond_t window_room; /* for decoding threads: the window has moved, or stop */
    pthread_cond_t budget_room; /* for decoding threads: bytes were given back, or stop */
    pthread_cond_t results;     /* for the calling thread */
    pthread_cond_t group_ready; /* for the network thread */
    size_t next;                /* first item that nobody has taken */
    size_t taken;               /* first item whose result the calling thread has not taken */
    struct slot *slots;
    size_t window;
    size_t ready;              /* results that were not taken yet */
    struct ims_parcel *spares; /* at most `window` of them */
    size_t spare_count;
    struct budget content;
    struct budget pixels;
    enum network_state network;
    bool stop;
    struct ims_error error; /* first failure that ends the scan */
    atomic_bool halt;       /* the same as stop, for decoders */

    /* The calling thread's; `running` is the network thread's while network is NETWORK_RUNNING. */
    struct group filling;
    struct group running;
    size_t group_images;
    struct ims_decoder *decoder; /* NULL until it is needed */
    struct ims_parcel *stored;   /* to become spare with the next step */

    pthread_t *threads;
    uint32_t thread_count;
    pthread_t network_thread;
    bool network_started;
};

/* ---- budgets ---- */

/* Wait until `bytes` are admitted; false when the pipeline stops. With the mutex held. */
static bool budget_enter(struct pipeline *pipeline, struct budget *budget, uint64_t bytes)
{
    while (!pipeline->stop && budget->used > 0 && budget->used + bytes > budget->limit)
        pthread_cond_wait(&pipeline->budget_room, &pipeline->mutex);
    if (pipeline->stop)
        return false;
    budget->used += bytes;
    return true;
}

static void budget_leave(struct pipeline *pipeline, struct budget *budget, uint64_t bytes)
{
    pthread_mutex_lock(&pipeline->mutex);
    budget->used -= bytes;
    pthread_cond_broadcast(&pipeline->budget_room);
    pthread_mutex_unlock(&pipeline->mutex);
}

/* ---- parcels ---- */

/* A parcel as new; NULL if there is none to spare. With the mutex held. */
static struct ims_parcel *take_spare(struct pipeline *pipeline)
{
    struct ims_parcel *parcel = pipeline->spares;

    if (parcel != NULL) {
        pipeline->spares = parcel->next;
        pipeline->spare_count--;
        parcel->next = NULL;
    }
    return parcel;
}

/* The calling thread's stored parcels become spare; returns those that are too many. With the mutex held. */
static struct ims_parcel *give_spares(struct pipeline *pipeline)
{
    while (pipeline->stored != NULL && pipeline->spare_count < pipeline->window) {
        struct ims_parcel *parcel = pipeline->stored;

        pipeline->stored = parcel->next;
        parcel->next = pipeline->spares;
        pipeline->spares = parcel;
        pipeline->spare_count++;
    }
    return pipeline->stored;
}

/* ---- decoding threads ---- */

/* Stop everything because of this thread's error. */
static void fail(struct pipeline *pipeline, imgsim_status status)
{
    pthread_mutex_lock(&pipeline->mutex);
    if (pipeline->error.status == IMGSIM_OK)
        ims_error_save(&pipeline->error, status);
    pipeline->stop = true;
    atomic_store(&pipeline->halt, true);
    pthread_cond_broadcast(&pipeline->window_room);
    pthread_cond_broadcast(&pipeline->budget_room);
    pthread_cond_signal(&pipeline->results);
    pthread_mutex_unlock(&pipeline->mutex);
}

/* What the walk has found out already. */
static void judge_entry(const struct ims_item *item, struct ims_prepared_file *out)
{
    out->bytes = item->bytes;
    out->mtime_ns = item->mtime_ns;
    (void)ims_entry_judge(item->kind, item->error, &out->state, out->reason);
}

/* Items that one thread works on together, in order. */
struct batch {
    size_t first;
    size_t count;
    uint64_t bytes;
    struct ims_parcel *parcels[BATCH_FILES_MAX];
    struct ims_job jobs[BATCH_FILES_MAX];
    size_t job_count;
    uint64_t pixels; /* bytes for decoding the largest */
    /* The thread's: rows of the jobs before they are packed, made when they are needed. */
    uint8_t **blocks;
};

/* Read an item's file and see whether it has to be decoded. */
static imgsim_status read_item(
    struct pipeline *pipeline,
    struct ims_decoder *decoder,
    const struct ims_item *item,
    struct ims_prepared_file *out,
    struct batch *batch)
{
    struct ims_file_buffer *buffer;
    struct ims_verdict verdict;
    imgsim_status status;
    uint64_t pixels;

    judge_entry(item, out);
    if (out->state != IMGSIM_FILE_OK)
        return IMGSIM_OK;
    buffer = ims_decoder_buffer(decoder, batch->job_count);
    status = ims_prepare_read(pipeline->settings, item->path, buffer, out);
    atomic_fetch_add_explicit(
        &pipeline->options->meter->bytes, out->bytes_read, memory_order_relaxed);
    if (status != IMGSIM_OK || out->state != IMGSIM_FILE_OK)
        return status;
    ims_store_judge(pipeline->options->store, item, out, &verdict);
    if (verdict.needed == 0)
        return IMGSIM_OK;
    batch->jobs[batch->job_count++] = (struct ims_job){item->path, buffer, verdict.needed, out};
    pixels = ims_sniff_memory(buffer->data, buffer->size, pipeline->settings->image.min_side);
    if (batch->pixels < pixels)
        batch->pixels = pixels;
    return IMGSIM_OK;
}

/*
 * Give the jobs blocks of this thread, whose rows are packed before they leave it. Networks take inputs and leave rows in blocks, which
 * go along with the results then.
 */
static imgsim_status lend_blocks(const struct pipeline *pipeline, struct batch *batch)
{
    size_t size = pipeline->settings->block_size;

    if (pipeline->settings->network_mask != 0)
        return IMGSIM_OK;
    for (size_t i = 0; i < batch->job_count; i++)
        if (batch->blocks[i] == NULL && (batch->blocks[i] = ims_alloc_aligned(size)) == NULL)
            return ims_fail_memory(size);
    for (size_t i = 0; i < batch->job_count; i++) {
        /* One of its own, where the parcel's last file was prepared again. */
        ims_free_aligned(batch->jobs[i].out->block);
        batch->jobs[i].out->block = batch->blocks[i];
    }
    return IMGSIM_OK;
}

/* Pack what was decoded, unless it failed, and take the blocks back. */
static imgsim_status
pack(const struct pipeline *pipeline, struct batch *batch, imgsim_status status)
{
    for (size_t i = 0; pipeline->settings->network_mask == 0 && i < batch->job_count; i++) {
        struct ims_prepared_file *prepared = batch->jobs[i].out;

        if (status == IMGSIM_OK && prepared->state == IMGSIM_FILE_OK)
            status = ims_rows_pack(pipeline->settings, prepared);
        prepared->block = NULL;
    }
    batch->job_count = 0;
    batch->pixels = 0;
    return status;
}

/* Decode the files that were read, within the budget of pixels. */
static imgsim_status
decode(struct pipeline *pipeline, struct ims_decoder *decoder, struct batch *batch)
{
    imgsim_status status;
    bool admitted;

    if (batch->job_count == 0)
        return IMGSIM_OK;
    if ((status = lend_blocks(pipeline, batch)) != IMGSIM_OK)
        return status;
    pthread_mutex_lock(&pipeline->mutex);
    admitted = budget_enter(pipeline, &pipeline->pixels, batch->pixels);
    pthread_mutex_unlock(&pipeline->mutex);
    if (admitted) {
        status = ims_decoder_run(decoder, batch->jobs, batch->job_count);
        budget_leave(pipeline, &pipeline->pixels, batch->pixels);
    }
    return pack(pipeline, batch, status);
}

/* Everything that is done to files off the calling thread. */
static imgsim_status
work_on(struct pipeline *pipeline, struct ims_decoder *decoder, struct batch *batch)
{
    const size_t together = ims_decoder_batch_size(decoder);
    imgsim_status status = IMGSIM_OK;
    bool admitted;

    pthread_mutex_lock(&pipeline->mutex);
    admitted = budget_enter(pipeline, &pipeline->content, batch->bytes);
    pthread_mutex_unlock(&pipeline->mutex);
    if (!admitted)
        return IMGSIM_OK;
    for (size_t i = 0; i < batch->count && status == IMGSIM_OK; i++) {
        status = read_item(
            pipeline, decoder, &pipeline->plan->items[batch->first + i],
            &batch->parcels[i]->prepared, batch);
        if (status == IMGSIM_OK && batch->job_count == together)
            status = decode(pipeline, decoder, batch);
    }
    if (status == IMGSIM_OK)
        status = decode(pipeline, decoder, batch);
    budget_leave(pipeline, &pipeline->content, batch->bytes);
    return status;
}

/* Bytes of an item's file, if it is one. */
static uint64_t item_bytes(const struct pipeline *pipeline, size_t item)
{
    const struct ims_item *it = &pipeline->plan->items[item];

    return it->kind == IMS_ENTRY_FILE ? it->bytes : 0;
}

/* How many items a thread may take together without leaving others idle. With the mutex held. */
static size_t batch_limit(const struct pipeline *pipeline)
{
    size_t threads = pipeline->options->threads, limit = BATCH_FILES_MAX;
    size_t left = pipeline->plan->item_count - pipeline->next;

    if (limit > pipeline->window / (2 * threads))
        limit = pipeline->window / (2 * threads);
    if (limit > left / (2 * threads))
        limit = left / (2 * threads);
    return limit > 1 ? limit : 1;
}

/* Take the next items once they are within the window; false when there are none. */
static bool take_items(struct pipeline *pipeline, struct batch *batch)
{
    size_t end = pipeline->plan->item_count, limit;

    *batch = (struct batch){.blocks = batch->blocks};
    pthread_mutex_lock(&pipeline->mutex);
    while (!pipeline->stop && pipeline->next < end &&
           pipeline->next >= pipeline->taken + pipeline->window)
        pthread_cond_wait(&pipeline->window_room, &pipeline->mutex);
    if (pipeline->stop)
        end = 0;
    if (end > pipeline->taken + pipeline->window)
        end = pipeline->taken + pipeline->window;
    limit = batch_limit(pipeline);
    batch->first = pipeline->next;
    while (pipeline->next < end && batch->count < limit) {
        uint64_t bytes = item_bytes(pipeline, pipeline->next);

        if (batch->count > 0 && batch->bytes + bytes > BATCH_BYTES)
            break;
        batch->bytes += bytes;
        batch->parcels[batch->count++] = take_spare(pipeline);
        pipeline->next++;
    }
    pthread_mutex_unlock(&pipeline->mutex);
    return batch->count > 0;
}

/*
 * Whether the calling thread should look at the results. It takes them in handfuls, which saves a switch of threads per image, but as
 * soon as they come where networks wait for them, and before the decoding threads run out of room or work.
 */
static bool results_are_due(const struct pipeline *pipeline)
{
    return pipeline->slots[pipeline->taken % pipeline->window].ready &&
           (pipeline->settings->network_mask != 0 || pipeline->ready >= WAKE_RESULTS ||
            2 * pipeline->ready >= pipeline->window ||
            pipeline->next >= pipeline->plan->item_count);
}

static void deliver(struct pipeline *pipeline, const struct batch *batch)
{
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->ready += batch->count;
    for (size_t i = 0; i < batch->count; i++)
        pipeline->slots[(batch->first + i) % pipeline->window] =
            (struct slot){.parcel = batch->parcels[i], .ready = true};
    if (results_are_due(pipeline))
        pthread_cond_signal(&pipeline->results);
    pthread_mutex_unlock(&pipeline->mutex);
}

static imgsim_status make_parcels(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->parcels[i] == NULL &&
            (batch->parcels[i] = ims_calloc(1, sizeof(struct ims_parcel))) == NULL)
            return ims_fail_memory(sizeof(struct ims_parcel));
        batch->parcels[i]->item = batch->first + i;
    }
    return IMGSIM_OK;
}

static void *decoding_thread(void *context)
{
    struct pipeline *pipeline = context;
    struct ims_decoder *decoder = NULL;
    uint8_t *blocks[BATCH_FILES_MAX] = {0};
    struct batch batch = {.blocks = blocks};
    imgsim_status status = ims_decoder_new(
        pipeline->settings, pipeline->options->isolation, &pipeline->halt, &decoder);

    while (status == IMGSIM_OK && take_items(pipeline, &batch)) {
        if ((status = make_parcels(&batch)) == IMGSIM_OK &&
            (status = work_on(pipeline, decoder, &batch)) == IMGSIM_OK) {
            deliver(pipeline, &batch);
            continue;
        }
        for (size_t i = 0; i < batch.count; i++)
            ims_parcel_free(batch.parcels[i]);
    }
    if (status != IMGSIM_OK)
        fail(pipeline, status);
    for (size_t i = 0; i < BATCH_FILES_MAX; i++)
        ims_free_aligned(blocks[i]);
    ims_decoder_free(decoder);
    return NULL;
}

/* ---- the network thread ---- */

static void *network_thread(void *context)
{
    struct pipeline *pipeline = context;
    imgsim_status status;

    pthread_mutex_lock(&pipeline->mutex);
    for (;;) {
        while (!pipeline->stop && pipeline->network != NETWORK_RUNNING)
            pthread_cond_wait(&pipeline->group_ready, &pipeline->mutex);
        if (pipeline->stop)
            break;
        pthread_mutex_unlock(&pipeline->mutex);

        status = ims_prepare_networks(
            pipeline->settings, pipeline->running.prepared, pipeline->running.count);
        if (status != IMGSIM_OK)
            fail(pipeline, status);

        pthread_mutex_lock(&pipeline->mutex);
        if (status == IMGSIM_OK)
            pipeline->network = NETWORK_DONE;
        pthread_cond_signal(&pipeline->results);
    }
    pthread_mutex_unlock(&pipeline->mutex);
    return NULL;
}

/* ---- the calling thread ---- */

/* Prepare an item here and now, with every extractor. */
static imgsim_status prepare_again(
    struct pipeline *pipeline,
    const struct ims_item *item,
    struct ims_prepared_file *prepared)
{
    uint64_t all = pipeline->settings->extractor_count == 64
                       ? UINT64_MAX
                       : (UINT64_C(1) << pipeline->settings->extractor_count) - 1;
    struct ims_file_buffer *buffer;
    imgsim_status status;

    ims_prepared_file_clear(prepared);
    if (pipeline->decoder == NULL && (status = ims_decoder_new(
                                          pipeline->settings, pipeline->options->isolation,
                                          &pipeline->halt, &pipeline->decoder)) != IMGSIM_OK)
        return status;
    buffer = ims_decoder_buffer(pipeline->decoder, 0);
    status = ims_prepare_read(pipeline->settings, item->path, buffer, prepared);
    if (status == IMGSIM_OK && prepared->state == IMGSIM_FILE_OK) {
        const struct ims_job job = {item->path, buffer, all, prepared};

        status = ims_decoder_run(pipeline->decoder, &job, 1);
    }
    if (status == IMGSIM_OK && prepared->state == IMGSIM_FILE_OK)
        status = ims_prepare_networks(pipeline->settings, &prepared, 1);
    return status;
}

/* Store a parcel, which is used up. */
static imgsim_status store_parcel(struct pipeline *pipeline, struct ims_parcel *parcel)
{
    const struct ims_item *item = &pipeline->plan->items[parcel->item];
    struct ims_store *store = pipeline->options->store;
    imgsim_status status;
    bool again;

    status = ims_store_put(store, item, &parcel->prepared, false, &again);
    if (status == IMGSIM_OK && again) {
        status = prepare_again(pipeline, item, &parcel->prepared);
        if (status == IMGSIM_OK)
            status = ims_store_put(store, item, &parcel->prepared, true, &again);
    }
    ims_parcel_reset(parcel);
    parcel->next = pipeline->stored;
    pipeline->stored = parcel;
    return status;
}

static imgsim_status add_to_group(struct group *group, struct ims_parcel *parcel)
{
    if (!ims_grow(
            (void **)&group->parcels, &group->capacity, group->count + 1,
            sizeof(*group->parcels)) ||
        !ims_grow(
            (void **)&group->prepared, &group->prepared_capacity, group->count + 1,
            sizeof(*group->prepared))) {
        ims_parcel_free(parcel);
        return ims_fail_memory((group->count + 1) * sizeof(*group->parcels));
    }
    group->parcels[group->count] = parcel;
    group->prepared[group->count++] = &parcel->prepared;
    if (parcel->prepared.inputs != 0)
        group->images++;
    return IMGSIM_OK;
}

static imgsim_status store_group(struct pipeline *pipeline, struct group *group)
{
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < group->count; i++) {
        if (status == IMGSIM_OK)
            status = store_parcel(pipeline, group->parcels[i]);
        else
            ims_parcel_free(group->parcels[i]);
    }
    group->count = 0;
    group->images = 0;
    return status;
}

static bool group_is_full(const struct pipeline *pipeline)
{
    return pipeline->filling.images >= pipeline->group_images ||
           pipeline->filling.count >= GROUP_ITEMS_MAX;
}

/* Take the next result if it is there and there is room for it; NULL otherwise. With the mutex held. */
static struct ims_parcel *take_result(struct pipeline *pipeline)
{
    struct slot *slot = &pipeline->slots[pipeline->taken % pipeline->window];
    struct ims_parcel *parcel = slot->parcel;

    if (!slot->ready || group_is_full(pipeline))
        return NULL;
    *slot = (struct slot){0};
    pipeline->taken++;
    pipeline->ready--;
    pthread_cond_signal(&pipeline->window_room);
    return parcel;
}

static imgsim_status handle_result(struct pipeline *pipeline, struct ims_parcel *parcel)
{
    bool waits = pipeline->filling.count > 0 || pipeline->running.count > 0;

    if (waits || parcel->prepared.inputs != 0)
        return add_to_group(&pipeline->filling, parcel);
    return store_parcel(pipeline, parcel);
}

/* Hand the filled group to the network thread when that is free and no more comes in. With the mutex held. */
static bool submit_group(struct pipeline *pipeline)
{
    bool last = pipeline->taken == pipeline->plan->item_count;
    struct group empty = pipeline->running;

    if (pipeline->network != NETWORK_IDLE || pipeline->filling.count == 0 ||
        !(group_is_full(pipeline) || last))
        return false;
    pipeline->running = pipeline->filling;
    pipeline->filling = empty;
    pipeline->network = NETWORK_RUNNING;
    pthread_cond_signal(&pipeline->group_ready);
    return true;
}

static void wait_for_results(struct pipeline *pipeline)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_NANOSECONDS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&pipeline->results, &pipeline->mutex, &until);
}

/* One step of the calling thread: *out_done when all is stored. */
static imgsim_status step(struct pipeline *pipeline, bool *out_done)
{
    imgsim_status status = IMGSIM_OK;
    struct ims_parcel *parcel = NULL, *surplus;
    bool group_done;

    pthread_mutex_lock(&pipeline->mutex);
    if (pipeline->error.status != IMGSIM_OK) {
        pthread_mutex_unlock(&pipeline->mutex);
        return ims_error_raise(&pipeline->error);
    }
    surplus = give_spares(pipeline);
    pipeline->stored = NULL;
    group_done = pipeline->network == NETWORK_DONE;
    if (!group_done) {
        (void)submit_group(pipeline);
        parcel = take_result(pipeline);
        *out_done = parcel == NULL && pipeline->taken == pipeline->plan->item_count &&
                    pipeline->network == NETWORK_IDLE && pipeline->filling.count == 0;
        if (parcel == NULL && !*out_done)
            wait_for_results(pipeline);
    }
    pthread_mutex_unlock(&pipeline->mutex);

    ims_parcels_free(surplus);
    if (parcel != NULL)
        status = handle_result(pipeline, parcel);
    if (group_done) {
        status = store_group(pipeline, &pipeline->running);
        pthread_mutex_lock(&pipeline->mutex);
        pipeline->network = NETWORK_IDLE;
        pthread_mutex_unlock(&pipeline->mutex);
    }
    return status;
}

/* ---- start and end ---- */

static imgsim_status start_thread(pthread_t *thread, void *(*run)(void *), void *context)
{
    sigset_t all, before;
    int error;

    /* Signals belong to the host's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return ims_fail_errno(error == EAGAIN ? ENOMEM : error, "starting a thread");
    return IMGSIM_OK;
}

static imgsim_status start_threads(struct pipeline *pipeline)
{
    imgsim_status status;

    while (pipeline->thread_count < pipeline->options->threads) {
        status =
            start_thread(&pipeline->threads[pipeline->thread_count], decoding_thread, pipeline);
        if (status != IMGSIM_OK)
            return status;
        pipeline->thread_count++;
    }
    if (pipeline->settings->network_mask == 0)
        return IMGSIM_OK;
    status = start_thread(&pipeline->network_thread, network_thread, pipeline);
    pipeline->network_started = status == IMGSIM_OK;
    return status;
}

static void stop_threads(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->stop = true;
    atomic_store(&pipeline->halt, true);
    pthread_cond_broadcast(&pipeline->window_room);
    pthread_cond_broadcast(&pipeline->budget_room);
    pthread_cond_signal(&pipeline->group_ready);
    pthread_mutex_unlock(&pipeline->mutex);
    for (uint32_t i = 0; i < pipeline->thread_count; i++)
        pthread_join(pipeline->threads[i], NULL);
    if (pipeline->network_started)
        pthread_join(pipeline->network_thread, NULL);
}

/* How far decoding may run ahead, and how many images go through the networks together. */
static imgsim_status set_sizes(struct pipeline *pipeline)
{
    const struct ims_prepare_settings *settings = pipeline->settings;
    size_t threads = pipeline->options->threads, items = pipeline->plan->item_count;
    size_t window = WINDOW_BYTES / (settings->block_size + 1024);

    pipeline->group_images = 1;
    for (size_t i = 0; i < settings->extractor_count; i++)
        if (settings->extractors[i]->batch_size > pipeline->group_images &&
            (settings->network_mask >> i & 1) != 0)
            pipeline->group_images = settings->extractors[i]->batch_size;
    if (window > WINDOW_ITEMS_MAX)
        window = WINDOW_ITEMS_MAX;
    if (window < 2 * threads)
        window = 2 * threads;
    pipeline->window = window < items ? window : items;
    pipeline->content.limit = CONTENT_BYTES;
    pipeline->pixels.limit = PIXEL_BYTES;

    pipeline->slots = ims_calloc(pipeline->window, sizeof(*pipeline->slots));
    pipeline->threads = ims_calloc(threads, sizeof(*pipeline->threads));
    if (pipeline->slots == NULL || pipeline->threads == NULL)
        return ims_fail_memory(pipeline->window * sizeof(*pipeline->slots));
    return IMGSIM_OK;
}

static void init_locks(struct pipeline *pipeline)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pipeline->mutex, NULL);
    pthread_cond_init(&pipeline->window_room, NULL);
    pthread_cond_init(&pipeline->budget_room, NULL);
    pthread_cond_init(&pipeline->results, &monotonic);
    pthread_cond_init(&pipeline->group_ready, NULL);
    pthread_condattr_destroy(&monotonic);
}

static void free_group(struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        ims_parcel_free(group->parcels[i]);
    ims_free(group->parcels);
    ims_free(group->prepared);
}

static void free_pipeline(struct pipeline *pipeline)
{
    for (size_t i = 0; pipeline->slots != NULL && i < pipeline->window; i++)
        ims_parcel_free(pipeline->slots[i].parcel);
    ims_free(pipeline->slots);
    ims_free(pipeline->threads);
    ims_parcels_free(pipeline->spares);
    ims_parcels_free(pipeline->stored);
    free_group(&pipeline->filling);
    free_group(&pipeline->running);
    ims_decoder_free(pipeline->decoder);
    pthread_cond_destroy(&pipeline->window_room);
    pthread_cond_destroy(&pipeline->budget_room);
    pthread_cond_destroy(&pipeline->results);
    pthread_cond_destroy(&pipeline->group_ready);
    pthread_mutex_destroy(&pipeline->mutex);
    ims_free(pipeline);
}

imgsim_status ims_pipeline_run(const struct ims_pipeline_options *options)
{
    struct pipeline *pipeline;
    imgsim_status status;
    bool done = false;

    if (options->plan->item_count == 0)
        return IMGSIM_OK;
    pipeline = ims_calloc(1, sizeof(*pipeline));
    if (pipeline == NULL)
        return ims_fail_memory(sizeof(*pipeline));
    pipeline->options = options;
    pipeline->plan = options->plan;
    pipeline->settings = options->settings;
    init_locks(pipeline);

    if ((status = set_sizes(pipeline)) == IMGSIM_OK)
        status = start_threads(pipeline);
    while (status == IMGSIM_OK && !done) {
        status = step(pipeline, &done);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(options->meter, false);
    }
    stop_threads(pipeline);
    /* A network that was at work when the host asked to stop has finished now. */
    if (status == IMGSIM_ERROR_CANCELLED && pipeline->network == NETWORK_DONE) {
        struct ims_error error = {0};

        ims_error_save(&error, status);
        status = store_group(pipeline, &pipeline->running);
        if (status == IMGSIM_OK)
            status = ims_error_raise(&error);
    }
    free_pipeline(pipeline);
    return status;
}
