/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random damage to every format: any status will do, but never a crash, a hang or a half-made
 * image. Run with sanitizers.
 */
#include "image_files.h"

#include "core/rng.h"

static void check_result(imgsim_status status, imgsim_image *image)
{
    if (status == IMGSIM_OK) {
        CHECK(image != NULL && image->width > 0 && image->height > 0);
        CHECK((uint64_t)image->width * image->height <= 1 << 22);
    } else {
        CHECK(
            status == IMGSIM_ERROR_BAD_IMAGE || status == IMGSIM_ERROR_LIMIT ||
            status == IMGSIM_ERROR_UNSUPPORTED);
        CHECK(image == NULL);
        CHECK(ims_image_last_reason()[0] != '\0');
        CHECK(strchr(imgsim_last_error(), '\n') == NULL);
    }
    imgsim_image_free(image);
}

/* Change a few bytes, sometimes cut, sometimes repeat a piece. */
static size_t damage(struct ims_rng *rng, uint8_t *bytes, size_t size)
{
    uint64_t changes = 1 + ims_rng_below(rng, 8);

    for (uint64_t i = 0; i < changes; i++) {
        size_t at = (size_t)ims_rng_below(rng, i % 2 == 0 && size > 64 ? 64 : size);

        if (ims_rng_below(rng, 2) == 0)
            bytes[at] = (uint8_t)ims_rng_below(rng, 256);
        else
            bytes[at] ^= (uint8_t)(1u << ims_rng_below(rng, 8));
    }
    if (ims_rng_below(rng, 8) == 0)
        size = 1 + (size_t)ims_rng_below(rng, size);
    if (ims_rng_below(rng, 8) == 0 && size > 32) {
        size_t from = (size_t)ims_rng_below(rng, size - 16),
               to = (size_t)ims_rng_below(rng, size - 16);

        memmove(bytes + to, bytes + from, 16);
    }
    return size;
}

static void check_damage(struct file_bytes file, uint64_t seed, int rounds)
{
    imgsim_image_options options;
    struct ims_rng rng;

    ims_rng_init(&rng, seed);
    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.max_pixels = 1 << 22;
    for (int round = 0; round < rounds; round++) {
        uint8_t *copy = malloc(file.size), *exact;
        imgsim_image *image = NULL;
        imgsim_status status;
        size_t size;

        CHECK(copy != NULL);
        memcpy(copy, file.data, file.size);
        size = damage(&rng, copy, file.size);
        CHECK((exact = malloc(size)) != NULL); /* so that a sanitizer sees any step beyond */
        memcpy(exact, copy, size);
        options.min_side = round % 3 == 0 ? 8 : 0;
        status = imgsim_image_load_memory(exact, size, &options, &image);
        check_result(status, image);
        free(copy);
        free(exact);
    }
    free(file.data);
}

int main(void)
{
    static const uint8_t colours[3] = {1, 2, 3};
    imgsim_image *picture = make_picture(40, 30, 11);
    struct file_bytes pnm = {0};
    int rounds = 300;

    put_bytes(
        &pnm, "P3 4 2 255 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24\n", 75);
    check_damage(encode_picture(picture, "jpeg"), 1, 4 * rounds);
    check_damage(encode_picture(picture, "png"), 2, rounds);
    check_damage(encode_picture(picture, "webp"), 3, rounds);
    check_damage(make_gif(20, 10, colours, 3), 4, rounds);
    check_damage(make_tiff(40, 30, 3, 2, picture->pixels), 5, rounds);
    check_damage(pnm, 6, rounds);
    imgsim_image_free(picture);
    return 0;
}
