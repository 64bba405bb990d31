/* SPDX-License-Identifier: Apache-2.0 */
/* Reading NumPy's .npy files, mapped. */
#ifndef IMGSIM_CLI_NPY_H
#define IMGSIM_CLI_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A mapped .npy file of one or two dimensions in C order; close it with cli_npy_close(). */
struct cli_npy {
    /* Type as NumPy writes it: "<f4", "|u1", "<i8". */
    char type[8];
    uint64_t rows;
    uint64_t columns;
    size_t item_size;
    const unsigned char *data;
    /* Private. */
    void *map;
    size_t map_size;
};

/* Returns the exit status after a message, or CLI_GO_ON. */
int cli_npy_open(const char *path, struct cli_npy *npy);
void cli_npy_close(struct cli_npy *npy);

#endif
