/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoder that does what decoders must not, for tests of the worker: compiled into a worker program of their own. A healthy PNM
 * picture whose first comment reads "MURDER KIND [NUMBER]" is its order; NUMBER is the extractor in which to do it instead of
 * while decoding, or the exit status.
 */
#ifndef IMS_TESTS_MURDER_H
#define IMS_TESTS_MURDER_H

#include "scan/scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Takes all the stack there is. */
static int dig(volatile int *above)
{
    volatile int here[1024];

    here[0] = *above + 1;
    return here[0] > 0 ? dig(here) + here[0] : 0;
}

/* Asks for memory and writes to it until there is none; what follows is what many decoders do. */
static void eat(void)
{
    for (;;) {
        char *block = malloc(1 << 20);

        if (block == NULL)
            abort();
        memset(block, 1, 1 << 20);
    }
}

static void act(const char *kind, int number)
{
    volatile int zero = 0;

    if (strcmp(kind, "segfault") == 0)
        *(volatile int *)(uintptr_t)(zero + 8) = 1;
    else if (strcmp(kind, "abort") == 0)
        abort();
    else if (strcmp(kind, "exit") == 0)
        exit(number);
    else if (strcmp(kind, "loop") == 0)
        while (zero == 0)
            ;
    else if (strcmp(kind, "sleep") == 0)
        for (;;)
            sleep(1000);
    else if (strcmp(kind, "memory") == 0)
        eat();
    else if (strcmp(kind, "stack") == 0)
        exit(dig(&zero));
    else if (strcmp(kind, "socket") == 0)
        (void)socket(AF_INET, SOCK_STREAM, 0);
}

static void ims_murder(const uint8_t *content, size_t size, uint32_t step)
{
    static const char mark[] = "P6\n#MURDER ";
    char order[64], *at = order + sizeof(mark) - 1, *kind, *number, *end;

    if (size < sizeof(order) || memcmp(content, mark, sizeof(mark) - 1) != 0)
        return;
    memcpy(order, content, sizeof(order));
    order[sizeof(order) - 1] = '\0';
    if ((end = strchr(at, '\n')) != NULL)
        *end = '\0';
    kind = strtok_r(at, " ", &end);
    number = strtok_r(NULL, " ", &end);
    if (kind == NULL)
        return;
    if (strcmp(kind, "exit") == 0 || number == NULL ? step == IMS_STEP_DECODE
                                                    : step == (uint32_t)atoi(number))
        act(kind, number != NULL ? atoi(number) : 0);
}

#endif
