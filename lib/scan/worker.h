/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contract between the library and the program imgsim-worker, which decodes for it.
 *
 * A worker is two processes. The keeper is started by the library, opens modules and makes extractors; it forks the decoding
 * process, which gives up what it does not need and decodes, and forks another one when that ends. So a crash costs a fork, and no
 * start of a program with a hundred libraries; and the library, whose process belongs to somebody else, has a single child.
 *
 * Between them lie a socket and two or three pieces of shared memory: the control block below, contents of files, and pixels for
 * extractors of the host's. Everything that the worker writes there may be wrong: decoders are what it is there for.
 */
#ifndef IMS_WORKER_H
#define IMS_WORKER_H

#include "scan/scan.h"

#include <sys/types.h>

/* Raised with every change of this file; both sides compare it, and the version of the library. */
#define IMS_WORKER_CONTRACT 1
#define IMS_WORKER_PROGRAM "imgsim-worker"
#define IMS_WORKER_VARIABLE "IMGSIM_WORKER"

/* Files that one message is about, at most. */
#define IMS_WORKER_FILES_MAX 16

/* Descriptors that the worker starts with. */
enum { IMS_WORKER_SOCKET = 3, IMS_WORKER_CONTROL, IMS_WORKER_CONTENT, IMS_WORKER_PIXELS };

/* What a message says; the socket keeps messages apart. */
enum ims_worker_message_kind {
    /* Library -> decoding process: files first_file to file_count - 1 are there. */
    IMS_WORKER_DECODE = 1,
    /* Decoding process -> library. */
    IMS_WORKER_READY,
    IMS_WORKER_DONE,
    /* Keeper -> library: the decoding process ended with this status of waitpid(); another one says READY. */
    IMS_WORKER_ENDED,
    /* Keeper -> library: the same, because a module had to be opened, which is done now. */
    IMS_WORKER_MODULE,
    /* Keeper -> library: it cannot go on; `trouble` says why. */
    IMS_WORKER_FAILED
};

struct ims_worker_message {
    uint32_t kind;
    int32_t status;
};

/* What the decoding process knows about its end beyond the signal. */
enum ims_worker_fault {
    IMS_FAULT_NONE = 0,
    IMS_FAULT_MEMORY, /* it asked for more than its limit */
    IMS_FAULT_STACK,  /* its stack overflowed */
    IMS_FAULT_CALL    /* it made a system call that it must not; fault_call says which */
};

struct ims_worker_extractor {
    uint64_t row_at;
    uint64_t input_at;
    uint64_t row_size;
    uint64_t input_size;
    uint64_t spec_at; /* from the start of the control block */
    uint32_t remote;  /* works in the worker; otherwise in the host's process */
    uint32_t reserved;
};

struct ims_worker_file {
    /* The library's. */
    uint64_t content_at;
    uint64_t content_size;
    uint64_t needed; /* extractors */
    /* The worker's: as in ims_prepared_file. */
    int32_t status; /* OK, or the error that ends the scan */
    int32_t state;
    uint64_t rows;
    uint64_t inputs;
    uint32_t width;
    uint32_t height;
    uint32_t pixels_width; /* of the image in the shared pixels */
    uint32_t pixels_height;
    char format[16];
    char reason[IMS_REASON_SIZE];
    char error[256];
};

/* Head of the control block; specifications and blocks of rows follow. */
struct ims_worker_control {
    uint32_t contract;
    uint32_t head_size;
    char version[32];
    uint64_t size;         /* of the control block */
    uint64_t memory_limit; /* 0: none */
    int64_t host;          /* process that started the keeper */
    imgsim_image_options image;
    uint64_t blocks_at;
    uint64_t block_size;
    uint32_t extractor_count;
    uint32_t wants_pixels;
    struct ims_worker_extractor extractors[IMS_SCAN_EXTRACTORS_MAX];

    /* The batch, the library's. */
    uint64_t content_size; /* of the shared memory for contents */
    uint32_t first_file;
    uint32_t file_count;

    /* The journal, the worker's: what it is doing, for the time when it cannot be asked any more. */
    atomic_uint finished;   /* files of the batch; it is at the next one */
    atomic_uint step;       /* as told by ims_prepare_settings.note_step */
    atomic_uint fault;      /* enum ims_worker_fault */
    atomic_uint fault_call; /* number of the system call */
    atomic_uint decoder;    /* id of the decoding process */
    char trouble[256];
    struct ims_worker_file files[IMS_WORKER_FILES_MAX];
};

/* ---- worker_limits.c, in the worker ---- */

/* What holds for both processes: no core files, first to go when memory runs out, ends with the process `parent`. */
bool ims_worker_follow(int64_t parent);
/*
 * Give up what decoding does not need: memory beyond the limit, other files, programs, processes, sockets. Faults are noted in the
 * control block from here on.
 */
void ims_worker_lock_down(struct ims_worker_control *control);

/* ---- worker_host.c, in the library ---- */

struct ims_worker;

/* What the workers of one scan have in common. */
struct ims_worker_settings {
    const struct ims_prepare_settings *prepare;
    const char *program;
    uint64_t memory;     /* bytes that a decoding process may allocate */
    uint32_t timeout_ms; /* processor time of one file; four times as much by the clock */
    /* Set by another thread: files in work are given up, with CANCELLED. */
    const atomic_bool *halt;
};

/* Shared memory, no process yet. UNSUPPORTED where the system has none. */
imgsim_status
ims_worker_new(const struct ims_worker_settings *settings, struct ims_worker **out_worker);
/* Ends the processes. */
void ims_worker_free(struct ims_worker *worker);
/* Files of one batch: 1 if pixels are handed over, since there is one place for them. */
size_t ims_worker_batch_size(const struct ims_worker *worker);
/* Where to read file i of the next batch; after file i - 1 was read. */
struct ims_file_buffer *ims_worker_buffer(struct ims_worker *worker, size_t i);
/* Start the processes unless they are there. UNSUPPORTED when they cannot be. */
imgsim_status ims_worker_start(struct ims_worker *worker);
/*
 * Decode files that were read and let the extractors work. What happens to a file, the end of its process included, is its state;
 * errors are those that end the scan.
 */
imgsim_status ims_worker_run(struct ims_worker *worker, const struct ims_job *jobs, size_t count);

/* ---- worker_spawn.c ---- */

/*
 * Start the keeper, without running any code of ours between: in a host of many threads, whose memory may be large and whose
 * handlers and files are its own. fds: control, content, pixels (-1: none). UNSUPPORTED when the system does not let us.
 */
imgsim_status ims_worker_spawn(const char *program, int socket, const int fds[3], pid_t *out_pid);

/* ---- worker_reason.c: what is said about files that a worker did not survive ---- */

struct ims_worker_end {
    bool timed_out;
    bool stuck;      /* by the clock, not by processor time */
    bool lost;       /* nobody knows how it ended */
    int wait_status; /* otherwise, as of waitpid() */
    uint32_t fault;
    uint32_t fault_call;
    uint32_t step;
};

void ims_worker_set_end(
    const struct ims_worker_settings *settings,
    const struct ims_worker_end *end,
    struct ims_prepared_file *out);
/* "too large for memory (limit 2048 MB)" */
void ims_worker_set_memory(uint64_t limit, struct ims_prepared_file *out);

#endif
