/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and settings are kept with the collection; the CSV export says what the catalog knows. */
#include "catalog_fixture.h"

#include "core/file.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int32_t note_label(const char *label, uint64_t image_count, void *user_data)
{
    char *list = user_data;

    snprintf(
        list + strlen(list), 512 - strlen(list), "%s:%llu ", label,
        (unsigned long long)image_count);
    return 0;
}

static void check_labels(const imgsim_catalog *catalog, int64_t id, const char *expected)
{
    char list[512] = "";

    CHECK_OK(imgsim_catalog_visit_labels(catalog, id, note_label, list));
    CHECK_TEXT(list, expected);
}

static void labels_are_given_and_taken(imgsim_catalog *catalog)
{
    const int64_t ids[3] = {1, 2, 5};
    const char *labels[3] = {"cat", "cat", "\xc3\xa9t\xc3\xa9"};
    struct ims_bitset found = {0};

    check_labels(catalog, -1, "");
    CHECK_OK(imgsim_catalog_add_labels(catalog, ids, labels, 3));
    CHECK_OK(imgsim_catalog_add_label(catalog, 1, "cat"));
    CHECK_OK(imgsim_catalog_add_label(catalog, 1, "a \"quoted\", label"));
    check_labels(catalog, -1, "a \"quoted\", label:1 cat:2 \xc3\xa9t\xc3\xa9:1 ");
    check_labels(catalog, 1, "a \"quoted\", label:1 cat:2 ");
    check_labels(catalog, 3, "");
    CHECK_OK(ims_catalog_ids_with_label(catalog, "cat", &found));
    CHECK_EQUAL(found.bytes[0], 2 | 4);
    ims_bitset_clear(&found);
    CHECK_FAILS(ims_catalog_ids_with_label(catalog, "dog", &found), IMGSIM_ERROR_NOT_FOUND, "dog");

    CHECK_OK(imgsim_catalog_remove_label(catalog, 2, "cat"));
    CHECK_OK(imgsim_catalog_remove_label(catalog, 2, "cat"));
    check_labels(catalog, 2, "");
    check_labels(catalog, 1, "a \"quoted\", label:1 cat:1 ");
}

static void bad_labels_are_refused_and_change_nothing(imgsim_catalog *catalog)
{
    static const char *const bad[] = {
        "",
        "line\nbreak",
        "tab\t",
        "\x7f",
        "\xc2\x85",
        "\xff",
        "\xc0\xaf",
        "\xed\xa0\x80",
        "\xe2\x82",
        "\xf5\x80\x80\x80",
        "\xf0\x80\x80\x80"};
    const int64_t ids[2] = {3, 999};
    const char *labels[2] = {"new", "new"};
    char label[300];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_FAILS(
            imgsim_catalog_add_label(catalog, 1, bad[i]), IMGSIM_ERROR_INVALID_ARGUMENT, "label");
    memset(label, 'x', 256);
    label[256] = '\0';
    CHECK_FAILS(imgsim_catalog_add_label(catalog, 1, label), IMGSIM_ERROR_INVALID_ARGUMENT, "256");
    label[255] = '\0';
    CHECK_OK(imgsim_catalog_add_label(catalog, 0, label));
    CHECK_OK(imgsim_catalog_remove_label(catalog, 0, label));
    CHECK_FAILS(imgsim_catalog_add_labels(catalog, ids, labels, 2), IMGSIM_ERROR_NOT_FOUND, "999");
    check_labels(catalog, 3, "");
}

static void settings_are_remembered(imgsim_catalog *catalog)
{
    char value[16];

    CHECK_FAILS(
        imgsim_catalog_get_setting(catalog, "model.path", value, sizeof(value)),
        IMGSIM_ERROR_NOT_FOUND, "model.path");
    CHECK_OK(imgsim_catalog_set_setting(catalog, "model.path", "/m/x.pt"));
    CHECK_OK(imgsim_catalog_set_setting(catalog, "model.path", "/m/y.pt"));
    CHECK_OK(imgsim_catalog_get_setting(catalog, "model.path", value, sizeof(value)));
    CHECK_TEXT(value, "/m/y.pt");
    CHECK_FAILS(
        imgsim_catalog_get_setting(catalog, "model.path", value, 4), IMGSIM_ERROR_LIMIT, "8");
    CHECK_TEXT(value, "/m/");
    CHECK_OK(imgsim_catalog_set_setting(catalog, "model.path", NULL));
    CHECK_FAILS(
        imgsim_catalog_get_setting(catalog, "model.path", value, sizeof(value)),
        IMGSIM_ERROR_NOT_FOUND, "model.path");
    CHECK_FAILS(
        imgsim_catalog_set_setting(catalog, "Key", "x"), IMGSIM_ERROR_INVALID_ARGUMENT, "Key");
}

/* Read one CSV field as RFC 4180 says; returns what follows its separator. */
static const char *read_field(const char *text, char *out, size_t size, char *out_end)
{
    size_t length = 0;
    int quoted = *text == '"';

    text += quoted;
    for (;; text++) {
        if (quoted && text[0] == '"' && text[1] == '"')
            text++;
        else if (quoted && text[0] == '"') {
            text++;
            break;
        } else if (!quoted && (*text == ',' || *text == '\r' || *text == '\0'))
            break;
        CHECK(length + 1 < size && *text != '\0');
        out[length++] = *text;
    }
    out[length] = '\0';
    *out_end = *text;
    return *text == '\r' ? text + 2 : text + 1;
}

static void the_csv_export_is_read_back(imgsim_catalog *catalog, const char *folder)
{
    char path[600], expected[600], fields[14][600], end;
    struct ims_map map = {0};
    const char *at;
    int rows = 0;

    snprintf(path, sizeof(path), "%s/all.csv", folder);
    CHECK_OK(imgsim_catalog_export_csv(catalog, path));
    CHECK_OK(ims_map_open(&map, path));
    CHECK(map.data[map.size - 1] == '\n');
    {
        char *text = malloc(map.size + 1);

        memcpy(text, map.data, map.size);
        text[map.size] = '\0';
        for (at = text; *at != '\0'; rows++) {
            for (int i = 0; i < 14; i++) {
                at = read_field(at, fields[i], sizeof(fields[i]), &end);
                CHECK(end == (i < 13 ? ',' : '\r'));
            }
            if (rows == 0)
                CHECK_TEXT(fields[13], "labels");
            if (rows == 1) { /* never decoded: first */
                CHECK_TEXT(fields[0], "");
                CHECK_TEXT(fields[11], "failed");
                CHECK_TEXT(fields[12], "truncated, \"badly\"");
                snprintf(expected, sizeof(expected), "%s/photos/new\nline \"\xff\".jpg", folder);
                CHECK_TEXT(fields[2], expected);
            }
            if (rows == 3) {
                CHECK_TEXT(fields[0], "1");
                CHECK_TEXT(fields[4], "image1.jpg");
                CHECK_TEXT(fields[6], "640");
                CHECK_TEXT(fields[9], "1234567890123456789");
                CHECK_EQUAL(strlen(fields[10]), 32);
                CHECK_TEXT(fields[11], "ok");
                CHECK_TEXT(fields[13], "a \"quoted\", label|cat");
            }
        }
        free(text);
    }
    CHECK_EQUAL(rows, 1 + 8 + 1);
    ims_map_close(&map);
}

static void a_second_writer_is_told_who_writes(imgsim_catalog *catalog)
{
    struct ims_catalog_writer *writer, *other;
    imgsim_catalog *second = fixture_open(imgsim_catalog_get_path(catalog), 0);
    char expected[64];
    int result;
    pid_t child;

    snprintf(expected, sizeof(expected), "process %ld (scan)", (long)getpid());
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    CHECK_FAILS(ims_catalog_writer_open(second, "scan", &other), IMGSIM_ERROR_BUSY, expected);
    CHECK(other == NULL);
    CHECK_FAILS(imgsim_catalog_add_label(second, 1, "x"), IMGSIM_ERROR_BUSY, expected);
    if ((child = fork()) == 0) {
        imgsim_catalog *third = fixture_open(imgsim_catalog_get_path(second), 0);

        CHECK_FAILS(ims_catalog_writer_open(third, "scan", &other), IMGSIM_ERROR_BUSY, expected);
        _exit(0);
    }
    CHECK(waitpid(child, &result, 0) == child && result == 0);
    imgsim_catalog_free(catalog); /* in any order */
    ims_catalog_writer_close(writer);
    CHECK_OK(ims_catalog_writer_open(second, "scan", &other));
    ims_catalog_writer_close(other);
    imgsim_catalog_free(second);
}

int main(void)
{
    struct ims_file_record failed = {
        .path = "new\nline \"\xff\".jpg",
        .id = -1,
        .state = IMGSIM_FILE_FAILED,
        .reason = "truncated, \"badly\""};
    struct ims_catalog_writer *writer;
    imgsim_catalog *catalog;
    char folder[512], path[600];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/photos/.imgsim", folder);
    catalog = fixture_collection(path, 8);
    labels_are_given_and_taken(catalog);
    bad_labels_are_refused_and_change_nothing(catalog);
    settings_are_remembered(catalog);
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    CHECK_OK(ims_catalog_writer_put_file(writer, &failed));
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    the_csv_export_is_read_back(catalog, folder);
    a_second_writer_is_told_who_writes(catalog);
    fixture_remove_folder(folder);
    return 0;
}
