/* SPDX-License-Identifier: Apache-2.0 */
/* Starts libvips once, when the first image needs it, and takes its error texts. */
#include "image/decode.h"

#include <pthread.h>
#include <string.h>
#include <vips/vips.h>

static pthread_once_t start_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static bool started;

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
    ims_log(IMGSIM_LOG_DEBUG, "libvips: %s", text);
}

/*
 * libvips' settings belong to the whole process. Where the host has started it before us they are
 * the host's; otherwise the cache of operations is turned off, because nothing here is computed
 * twice, and the log is ours. Threads per image are set on each image instead (decode_vips.c). No
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

bool ims_vips_enter(void)
{
    pthread_once(&start_once, start);
    return started && pthread_setspecific(thread_key, &started) == 0;
}

/* One buffer serves the process: copying and clearing happen together, under libvips' own lock. */
void ims_vips_error(char *out, size_t size)
{
    char *text = vips_error_buffer_copy();
    size_t used = 0;

    for (const char *p = text; p != NULL && *p != '\0' && used + 2 < size; p++) {
        if (*p != '\n' && *p != '\r')
            out[used++] = *p;
        else if (p[1] != '\0') { /* several lines become one */
            out[used++] = ';';
            out[used++] = ' ';
        }
    }
    out[used] = '\0';
    g_free(text);
}
