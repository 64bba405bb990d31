/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping, atomic replacement, folders and paths. */
#include "check.h"

#include "core/file.h"
#include "core/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;

/* A path below the test's folder, in one of a few static buffers. */
static const char *below(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_EQUAL(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static void check_content(const char *path, const void *data, size_t size)
{
    struct ims_map map = {0};

    CHECK_OK(ims_map_open(&map, path));
    CHECK_EQUAL(map.size, size);
    CHECK(size == 0 || memcmp(map.data, data, size) == 0);
    ims_map_close(&map);
    CHECK(map.data == NULL && map.size == 0);
}

/* Entries of the test's folder whose name contains ".tmp-". */
static int count_temporaries(void)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    int count = 0;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        count += strstr(entry->d_name, ".tmp-") != NULL;
    closedir(directory);
    return count;
}

static void files_are_mapped_whole(void)
{
    put_file(below("some"), "some text");
    check_content(below("some"), "some text", 9);
    put_file(below("empty"), "");
    check_content(below("empty"), "", 0);
}

static void what_is_no_file_is_refused_by_name(void)
{
    struct ims_map map = {0};

    CHECK_FAILS(ims_map_open(&map, below("missing")), IMGSIM_ERROR_NOT_FOUND, "missing");
    CHECK_FAILS(ims_map_open(&map, folder), IMGSIM_ERROR_IO, "folder");
    CHECK_EQUAL(mkfifo(below("pipe"), 0600), 0);
    CHECK_FAILS(ims_map_open(&map, below("pipe")), IMGSIM_ERROR_IO, "pipe");
    CHECK(map.data == NULL);
}

static void a_commit_replaces_the_file(void)
{
    struct ims_writer writer = {0};
    struct stat info;
    mode_t mask = umask(022);

    put_file(below("target"), "old");
    CHECK_OK(ims_writer_open(&writer, below("target")));
    CHECK_OK(ims_writer_write(&writer, "xxxx", 4));
    CHECK_OK(ims_writer_write(&writer, " world", 6));
    check_content(below("target"), "old", 3);
    CHECK_EQUAL(count_temporaries(), 1);
    CHECK_OK(ims_writer_patch(&writer, 0, "hell", 4));
    CHECK_OK(ims_writer_write(&writer, "!", 1));
    CHECK_EQUAL(writer.position, 11);
    CHECK_OK(ims_writer_commit(&writer));
    ims_writer_close(&writer);
    check_content(below("target"), "hell world!", 11);
    CHECK_EQUAL(count_temporaries(), 0);
    CHECK_EQUAL(stat(below("target"), &info), 0);
    CHECK_EQUAL(info.st_mode & 0777, 0644);
    umask(mask);
}

static void giving_up_leaves_the_old_file(void)
{
    struct ims_writer writer = {0};

    ims_writer_close(&writer);
    put_file(below("target"), "old");
    CHECK_OK(ims_writer_open(&writer, below("target")));
    CHECK_OK(ims_writer_write(&writer, "new", 3));
    ims_writer_close(&writer);
    ims_writer_close(&writer);
    check_content(below("target"), "old", 3);
    CHECK_EQUAL(count_temporaries(), 0);
}

static void large_writes_arrive_in_order(void)
{
    static uint8_t data[3000000];
    static const size_t steps[] = {1, 7, 1000, 262143, 262144, 262145, 600000};
    struct ims_writer writer = {0};
    size_t written = 0;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 + i / 1000);
    CHECK_OK(ims_writer_open(&writer, below("large")));
    for (size_t i = 0; written < sizeof(data); i++) {
        size_t size = steps[i % (sizeof(steps) / sizeof(steps[0]))];

        if (size > sizeof(data) - written)
            size = sizeof(data) - written;
        CHECK_OK(ims_writer_write(&writer, data + written, size));
        written += size;
    }
    data[5] = 99;
    CHECK_OK(ims_writer_patch(&writer, 5, &data[5], 1));
    CHECK_OK(ims_writer_commit(&writer));
    check_content(below("large"), data, sizeof(data));
}

static void a_failed_write_leaves_the_old_file(void)
{
    static uint8_t data[1 << 20];
    struct rlimit before, limit;
    struct ims_writer writer = {0};
    imgsim_status status;

    put_file(below("target"), "old");
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQUAL(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 100000;
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_OK(ims_writer_open(&writer, below("target")));
    CHECK_FAILS(ims_writer_write(&writer, data, sizeof(data)), IMGSIM_ERROR_IO, "target");
    ims_writer_close(&writer);
    CHECK_OK(ims_writer_open(&writer, below("target")));
    CHECK_OK(ims_writer_write(&writer, data, 200000)); /* waits in the buffer */
    status = ims_writer_commit(&writer);
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_EQUAL(status, IMGSIM_ERROR_IO);
    check_content(below("target"), "old", 3);
    CHECK_EQUAL(count_temporaries(), 0);
}

static void a_missing_folder_is_named(void)
{
    struct ims_writer writer = {0};

    CHECK_FAILS(ims_writer_open(&writer, below("nowhere/file")), IMGSIM_ERROR_NOT_FOUND, "nowhere");
    ims_writer_close(&writer);
}

static void running_out_of_memory_leaves_nothing_behind(void)
{
    for (uint64_t n = 1; n <= 3; n++) {
        struct ims_writer writer = {0};

        ims_memory_fail_at(n);
        CHECK_FAILS(ims_writer_open(&writer, below("oom")), IMGSIM_ERROR_OUT_OF_MEMORY, "memory");
        ims_memory_fail_at(0);
        ims_writer_close(&writer);
    }
    CHECK_EQUAL(count_temporaries(), 0);
}

static void whole_reads_and_writes_notice_the_end(void)
{
    char text[16];
    int fd = open(below("rw"), O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0);
    CHECK_OK(ims_pwrite_all(fd, "0123456789", 10, 5, "rw"));
    CHECK_OK(ims_pread_all(fd, text, 10, 5, "rw"));
    CHECK_EQUAL(memcmp(text, "0123456789", 10), 0);
    CHECK_FAILS(ims_pread_all(fd, text, 11, 5, "rw"), IMGSIM_ERROR_CORRUPT, "rw");
    close(fd);
}

static void folders_are_made_with_their_parents(void)
{
    struct stat info;

    CHECK_OK(ims_make_folder(below("a/b//c/")));
    CHECK_OK(ims_make_folder(below("a/b/c")));
    CHECK_EQUAL(stat(below("a/b/c"), &info), 0);
    CHECK(S_ISDIR(info.st_mode));
    CHECK_OK(ims_make_folder("/"));
    put_file(below("a/file"), "x");
    CHECK_FAILS(ims_make_folder(below("a/file")), IMGSIM_ERROR_IO, "file");
    CHECK_FAILS(ims_make_folder(below("a/file/x")), IMGSIM_ERROR_IO, "file");
    CHECK_OK(ims_fsync_folder(folder));
    CHECK_FAILS(ims_fsync_folder(below("missing")), IMGSIM_ERROR_NOT_FOUND, "missing");
}

static void check_absolute(const char *path, const char *expected)
{
    char *absolute;

    CHECK_OK(ims_absolute_path(path, &absolute));
    CHECK_TEXT(absolute, expected);
    ims_free(absolute);
}

static void paths_become_absolute_without_losing_links(void)
{
    char *absolute;

    check_absolute("/", "/");
    check_absolute("//usr/./lib//x/", "/usr/lib/x");
    check_absolute("/usr/../etc", "/etc");
    check_absolute("/../..", "/");
    check_absolute("/no/such/../path", "/no/path");
    CHECK_EQUAL(chdir(folder), 0);
    check_absolute(".", folder);
    check_absolute("x/y", below("x/y"));
    check_absolute("./x/../z", below("z"));
    CHECK_FAILS(ims_absolute_path("", &absolute), IMGSIM_ERROR_NOT_FOUND, "empty");

    /* A link stays as it is; but what lies above it is above what it names. */
    CHECK_EQUAL(symlink("a/b/c", below("link")), 0);
    check_absolute("link/x", below("link/x"));
    check_absolute("link/../x", below("a/b/x"));
}

static void names_are_joined_with_one_slash(void)
{
    char *path = ims_join_path("/a", "b");

    CHECK_TEXT(path, "/a/b");
    ims_free(path);
    path = ims_join_path("/", "b");
    CHECK_TEXT(path, "/b");
    ims_free(path);
}

static int remove_entry(const char *entry, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(entry);
}

int main(void)
{
    folder = check_temporary_folder();
    files_are_mapped_whole();
    what_is_no_file_is_refused_by_name();
    a_commit_replaces_the_file();
    giving_up_leaves_the_old_file();
    large_writes_arrive_in_order();
    a_failed_write_leaves_the_old_file();
    a_missing_folder_is_named();
    running_out_of_memory_leaves_nothing_behind();
    whole_reads_and_writes_notice_the_end();
    folders_are_made_with_their_parents();
    paths_become_absolute_without_losing_links();
    names_are_joined_with_one_slash();
    CHECK_EQUAL(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    return 0;
}
