/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading comma-separated values as RFC 4180 defines them; lines may also end with a line feed
 * alone.
 */
#include "cli_csv.h"

#include <stdlib.h>

static bool put(struct cli_csv *csv, char byte)
{
    if (csv->used == csv->room) {
        const size_t room = csv->room == 0 ? 1024 : 2 * csv->room;
        char *text = realloc(csv->text, room);

        if (text == NULL) {
            csv->problem = "out of memory";
            return false;
        }
        csv->text = text;
        csv->room = room;
    }
    csv->text[csv->used++] = byte;
    return true;
}

static bool begin_field(struct cli_csv *csv)
{
    if (csv->field_count == CLI_CSV_FIELDS_MAX) {
        csv->problem = "too many columns";
        return false;
    }
    csv->starts[csv->field_count++] = csv->used;
    return true;
}

static int next_byte(struct cli_csv *csv)
{
    const int byte = getc(csv->file);

    if (byte == '\n')
        csv->lines_read++;
    return byte;
}

/* The rest of a quoted field; returns what follows its closing quote, or -2. */
static int read_quoted(struct cli_csv *csv)
{
    for (;;) {
        int byte = next_byte(csv);

        if (byte == EOF) {
            csv->problem = "a quote is not closed";
            return -2;
        }
        if (byte == '"') {
            byte = next_byte(csv);
            if (byte != '"')
                return byte;
        }
        if (byte == '\0') {
            csv->problem = "a NUL byte";
            return -2;
        }
        if (!put(csv, (char)byte))
            return -2;
    }
}

/* One field from its first byte on; returns the byte that ends it (',', '\n', EOF), or -2. */
static int read_field(struct cli_csv *csv, int byte)
{
    if (byte == '"') {
        byte = read_quoted(csv);
        if (byte == '\r')
            byte = next_byte(csv);
        if (byte != ',' && byte != '\n' && byte != EOF && byte != -2) {
            csv->problem = "text after a closing quote";
            return -2;
        }
        return byte;
    }
    while (byte != ',' && byte != '\n' && byte != EOF) {
        if (byte == '"' || byte == '\0') {
            csv->problem = byte == '"' ? "a quote inside a field without quotes" : "a NUL byte";
            return -2;
        }
        if (byte == '\r') {
            byte = next_byte(csv);
            if (byte == '\n' || byte == EOF)
                return byte;
            if (!put(csv, '\r'))
                return -2;
            continue;
        }
        if (!put(csv, (char)byte))
            return -2;
        byte = next_byte(csv);
    }
    return byte;
}

/* CLI_CSV_END here means: the file ended before a record began. */
static enum cli_csv_result read_record(struct cli_csv *csv, bool *out_empty)
{
    int end;

    csv->field_count = 0;
    csv->used = 0;
    csv->line = csv->lines_read + 1;
    do {
        const int byte = next_byte(csv);

        if (byte == EOF && csv->field_count == 0)
            return CLI_CSV_END;
        if (!begin_field(csv))
            return CLI_CSV_BAD;
        end = read_field(csv, byte);
        if (end == -2 || !put(csv, '\0'))
            return CLI_CSV_BAD;
    } while (end == ',');
    for (size_t i = 0; i < csv->field_count; i++)
        csv->fields[i] = csv->text + csv->starts[i];
    *out_empty = csv->field_count == 1 && csv->fields[0][0] == '\0';
    return CLI_CSV_RECORD;
}

enum cli_csv_result cli_csv_read(struct cli_csv *csv)
{
    enum cli_csv_result result;
    bool empty = false;

    do {
        result = read_record(csv, &empty);
    } while (result == CLI_CSV_RECORD && empty);
    if (result == CLI_CSV_END && ferror(csv->file)) {
        csv->problem = "it cannot be read";
        return CLI_CSV_BAD;
    }
    return result;
}

void cli_csv_close(struct cli_csv *csv)
{
    free(csv->text);
    csv->text = NULL;
    csv->used = csv->room = 0;
}
