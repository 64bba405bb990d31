/* SPDX-License-Identifier: Apache-2.0 */
/* Image files from memory: decoded within the limits or refused, in full and reduced. */
#include "fuzz/fuzz.h"

#include <imgsim/image.h>

#define PIXELS_MAX (1u << 18)

static void load(const uint8_t *data, size_t size, uint32_t min_side)
{
    imgsim_image_options options;
    imgsim_image *image = NULL;
    imgsim_status status;
    uint64_t sum = 0;

    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.max_pixels = PIXELS_MAX;
    options.max_frames = 50;
    options.min_side = min_side;
    status = imgsim_image_load_memory(data, size, &options, &image);
    if (status != IMGSIM_OK) {
        fuzz_check_refused(status);
        CHECK(image == NULL);
        return;
    }
    uint32_t width = imgsim_image_get_width(image), height = imgsim_image_get_height(image);
    const uint8_t *pixels = imgsim_image_get_pixels(image);

    CHECK(width > 0 && height > 0 && (uint64_t)width * height <= PIXELS_MAX);
    CHECK(imgsim_image_get_full_width(image) >= width);
    CHECK(imgsim_image_get_full_height(image) >= height);
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        sum += pixels[i];
    CHECK(sum <= (uint64_t)width * height * 3 * 255);
    imgsim_image_free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load(data, size, 0);
    load(data, size, 16);
    return 0;
}
