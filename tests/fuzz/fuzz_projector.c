/* SPDX-License-Identifier: Apache-2.0 */
/* Projector files: what is loaded transforms rows. */
#include "fuzz/fuzz.h"

#include <imgsim/projector.h>

static void use(const uint8_t *data, size_t size)
{
    struct fuzz_file file = {0};
    imgsim_projector *projector = NULL;
    imgsim_status status;

    fuzz_file_open(&file, data, size);
    status = imgsim_projector_load(file.path, &projector);
    if (status != IMGSIM_OK) {
        fuzz_check_refused(status);
        CHECK(projector == NULL);
    } else {
        uint32_t input = imgsim_projector_get_input_dimension(projector);
        uint32_t output = imgsim_projector_get_output_dimension(projector);
        float *row = calloc(input, sizeof(float)), *out = calloc(output, sizeof(float));

        CHECK(row != NULL && out != NULL);
        CHECK(output <= input || output <= imgsim_projector_get_landmark_count(projector));
        CHECK_EQUAL(strlen(imgsim_projector_get_fingerprint(projector)), 32);
        (void)imgsim_projector_transform(projector, row, 1, out);
        CHECK(imgsim_projector_add(projector, row, 1) != IMGSIM_ERROR_INTERNAL);
        free(row);
        free(out);
    }
    imgsim_projector_free(projector);
    fuzz_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = fuzz_mend_sums(data, size);

    use(data, size);
    use(mended, size);
    free(mended);
    return 0;
}
