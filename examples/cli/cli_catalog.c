/* SPDX-License-Identifier: Apache-2.0 */
/* Which catalog a command works on, and finding its images and features. */
#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static char *join(const char *folder, const char *name)
{
    const size_t length = strlen(folder) + strlen(name) + 2;
    char *path = malloc(length);

    if (path != NULL)
        snprintf(path, length, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", name);
    return path;
}

/* FOLDER/.imgsim if it is a catalog, else NULL. */
static char *catalog_in(const char *folder)
{
    char *path = join(folder, ".imgsim");
    char *database = path != NULL ? join(path, "catalog.db") : NULL;

    if (database == NULL || access(database, F_OK) != 0) {
        free(path);
        path = NULL;
    }
    free(database);
    return path;
}

/*
 * The nearest catalog in an absolute folder or above it; release with free(), NULL if there is
 * none.
 */
static char *catalog_upwards(const char *start)
{
    char *folder = realpath(start, NULL);
    char *found = NULL;

    while (folder != NULL && found == NULL) {
        char *slash = strrchr(folder, '/');

        found = catalog_in(folder);
        if (strcmp(folder, "/") == 0)
            break;
        slash[slash == folder ? 1 : 0] = '\0';
    }
    free(folder);
    return found;
}

/* The folder a path lies in, or the path itself if it is a folder; release with free(). */
static char *folder_of(const char *path)
{
    char *folder = strdup(path);
    char *slash;

    if (folder == NULL || is_folder(path))
        return folder;
    slash = strrchr(folder, '/');
    if (slash == NULL) {
        free(folder);
        return strdup(".");
    }
    slash[slash == folder ? 1 : 0] = '\0';
    return folder;
}

static const char *named_catalog(const struct cli *cli)
{
    const char *from_environment = getenv("IMGSIM_CATALOG");

    if (cli->catalog != NULL)
        return cli->catalog;
    return from_environment != NULL && from_environment[0] != '\0' ? from_environment : NULL;
}

static int no_catalog(void)
{
    char *here = getcwd(NULL, 0);

    cli_message(
        "no catalog in %s or above; make one with 'imgsim scan FOLDER' or name it with -c",
        here != NULL ? here : "this folder");
    free(here);
    return CLI_NO_CATALOG;
}

static char *find_catalog(const struct cli *cli, const char *near_path)
{
    const char *named = named_catalog(cli);
    char *found, *folder;

    if (named != NULL)
        return strdup(named);
    found = catalog_upwards(".");
    if (found != NULL || near_path == NULL || access(near_path, F_OK) != 0)
        return found;
    folder = folder_of(near_path);
    if (folder != NULL)
        found = catalog_upwards(folder);
    free(folder);
    return found;
}

int cli_open_catalog(
    const struct cli *cli,
    const char *near_path,
    enum cli_access access_wanted,
    imgsim_catalog **out_catalog)
{
    imgsim_catalog_options options;
    imgsim_status status;
    char *path = find_catalog(cli, near_path);

    if (path == NULL)
        return no_catalog();
    imgsim_catalog_options_init(&options, sizeof(options));
    status = imgsim_catalog_open(path, &options, out_catalog);
    if (status == IMGSIM_ERROR_IO && access_wanted == CLI_READ) {
        /* A medium that cannot be written to is fine for reading. */
        options.read_only = 1;
        status = imgsim_catalog_open(path, &options, out_catalog);
    }
    free(path);
    if (status == IMGSIM_OK)
        return CLI_GO_ON;
    return cli_failed(status, CLI_ABOUT_OPENING);
}

int cli_find_catalog(const struct cli *cli, const char *near_path, char **out_folder)
{
    *out_folder = find_catalog(cli, near_path);
    return *out_folder != NULL ? CLI_GO_ON : no_catalog();
}

static bool same_place(const char *a, const char *b)
{
    struct stat about_a, about_b;

    return stat(a, &about_a) == 0 && stat(b, &about_b) == 0 && about_a.st_dev == about_b.st_dev &&
           about_a.st_ino == about_b.st_ino;
}

int cli_scan_catalog(const struct cli *cli, const char *first_path, char **out_folder)
{
    const char *named = named_catalog(cli);
    char *folder = folder_of(first_path);

    *out_folder = NULL;
    if (folder == NULL)
        return cli_no_memory();
    if (named != NULL && !same_place(named, folder)) {
        *out_folder = strdup(named);
    } else {
        /* One that lies in the scanned folder itself comes before one around the working folder. */
        *out_folder = catalog_in(folder);
        if (*out_folder == NULL && named == NULL)
            *out_folder = catalog_upwards(".");
        if (*out_folder == NULL)
            *out_folder = join(folder, ".imgsim");
    }
    free(folder);
    return *out_folder != NULL ? CLI_GO_ON : cli_no_memory();
}

/* ---- features ---- */

struct feature_search {
    const char *name;
    struct cli_feature *out;
    bool found;
};

static int32_t match_feature(const imgsim_feature_info *feature, void *user_data)
{
    struct feature_search *search = user_data;
    struct cli_feature *out = search->out;

    if (strcmp(feature->name, search->name) != 0)
        return 0;
    search->found = true;
    if (out != NULL) {
        snprintf(out->name, sizeof(out->name), "%s", feature->name);
        snprintf(out->source, sizeof(out->source), "%s", feature->source);
        snprintf(out->fingerprint, sizeof(out->fingerprint), "%s", feature->fingerprint);
        snprintf(out->spec, sizeof(out->spec), "%s", feature->spec);
        out->dimension = feature->dimension;
        out->row_type = feature->row_type;
        out->metric = feature->metric;
        out->image_count = feature->image_count;
    }
    return 1;
}

bool cli_has_feature(const imgsim_catalog *catalog, const char *name, struct cli_feature *out)
{
    struct feature_search search = {name, out, false};

    return imgsim_catalog_visit_features(catalog, match_feature, &search) == IMGSIM_OK &&
           search.found;
}

/* ---- images ---- */

bool cli_is_uuid(const char *text)
{
    if (strlen(text) != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

bool cli_is_id(const char *text, int64_t *out_id)
{
    uint64_t id;

    if (strlen(text) > 15 || !cli_read_size(text, 0, 1e15, &id))
        return false;
    *out_id = (int64_t)id;
    return true;
}

static int32_t accept_file(const imgsim_file_info *file, void *user_data)
{
    (void)file;
    (void)user_data;
    return 1;
}

int cli_find_image(const imgsim_catalog *catalog, const char *text, int64_t *out_id)
{
    imgsim_status status = imgsim_catalog_find(catalog, text, out_id);

    if (status == IMGSIM_ERROR_NOT_FOUND && cli_is_id(text, out_id))
        status = imgsim_catalog_get_file(catalog, *out_id, accept_file, NULL);
    if (status == IMGSIM_OK)
        return CLI_GO_ON;
    if (status != IMGSIM_ERROR_NOT_FOUND)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    cli_message("'%s' is no image of the catalog; 'imgsim scan' takes new ones in", text);
    return CLI_USAGE;
}
