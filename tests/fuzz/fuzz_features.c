/* SPDX-License-Identifier: Apache-2.0 */
/* Feature arrays of a catalog that somebody else has written into: refused, or read within their bounds. */
#include "fuzz/fuzz.h"

#include "catalog/catalog.h"

#include <fcntl.h>

#define IMAGES 20
#define BINS 64
#define FILES 5
#define FILE_MAX 16384

static const char *const names[FILES] = {
    "color.offsets.npy", "color.lengths.npy", "color.bins.npy", "color.counts.npy", "own.npy"};
static uint8_t originals[FILES][FILE_MAX];
static size_t sizes[FILES];
static char folder[600], catalog_path[700];

static void clean_up(void)
{
    fuzz_remove_folder(folder);
}

static const char *file_path(int file)
{
    static char path[800];

    snprintf(path, sizeof(path), "%s/features/%s", catalog_path, names[file]);
    return path;
}

/* A row of each of two features for one image. */
static void add_image(struct ims_catalog_writer *writer, const uint32_t numbers[2], int i)
{
    struct ims_file_record record = {.format = "png", .state = IMGSIM_FILE_OK};
    float own[2] = {(float)i, 1};
    uint32_t color[BINS] = {0};
    char path[32];

    snprintf(path, sizeof(path), "%d.png", i);
    record.path = path;
    CHECK_OK(ims_catalog_writer_new_id(writer, &record.id));
    CHECK_OK(ims_uuid_new(record.uuid));
    for (int bin = 0; bin < 1 + i % 5; bin++)
        color[(i * 7 + bin * 11) % BINS] += 3;
    CHECK_OK(ims_catalog_writer_put_row(writer, numbers[0], record.id, color));
    CHECK_OK(ims_catalog_writer_put_row(writer, numbers[1], record.id, own));
    record.features = UINT64_C(1) << numbers[0] | UINT64_C(1) << numbers[1];
    CHECK_OK(ims_catalog_writer_put_file(writer, &record));
}

static void prepare(void)
{
    imgsim_feature_definition color = {
        .struct_size = sizeof(color),
        .name = "color",
        .dimension = BINS,
        .row_type = IMGSIM_ROW_UINT32,
        .metric = IMGSIM_METRIC_CHI_SQUARE,
    };
    imgsim_feature_definition own = color;
    struct ims_catalog_writer *writer = NULL;
    imgsim_catalog_options options;
    imgsim_catalog *catalog = NULL;
    uint32_t numbers[2];

    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(catalog_path, sizeof(catalog_path), "%s/.imgsim", folder);
    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    CHECK_OK(imgsim_catalog_open(catalog_path, &options, &catalog));
    CHECK_OK(ims_catalog_writer_open(catalog, "test", &writer));
    own.name = "own";
    own.dimension = 2;
    own.row_type = IMGSIM_ROW_FLOAT32;
    own.metric = IMGSIM_METRIC_L2;
    CHECK_OK(ims_catalog_writer_feature(writer, &color, 0, &numbers[0]));
    CHECK_OK(ims_catalog_writer_feature(writer, &own, 0, &numbers[1]));
    for (int i = 0; i < IMAGES; i++)
        add_image(writer, numbers, i);
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    imgsim_catalog_free(catalog);
    CHECK(atexit(clean_up) == 0);
    for (int i = 0; i < FILES; i++) {
        FILE *file = fopen(file_path(i), "rb");

        CHECK(file != NULL);
        sizes[i] = fread(originals[i], 1, FILE_MAX, file);
        CHECK(sizes[i] > 4096 && sizes[i] < FILE_MAX);
        fclose(file);
    }
}

static void write_file(int number, const uint8_t *data, size_t size)
{
    FILE *file = fopen(file_path(number), "wb");

    CHECK(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void use_sparse(const imgsim_features *features)
{
    const uint64_t *offsets;
    const uint32_t *lengths, *counts;
    const uint16_t *bins;
    uint64_t sum = 0;

    if (imgsim_features_get_sparse(features, &offsets, &lengths, &bins, &counts) != IMGSIM_OK)
        return;
    for (uint64_t i = 0; i < imgsim_features_get_row_count(features); i++)
        if (imgsim_features_has_row(features, (int64_t)i))
            for (uint32_t n = 0; n < lengths[i]; n++) {
                CHECK(bins[offsets[i] + n] < BINS);
                sum += counts[offsets[i] + n];
            }
    CHECK(sum < UINT64_MAX);
}

static void use(const imgsim_catalog *catalog, const char *name)
{
    imgsim_features *features = NULL;
    uint32_t row[BINS];

    if (imgsim_catalog_open_features(catalog, name, &features) != IMGSIM_OK) {
        fuzz_check_refused(imgsim_catalog_open_features(catalog, name, &features));
        return;
    }
    for (int64_t id = 0; id < IMAGES; id++)
        (void)imgsim_features_read(features, &id, 1, row, sizeof(row));
    if (imgsim_features_get_row_type(features) == IMGSIM_ROW_UINT32)
        use_sparse(features);
    imgsim_features_free(features);
}

/*
 * Byte 0 chooses the file; then changes of 11 bytes: where (2), how many of the 8 that follow (1), these. A last piece that is
 * shorter cuts the file off.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t changed[FILE_MAX];
    imgsim_catalog *catalog = NULL;
    int number;
    size_t length;

    if (size < 3)
        return 0;
    if (folder[0] == '\0')
        prepare();
    number = data[0] % FILES;
    length = sizes[number];
    memcpy(changed, originals[number], length);
    for (data++, size--; size >= 11; data += 11, size -= 11) {
        size_t at = (size_t)(data[0] | data[1] << 8) % length, count = data[2] % 9u;

        memcpy(changed + at, data + 3, count < length - at ? count : length - at);
    }
    if (size >= 2)
        length = (size_t)(data[0] | data[1] << 8) % (length + 1);
    write_file(number, changed, length);

    if (imgsim_catalog_open(catalog_path, NULL, &catalog) == IMGSIM_OK) {
        use(catalog, "color");
        use(catalog, "own");
        (void)imgsim_catalog_verify(catalog, NULL, NULL);
    }
    imgsim_catalog_free(catalog);
    write_file(number, originals[number], sizes[number]);
    return 0;
}
