/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CNN embeddings: preprocessing, rows, fingerprints and specifications, and every way a model can
 * be wrong.
 */
#include "check.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/rng.h"
#include "extract/extractor.h"
#include "image/image.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- a SqueezeNet 1.1 of our own ---- */

struct tensor {
    char name[64];
    int64_t shape[4];
    int rank;
};

/* What is wrong with a file. */
struct flaw {
    const char *drop;
    const char *other_shape;
    const char *integers;
    const char *nan;
    const char *huge;
    const char *extra;
    const char *metadata;
    uint64_t seed;
    int reversed;
    int64_t classes; /* of the last layer; 0: there is none */
};

static size_t add_conv(
    struct tensor *tensors,
    size_t count,
    const char *name,
    int64_t in,
    int64_t out,
    int64_t side)
{
    struct tensor weight = {.shape = {out, in, side, side}, .rank = 4};
    struct tensor bias = {.shape = {out}, .rank = 1};

    snprintf(weight.name, sizeof(weight.name), "%s.weight", name);
    snprintf(bias.name, sizeof(bias.name), "%s.bias", name);
    tensors[count] = weight;
    tensors[count + 1] = bias;
    return count + 2;
}

static size_t list_tensors(struct tensor tensors[64])
{
    static const int64_t fires[][4] = {{3, 64, 16, 64},    {4, 128, 16, 64},  {6, 128, 32, 128},
                                       {7, 256, 32, 128},  {9, 256, 48, 192}, {10, 384, 48, 192},
                                       {11, 384, 64, 256}, {12, 512, 64, 256}};
    size_t count = add_conv(tensors, 0, "features.0", 3, 64, 3);

    for (size_t i = 0; i < sizeof(fires) / sizeof(fires[0]); i++) {
        const int64_t *fire = fires[i];
        char name[64];

        snprintf(name, sizeof(name), "features.%d.squeeze", (int)fire[0]);
        count = add_conv(tensors, count, name, fire[1], fire[2], 1);
        snprintf(name, sizeof(name), "features.%d.expand1x1", (int)fire[0]);
        count = add_conv(tensors, count, name, fire[2], fire[3], 1);
        snprintf(name, sizeof(name), "features.%d.expand3x3", (int)fire[0]);
        count = add_conv(tensors, count, name, fire[2], fire[3], 3);
    }
    return count;
}

static int is(const char *name, const char *wanted)
{
    return wanted != NULL && strcmp(name, wanted) == 0;
}

static size_t value_count(const struct tensor *tensor)
{
    size_t count = 1;

    for (int i = 0; i < tensor->rank; i++)
        count *= (size_t)tensor->shape[i];
    return count;
}

static void write_values(FILE *out, const struct tensor *tensor, const struct flaw *flaw)
{
    const size_t count = value_count(tensor);
    const double outputs = (double)tensor->shape[0];
    const double deviation = tensor->rank == 4 ? sqrt(2.0 * outputs / (double)count) : 0.1;
    float *values = calloc(count, sizeof(float));
    struct ims_rng rng;

    CHECK(values != NULL);
    ims_rng_init(&rng, flaw->seed + ims_hash64(tensor->name, strlen(tensor->name)));
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(ims_rng_normal(&rng) * deviation);
    if (is(tensor->name, flaw->nan))
        values[count / 2] = NAN;
    if (is(tensor->name, flaw->huge))
        for (size_t i = 0; i < count; i++)
            values[i] = 3e38f;
    CHECK_EQUAL(fwrite(values, sizeof(float), count, out), count);
    free(values);
}

static void write_model(const char *path, const struct flaw *flaw)
{
    static char header[32768];
    struct tensor tensors[64], kept[64];
    size_t count = list_tensors(tensors), used = 0, length = 0, offset = 0;
    FILE *out;

    if (flaw->classes > 0)
        count = add_conv(tensors, count, "classifier.1", 512, flaw->classes, 1);
    for (size_t i = 0; i < count; i++) {
        kept[used] = tensors[flaw->reversed ? count - 1 - i : i];
        if (is(kept[used].name, flaw->other_shape))
            kept[used].shape[1] += 1;
        if (!is(kept[used].name, flaw->drop))
            used++;
    }
    if (flaw->extra != NULL) {
        kept[used] = (struct tensor){.shape = {4}, .rank = 1};
        snprintf(kept[used++].name, sizeof(kept[0].name), "%s", flaw->extra);
    }
    length += (size_t)sprintf(
        header, "{\"__metadata__\":{%s}", flaw->metadata != NULL ? flaw->metadata : "");
    for (size_t i = 0; i < used; i++) {
        const size_t size = value_count(&kept[i]) * sizeof(float);

        length += (size_t)sprintf(
            header + length, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", kept[i].name,
            is(kept[i].name, flaw->integers) ? "I32" : "F32");
        for (int j = 0; j < kept[i].rank; j++)
            length += (size_t)sprintf(
                header + length, "%s%lld", j > 0 ? "," : "", (long long)kept[i].shape[j]);
        length += (size_t)sprintf(
            header + length, "],\"data_offsets\":[%zu,%zu]}", offset, offset + size);
        offset += size;
    }
    header[length++] = '}';

    CHECK((out = fopen(path, "wb")) != NULL);
    for (int i = 0; i < 8; i++)
        fputc((int)(length >> (8 * i) & 255), out);
    CHECK_EQUAL(fwrite(header, 1, length, out), length);
    for (size_t i = 0; i < used; i++)
        write_values(out, &kept[i], flaw);
    CHECK(fclose(out) == 0);
}

/* ---- helpers ---- */

static char folder[512];
static char model[1024];

static const char *in_folder(const char *name)
{
    static char path[1024];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static imgsim_cnn_options options_for(const char *path)
{
    imgsim_cnn_options options;

    CHECK_OK(imgsim_cnn_options_init(&options, sizeof(options)));
    options.model_path = path;
    options.threads = 2;
    return options;
}

static imgsim_extractor *open_model(const imgsim_cnn_options *options)
{
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_extractor_new_cnn(options, &extractor));
    return extractor;
}

static void open_fails(const imgsim_cnn_options *options, imgsim_status status, const char *word)
{
    imgsim_extractor *extractor = NULL;

    CHECK_FAILS(imgsim_extractor_new_cnn(options, &extractor), status, word);
    CHECK(extractor == NULL);
    CHECK(strchr(imgsim_last_error(), '\n') == NULL);
}

/* A picture of soft waves and a little noise. */
static imgsim_image *make_image(uint32_t width, uint32_t height, uint64_t seed)
{
    imgsim_image *image = NULL;
    struct ims_rng rng;

    CHECK_OK(ims_image_alloc(width, height, &image));
    ims_rng_init(&rng, seed);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++) {
                const double wave = sin(0.05 * x * (c + 1) + 0.03 * y + (double)seed);

                image->pixels[3 * ((size_t)y * width + x) + c] =
                    (uint8_t)(128 + 80 * wave + (double)ims_rng_below(&rng, 40));
            }
    return image;
}

enum { IMAGES = 7 };

static void make_images(imgsim_image *images[IMAGES])
{
    static const uint32_t sizes[IMAGES][2] = {{224, 224}, {300, 200}, {201, 333}, {100, 57},
                                              {1000, 31}, {640, 480}, {1, 1}};

    for (uint32_t i = 0; i < IMAGES; i++)
        images[i] = make_image(sizes[i][0], sizes[i][1], i + 1);
}

static void free_images(imgsim_image *images[IMAGES])
{
    for (int i = 0; i < IMAGES; i++)
        imgsim_image_free(images[i]);
}

static float *extract(const imgsim_extractor *extractor, imgsim_image *images[IMAGES])
{
    const size_t size = IMAGES * imgsim_extractor_get_row_size(extractor);
    float *rows = malloc(size);

    CHECK(rows != NULL);
    CHECK_OK(imgsim_extractor_extract(
        extractor, (const imgsim_image *const *)images, IMAGES, rows, size));
    return rows;
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* ---- tests ---- */

static void options_have_their_documented_defaults(void)
{
    imgsim_cnn_options options;

    CHECK_OK(imgsim_cnn_options_init(&options, sizeof(options)));
    CHECK_EQUAL(options.struct_size, sizeof(options));
    CHECK(options.model_path == NULL && options.architecture == NULL && options.sha256 == NULL);
    CHECK_EQUAL(options.precision, IMGSIM_PRECISION_FP32);
    CHECK_EQUAL(options.preprocess, IMGSIM_PREPROCESS_TORCHVISION);
    CHECK_EQUAL(options.batch_size, 16);
    CHECK_EQUAL(options.trust_model | (int)options.threads | (int)options.input_size, 0);
}

static void arguments_out_of_range_are_refused(void)
{
    imgsim_cnn_options options = options_for(NULL);

    CHECK_FAILS(imgsim_extractor_new_cnn(&options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    open_fails(NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "model_path");
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "model_path");
    options.model_path = "";
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "model_path");
    options = options_for(model);
    options.batch_size = 0;
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "batch_size");
    options.batch_size = 257;
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "batch_size");
    options = options_for(model);
    options.input_size = 31;
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "input_size");
    options.input_size = 1025;
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "input_size");
    options = options_for(model);
    options.precision = 2;
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "precision");
    options = options_for(model);
    options.preprocess = -1;
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "preprocess");
    options = options_for(model);
    options.sha256 = "abc";
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "64");
    options = options_for(model);
    options.struct_size = 0;
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "struct_size");
}

static void missing_module_is_named(void)
{
    const char *given = getenv("IMGSIM_TORCH_MODULE");
    char *kept = given != NULL ? strdup(given) : NULL;
    imgsim_cnn_options options = options_for(model);

    setenv("IMGSIM_TORCH_MODULE", "/nonexistent/libimgsim-torch.so", 1);
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "libimgsim-torch");
    CHECK(strstr(imgsim_last_error(), "/nonexistent/") != NULL);
    CHECK_EQUAL(ims_torch_available(), 0);
    if (kept != NULL)
        setenv("IMGSIM_TORCH_MODULE", kept, 1);
    else
        unsetenv("IMGSIM_TORCH_MODULE");
    free(kept);
}

static void model_is_recognised(void)
{
    const imgsim_cnn_options options = options_for(model);
    imgsim_extractor *extractor = open_model(&options);
    char expected[1200];

    CHECK_EQUAL(imgsim_extractor_get_dimension(extractor), 512);
    CHECK_EQUAL(imgsim_extractor_get_row_type(extractor), IMGSIM_ROW_FLOAT32);
    CHECK_EQUAL(imgsim_extractor_get_default_metric(extractor), IMGSIM_METRIC_COSINE);
    CHECK_EQUAL(imgsim_extractor_get_min_side(extractor), 256);
    CHECK_TEXT(imgsim_extractor_get_name(extractor), "embedding");
    snprintf(
        expected, sizeof(expected),
        "cnn:arch=squeezenet1_1,precision=fp32,preprocess=torchvision,size=224,model=%s", model);
    CHECK_TEXT(imgsim_extractor_get_spec(extractor), expected);
    imgsim_extractor_free(extractor);
}

static void rows_have_length_one_and_are_the_same_however_batched(void)
{
    imgsim_cnn_options options = options_for(model);
    imgsim_extractor *extractor = open_model(&options);
    imgsim_image *images[IMAGES];
    float *rows, *again;

    make_images(images);
    rows = extract(extractor, images);
    for (int i = 0; i < IMAGES; i++)
        CHECK_NEAR(dot(rows + 512 * i, rows + 512 * i, 512), 1, 1e-5);
    CHECK(dot(rows, rows + 512, 512) < 0.99999);
    imgsim_extractor_free(extractor);

    options.threads = 1;
    options.batch_size = 3;
    extractor = open_model(&options);
    again = extract(extractor, images);
    CHECK(memcmp(rows, again, IMAGES * 512 * sizeof(float)) == 0);
    free(again);
    imgsim_extractor_free(extractor);

    options = options_for(model);
    options.precision = IMGSIM_PRECISION_BF16;
    extractor = open_model(&options);
    again = extract(extractor, images);
    for (int i = 0; i < IMAGES; i++)
        CHECK(dot(rows + 512 * i, again + 512 * i, 512) > 0.99);
    CHECK(memcmp(rows, again, IMAGES * 512 * sizeof(float)) != 0);
    free(again);
    free(rows);
    imgsim_extractor_free(extractor);
    free_images(images);
}

/* ---- classes ---- */

/* Rows of the classes: length, then number and probability. */
struct class_row {
    uint32_t length;
    struct {
        uint32_t number;
        float probability;
    } classes[IMGSIM_TOP_CLASSES];
};

static void classes_are_the_same_however_asked(void)
{
    const struct flaw seven = {.seed = 1, .classes = 7}, two = {.seed = 1, .classes = 2};
    struct class_row rows[IMAGES], again[IMAGES];
    imgsim_extractor *network, *classes = NULL, *plain;
    imgsim_image *images[IMAGES];
    imgsim_cnn_options options;
    char path[1024];
    float *embedding, *alone;

    snprintf(path, sizeof(path), "%s", in_folder("classes.safetensors"));
    write_model(path, &seven);
    make_images(images);
    options = options_for(path);
    plain = open_model(&options);
    options.classes = 1;
    network = open_model(&options);
    CHECK_TEXT(imgsim_extractor_get_fingerprint(network), imgsim_extractor_get_fingerprint(plain));
    CHECK_OK(imgsim_extractor_new_classes(network, &classes));
    CHECK_TEXT(imgsim_extractor_get_name(classes), "classes");
    CHECK_EQUAL(imgsim_extractor_get_row_type(classes), IMGSIM_ROW_BYTES);
    CHECK_EQUAL(imgsim_extractor_get_row_size(classes), sizeof(rows[0]));
    CHECK(strncmp(imgsim_extractor_get_spec(classes), "classes:count=7,arch=", 21) == 0);

    /* Asked alone, asked after the embedding, which it then remembers, and one by one from the last. */
    CHECK_OK(imgsim_extractor_extract(
        classes, (const imgsim_image *const *)images, IMAGES, rows, sizeof(rows)));
    embedding = extract(network, images);
    alone = extract(plain, images);
    CHECK(memcmp(embedding, alone, IMAGES * 512 * sizeof(float)) == 0);
    CHECK_OK(imgsim_extractor_extract(
        classes, (const imgsim_image *const *)images, IMAGES, again, sizeof(again)));
    CHECK(memcmp(rows, again, sizeof(rows)) == 0);
    imgsim_extractor_free(network); /* kept alive by the classes */
    for (int i = IMAGES - 1; i >= 0; i--)
        CHECK_OK(imgsim_extractor_extract(
            classes, (const imgsim_image *const *)images + i, 1, &again[i], sizeof(again[i])));
    CHECK(memcmp(rows, again, sizeof(rows)) == 0);

    for (int i = 0; i < IMAGES; i++) {
        float total = 0;

        CHECK_EQUAL(rows[i].length, 40);
        for (int c = 0; c < IMGSIM_TOP_CLASSES; c++) {
            CHECK(rows[i].classes[c].number < 7);
            CHECK(c == 0 || rows[i].classes[c].probability <= rows[i].classes[c - 1].probability);
            total += rows[i].classes[c].probability;
        }
        CHECK(total > 0.7f && total < 1.0001f);
    }
    imgsim_extractor_free(classes);
    free(embedding);
    free(alone);

    /* Fewer classes than a row has room for: their probabilities are all. */
    write_model(path, &two);
    network = open_model(&options);
    CHECK_OK(imgsim_extractor_new_classes(network, &classes));
    CHECK_OK(imgsim_extractor_extract(
        classes, (const imgsim_image *const *)images, IMAGES, rows, sizeof(rows)));
    CHECK_EQUAL(rows[0].length, 16);
    CHECK_NEAR(rows[0].classes[0].probability + rows[0].classes[1].probability, 1, 1e-6);
    imgsim_extractor_free(classes);
    imgsim_extractor_free(network);
    imgsim_extractor_free(plain);
    free_images(images);
}

static void classes_need_a_last_layer(void)
{
    const struct flaw half = {.seed = 1, .classes = 7, .drop = "classifier.1.weight"};
    const struct flaw odd = {.seed = 1, .classes = 7, .other_shape = "classifier.1.weight"};
    const struct flaw nan = {.seed = 1, .classes = 7, .nan = "classifier.1.bias"};
    imgsim_extractor *network, *classes = NULL;
    imgsim_cnn_options options = options_for(model);
    char path[1024];

    network = open_model(&options);
    CHECK_FAILS(
        imgsim_extractor_new_classes(network, &classes), IMGSIM_ERROR_INVALID_ARGUMENT, "classes");
    CHECK_FAILS(
        imgsim_extractor_new_classes(NULL, &classes), IMGSIM_ERROR_INVALID_ARGUMENT, "network");
    CHECK(classes == NULL);
    imgsim_extractor_free(network);
    CHECK_OK(imgsim_extractor_new_hash(NULL, &network));
    CHECK_FAILS(
        imgsim_extractor_new_classes(network, &classes), IMGSIM_ERROR_INVALID_ARGUMENT, "hash");
    imgsim_extractor_free(network);

    options.classes = 1;
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "classifier.1.weight");
    snprintf(path, sizeof(path), "%s", in_folder("last.safetensors"));
    options.model_path = path;
    write_model(path, &half);
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "classifier.1.weight");
    write_model(path, &odd);
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "classifier.1.weight");
    write_model(path, &nan);
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "NaN");
    options.classes = 0;
    imgsim_extractor_free(open_model(&options)); /* without them it does not matter */
    options.reserved = 1;
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "reserved");
}

static void fingerprint_of(const imgsim_cnn_options *options, char out[33])
{
    imgsim_extractor *extractor = open_model(options);

    snprintf(out, 33, "%s", imgsim_extractor_get_fingerprint(extractor));
    imgsim_extractor_free(extractor);
}

static void fingerprint_changes_with_what_changes_rows_only(void)
{
    imgsim_cnn_options options = options_for(model);
    const struct flaw moved = {.seed = 1, .reversed = 1, .extra = "classifier.1.bias"};
    const struct flaw other = {.seed = 2};
    char first[33], now[33], path[1024];

    fingerprint_of(&options, first);
    CHECK_EQUAL(strlen(first), 32);
    options.threads = 1;
    options.batch_size = 5;
    options.architecture = "squeezenet1_1";
    fingerprint_of(&options, now);
    CHECK_TEXT(now, first);

    snprintf(path, sizeof(path), "%s", in_folder("moved.safetensors"));
    write_model(path, &moved);
    options.model_path = path;
    fingerprint_of(&options, now);
    CHECK_TEXT(now, first);
    write_model(path, &other);
    fingerprint_of(&options, now);
    CHECK(strcmp(now, first) != 0);

    options = options_for(model);
    options.precision = IMGSIM_PRECISION_BF16;
    fingerprint_of(&options, now);
    CHECK(strcmp(now, first) != 0);
    options = options_for(model);
    options.preprocess = IMGSIM_PREPROCESS_SQUEEZE;
    fingerprint_of(&options, now);
    CHECK(strcmp(now, first) != 0);
    options = options_for(model);
    options.input_size = 160;
    fingerprint_of(&options, now);
    CHECK(strcmp(now, first) != 0);
}

/* The whole picture resized, then the crop cut out: what prepare() does in one step. */
static void resize_then_crop(const imgsim_image *image, uint8_t *out)
{
    const uint32_t width = image->width, height = image->height;
    const uint32_t to_width = width <= height ? 256 : 256 * width / height;
    const uint32_t to_height = width <= height ? 256 * height / width : 256;
    /* Python's round(): halves to even. */
    const size_t left = (size_t)nearbyint((to_width - 224) / 2.0);
    const size_t top = (size_t)nearbyint((to_height - 224) / 2.0);
    uint8_t *whole = malloc((size_t)to_width * to_height * 3);

    CHECK(whole != NULL);
    CHECK_OK(ims_resample_rgb(image, 0, 0, width, height, to_width, to_height, whole));
    for (size_t y = 0; y < 224; y++)
        memcpy(out + y * 224 * 3, whole + ((top + y) * to_width + left) * 3, 224 * 3);
    free(whole);
}

static void torchvision_preprocessing_is_resize_then_centre_crop(void)
{
    const imgsim_cnn_options options = options_for(model);
    imgsim_extractor *extractor = open_model(&options);
    const size_t size = 224 * 224 * 3;
    uint8_t *expected = malloc(size), *prepared = malloc(size);
    imgsim_image *images[IMAGES];

    CHECK(expected != NULL && prepared != NULL);
    CHECK_EQUAL(extractor->input_size, size);
    make_images(images);
    for (int i = 0; i < IMAGES; i++) {
        size_t different = 0;

        resize_then_crop(images[i], expected);
        CHECK_OK(extractor->kind->prepare(extractor, images[i], prepared));
        for (size_t j = 0; j < size; j++) {
            CHECK(abs(expected[j] - prepared[j]) <= 1);
            different += expected[j] != prepared[j];
        }
        /* A weight rounded the other way in its 22nd bit may tip a byte. */
        CHECK(different <= size / 10000);
    }
    free_images(images);
    free(expected);
    free(prepared);
    imgsim_extractor_free(extractor);
}

/* What another process makes of the specification prepares the same bytes, without the model. */
static void input_is_prepared_alike_elsewhere(int32_t preprocess)
{
    imgsim_cnn_options options = options_for(model);
    imgsim_extractor *extractor, *elsewhere = NULL;
    uint8_t *expected, *prepared;
    imgsim_image *images[IMAGES];

    options.preprocess = preprocess;
    options.input_size = 96;
    extractor = open_model(&options);
    CHECK_OK(ims_extractor_new_remote(imgsim_extractor_get_spec(extractor), &elsewhere));
    CHECK_EQUAL(elsewhere->input_size, extractor->input_size);
    expected = malloc(extractor->input_size);
    prepared = malloc(extractor->input_size);
    CHECK(expected != NULL && prepared != NULL);
    make_images(images);
    for (int i = 0; i < IMAGES; i++) {
        CHECK_OK(extractor->kind->prepare(extractor, images[i], expected));
        CHECK_OK(elsewhere->kind->prepare(elsewhere, images[i], prepared));
        CHECK(memcmp(expected, prepared, extractor->input_size) == 0);
    }
    free_images(images);
    free(expected);
    free(prepared);
    imgsim_extractor_free(elsewhere);
    imgsim_extractor_free(extractor);
    CHECK_FAILS(
        ims_extractor_new_remote("cnn:nonsense", &elsewhere), IMGSIM_ERROR_INVALID_ARGUMENT,
        "does not understand");
}

static void squeezing_an_image_of_input_size_changes_nothing(void)
{
    imgsim_cnn_options options = options_for(model);
    imgsim_image *image = make_image(224, 224, 5);
    uint8_t *prepared = malloc(224 * 224 * 3);
    imgsim_extractor *extractor;

    options.preprocess = IMGSIM_PREPROCESS_SQUEEZE;
    extractor = open_model(&options);
    CHECK_EQUAL(imgsim_extractor_get_min_side(extractor), 224);
    CHECK_OK(extractor->kind->prepare(extractor, image, prepared));
    CHECK(memcmp(prepared, image->pixels, 224 * 224 * 3) == 0);
    free(prepared);
    imgsim_image_free(image);
    imgsim_extractor_free(extractor);
}

static void specification_opens_the_same_model_again(void)
{
    imgsim_cnn_options options = options_for(model);
    imgsim_extractor *extractor, *again = NULL;
    char path[1024], spec[2048], fingerprint[33];

    /* Commas and equal signs in the path do not confuse it. */
    snprintf(path, sizeof(path), "%s", in_folder("a,model=b,size=3.safetensors"));
    write_model(path, &(struct flaw){.seed = 1});
    options.model_path = path;
    options.precision = IMGSIM_PRECISION_BF16;
    options.preprocess = IMGSIM_PREPROCESS_SQUEEZE;
    options.input_size = 96;
    extractor = open_model(&options);
    snprintf(spec, sizeof(spec), "%s", imgsim_extractor_get_spec(extractor));
    snprintf(fingerprint, sizeof(fingerprint), "%s", imgsim_extractor_get_fingerprint(extractor));
    imgsim_extractor_free(extractor);

    CHECK_OK(ims_extractor_new_cnn_spec(spec, fingerprint, &again));
    CHECK_TEXT(imgsim_extractor_get_spec(again), spec);
    CHECK_TEXT(imgsim_extractor_get_fingerprint(again), fingerprint);
    imgsim_extractor_free(again);

    write_model(path, &(struct flaw){.seed = 9});
    CHECK_FAILS(
        ims_extractor_new_cnn_spec(spec, fingerprint, &again), IMGSIM_ERROR_CORRUPT, "weights");
    unlink(path);
    CHECK_FAILS(
        ims_extractor_new_cnn_spec(spec, fingerprint, &again), IMGSIM_ERROR_NOT_FOUND, "size=3");
    CHECK(again == NULL);
}

static void bad_specifications_are_refused(void)
{
    static const char *const specs[] = {"color:bins=16",          "cnn:",
                                        "cnn:arch=squeezenet1_1", "cnn:precision=fp64,model=/x",
                                        "cnn:size=x,model=/x",    "cnn:colour=red,model=/x",
                                        "cnn:arch,model=/x"};
    imgsim_extractor *extractor = NULL;

    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
        CHECK_FAILS(
            ims_extractor_new_cnn_spec(specs[i], "", &extractor), IMGSIM_ERROR_INVALID_ARGUMENT,
            "specification");
    CHECK_FAILS(
        ims_extractor_new_cnn_spec("cnn:arch=torchscript,model=/x", "", &extractor),
        IMGSIM_ERROR_UNSUPPORTED, "trust");
}

static void refuses_file(const struct flaw *flaw, imgsim_status status, const char *word)
{
    char path[1024];
    imgsim_cnn_options options;

    snprintf(path, sizeof(path), "%s", in_folder("flawed.safetensors"));
    write_model(path, flaw);
    options = options_for(path);
    open_fails(&options, status, word);
}

static void flawed_weights_are_refused(void)
{
    static const char weight[] = "features.9.squeeze.weight";

    refuses_file(&(struct flaw){.drop = weight}, IMGSIM_ERROR_CORRUPT, "missing");
    CHECK(strstr(imgsim_last_error(), weight) != NULL);
    CHECK(strstr(imgsim_last_error(), "[48, 256, 1, 1]") != NULL);
    refuses_file(&(struct flaw){.other_shape = weight}, IMGSIM_ERROR_CORRUPT, "[48, 257, 1, 1]");
    CHECK(strstr(imgsim_last_error(), "expected [48, 256, 1, 1]") != NULL);
    refuses_file(&(struct flaw){.integers = weight}, IMGSIM_ERROR_CORRUPT, "type I32");
    refuses_file(&(struct flaw){.nan = weight}, IMGSIM_ERROR_CORRUPT, "NaN");
    refuses_file(&(struct flaw){.extra = "features.13.bias"}, IMGSIM_ERROR_CORRUPT, "features.13");
    refuses_file(
        &(struct flaw){.drop = "features.3.squeeze.weight"}, IMGSIM_ERROR_UNSUPPORTED,
        "no known architecture");
    refuses_file(
        &(struct flaw){.metadata = "\"architecture\":\"resnet18\""}, IMGSIM_ERROR_CORRUPT,
        "conv1.weight");
}

static void overflowing_weights_are_noticed(void)
{
    imgsim_image *image = make_image(64, 64, 1);
    const imgsim_image *images[1] = {image};
    imgsim_cnn_options options;
    imgsim_extractor *extractor;
    char path[1024];
    float row[512];

    snprintf(path, sizeof(path), "%s", in_folder("huge.safetensors"));
    write_model(path, &(struct flaw){.huge = "features.12.expand1x1.weight"});
    options = options_for(path);
    extractor = open_model(&options);
    CHECK_FAILS(
        imgsim_extractor_extract(extractor, images, 1, row, sizeof(row)), IMGSIM_ERROR_CORRUPT,
        "finite");
    imgsim_extractor_free(extractor);
    imgsim_image_free(image);
}

static void wrong_architecture_is_refused(void)
{
    imgsim_cnn_options options = options_for(model);

    options.architecture = "resnet50";
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "conv1.weight");
    options.architecture = "inception_v3";
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "Conv2d_1a_3x3.conv.weight");
    options.input_size = 64;
    open_fails(&options, IMGSIM_ERROR_INVALID_ARGUMENT, "at least 75");
    options.architecture = "mobilenet_v2";
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "features.0.0.weight");
    options.architecture = "vgg16";
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "vgg16");
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "wb");

    CHECK(out != NULL);
    CHECK_EQUAL(fwrite(bytes, 1, size, out), size);
    CHECK(fclose(out) == 0);
}

static void files_that_are_no_weights_are_refused(void)
{
    static const char pickled_zip[] = "PK\003\004\0\0\0\0\0\0\0\0\0\0 squeezenet/data.pkl";
    static const char script_zip[] = "PK\003\004\0\0\0\0\0\0\0\0\0\0 m/data.pkl m/constants.pkl";
    static const char pickle[] = "\x80\002\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.";
    imgsim_cnn_options options;
    char path[1024];

    snprintf(path, sizeof(path), "%s", in_folder("odd"));
    options = options_for(path);
    open_fails(&options, IMGSIM_ERROR_NOT_FOUND, "odd");
    CHECK(mkdir(path, 0700) == 0);
    open_fails(&options, IMGSIM_ERROR_IO, "odd");
    CHECK(rmdir(path) == 0);
    write_bytes(path, "", 0);
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "too few");
    write_bytes(path, "\377\330\377\340 this is a JPEG", 20);
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "not safetensors");
    write_bytes(path, pickled_zip, sizeof(pickled_zip));
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "imgsim.convert");
    write_bytes(path, pickle, sizeof(pickle));
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "imgsim.convert");
    write_bytes(path, script_zip, sizeof(script_zip));
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "--trust-model");
    options.trust_model = 1;
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "TorchScript");
}

static void truncated_and_altered_files_are_refused(void)
{
    imgsim_cnn_options options;
    struct ims_map map = {0};
    char path[1024], digest[65];

    CHECK_OK(ims_map_open(&map, model));
    CHECK_OK(ims_sha256(map.data, map.size, digest));
    options = options_for(model);
    options.sha256 = digest;
    imgsim_extractor_free(open_model(&options));
    digest[5] = digest[5] == '0' ? '1' : '0';
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "SHA-256");

    snprintf(path, sizeof(path), "%s", in_folder("cut"));
    options = options_for(path);
    write_bytes(path, map.data, map.size - 1);
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "truncated");
    write_bytes(path, map.data, map.size / 2);
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "truncated");
    write_bytes(path, map.data, 100);
    open_fails(&options, IMGSIM_ERROR_CORRUPT, "does not fit");
    ims_map_close(&map);
}

static void real_models_are_recognised(void)
{
    const char *data = check_data_folder();
    imgsim_extractor *extractor;
    imgsim_cnn_options options;
    char path[4096];

    if (data == NULL) {
        printf("skipped: real models\n");
        return;
    }
    snprintf(path, sizeof(path), "%s/models/mobilenet_v2.safetensors", data);
    options = options_for(path);
    extractor = open_model(&options);
    CHECK_EQUAL(imgsim_extractor_get_dimension(extractor), 1280);
    imgsim_extractor_free(extractor);
    snprintf(path, sizeof(path), "%s/models/squeezenet1_1.pth", data);
    options = options_for(path);
    open_fails(&options, IMGSIM_ERROR_UNSUPPORTED, "imgsim.convert");
}

int main(void)
{
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(model, sizeof(model), "%s/model.safetensors", folder);
    write_model(model, &(struct flaw){.seed = 1});

    options_have_their_documented_defaults();
    arguments_out_of_range_are_refused();
    missing_module_is_named();
    bad_specifications_are_refused();
    if (!ims_torch_available())
        check_skip(imgsim_last_error());
    model_is_recognised();
    rows_have_length_one_and_are_the_same_however_batched();
    fingerprint_changes_with_what_changes_rows_only();
    classes_are_the_same_however_asked();
    classes_need_a_last_layer();
    torchvision_preprocessing_is_resize_then_centre_crop();
    input_is_prepared_alike_elsewhere(IMGSIM_PREPROCESS_TORCHVISION);
    input_is_prepared_alike_elsewhere(IMGSIM_PREPROCESS_SQUEEZE);
    squeezing_an_image_of_input_size_changes_nothing();
    specification_opens_the_same_model_again();
    flawed_weights_are_refused();
    overflowing_weights_are_noticed();
    wrong_architecture_is_refused();
    files_that_are_no_weights_are_refused();
    truncated_and_altered_files_are_refused();
    real_models_are_recognised();
    return 0;
}
