/* SPDX-License-Identifier: Apache-2.0 */
/* Container of .ims files: whatever is accepted has sections that lie inside the file. */
#include "fuzz/fuzz.h"

#include "core/file.h"

static void use(const struct fuzz_file *file, bool verify)
{
    static const char *const kinds[] = {"index", "PCA", "test"};

    for (int i = 0; i < 3; i++) {
        struct ims_reader reader = {0};
        imgsim_status status = ims_reader_open(&reader, file->path, kinds[i], 3, verify);

        if (status != IMGSIM_OK)
            fuzz_check_refused(status);
        else
            for (uint32_t n = 0; n < reader.section_count; n++) {
                char name[9] = {0};
                const void *data;
                size_t size;
                volatile uint8_t last = 0;

                memcpy(name, reader.sections[n].name, 8);
                if (ims_reader_section(&reader, name, &data, &size) != IMGSIM_OK || size == 0)
                    continue;
                CHECK((const uint8_t *)data >= reader.map.data);
                CHECK(size <= reader.map.size);
                last = ((const uint8_t *)data)[size - 1];
                (void)last;
            }
        ims_reader_close(&reader);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = fuzz_mend_sums(data, size);

    for (int i = 0; i < 2; i++) {
        struct fuzz_file file = {0};

        fuzz_file_open(&file, i == 0 ? data : mended, size);
        use(&file, false);
        use(&file, true);
        fuzz_file_close(&file);
    }
    free(mended);
    return 0;
}
