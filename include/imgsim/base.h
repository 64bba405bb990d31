/* SPDX-License-Identifier: Apache-2.0 */
/* What every other header needs: status codes, last error, version, log and progress callbacks. */
#ifndef IMGSIM_BASE_H
#define IMGSIM_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) || !defined(__GNUC__)
#define IMGSIM_API
#else
#define IMGSIM_API __attribute__((visibility("default")))
#endif

/** The version these headers belong to; imgsim_version() tells the one that is loaded. */
#define IMGSIM_VERSION_MAJOR 0
#define IMGSIM_VERSION_MINOR 1
#define IMGSIM_VERSION_PATCH 0
#define IMGSIM_VERSION_NUMBER \
    (IMGSIM_VERSION_MAJOR * 1000000 + IMGSIM_VERSION_MINOR * 1000 + IMGSIM_VERSION_PATCH)

/** Result of every function that can fail: IMGSIM_OK or a negative code below. Since 0.1. */
typedef int32_t imgsim_status;

enum {
    IMGSIM_OK = 0,
    /** A parameter is NULL, out of range or contradicts another. */
    IMGSIM_ERROR_INVALID_ARGUMENT = -1,
    IMGSIM_ERROR_OUT_OF_MEMORY = -2,
    /** The operating system refused to read or write. */
    IMGSIM_ERROR_IO = -3,
    /** No such file, catalog, feature, label, image or model. */
    IMGSIM_ERROR_NOT_FOUND = -4,
    /** Not built in, not offered by this version, or written by a newer one. */
    IMGSIM_ERROR_UNSUPPORTED = -5,
    /** A file of ours (catalog, matrix, index, projection) or a model is damaged. */
    IMGSIM_ERROR_CORRUPT = -6,
    /** Larger than a limit that the caller set or left at its default. */
    IMGSIM_ERROR_LIMIT = -7,
    /** Not an image, or one that its decoder cannot read. */
    IMGSIM_ERROR_BAD_IMAGE = -8,
    /** A callback asked to stop. What was finished is kept. */
    IMGSIM_ERROR_CANCELLED = -9,
    /** Another process or handle is writing to the catalog. */
    IMGSIM_ERROR_BUSY = -10,
    /** Something has to be done before: fit a projector, fill an index. */
    IMGSIM_ERROR_NOT_READY = -11,
    /** No space left on the device, or a quota is reached. */
    IMGSIM_ERROR_NO_SPACE = -12,
    /** A callback of the host reported a failure. */
    IMGSIM_ERROR_CALLBACK = -13,
    /** A fault of the library itself; please report it. */
    IMGSIM_ERROR_INTERNAL = -14
};

/**
 * Text for people about the last failure on the calling thread: one line, no final stop.
 *
 * Read it only after a call returned an error. Valid until the next failing call on this thread;
 * never NULL. Since 0.1.
 */
IMGSIM_API const char *imgsim_last_error(void);

/** Name of a status, "IMGSIM_ERROR_IO" for instance; "unknown status" for others. Since 0.1. */
IMGSIM_API const char *imgsim_status_name(imgsim_status status);

/** Version of the loaded library as major * 1000000 + minor * 1000 + patch. Since 0.1. */
IMGSIM_API uint32_t imgsim_version(void);

/** Version of the loaded library, "0.1.0" for instance. Since 0.1. */
IMGSIM_API const char *imgsim_version_string(void);

/**
 * Whether something is there in this build and on this machine: 1 or 0, 0 for unknown names.
 *
 * Names: "torch" (the torch module can be opened), and the image formats "jpeg", "png", "webp", "gif", "tiff",
 * "heif", "avif", "jxl", "bmp", "pnm". Since 0.1.
 */
IMGSIM_API int32_t imgsim_has_feature(const char *name);

/**
 * Instruction set the distance kernels use: "scalar", "avx2", "avx512" or "neon".
 *
 * Chosen once, at the first use; the environment variable IMGSIM_SIMD forces one of them if the
 * processor has it. Since 0.1.
 */
IMGSIM_API const char *imgsim_simd_name(void);

/** Number of processors this process may use; what threads = 0 means in options. Since 0.1. */
IMGSIM_API uint32_t imgsim_cpu_count(void);

/**
 * Set how many threads OpenBLAS uses in this process.
 *
 * OpenBLAS has one such number for the whole process, so libimgsim never touches it on its own.
 * libimgsim splits its matrix products over its own threads; with 1 it is fastest. Programs that
 * do not use OpenBLAS themselves call imgsim_set_blas_threads(1) once at their start.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (0 or more than 1024). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_set_blas_threads(uint32_t thread_count);

/** Levels of log messages. Since 0.1. */
enum { IMGSIM_LOG_WARNING = 1, IMGSIM_LOG_INFO = 2, IMGSIM_LOG_DEBUG = 3 };

/** Receives one line without line end; may be called from any thread, one call at a time. Since 0.1. */
typedef void (*imgsim_log_callback)(int32_t level, const char *message, void *user_data);

/** Set the receiver of log messages of this process, NULL for none (the default). Since 0.1. */
IMGSIM_API void imgsim_set_log_callback(imgsim_log_callback callback, void *user_data);

/** How far a long operation has come. Only the library makes these. Since 0.1. */
typedef struct imgsim_progress {
    size_t struct_size;
    /** What is being done: "walk", "scan", "fit", "transform", "build"; a constant string. */
    const char *phase;
    /** Items finished in this phase, failures included. */
    uint64_t done;
    /** Items of this phase in all; 0 while unknown. */
    uint64_t total;
    /** Items that failed or were skipped. */
    uint64_t failed;
    /** Bytes read so far in this phase, 0 where it does not apply. */
    uint64_t bytes;
    /** Seconds since the operation began. */
    double elapsed_seconds;
    /** Items per second over the last seconds; 0 while unknown. */
    double rate;
    /** Seconds left in this phase by estimate, from the items and the bytes of the files left; negative while unknown. */
    double remaining_seconds;
    /** Bytes of all files of this phase; 0 while unknown or where it does not apply. */
    uint64_t total_bytes;
    /** Bytes read per second over the last seconds; 0 while unknown. */
    double byte_rate;
} imgsim_progress;

/**
 * Told about progress every 50 ms or so, from the thread that made the call. Non-zero stops the
 * operation: it returns IMGSIM_ERROR_CANCELLED and keeps what is finished. Since 0.1.
 */
typedef int32_t (*imgsim_progress_callback)(const imgsim_progress *progress, void *user_data);

#ifdef __cplusplus
}
#endif

#endif
