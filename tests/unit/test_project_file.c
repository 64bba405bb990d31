/* SPDX-License-Identifier: Apache-2.0 */
/* Projectors in files: come back with the same bits, damage is noticed. */
#include "check.h"

#include "core/rng.h"

#include <imgsim/projector.h>

enum { N = 200, D = 12, M = 3 };

static char path[4096];
static float rows[N * D];

static imgsim_projector *make_projector(void)
{
    imgsim_projector_options options;
    imgsim_projector *projector;
    struct ims_rng rng;

    ims_rng_init(&rng, 1);
    for (size_t i = 0; i < N * D; i++)
        rows[i] = (float)(ims_rng_normal(&rng) * (double)(i % D + 1));
    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    options.whiten = 0.5;
    options.normalize = 7;
    CHECK_OK(imgsim_projector_new(D, M, &options, &projector));
    CHECK_FAILS(imgsim_projector_save(projector, path), IMGSIM_ERROR_NOT_READY, "trained");
    CHECK_OK(imgsim_projector_add(projector, rows, N));
    CHECK_OK(imgsim_projector_train(projector));
    return projector;
}

static void what_is_saved_is_loaded(void)
{
    imgsim_projector *projector = make_projector();
    imgsim_projector *loaded;
    float a[N * M], b[N * M];

    CHECK_OK(imgsim_projector_save(projector, path));
    CHECK_OK(imgsim_projector_load(path, &loaded));
    CHECK_EQUAL(imgsim_projector_get_input_dimension(loaded), D);
    CHECK_EQUAL(imgsim_projector_get_output_dimension(loaded), M);
    CHECK_EQUAL(imgsim_projector_get_row_count(loaded), N);
    CHECK_TEXT(
        imgsim_projector_get_fingerprint(loaded), imgsim_projector_get_fingerprint(projector));
    CHECK_NEAR(
        imgsim_projector_get_total_variance(loaded), imgsim_projector_get_total_variance(projector),
        0.0);
    CHECK_EQUAL(
        memcmp(
            imgsim_projector_get_variances(loaded), imgsim_projector_get_variances(projector),
            M * sizeof(double)),
        0);
    CHECK_OK(imgsim_projector_transform(projector, rows, N, a));
    CHECK_OK(imgsim_projector_transform(loaded, rows, N, b));
    CHECK_EQUAL(memcmp(a, b, sizeof(a)), 0);

    CHECK_FAILS(imgsim_projector_add(loaded, rows, N), IMGSIM_ERROR_NOT_READY, "file");
    CHECK_FAILS(imgsim_projector_train(loaded), IMGSIM_ERROR_NOT_READY, "file");
    CHECK_OK(imgsim_projector_save(loaded, path));
    imgsim_projector_free(loaded);
    CHECK_OK(imgsim_projector_load(path, &loaded));
    imgsim_projector_free(loaded);
    imgsim_projector_free(projector);
}

static void every_damaged_byte_is_noticed(void)
{
    imgsim_projector *projector = make_projector();
    imgsim_projector *loaded;
    static uint8_t content[8192];
    size_t size;
    FILE *file;

    CHECK_OK(imgsim_projector_save(projector, path));
    file = fopen(path, "rb");
    CHECK(file != NULL);
    size = fread(content, 1, sizeof(content), file);
    fclose(file);
    CHECK(size > 400 && size < sizeof(content));
    for (size_t i = 0; i < size; i++) {
        content[i] ^= 0x55;
        file = fopen(path, "wb");
        CHECK(file != NULL);
        CHECK_EQUAL(fwrite(content, 1, size, file), size);
        fclose(file);
        content[i] ^= 0x55;
        CHECK_FAILS(imgsim_projector_load(path, &loaded), IMGSIM_ERROR_CORRUPT, path);
        CHECK(loaded == NULL);
    }
    imgsim_projector_free(projector);
}

static void a_missing_file_is_named(void)
{
    imgsim_projector *loaded;

    CHECK_FAILS(
        imgsim_projector_load("/nonexistent", &loaded), IMGSIM_ERROR_NOT_FOUND, "/nonexistent");
    CHECK_FAILS(imgsim_projector_load(NULL, &loaded), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
}

int main(void)
{
    const char *folder = check_temporary_folder();

    snprintf(path, sizeof(path), "%s/test.pca.ims", folder);
    what_is_saved_is_loaded();
    every_damaged_byte_is_noticed();
    a_missing_file_is_named();
    CHECK_EQUAL(remove(path), 0);
    CHECK_EQUAL(remove(folder), 0);
    return 0;
}
