/* SPDX-License-Identifier: Apache-2.0 */
/* libimgsim-vips.so: starts libvips once, takes its texts, and exports the table of functions. */
#include "image/vips_private.h"

#include <pthread.h>

static pthread_once_t start_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static bool started;
static void (*_Atomic log_line)(const char *text);

/* libvips keeps buffers per thread, which only the thread itself can give back: when it ends. */
static void end_thread(void *registered)
{
    (void)registered;
    vips_thread_shutdown();
}

/* Its warnings ("ignoring truncated ICC profile") go to our log instead of standard error. */
static void forward_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer data)
{
    (void)domain;
    (void)level;
    (void)data;
    log_line(text);
}

/*
 * libvips' settings belong to the whole process. Where the host has started it before us they are
 * the host's; otherwise the cache of operations is turned off, because nothing here is computed
 * twice, and the log is ours. Threads per image are set on each image instead (vips_read.c). No
 * loader is blocked for the process: we never let libvips choose one, but call the loader of the
 * format that our own table recognised.
 */
static void start(void)
{
    bool first = g_type_from_name("VipsObject") == 0;

    if (VIPS_INIT("imgsim") != 0) {
        vips_error_clear();
        return;
    }
    if (first) {
        vips_cache_set_max(0);
        g_log_set_handler(
            "VIPS",
            G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG,
            forward_log, NULL);
    }
    started = pthread_key_create(&thread_key, end_thread) == 0;
}

static bool enter(void (*write_log)(const char *text))
{
    log_line = write_log;
    pthread_once(&start_once, start);
    return started && pthread_setspecific(thread_key, &started) == 0;
}

/* One buffer serves the process: copying and clearing happen together, under libvips' own lock. */
bool ims_vips_fail(struct ims_vips_error *error)
{
    char *text = vips_error_buffer_copy();
    size_t used = 0;

    for (const char *p = text; p != NULL && *p != '\0' && used + 2 < sizeof(error->text); p++) {
        if (*p != '\n' && *p != '\r')
            error->text[used++] = *p;
        else if (p[1] != '\0') { /* several lines become one */
            error->text[used++] = ';';
            error->text[used++] = ' ';
        }
    }
    error->text[used] = '\0';
    g_free(text);
    return false;
}

__attribute__((visibility("default"))) const struct ims_vips_functions *imgsim_vips_functions(void)
{
    static const struct ims_vips_functions functions = {
        .contract = IMS_VIPS_CONTRACT,
        .enter = enter,
        .has_format = ims_vips_has_format,
        .open_file = ims_vips_open_file,
        .open_pixels = ims_vips_open_pixels,
        .read_rgb = ims_vips_read_rgb,
        .close = ims_vips_close,
        .encode = ims_vips_encode,
        .draw_line = ims_vips_draw_line,
        .release = g_free,
    };

    return &functions;
}
