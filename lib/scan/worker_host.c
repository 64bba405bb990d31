/* SPDX-License-Identifier: Apache-2.0 */
/* The library's side of a worker: shared memory, the processes, handing files over, and what to make of the answers. */
#include "scan/worker.h"

#include "core/memory.h"
#include "extract/extractor.h"
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Shared memory for contents begins with this and keeps this much after a large file. */
#define CONTENT_KEPT (1u << 20)
/* Contents and pixels above this are given back after the batch. */
#define LARGE_CONTENT (16u << 20)
/* What rows and inputs of a batch may take together; a batch is at least one file. */
#define BLOCKS_BYTES (1u << 20)
/* How long the thread waits without looking whether it should stop, and a file whether its time is over. */
#define SLICE_MICROSECONDS 40000
#define SLICE_SECONDS (SLICE_MICROSECONDS * 1e-6)
#define DAMAGED_ANSWER "damaged answer of a worker"
/* Starting may take this long on a machine that is busy with other things. */
#define START_SECONDS 60.0

struct content_slot {
    struct ims_file_buffer buffer; /* first */
    struct ims_worker *worker;
    size_t at;
};

struct ims_worker {
    const struct ims_worker_settings *settings;
    int control_fd;
    int content_fd;
    int pixels_fd;
    struct ims_worker_control *control;
    size_t control_size;
    size_t batch_size;
    uint8_t *content;
    size_t content_size;
    uint8_t *pixels;
    size_t pixels_size;
    struct content_slot slots[IMS_WORKER_FILES_MAX];
    uint64_t remote; /* extractors that work in the worker */
    int socket;
    pid_t keeper;   /* 0: none */
    bool ready;     /* the decoding process waits for files */
    bool working;   /* files were handed over and are not answered */
    bool was_ready; /* at any time: workers are possible here */
};

/* ---- shared memory ---- */

static imgsim_status open_memory(const char *name, size_t size, int *out_fd, void *out_memory)
{
    void *memory;

    *out_fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*out_fd < 0)
        return ims_fail(
            errno == ENOMEM ? IMGSIM_ERROR_OUT_OF_MEMORY : IMGSIM_ERROR_UNSUPPORTED,
            "workers need shared memory: %s", strerror(errno));
    if (ftruncate(*out_fd, (off_t)size) != 0)
        return errno == EFBIG
                   ? ims_fail(
                         IMGSIM_ERROR_UNSUPPORTED,
                         "the limit on the size of files (ulimit -f) leaves no room for the "
                         "shared memory of workers; isolation none does without")
                   : ims_fail_errno(errno, "shared memory of %zu bytes", size);
    /* What has been there stays there: nobody takes pages away from under a reader. */
    if (fcntl(*out_fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
        return ims_fail_errno(errno, "sealing shared memory");
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *out_fd, 0);
    if (memory == MAP_FAILED)
        return ims_fail_errno(ENOMEM, "shared memory of %zu bytes", size);
    *(void **)out_memory = memory;
    return IMGSIM_OK;
}

static bool grow_content(struct ims_worker *worker, size_t needed)
{
    size_t size = worker->content_size;
    void *memory;

    if (needed <= size)
        return true;
    while (size < needed)
        if (!ims_mul_size(size, 2, &size))
            return false;
    if (ftruncate(worker->content_fd, (off_t)size) != 0)
        return false;
    memory = mremap(worker->content, worker->content_size, size, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return false;
    worker->content = memory;
    worker->content_size = size;
    worker->control->content_size = size;
    return true;
}

static bool reserve_content(struct ims_file_buffer *buffer, size_t size)
{
    struct content_slot *slot = (struct content_slot *)buffer;
    size_t end;

    if (!ims_add_size(slot->at, size, &end) || !grow_content(slot->worker, end))
        return false;
    buffer->data = slot->worker->content + slot->at;
    buffer->capacity = slot->worker->content_size - slot->at;
    return true;
}

/* Give the pages of large files back; the addresses stay. */
static void trim(int fd, size_t size, size_t used)
{
    if (used > LARGE_CONTENT)
        (void)fallocate(
            fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, CONTENT_KEPT,
            (off_t)(size - CONTENT_KEPT));
}

struct ims_file_buffer *ims_worker_buffer(struct ims_worker *worker, size_t i)
{
    struct content_slot *slot = &worker->slots[i];

    slot->at = 0;
    if (i > 0)
        slot->at = (slot[-1].at + slot[-1].buffer.size + 63) & ~(size_t)63;
    slot->worker = worker;
    slot->buffer = (struct ims_file_buffer){.reserve = reserve_content};
    if (slot->at < worker->content_size) {
        slot->buffer.data = worker->content + slot->at;
        slot->buffer.capacity = worker->content_size - slot->at;
    }
    return &slot->buffer;
}

/* ---- the control block ---- */

/* Which extractors work where, and how large the block must be. */
static imgsim_status plan_control(struct ims_worker *worker, bool *out_wants_pixels)
{
    const struct ims_prepare_settings *prepare = worker->settings->prepare;
    size_t block = (prepare->block_size + 63) & ~(size_t)63, blocks;

    worker->control_size = sizeof(struct ims_worker_control);
    *out_wants_pixels = false;
    for (size_t i = 0; i < prepare->extractor_count; i++) {
        const imgsim_extractor *extractor = prepare->extractors[i];

        if (extractor->kind->extract_many != NULL) {
            *out_wants_pixels = true;
            continue;
        }
        worker->remote |= UINT64_C(1) << i;
        worker->control_size += strlen(extractor->spec) + 1;
    }
    worker->control_size = (worker->control_size + 63) & ~(size_t)63;

    worker->batch_size = block > 0 ? BLOCKS_BYTES / block : IMS_WORKER_FILES_MAX;
    if (worker->batch_size > IMS_WORKER_FILES_MAX)
        worker->batch_size = IMS_WORKER_FILES_MAX;
    if (worker->batch_size < 1 || *out_wants_pixels)
        worker->batch_size = 1;
    if (!ims_mul_size(worker->batch_size, block, &blocks) ||
        !ims_add_size(worker->control_size, blocks, &worker->control_size))
        return ims_fail(IMGSIM_ERROR_LIMIT, "the rows of the extractors are too large");
    return IMGSIM_OK;
}

static void fill_control(struct ims_worker *worker, bool wants_pixels)
{
    const struct ims_prepare_settings *prepare = worker->settings->prepare;
    struct ims_worker_control *control = worker->control;
    size_t at = sizeof(*control);

    control->contract = IMS_WORKER_CONTRACT;
    control->head_size = sizeof(*control);
    snprintf(control->version, sizeof(control->version), "%s", imgsim_version_string());
    control->size = worker->control_size;
    control->memory_limit = worker->settings->memory;
    control->host = getpid();
    control->image = prepare->image;
    control->block_size = (prepare->block_size + 63) & ~(size_t)63;
    control->blocks_at = worker->control_size - worker->batch_size * control->block_size;
    control->extractor_count = (uint32_t)prepare->extractor_count;
    control->wants_pixels = wants_pixels;
    control->content_size = worker->content_size;
    for (size_t i = 0; i < prepare->extractor_count; i++) {
        const imgsim_extractor *extractor = prepare->extractors[i];
        struct ims_worker_extractor *shared = &control->extractors[i];

        shared->row_at = prepare->row_at[i];
        shared->input_at = prepare->input_at[i];
        shared->row_size = extractor->row_size;
        shared->input_size = extractor->input_size;
        shared->remote = (uint32_t)(worker->remote >> i & 1);
        if (shared->remote == 0)
            continue;
        shared->spec_at = at;
        strcpy((char *)control + at, extractor->spec);
        at += strlen(extractor->spec) + 1;
    }
}

imgsim_status
ims_worker_new(const struct ims_worker_settings *settings, struct ims_worker **out_worker)
{
    struct ims_worker *worker = ims_calloc(1, sizeof(*worker));
    bool wants_pixels;
    imgsim_status status;

    *out_worker = NULL;
    if (worker == NULL)
        return ims_fail_memory(sizeof(*worker));
    worker->settings = settings;
    worker->control_fd = worker->content_fd = worker->pixels_fd = worker->socket = -1;

    if ((status = plan_control(worker, &wants_pixels)) != IMGSIM_OK ||
        (status = open_memory(
             "imgsim-control", worker->control_size, &worker->control_fd, &worker->control)) !=
            IMGSIM_OK ||
        (status = open_memory(
             "imgsim-content", CONTENT_KEPT, &worker->content_fd, &worker->content)) != IMGSIM_OK)
        goto done;
    worker->content_size = CONTENT_KEPT;
    if (wants_pixels) {
        status = open_memory("imgsim-pixels", CONTENT_KEPT, &worker->pixels_fd, &worker->pixels);
        if (status != IMGSIM_OK)
            goto done;
        worker->pixels_size = CONTENT_KEPT;
    }
    fill_control(worker, wants_pixels);
    *out_worker = worker;
    worker = NULL; /* now the caller's */

done:
    ims_worker_free(worker);
    return status;
}

size_t ims_worker_batch_size(const struct ims_worker *worker)
{
    return worker->batch_size;
}

/* ---- waiting ---- */

enum event { EVENT_MESSAGE, EVENT_NOTHING, EVENT_LOST, EVENT_STOPPED };

/* The next message, or what happened instead within one slice. */
static enum event receive(struct ims_worker *worker, struct ims_worker_message *out)
{
    const struct ims_worker_settings *settings = worker->settings;
    ssize_t size = recv(worker->socket, out, sizeof(*out), 0);

    if (size == (ssize_t)sizeof(*out))
        return EVENT_MESSAGE;
    if ((settings->halt != NULL && atomic_load(settings->halt)) ||
        (settings->prepare->stop != NULL && atomic_load(settings->prepare->stop)))
        return EVENT_STOPPED;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return EVENT_NOTHING;
    return EVENT_LOST;
}

static imgsim_status stopped(void)
{
    return ims_fail(IMGSIM_ERROR_CANCELLED, "stopped while decoding");
}

/* ---- start and end of the processes ---- */

/* End the keeper, which takes the decoding process with it, and wait until both are gone. */
static void end_processes(struct ims_worker *worker, bool kindly)
{
    struct ims_worker_message ignored;

    if (worker->keeper == 0)
        return;
    if (kindly)
        (void)shutdown(worker->socket, SHUT_WR);
    else
        (void)kill(worker->keeper, SIGKILL);
    /* The socket ends when the last of them is gone. A process that does not end on its own is helped. */
    for (int slice = 0; slice < 100; slice++) {
        ssize_t size = recv(worker->socket, &ignored, sizeof(ignored), 0);

        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
            break;
        if (slice == 5)
            (void)kill(worker->keeper, SIGKILL);
    }
    while (waitpid(worker->keeper, NULL, 0) < 0 && errno == EINTR)
        ;
    close(worker->socket);
    worker->socket = -1;
    worker->keeper = 0;
    worker->ready = worker->working = false;
}

/* Wait until the decoding process is ready, for the first time or again. */
static imgsim_status wait_until_ready(struct ims_worker *worker)
{
    double until = ims_now() + START_SECONDS;
    struct ims_worker_message message;

    while (!worker->ready) {
        enum event event = receive(worker, &message);

        if (event == EVENT_STOPPED)
            return stopped();
        if (event == EVENT_MESSAGE && message.kind == IMS_WORKER_READY) {
            worker->ready = worker->was_ready = true;
        } else if (event == EVENT_MESSAGE && message.kind == IMS_WORKER_MODULE) {
            continue;
        } else if (event == EVENT_MESSAGE && message.kind == IMS_WORKER_FAILED) {
            char trouble[sizeof(worker->control->trouble)];

            memcpy(trouble, worker->control->trouble, sizeof(trouble));
            trouble[sizeof(trouble) - 1] = '\0';
            return ims_fail(
                IMGSIM_ERROR_UNSUPPORTED, "worker %s: %s", worker->settings->program, trouble);
        } else if (event != EVENT_NOTHING || ims_now() > until) {
            return ims_fail(
                IMGSIM_ERROR_UNSUPPORTED, "worker %s %s", worker->settings->program,
                event == EVENT_NOTHING ? "does not get ready" : "ended before it was ready");
        }
    }
    return IMGSIM_OK;
}

imgsim_status ims_worker_start(struct ims_worker *worker)
{
    const int fds[] = {-1, worker->control_fd, worker->content_fd, worker->pixels_fd};
    struct timeval slice = {.tv_usec = SLICE_MICROSECONDS};
    imgsim_status status;
    int ends[2];

    if (worker->keeper != 0)
        return worker->ready ? IMGSIM_OK : wait_until_ready(worker);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return ims_fail_errno(errno, "a socket for a worker");
    worker->socket = ends[0];
    if (setsockopt(worker->socket, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice)) != 0)
        status = ims_fail_errno(errno, "a socket for a worker");
    else
        status = ims_worker_spawn(worker->settings->program, ends[1], fds + 1, &worker->keeper);
    close(ends[1]);
    if (status == IMGSIM_OK)
        status = wait_until_ready(worker);
    if (status != IMGSIM_OK) {
        struct ims_error error = {0};

        ims_error_save(&error, status);
        end_processes(worker, false);
        if (worker->socket >= 0)
            close(worker->socket);
        worker->socket = -1;
        status = ims_error_raise(&error);
    }
    return status;
}

void ims_worker_free(struct ims_worker *worker)
{
    if (worker == NULL)
        return;
    end_processes(worker, true);
    if (worker->control != NULL)
        munmap(worker->control, worker->control_size);
    if (worker->content != NULL)
        munmap(worker->content, worker->content_size);
    if (worker->pixels != NULL)
        munmap(worker->pixels, worker->pixels_size);
    if (worker->control_fd >= 0)
        close(worker->control_fd);
    if (worker->content_fd >= 0)
        close(worker->content_fd);
    if (worker->pixels_fd >= 0)
        close(worker->pixels_fd);
    ims_free(worker);
}

/* ---- answers ---- */

/* Whether the numbers of an answer can be true. */
static bool is_plausible(const struct ims_worker *worker, const struct ims_worker_file *answer)
{
    uint64_t expected = answer->needed & worker->remote;

    if (answer->state != IMGSIM_FILE_OK)
        return answer->state == IMGSIM_FILE_SKIPPED || answer->state == IMGSIM_FILE_FAILED;
    return answer->width > 0 && answer->height > 0 && (answer->rows & answer->inputs) == 0 &&
           (answer->rows | answer->inputs) == expected &&
           (answer->inputs & ~worker->settings->prepare->network_mask) == 0 &&
           (answer->rows & worker->settings->prepare->network_mask) == 0;
}

/* Copy a row, of bytes only as many as there are; false if it says a length that it cannot have. */
static bool take_row(const imgsim_extractor *extractor, const uint8_t *from, uint8_t *out)
{
    uint32_t length;

    if (extractor->row_type != IMGSIM_ROW_BYTES) {
        memcpy(out, from, extractor->row_size);
        return true;
    }
    memcpy(&length, from, sizeof(length));
    if (length > extractor->dimension)
        return false;
    memcpy(out, &length, sizeof(length));
    memcpy(out + sizeof(length), from + sizeof(length), length);
    return true;
}

static imgsim_status
take_block(const struct ims_worker *worker, size_t file, struct ims_prepared_file *out)
{
    const struct ims_prepare_settings *prepare = worker->settings->prepare;
    const struct ims_worker_control *control = worker->control;
    const uint8_t *block = (const uint8_t *)control + worker->control_size -
                           (worker->batch_size - file) * ((prepare->block_size + 63) & ~(size_t)63);

    if (out->block == NULL && (out->block = ims_alloc_aligned(prepare->block_size)) == NULL)
        return ims_fail_memory(prepare->block_size);
    for (size_t i = 0; i < prepare->extractor_count; i++) {
        if ((out->rows >> i & 1) != 0 && !take_row(
                                             prepare->extractors[i], block + prepare->row_at[i],
                                             out->block + prepare->row_at[i]))
            ims_prepared_set(out, IMGSIM_FILE_FAILED, DAMAGED_ANSWER);
        if ((out->inputs >> i & 1) != 0)
            memcpy(
                out->block + prepare->input_at[i], block + prepare->input_at[i],
                prepare->extractors[i]->input_size);
    }
    return IMGSIM_OK;
}

/* Let the host's extractors work on the pixels that the worker left. */
static imgsim_status extract_here(
    struct ims_worker *worker,
    const struct ims_job *job,
    const struct ims_worker_file *answer)
{
    imgsim_image image = {
        .width = answer->pixels_width,
        .height = answer->pixels_height,
        .full_width = answer->width,
        .full_height = answer->height};
    size_t size;
    imgsim_status status;
    struct stat info;
    void *memory;

    memcpy(image.format, job->out->format, sizeof(image.format));
    if (image.width == 0 || image.height == 0 || !ims_mul_size(image.width, image.height, &size) ||
        !ims_mul_size(size, 3, &size) || fstat(worker->pixels_fd, &info) != 0 ||
        size > (uint64_t)info.st_size) {
        ims_prepared_set(job->out, IMGSIM_FILE_FAILED, DAMAGED_ANSWER);
        return IMGSIM_OK;
    }
    if (size > worker->pixels_size) {
        memory = mremap(worker->pixels, worker->pixels_size, (size_t)info.st_size, MREMAP_MAYMOVE);
        if (memory == MAP_FAILED)
            return ims_fail_memory((size_t)info.st_size);
        worker->pixels = memory;
        worker->pixels_size = (size_t)info.st_size;
    }
    image.pixels = worker->pixels;
    status = ims_prepare_extract(
        worker->settings->prepare, job->path, &image, job->needed & ~worker->remote, job->out);
    trim(worker->pixels_fd, worker->pixels_size, size);
    return status;
}

/* One file is finished: its answer becomes a result. */
static imgsim_status take_answer(struct ims_worker *worker, const struct ims_job *job, size_t file)
{
    struct ims_worker_file answer = worker->control->files[file]; /* it does not change any more */
    struct ims_prepared_file *out = job->out;
    imgsim_status status = IMGSIM_OK;

    answer.needed = job->needed;
    answer.reason[sizeof(answer.reason) - 1] = '\0';
    answer.error[sizeof(answer.error) - 1] = '\0';
    answer.format[sizeof(answer.format) - 1] = '\0';
    if (answer.status == IMGSIM_ERROR_OUT_OF_MEMORY)
        return ims_fail(answer.status, "%s", answer.error);
    if (answer.status != IMGSIM_OK || !is_plausible(worker, &answer)) {
        ims_prepared_set(out, IMGSIM_FILE_FAILED, DAMAGED_ANSWER);
        return IMGSIM_OK;
    }
    if (answer.state != IMGSIM_FILE_OK)
        ims_prepared_set(out, answer.state, "%s", answer.reason);
    memcpy(out->format, answer.format, sizeof(out->format));
    out->width = answer.width;
    out->height = answer.height;
    if (answer.state != IMGSIM_FILE_OK)
        return IMGSIM_OK;
    out->rows = answer.rows;
    out->inputs = answer.inputs;
    status = take_block(worker, file, out);
    if (status == IMGSIM_OK && out->state == IMGSIM_FILE_OK && (job->needed & ~worker->remote) != 0)
        status = extract_here(worker, job, &answer);
    return status;
}

/* ---- a batch ---- */

/* How far a batch is. */
struct batch {
    const struct ims_job *jobs;
    size_t count;
    size_t next;   /* first file without result; the one in work */
    bool lost;     /* the processes were gone once while `next` was in work */
    double waited; /* at this file, as far as we were awake */
    double last_look;
    double
        processor; /* time of the decoding process when it was first seen at this file; -1: not yet */
};

static void begin_file(struct batch *batch)
{
    batch->waited = 0;
    batch->last_look = ims_now();
    batch->processor = -1;
}

static void submit(struct ims_worker *worker, struct batch *batch)
{
    const struct ims_worker_message message = {.kind = IMS_WORKER_DECODE};
    struct ims_worker_control *control = worker->control;

    for (size_t i = batch->next; i < batch->count; i++) {
        const struct ims_job *job = &batch->jobs[i];
        const struct content_slot *slot = (const struct content_slot *)job->buffer;

        control->files[i] = (struct ims_worker_file){
            .content_at = slot->at, .content_size = slot->buffer.size, .needed = job->needed};
    }
    control->first_file = (uint32_t)batch->next;
    control->file_count = (uint32_t)batch->count;
    atomic_store(&control->finished, (uint32_t)batch->next);
    atomic_store(&control->step, IMS_STEP_DECODE);
    begin_file(batch);
    worker->ready = false;
    worker->working = true;
    /* A process that is gone is noticed when the answer is waited for. */
    (void)send(worker->socket, &message, sizeof(message), MSG_NOSIGNAL);
}

/* Take the results that are there; the file in work becomes batch->next. */
static imgsim_status take_finished(struct ims_worker *worker, struct batch *batch)
{
    size_t finished = atomic_load(&worker->control->finished);
    imgsim_status status = IMGSIM_OK;

    while (batch->next < finished && batch->next < batch->count && status == IMGSIM_OK) {
        status = take_answer(worker, &batch->jobs[batch->next], batch->next);
        batch->next++;
        batch->lost = false;
    }
    return status;
}

/* The file in work is not survived. */
static void
give_up_file(struct ims_worker *worker, struct batch *batch, const struct ims_worker_end *end)
{
    struct ims_worker_end whole = *end;

    if (batch->next >= batch->count)
        return;
    whole.step = atomic_load(&worker->control->step);
    if (!end->timed_out) {
        whole.fault = atomic_load(&worker->control->fault);
        whole.fault_call = atomic_load(&worker->control->fault_call);
    }
    ims_worker_set_end(worker->settings, &whole, batch->jobs[batch->next].out);
    ims_log(
        IMGSIM_LOG_DEBUG, "%s: %s", batch->jobs[batch->next].path,
        batch->jobs[batch->next].out->reason);
    batch->next++;
    batch->lost = false;
}

/* Processor time of the decoding process in seconds; -1 when it is not known. */
static double processor_time(const struct ims_worker *worker)
{
    struct timespec time;
    clockid_t clock;

    if (clock_getcpuclockid((pid_t)atomic_load(&worker->control->decoder), &clock) != 0 ||
        clock_gettime(clock, &time) != 0)
        return -1;
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/*
 * Whether the file in work has used up its time. Only time in which this thread was awake counts, so that a program that was
 * stopped for a while does not find its files guilty of that.
 */
static bool is_late(struct ims_worker *worker, struct batch *batch, struct ims_worker_end *out_end)
{
    double limit = worker->settings->timeout_ms * 1e-3, now = ims_now(), processor;

    batch->waited +=
        now - batch->last_look < 2 * SLICE_SECONDS ? now - batch->last_look : 2 * SLICE_SECONDS;
    batch->last_look = now;
    processor = processor_time(worker);
    if (batch->processor < 0)
        batch->processor = processor;
    *out_end = (struct ims_worker_end){.timed_out = true};
    if (processor >= 0 && processor - batch->processor >= limit)
        return true;
    out_end->stuck = true;
    return batch->waited >= IMS_WORKER_PATIENCE * limit;
}

/* Nothing has come within a slice. */
static imgsim_status look_at_time(struct ims_worker *worker, struct batch *batch)
{
    size_t before = batch->next;
    imgsim_status status = take_finished(worker, batch);
    struct ims_worker_end end;

    if (batch->next != before)
        begin_file(batch);
    if (status != IMGSIM_OK || batch->next >= batch->count || !is_late(worker, batch, &end))
        return status;
    end_processes(worker, false);
    give_up_file(worker, batch, &end);
    return IMGSIM_OK;
}

/* The processes are gone, or talk nonsense. Somebody else may be to blame, so the file gets a second try. */
static void handle_loss(struct ims_worker *worker, struct batch *batch)
{
    const struct ims_worker_end end = {.lost = true};

    end_processes(worker, false);
    if (batch->lost)
        give_up_file(worker, batch, &end);
    else
        batch->lost = true;
}

static imgsim_status handle_message(
    struct ims_worker *worker,
    struct batch *batch,
    const struct ims_worker_message *message)
{
    const struct ims_worker_end end = {.wait_status = message->status};
    imgsim_status status = take_finished(worker, batch);

    worker->working = false;
    if (message->kind == IMS_WORKER_DONE && batch->next >= batch->count)
        worker->ready = true;
    else if (message->kind == IMS_WORKER_ENDED)
        give_up_file(worker, batch, &end);
    else if (message->kind != IMS_WORKER_MODULE)
        handle_loss(worker, batch);
    return status;
}

/* Wait for one event of a batch that was submitted. */
static imgsim_status advance(struct ims_worker *worker, struct batch *batch)
{
    struct ims_worker_message message;
    imgsim_status status;

    switch (receive(worker, &message)) {
    case EVENT_MESSAGE:
        return handle_message(worker, batch, &message);
    case EVENT_NOTHING:
        return look_at_time(worker, batch);
    case EVENT_LOST:
        status = take_finished(worker, batch);
        handle_loss(worker, batch);
        return status;
    case EVENT_STOPPED:
        break;
    }
    return stopped();
}

imgsim_status ims_worker_run(struct ims_worker *worker, const struct ims_job *jobs, size_t count)
{
    struct batch batch = {.jobs = jobs, .count = count};
    imgsim_status status = IMGSIM_OK;
    size_t used = 0;

    while (batch.next < count && status == IMGSIM_OK) {
        status = ims_worker_start(worker);
        if (status == IMGSIM_ERROR_UNSUPPORTED && worker->was_ready && !batch.lost) {
            batch.lost = true;
            status = IMGSIM_OK;
            continue;
        }
        if (status == IMGSIM_OK)
            submit(worker, &batch);
        /* Until all is answered, or somebody has to get ready again. */
        while (status == IMGSIM_OK && worker->working)
            status = advance(worker, &batch);
    }
    if (status == IMGSIM_ERROR_CANCELLED)
        end_processes(worker, false);
    for (size_t i = 0; i < count; i++)
        used += jobs[i].buffer->size;
    trim(worker->content_fd, worker->content_size, used);
    return status;
}
