/* SPDX-License-Identifier: Apache-2.0 */
/* Specifications of extractors: what is accepted makes an extractor whose own specification makes it again. */
#include "fuzz/fuzz.h"

#include <imgsim/extractor.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    imgsim_extractor *extractor = NULL, *again = NULL;
    char *text = fuzz_text(data, size);
    imgsim_status status = imgsim_extractor_new_spec(text, &extractor);

    if (status != IMGSIM_OK) {
        fuzz_check_refused(status);
        CHECK(extractor == NULL);
    } else {
        CHECK(imgsim_extractor_get_row_size(extractor) > 0);
        CHECK_OK(imgsim_extractor_new_spec(imgsim_extractor_get_spec(extractor), &again));
        CHECK_TEXT(
            imgsim_extractor_get_fingerprint(again), imgsim_extractor_get_fingerprint(extractor));
    }
    imgsim_extractor_free(again);
    imgsim_extractor_free(extractor);
    free(text);
    return 0;
}
