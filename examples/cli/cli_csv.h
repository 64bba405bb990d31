/* SPDX-License-Identifier: Apache-2.0 */
/* Reading comma-separated values, RFC 4180. */
#ifndef IMGSIM_CLI_CSV_H
#define IMGSIM_CLI_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CLI_CSV_FIELDS_MAX 64

/* A reader; zero it, set `file`. Release it with cli_csv_close(), which does not close the file. */
struct cli_csv {
    FILE *file;
    /* Fields of the record read last; they belong to the reader. */
    const char *fields[CLI_CSV_FIELDS_MAX];
    size_t field_count;
    /* Line on which that record began, from 1. */
    size_t line;
    /* What is wrong, after CLI_CSV_BAD. */
    const char *problem;
    /* Private. */
    size_t lines_read;
    char *text;
    size_t used;
    size_t room;
    size_t starts[CLI_CSV_FIELDS_MAX];
};

enum cli_csv_result { CLI_CSV_RECORD, CLI_CSV_END, CLI_CSV_BAD };

/* Read the next record that is not empty. */
enum cli_csv_result cli_csv_read(struct cli_csv *csv);
void cli_csv_close(struct cli_csv *csv);

#endif
