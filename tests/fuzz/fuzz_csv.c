/* SPDX-License-Identifier: Apache-2.0 */
/* Comma-separated values, as the command reads labels: fields end with NUL, lines are counted. */
#include "fuzz/fuzz.h"

#include "cli_csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli_csv csv = {0};
    enum cli_csv_result result;
    size_t line = 0, total = 0;

    if (size == 0 || (csv.file = fmemopen((void *)(uintptr_t)data, size, "rb")) == NULL)
        return 0;
    while ((result = cli_csv_read(&csv)) == CLI_CSV_RECORD) {
        CHECK(csv.field_count >= 1 && csv.field_count <= CLI_CSV_FIELDS_MAX);
        CHECK(csv.line > line);
        line = csv.line;
        for (size_t i = 0; i < csv.field_count; i++)
            total += strlen(csv.fields[i]);
        CHECK(total <= size);
    }
    if (result == CLI_CSV_BAD)
        CHECK(csv.problem != NULL && csv.problem[0] != '\0');
    cli_csv_close(&csv);
    fclose(csv.file);
    return 0;
}
