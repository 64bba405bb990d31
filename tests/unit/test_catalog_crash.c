/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer that is killed at any moment, or runs out of space, leaves a sound catalog with all that
 * was committed.
 */
#include "catalog_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 40

/*
 * Commit batches for ever (or until something fails): new images, changed ones, a replaced set;
 * tell the ids that are safe.
 */
static imgsim_status write_for_ever(imgsim_catalog *catalog, uint64_t seed, int report)
{
    imgsim_feature_definition own = fixture_definition("own", IMGSIM_ROW_FLOAT32, 2, "");
    static uint32_t histogram[FIXTURE_BINS];
    struct ims_catalog_writer *writer;
    struct fixture_sets sets;
    imgsim_status status = IMGSIM_OK;
    char fingerprint[32];
    struct ims_rng rng;
    uint32_t number;

    ims_rng_init(&rng, seed);
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    snprintf(fingerprint, sizeof(fingerprint), "%llu", (unsigned long long)ims_rng_next(&rng));
    own.fingerprint = fingerprint;
    if ((status = ims_catalog_writer_feature(writer, &own, 1, &number)) != IMGSIM_OK)
        goto done;
    for (int64_t id = -1;;) {
        uint64_t batch = 1 + ims_rng_below(&rng, 30);

        for (uint64_t i = 0; i < batch; i++) {
            struct ims_file_record record = {.format = "jpeg", .state = IMGSIM_FILE_OK};
            float floats[FIXTURE_FLOATS];
            uint8_t bits[FIXTURE_BITS / 8];
            char name[64];

            if ((status = ims_catalog_writer_new_id(writer, &id)) != IMGSIM_OK)
                goto done;
            fixture_floats(id, floats);
            fixture_bits(id, bits);
            fixture_histogram(id, histogram);
            /* Every fourth replaces an image that is there already. */
            snprintf(name, sizeof(name), "image%lld.jpg", (long long)(id % 4 == 3 ? id / 2 : id));
            record.path = name;
            record.id = id;
            record.features = fixture_mask(&sets) | UINT64_C(1) << number;
            if ((status = ims_catalog_writer_put_row(writer, sets.floats, id, floats)) != 0 ||
                (status = ims_catalog_writer_put_row(writer, sets.bits, id, bits)) != 0 ||
                (status = ims_catalog_writer_put_row(writer, sets.histogram, id, histogram)) != 0 ||
                (status = ims_catalog_writer_put_row(writer, number, id, floats)) != 0 ||
                (status = ims_catalog_writer_put_file(writer, &record)) != 0)
                goto done;
        }
        if ((status = ims_catalog_writer_commit(writer)) != IMGSIM_OK)
            goto done;
        id++;
        if (write(report, &id, sizeof(id)) != sizeof(id))
            break;
    }

done:
    ims_catalog_writer_close(writer);
    return status;
}

/* What must hold after an accident; returns the number of ids. */
static uint64_t check_survivor(const char *path, int64_t reported)
{
    imgsim_catalog *catalog = fixture_open(path, 0);
    uint64_t ids = imgsim_catalog_get_id_count(catalog);

    CHECK((int64_t)ids >= reported);
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    if (ids > 0)
        CHECK_EQUAL(fixture_check_rows(catalog), imgsim_catalog_get_image_count(catalog));
    imgsim_catalog_free(catalog);
    return ids;
}

/* The last id count that the child told after `reported`. */
static int64_t last_report(int fd, int64_t reported)
{
    int64_t next;

    while (read(fd, &next, sizeof(next)) == (ssize_t)sizeof(next))
        reported = next;
    return reported;
}

static int count_features(const char *path)
{
    char name[700];
    struct dirent *entry;
    int count = 0;
    DIR *folder;

    snprintf(name, sizeof(name), "%s/features", path);
    CHECK((folder = opendir(name)) != NULL);
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void a_killed_writer_loses_nothing_that_was_committed(const char *folder)
{
    struct ims_catalog_writer *writer;
    imgsim_catalog *catalog;
    uint64_t ids = 0;
    char path[600];

    snprintf(path, sizeof(path), "%s/killed/.imgsim", folder);
    imgsim_catalog_free(fixture_open(path, 1));
    for (int round = 0; round < ROUNDS; round++) {
        struct timespec life = {.tv_nsec = (long)(ims_mix64((uint64_t)round) % 30) * 1000000L};
        int report[2], result;
        int64_t reported = 0;
        uint64_t now;
        pid_t child;

        CHECK(pipe(report) == 0);
        if ((child = fork()) == 0) {
            close(report[0]);
            CHECK_OK(write_for_ever(fixture_open(path, 0), (uint64_t)round, report[1]));
            _exit(0);
        }
        close(report[1]);
        /* After up to 5 commits, then at any moment. */
        for (int commit = 0; commit < round % 6; commit++)
            CHECK(read(report[0], &reported, sizeof(reported)) == (ssize_t)sizeof(reported));
        nanosleep(&life, NULL);
        CHECK(kill(child, SIGKILL) == 0);
        CHECK(waitpid(child, &result, 0) == child && WIFSIGNALED(result));
        now = check_survivor(path, last_report(report[0], reported));
        close(report[0]);
        CHECK(now >= ids);
        ids = now;
    }
    CHECK(ids > 0);

    /*
     * The next writer clears away what the killed ones left: 1 + 1 + 4 files of the fixture and 1
     * of "own".
     */
    catalog = fixture_open(path, 0);
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    ims_catalog_writer_close(writer);
    CHECK_EQUAL(count_features(path), 7);
    imgsim_catalog_free(catalog);
}

/* Run the writer in a child until it fails; the status it ended with. */
static imgsim_status write_until_it_fails(const char *path, rlim_t limit, int64_t *out_reported)
{
    int report[2], result;
    pid_t child;

    CHECK(pipe(report) == 0);
    if ((child = fork()) == 0) {
        const struct rlimit rule = {.rlim_cur = limit, .rlim_max = limit};
        imgsim_catalog *catalog = fixture_open(path, 0);
        imgsim_status status;

        close(report[0]);
        signal(SIGXFSZ, SIG_IGN);
        CHECK(setrlimit(RLIMIT_FSIZE, &rule) == 0);
        status = write_for_ever(catalog, 1, report[1]);
        imgsim_catalog_free(catalog);
        _exit(-status);
    }
    close(report[1]);
    *out_reported = last_report(report[0], 0);
    close(report[0]);
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result));
    return -WEXITSTATUS(result);
}

static void a_file_size_limit_stops_the_writer_cleanly(const char *folder)
{
    for (rlim_t limit = 5000; limit < 1200000; limit = limit * 3 / 2) {
        int64_t reported;
        imgsim_status status;
        char path[600];

        snprintf(path, sizeof(path), "%s/limited-%lu/.imgsim", folder, (unsigned long)limit);
        imgsim_catalog_free(fixture_collection(path, 3));
        status = write_until_it_fails(path, limit, &reported);
        CHECK(status == IMGSIM_ERROR_IO || status == IMGSIM_ERROR_NO_SPACE);
        check_survivor(path, reported);
    }
}

/* In a name space of its own, so that the mount goes when the child does. */
static void a_full_disk_stops_the_writer_cleanly(const char *folder)
{
    pid_t child = fork();
    int result;

    if (child == 0) {
        char path[600], mount_point[560];
        imgsim_status status;
        int64_t reported;
        uint64_t ids;

        snprintf(mount_point, sizeof(mount_point), "%s", folder);
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", mount_point, "tmpfs", 0, "size=3m") != 0)
            _exit(77);
        snprintf(path, sizeof(path), "%s/full/.imgsim", mount_point);
        imgsim_catalog_free(fixture_collection(path, 3));
        status = write_until_it_fails(path, RLIM_INFINITY, &reported);
        CHECK(status == IMGSIM_ERROR_NO_SPACE);
        ids = check_survivor(path, reported);
        CHECK(ids > 3);
        _exit(0);
    }
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result));
    if (WEXITSTATUS(result) == 77)
        printf("not checked: a full file system (mounting one is not permitted here)\n");
    else
        CHECK_EQUAL(WEXITSTATUS(result), 0);
}

int main(void)
{
    char folder[512];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    a_killed_writer_loses_nothing_that_was_committed(folder);
    a_file_size_limit_stops_the_writer_cleanly(folder);
    a_full_disk_stops_the_writer_cleanly(folder);
    fixture_remove_folder(folder);
    return 0;
}
