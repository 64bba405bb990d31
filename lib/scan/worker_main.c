/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program imgsim-worker: the keeper, and the decoding processes that it forks. It is started by the library alone, and finds
 * everything it needs at fixed descriptors.
 */
#include "scan/worker.h"

#include "core/module.h"
#include "extract/extractor.h"
#include "image/image.h"

#ifdef IMS_WORKER_MURDER
#include "murder.h"
#endif

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How decoding processes end by themselves: there is nobody any more, or a module has to be opened first. */
#define EXIT_NO_HOST 96
#define EXIT_NEEDS_MODULE 97

static struct ims_worker_control *control;
static struct ims_prepare_settings settings;
static const imgsim_extractor *extractors[IMS_SCAN_EXTRACTORS_MAX];
static uint64_t remote;
static uint8_t *content;
static size_t content_size;
/* A decoding process met a file that needs a module; the keeper tries that once. */
static bool module_tried;

static void tell(uint32_t kind, int32_t status)
{
    const struct ims_worker_message message = {.kind = kind, .status = status};

    (void)send(IMS_WORKER_SOCKET, &message, sizeof(message), MSG_NOSIGNAL);
}

/* ---- the decoding process ---- */

static void note_step(void *context, uint32_t step)
{
    (void)context;
    atomic_store(&control->step, step);
#ifdef IMS_WORKER_MURDER
    {
        const struct ims_worker_file *file = &control->files[atomic_load(&control->finished)];

        ims_murder(content + file->content_at, file->content_size, step);
    }
#endif
}

/* It cannot be opened here any more. */
static void leave_for_module(void)
{
    _exit(EXIT_NEEDS_MODULE);
}

/* Contents were moved to larger memory. */
static bool map_content(void)
{
    if (content_size == control->content_size)
        return true;
    if (content != NULL)
        munmap(content, content_size);
    content_size = control->content_size;
    content = mmap(NULL, content_size, PROT_READ, MAP_SHARED, IMS_WORKER_CONTENT, 0);
    return content != MAP_FAILED;
}

/* Hand the pixels to the host's process. */
static imgsim_status share_pixels(const imgsim_image *image, struct ims_worker_file *file)
{
    size_t size = (size_t)image->width * image->height * 3;
    struct stat info;
    void *shared;

    if (fstat(IMS_WORKER_PIXELS, &info) != 0 ||
        ((uint64_t)info.st_size < size && ftruncate(IMS_WORKER_PIXELS, (off_t)size) != 0))
        return ims_fail_memory(size);
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, IMS_WORKER_PIXELS, 0);
    if (shared == MAP_FAILED)
        return ims_fail_memory(size);
    memcpy(shared, image->pixels, size);
    munmap(shared, size);
    file->pixels_width = image->width;
    file->pixels_height = image->height;
    return IMGSIM_OK;
}

static void
answer(struct ims_worker_file *file, imgsim_status status, const struct ims_prepared_file *out)
{
    file->status = status;
    file->state = out->state;
    file->rows = out->rows;
    file->inputs = out->inputs;
    file->width = out->width;
    file->height = out->height;
    memcpy(file->format, out->format, sizeof(file->format));
    memcpy(file->reason, out->reason, sizeof(file->reason));
    if (status != IMGSIM_OK)
        snprintf(file->error, sizeof(file->error), "%s", imgsim_last_error());
}

static void decode_file(uint32_t position)
{
    struct ims_worker_file *file = &control->files[position];
    struct ims_file_buffer buffer = {
        .data = content + file->content_at, .size = file->content_size};
    struct ims_prepared_file out = {
        .block = (uint8_t *)control + control->blocks_at + position * control->block_size};
    imgsim_image *image = NULL;
    imgsim_status status;

    atomic_store(&control->fault, IMS_FAULT_NONE);
    status = ims_prepare_image(&settings, "image", &buffer, &out, &image);
    if (status == IMGSIM_OK && image != NULL)
        status = ims_prepare_extract(&settings, "image", image, file->needed & remote, &out);
    if (status == IMGSIM_OK && image != NULL && out.state == IMGSIM_FILE_OK &&
        (file->needed & ~remote) != 0)
        status = share_pixels(image, file);
    imgsim_image_free(image);

    /* The limit was reached and this is what the decoder made of it. Running out of memory without a limit is not the file's fault. */
    if (atomic_load(&control->fault) == IMS_FAULT_MEMORY &&
        (status == IMGSIM_ERROR_OUT_OF_MEMORY || out.state == IMGSIM_FILE_FAILED)) {
        status = IMGSIM_OK;
        ims_worker_set_memory(control->memory_limit, &out);
    }
    answer(file, status, &out);
}

static void serve(void)
{
    struct ims_worker_message message;

    for (;;) {
        ssize_t size = recv(IMS_WORKER_SOCKET, &message, sizeof(message), 0);

        if (size < 0 && errno == EINTR)
            continue;
        if (size != (ssize_t)sizeof(message) || message.kind != IMS_WORKER_DECODE || !map_content())
            _exit(EXIT_NO_HOST);
        for (uint32_t i = control->first_file; i < control->file_count; i++) {
            decode_file(i);
            atomic_store(&control->finished, i + 1);
        }
        tell(IMS_WORKER_DONE, 0);
    }
}

static void run_decoder(pid_t keeper)
{
    if (!ims_worker_follow(keeper))
        _exit(EXIT_NO_HOST);
    atomic_store(&control->decoder, (uint32_t)getpid());
    (void)dup2(0, 2); /* what decoders print is for nobody */
    ims_module_before_opening(module_tried ? NULL : leave_for_module);
    ims_worker_lock_down(control);
    tell(IMS_WORKER_READY, 0);
    serve();
}

/* ---- the keeper ---- */

static int fail(void)
{
    snprintf(control->trouble, sizeof(control->trouble), "%s", imgsim_last_error());
    tell(IMS_WORKER_FAILED, 0);
    return EXIT_NO_HOST;
}

/* Map the control block and see whether library and program belong together; false leaves no way to say why. */
static bool open_control(void)
{
    struct stat info;

    if (fstat(IMS_WORKER_CONTROL, &info) != 0 || info.st_size < (off_t)sizeof(*control))
        return false;
    control =
        mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, IMS_WORKER_CONTROL, 0);
    return control != MAP_FAILED && control->contract == IMS_WORKER_CONTRACT &&
           control->head_size == sizeof(*control) && control->size == (uint64_t)info.st_size &&
           strcmp(control->version, imgsim_version_string()) == 0;
}

/* The extractors as they are in the host's process. */
static imgsim_status make_extractors(void)
{
    settings.image = control->image;
    settings.extractors = extractors;
    settings.extractor_count = control->extractor_count;
    settings.block_size = control->block_size;
    settings.note_step = note_step;
    for (uint32_t i = 0; i < control->extractor_count; i++) {
        const struct ims_worker_extractor *shared = &control->extractors[i];
        imgsim_extractor *extractor = NULL;
        imgsim_status status;

        settings.row_at[i] = shared->row_at;
        settings.input_at[i] = shared->input_at;
        if (shared->remote == 0)
            continue;
        status = ims_extractor_new_remote((const char *)control + shared->spec_at, &extractor);
        if (status != IMGSIM_OK)
            return status;
        extractors[i] = extractor;
        remote |= UINT64_C(1) << i;
        if (extractor->input_size != shared->input_size ||
            (extractor->input_size == 0 && extractor->row_size != shared->row_size))
            return ims_fail(
                IMGSIM_ERROR_INTERNAL, "extractor \"%s\" is another one here", extractor->spec);
        if (extractor->input_size > 0)
            settings.network_mask |= UINT64_C(1) << i;
    }
    return IMGSIM_OK;
}

/* Whether the host has closed its end. */
static bool host_is_gone(void)
{
    struct ims_worker_message message;

    return recv(IMS_WORKER_SOCKET, &message, sizeof(message), MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Fork one decoding process after the other. */
static int keep(void)
{
    pid_t self = getpid();

    for (;;) {
        pid_t decoder = fork();
        int status;

        if (decoder == 0)
            run_decoder(self);
        if (decoder < 0) {
            (void)ims_fail(IMGSIM_ERROR_UNSUPPORTED, "no process: %s", strerror(errno));
            return fail();
        }
        while (waitpid(decoder, &status, 0) < 0 && errno == EINTR)
            ;
        if (host_is_gone())
            return 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NEEDS_MODULE && !module_tried) {
            module_tried = true;
            (void)ims_image_has_format("png");
            tell(IMS_WORKER_MODULE, 0);
        } else {
            tell(IMS_WORKER_ENDED, status);
        }
    }
}

int main(void)
{
    if (!open_control()) {
        fprintf(
            stderr, "%s %s is started by the library of the same version, which decodes with it\n",
            IMS_WORKER_PROGRAM, imgsim_version_string());
        return 2;
    }
    if (!ims_worker_follow(control->host))
        return EXIT_NO_HOST;
    (void)prctl(PR_SET_NAME, "imgsim-keeper", 0, 0, 0);
    if (make_extractors() != IMGSIM_OK)
        return fail();
    _exit(
        keep()); /* nothing to tidy up, and no leak checker to run among processes that come and go */
}
