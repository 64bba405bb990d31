/* SPDX-License-Identifier: Apache-2.0 */
/* Reading .npy files as numpy.lib.format defines them, versions 1 to 3. */
#include "cli_npy.h"

#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int bad(const char *path, const char *problem)
{
    cli_message("%s: %s", path, problem);
    return CLI_USAGE;
}

static int map_file(const char *path, struct cli_npy *npy)
{
    struct stat about;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    int problem = 0;

    if (file < 0 || fstat(file, &about) != 0)
        problem = errno;
    else if (!S_ISREG(about.st_mode))
        problem = S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
    if (problem == 0 && about.st_size > 0) {
        npy->map_size = (size_t)about.st_size;
        npy->map = mmap(NULL, npy->map_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (npy->map == MAP_FAILED) {
            npy->map = NULL;
            problem = errno;
        }
    }
    if (file >= 0)
        close(file);
    if (problem != 0) {
        cli_message("%s: %s", path, strerror(problem));
        return CLI_IO;
    }
    return CLI_GO_ON;
}

/* The text after 'KEY': in the header's dictionary, NULL if it is not there. */
static const char *value_of(const char *header, const char *key)
{
    const char *found = strstr(header, key);

    if (found == NULL)
        return NULL;
    found += strlen(key);
    found += strspn(found, " ");
    if (*found != ':')
        return NULL;
    return found + 1 + strspn(found + 1, " ");
}

static bool read_shape(const char *text, struct cli_npy *npy)
{
    uint64_t sides[2] = {0, 1};
    size_t count = 0;

    if (*text++ != '(')
        return false;
    while (*text != ')') {
        char *end;

        text += strspn(text, " ");
        if (count == 2 || *text < '0' || *text > '9')
            return false;
        errno = 0;
        sides[count++] = strtoull(text, &end, 10);
        if (errno != 0)
            return false;
        text = end + strspn(end, " ");
        if (*text == ',')
            text++;
        else if (*text != ')')
            return false;
    }
    npy->rows = sides[0];
    npy->columns = sides[1];
    return count >= 1;
}

static bool read_type(const char *text, struct cli_npy *npy)
{
    const char quote = *text++;
    const size_t length = strcspn(text, "'\"");

    if ((quote != '\'' && quote != '"') || length < 3 || length >= sizeof(npy->type))
        return false;
    memcpy(npy->type, text, length);
    npy->type[length] = '\0';
    npy->item_size = (size_t)strtoul(npy->type + 2, NULL, 10);
    return npy->item_size >= 1 && npy->item_size <= 16;
}

static int read_header(const char *path, const char *header, struct cli_npy *npy)
{
    const char *type = value_of(header, "'descr'");
    const char *order = value_of(header, "'fortran_order'");
    const char *shape = value_of(header, "'shape'");

    if (type == NULL || order == NULL || shape == NULL || !read_type(type, npy))
        return bad(path, "its .npy header is damaged");
    if (strncmp(order, "False", 5) != 0)
        return bad(path, "is in Fortran order; numpy.ascontiguousarray() makes it C order");
    if (!read_shape(shape, npy))
        return bad(path, "has a shape that is not of one or two dimensions");
    return CLI_GO_ON;
}

int cli_npy_open(const char *path, struct cli_npy *npy)
{
    const unsigned char *bytes;
    size_t prefix, header_size;
    char *header;
    int status;

    memset(npy, 0, sizeof(*npy));
    status = map_file(path, npy);
    if (status != CLI_GO_ON)
        return status;
    bytes = npy->map;
    if (npy->map_size < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0 || bytes[6] < 1 || bytes[6] > 3) {
        cli_npy_close(npy);
        return bad(path, "is no .npy file");
    }

    prefix = bytes[6] == 1 ? 10 : 12;
    header_size = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1)
        header_size |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (header_size > npy->map_size - prefix ||
        (header = strndup((const char *)bytes + prefix, header_size)) == NULL) {
        cli_npy_close(npy);
        return bad(path, "is truncated");
    }
    status = read_header(path, header, npy);
    free(header);

    if (status == CLI_GO_ON) {
        const uint64_t room = npy->map_size - prefix - header_size;

        npy->data = bytes + prefix + header_size;
        if (npy->columns == 0 || npy->rows > room / npy->columns / npy->item_size)
            status = bad(path, npy->columns == 0 ? "has no columns" : "is truncated");
    }
    if (status != CLI_GO_ON)
        cli_npy_close(npy);
    return status;
}

void cli_npy_close(struct cli_npy *npy)
{
    if (npy->map != NULL)
        munmap(npy->map, npy->map_size);
    npy->map = NULL;
}
