/* SPDX-License-Identifier: Apache-2.0 */
/* The walk sees every path once, in order, opens nothing, and does not get lost. */
#include "scan_bed.h"

#include "scan/scan.h"

static struct ims_walk walk;
static struct ims_meter meter;
static struct ims_patterns include, exclude;

static void
run(const struct bed *bed, const char *const *paths, size_t count, bool hidden, bool links)
{
    struct ims_walk_options options = {
        .catalog = bed->catalog,
        .paths = paths,
        .path_count = count,
        .meter = &meter,
        .include = &include,
        .exclude = &exclude,
        .include_hidden = hidden,
        .follow_links = links};

    ims_walk_close(&walk);
    ims_meter_start(&meter, NULL, NULL);
    CHECK_OK(ims_walk_run(&options, &walk));
}

static void run_all(const struct bed *bed, bool hidden, bool links)
{
    const char *paths[1] = {bed->photos};

    run(bed, paths, 1, hidden, links);
}

static const char *stored(size_t i)
{
    return walk.text + walk.entries[i].path + walk.entries[i].stored;
}

/* The stored paths seen must be these, in this order. */
static void check_paths(const char *const *expected, size_t count)
{
    for (size_t i = 0; i < walk.count && i < count; i++)
        CHECK_TEXT(stored(i), expected[i]);
    CHECK_EQUAL(walk.count, count);
}

static int kind_of(const char *path)
{
    for (size_t i = 0; i < walk.count; i++)
        if (strcmp(stored(i), path) == 0)
            return walk.entries[i].kind;
    return -1;
}

static void paths_come_in_the_order_of_their_bytes(void)
{
    static const char *const expected[] = {"a b/x", "a-b", "a.jpg",  "a/x",
                                           "a/y/z", "aa",  "b\xff\n"};
    struct bed bed;

    bed_open(&bed);
    bed_folder(&bed, "a");
    bed_folder(&bed, "a/y");
    bed_folder(&bed, "a b");
    bed_write(&bed, "a/x", "1", 1);
    bed_write(&bed, "a/y/z", "1", 1);
    bed_write(&bed, "a.jpg", "1", 1);
    bed_write(&bed, "a-b", "1", 1);
    bed_write(&bed, "a b/x", "1", 1);
    bed_write(&bed, "aa", "1", 1);
    bed_write(&bed, "b\xff\n", "1", 1);
    run_all(&bed, false, false);
    check_paths(expected, 7);
    bed_close(&bed);
}

static void overlapping_paths_are_seen_once(void)
{
    static const char *const expected[] = {".h", ".h/x", "a/b/x", "a/y", "c"};
    struct bed bed;
    char inner[700], file[700], hidden[700];

    bed_open(&bed);
    bed_folder(&bed, "a");
    bed_folder(&bed, "a/b");
    bed_folder(&bed, ".h");
    bed_write(&bed, "a/b/x", "1", 1);
    bed_write(&bed, "a/y", "1", 1);
    bed_write(&bed, "c", "1", 1);
    bed_write(&bed, ".h/x", "1", 1);
    snprintf(inner, sizeof(inner), "%s/a/./b/", bed.photos);
    snprintf(file, sizeof(file), "%s/c", bed.photos);
    snprintf(hidden, sizeof(hidden), "%s/.h", bed.photos);
    run(&bed, (const char *const[]){file, inner, bed.photos, bed.photos, hidden}, 5, false, false);
    check_paths(expected, 5);
    CHECK_EQUAL(kind_of(".h"), IMS_ENTRY_FOLDER_HIDDEN);
    bed_close(&bed);
}

static void a_path_that_is_not_there_is_named(void)
{
    struct ims_walk_options options = {.path_count = 2, .meter = &meter};
    struct bed bed;
    const char *paths[2];

    bed_open(&bed);
    paths[0] = bed.photos;
    paths[1] = "/nonexistent/picture.jpg";
    options.catalog = bed.catalog;
    options.paths = paths;
    ims_walk_close(&walk);
    CHECK_FAILS(ims_walk_run(&options, &walk), IMGSIM_ERROR_NOT_FOUND, "/nonexistent/picture.jpg");
    bed_close(&bed);
}

static void hidden_names_and_catalogs_are_left_out(void)
{
    static const char *const shown[] = {".b", ".c", "a"}, *const all[] = {".b", ".c/x", "a"};
    struct bed bed;

    bed_open(&bed);
    bed_folder(&bed, ".c");
    bed_folder(&bed, ".c/.imgsim");
    bed_write(&bed, "a", "1", 1);
    bed_write(&bed, ".b", "1", 1);
    bed_write(&bed, ".c/x", "1", 1);
    bed_write(&bed, ".c/.imgsim/thumb", "1", 1);
    run_all(&bed, false, false);
    check_paths(shown, 3);
    CHECK_EQUAL(kind_of(".b"), IMS_ENTRY_HIDDEN);
    CHECK_EQUAL(kind_of(".c"), IMS_ENTRY_FOLDER_HIDDEN);
    run_all(&bed, true, false);
    check_paths(all, 3);
    bed_close(&bed);
}

static void links_to_folders_are_followed_once_and_only_on_request(void)
{
    static const char *const plain[] = {"a-link", "loop", "real/up", "real/x", "twice"};
    static const char *const followed[] = {"a-link", "loop", "out/y", "real/up", "real/x"};
    struct bed bed;
    char outside[700];

    bed_open(&bed);
    snprintf(outside, sizeof(outside), "%s/outside", bed.folder);
    CHECK(mkdir(outside, 0777) == 0);
    bed_folder(&bed, "real");
    bed_write(&bed, "real/x", "1", 1);
    CHECK(symlink("real", bed_path(&bed, "a-link")) == 0);
    CHECK(symlink(".", bed_path(&bed, "loop")) == 0);
    CHECK(symlink("..", bed_path(&bed, "real/up")) == 0);
    CHECK(symlink("real", bed_path(&bed, "twice")) == 0);
    run_all(&bed, false, false);
    check_paths(plain, 5);
    CHECK_EQUAL(kind_of("loop"), IMS_ENTRY_FOLDER_LINK);

    CHECK(unlink(bed_path(&bed, "twice")) == 0);
    strcat(outside, "/y");
    CHECK(close(open(outside, O_CREAT | O_WRONLY, 0666)) == 0);
    CHECK(symlink("../outside", bed_path(&bed, "out")) == 0);
    run_all(&bed, false, true);
    check_paths(followed, 5);
    CHECK_EQUAL(kind_of("a-link"), IMS_ENTRY_FOLDER_SEEN);
    CHECK_EQUAL(kind_of("loop"), IMS_ENTRY_FOLDER_SEEN);
    CHECK_EQUAL(kind_of("real/up"), IMS_ENTRY_FOLDER_SEEN);
    CHECK_EQUAL(kind_of("out/y"), IMS_ENTRY_FILE);
    bed_close(&bed);
}

static void links_to_files_count_as_files_and_broken_ones_are_known(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_write(&bed, "x", "12345", 5);
    CHECK(symlink("x", bed_path(&bed, "good")) == 0);
    CHECK(symlink("nowhere", bed_path(&bed, "bad")) == 0);
    CHECK(symlink("self", bed_path(&bed, "self")) == 0);
    run_all(&bed, false, false);
    CHECK_EQUAL(kind_of("good"), IMS_ENTRY_FILE);
    CHECK_EQUAL(kind_of("bad"), IMS_ENTRY_BROKEN_LINK);
    CHECK_EQUAL(kind_of("self"), IMS_ENTRY_BROKEN_LINK);
    CHECK_EQUAL(walk.count, 4);
    for (size_t i = 0; i < walk.count; i++)
        if (strcmp(stored(i), "good") == 0)
            CHECK_EQUAL(walk.entries[i].bytes, 5);
    bed_close(&bed);
}

static void a_fifo_is_recognised(void)
{
    struct bed bed;

    bed_open(&bed);
    CHECK(mkfifo(bed_path(&bed, "pipe"), 0666) == 0);
    run_all(&bed, false, false);
    CHECK_EQUAL(kind_of("pipe"), IMS_ENTRY_NOT_REGULAR);
    bed_close(&bed);
}

/* Folders nested as deep as `levels` names of 200 bytes, with a file in each; made and removed step by step from inside. */
static void make_deep(const struct bed *bed, int levels, char name[201])
{
    int here;

    memset(name, 'n', 200);
    name[200] = '\0';
    CHECK((here = open(".", O_RDONLY)) >= 0);
    CHECK(chdir(bed->photos) == 0);
    for (int i = 0; i < levels; i++) {
        CHECK(close(open("f", O_CREAT | O_WRONLY, 0666)) == 0);
        CHECK(mkdir(name, 0777) == 0 && chdir(name) == 0);
    }
    CHECK(fchdir(here) == 0);
    close(here);
}

static void remove_deep(const struct bed *bed, int levels, const char *name)
{
    int here;

    CHECK((here = open(".", O_RDONLY)) >= 0);
    CHECK(chdir(bed->photos) == 0);
    for (int i = 0; i < levels; i++)
        CHECK(chdir(name) == 0);
    for (int i = 0; i < levels; i++)
        CHECK(chdir("..") == 0 && rmdir(name) == 0 && unlink("f") == 0);
    CHECK(fchdir(here) == 0);
    close(here);
}

static void paths_of_any_length_are_walked(void)
{
    struct bed bed;
    char name[201];
    size_t longest = 0;

    bed_open(&bed);
    make_deep(&bed, 60, name);
    run_all(&bed, false, false);
    CHECK_EQUAL(walk.count, 60);
    for (size_t i = 0; i < walk.count; i++) {
        const char *path = walk.text + walk.entries[i].path;
        size_t length = strlen(path);

        CHECK_EQUAL(walk.entries[i].kind, IMS_ENTRY_FILE);
        CHECK(i == 0 || strcmp(stored(i - 1), stored(i)) != 0);
        longest = length > longest ? length : longest;
    }
    CHECK(longest > 11800);
    remove_deep(&bed, 60, name);
    bed_close(&bed);
}

static void paths_beyond_the_limit_are_entries_of_their_own(void)
{
    int levels = IMS_WALK_PATH_MAX / 201 + 3, long_ones = 0;
    struct bed bed;
    char name[201];

    bed_open(&bed);
    make_deep(&bed, levels, name);
    run_all(&bed, false, false);
    for (size_t i = 0; i < walk.count; i++)
        long_ones += walk.entries[i].kind == IMS_ENTRY_PATH_TOO_LONG;
    CHECK(walk.count > 300);
    CHECK_EQUAL(long_ones, 1);
    remove_deep(&bed, levels, name);
    bed_close(&bed);
}

static int32_t stop(const imgsim_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return 1;
}

static void the_walk_can_be_stopped(void)
{
    struct bed bed;
    char name[32];

    bed_open(&bed);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        bed_write(&bed, name, "", 0);
    }
    bed.options.progress = stop;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_CANCELLED, "");
    bed_close(&bed);
}

int main(void)
{
    paths_come_in_the_order_of_their_bytes();
    overlapping_paths_are_seen_once();
    a_path_that_is_not_there_is_named();
    hidden_names_and_catalogs_are_left_out();
    links_to_folders_are_followed_once_and_only_on_request();
    links_to_files_count_as_files_and_broken_ones_are_known();
    a_fifo_is_recognised();
    paths_of_any_length_are_walked();
    paths_beyond_the_limit_are_entries_of_their_own();
    the_walk_can_be_stopped();
    ims_walk_close(&walk);
    return 0;
}
