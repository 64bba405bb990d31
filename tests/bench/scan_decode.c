/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and decodes the JPEG files of a folder on some threads and does nothing else: the bound of every scan.
 * scan_decode turbojpeg|vips FOLDER THREADS [MIN_SIDE] prints seconds and images; MIN_SIDE lets turbojpeg reduce as a scan does.
 * Built and run by bench_scan.py.
 */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <turbojpeg.h>
#include <unistd.h>
#include <vips/vips.h>

static char **paths;
static size_t path_count;
static atomic_size_t next_path, decoded;
static int with_vips, min_side;

static int collect(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)info;
    (void)position;
    if (kind != FTW_F)
        return 0;
    paths = realloc(paths, (path_count + 1) * sizeof(*paths));
    paths[path_count++] = strdup(path);
    return 0;
}

static unsigned char *read_file(const char *path, size_t *out_size)
{
    int descriptor = open(path, O_RDONLY);
    unsigned char *data = NULL;
    struct stat info;

    if (descriptor >= 0 && fstat(descriptor, &info) == 0 &&
        (data = malloc((size_t)info.st_size)) != NULL) {
        *out_size = (size_t)info.st_size;
        if (read(descriptor, data, *out_size) != info.st_size) {
            free(data);
            data = NULL;
        }
    }
    close(descriptor);
    return data;
}

static int decode_turbojpeg(tjhandle handle, const unsigned char *data, size_t size)
{
    int width, height, subsampling, space, status;
    unsigned char *pixels;
    int reduction = 1;

    if (tjDecompressHeader3(handle, data, size, &width, &height, &subsampling, &space) != 0)
        return -1;
    while (min_side > 0 && reduction < 8 &&
           (width < height ? width : height) / (reduction * 2) >= min_side)
        reduction *= 2;
    width = (width + reduction - 1) / reduction;
    height = (height + reduction - 1) / reduction;
    if ((pixels = malloc((size_t)width * (size_t)height * 3)) == NULL)
        return -1;
    status = tjDecompress2(handle, data, size, pixels, width, 0, height, TJPF_RGB, 0);
    free(pixels);
    return status;
}

static int decode_vips(const unsigned char *data, size_t size)
{
    VipsImage *image = vips_image_new_from_buffer(data, size, "", NULL);
    void *pixels = NULL;
    size_t length;

    if (image != NULL)
        pixels = vips_image_write_to_memory(image, &length);
    g_free(pixels);
    if (image != NULL)
        g_object_unref(image);
    return pixels != NULL ? 0 : -1;
}

static void *work(void *context)
{
    tjhandle handle = tjInitDecompress();
    size_t i;

    (void)context;
    while ((i = atomic_fetch_add(&next_path, 1)) < path_count) {
        size_t size;
        unsigned char *data = read_file(paths[i], &size);

        if (data != NULL &&
            (with_vips ? decode_vips(data, size) : decode_turbojpeg(handle, data, size)) == 0)
            atomic_fetch_add(&decoded, 1);
        free(data);
    }
    tjDestroy(handle);
    if (with_vips)
        vips_thread_shutdown();
    return NULL;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    int thread_count = argc >= 4 ? atoi(argv[3]) : 0;
    pthread_t threads[64];
    double started;

    if (thread_count < 1 || thread_count > 64 || VIPS_INIT(argv[0]) != 0)
        return 2;
    min_side = argc == 5 ? atoi(argv[4]) : 0;
    with_vips = strcmp(argv[1], "vips") == 0;
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    nftw(argv[2], collect, 16, FTW_PHYS);
    started = now();
    for (int i = 0; i < thread_count; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
    for (int i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    printf("%.6f %zu\n", now() - started, (size_t)decoded);
    return 0;
}
