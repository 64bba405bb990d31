/* SPDX-License-Identifier: Apache-2.0 */
/* What is there in this build and on this machine; in the highest folder because it asks those below. */
#include <imgsim/base.h>

#include "extract/extractor.h"
#include "image/image.h"

#include <string.h>

int32_t imgsim_has_feature(const char *name)
{
    static const char *const formats[] = {"jpeg", "png",  "webp", "gif", "tiff",
                                          "heif", "avif", "jxl",  "bmp", "pnm"};

    if (name == NULL)
        return 0;
    if (strcmp(name, "torch") == 0)
        return ims_torch_available() != 0;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(name, formats[i]) == 0)
            return ims_image_has_format(name) != 0;
    return 0;
}
