/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding and drawing from several threads at once gives what one thread gives, errors included.
 */
#include "image_files.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 15, FILES = 5 };

static struct file_bytes files[FILES];
static imgsim_image *expected[FILES];

static void *work(void *argument)
{
    size_t offset = (size_t)(uintptr_t)argument;
    imgsim_image *canvas = NULL;

    CHECK_OK(ims_image_alloc(200, 40, &canvas));
    for (size_t round = 0; round < ROUNDS; round++) {
        struct file_bytes *file = &files[(round + offset) % FILES];
        imgsim_image *image = load_bytes(file);

        CHECK(difference(expected[(round + offset) % FILES], image) == 0.0);
        imgsim_image_free(image);
        image = NULL;
        CHECK(
            imgsim_image_load_memory(file->data, file->size / 2, NULL, &image) ==
            IMGSIM_ERROR_BAD_IMAGE);
        CHECK(image == NULL);
        CHECK_OK(ims_canvas_text(canvas, "several at once", 2, 2, 190, 16, 0xffffff, 0));
    }
    imgsim_image_free(canvas);
    return NULL;
}

int main(void)
{
    static const uint8_t colours[1] = {2};
    imgsim_image *picture = make_picture(120, 90, 12);
    pthread_t threads[THREADS];

    files[0] = encode_picture(picture, "jpeg");
    files[1] = encode_picture(picture, "png");
    files[2] = encode_picture(picture, "webp");
    files[3] = make_gif(60, 40, colours, 1);
    files[4] = make_tiff(120, 90, 3, 2, picture->pixels);
    for (int i = 0; i < FILES; i++)
        expected[i] = load_bytes(&files[i]);

    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    for (int i = 0; i < FILES; i++) {
        imgsim_image_free(expected[i]);
        free(files[i].data);
    }
    imgsim_image_free(picture);
    return 0;
}
