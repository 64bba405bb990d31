/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the corpora of the fuzz targets: fuzz_make_seeds FOLDER. */
#include "public_bed.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/npy.h"
#include "core/rng.h"
#include "image/image.h"

static const char *root;

static const char *seed_path(const char *target, const char *name)
{
    static char path[1000];

    snprintf(path, sizeof(path), "%s/%s", root, target);
    (void)mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/%s", root, target, name);
    return path;
}

static void put(const char *target, const char *name, const void *data, size_t size)
{
    bed_write_file(seed_path(target, name), data, size);
}

static void put_texts(const char *target, const char *const *texts, size_t count)
{
    char name[16];

    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%02zu.txt", i);
        put(target, name, texts[i], strlen(texts[i]));
    }
}

static void texts(void)
{
    static const char *const specs[] = {
        "color:space=rgb,bins=16x16x16",
        "color:space=lab,bins=8x4x2",
        "color",
        "hash",
        "hash:kind=phash,bits=64",
        "hash:kind=dhash,bits=256",
        "cnn:model=x",
        "host:name=own,version=1",
        "hash:kind=ahash",
    };
    static const char *const bys[] = {
        "embedding=0.7,color=0.2",
        "embedding",
        "fused",
        "blend",
        "embedding=0.5,color=0.5\ncolor=l1,embedding=cosine",
        " embedding = .25 , color = 1. \nembedding=angular",
        "embedding=1e3,embedding",
        "\ncolor=hamming",
        "color=0.00000000000000000001,",
    };
    static const char *const tables[] = {
        "path,label\na.jpg,sea\nb.jpg,\"sea, land\"\n",
        "\xef\xbb\xbfpath,label\r\n\"a \"\"b\"\".jpg\",x\r\n\r\n",
        "one\n\"two\nlines\",2\n\"open",
        "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\n,,,,\n\"x\"y\n",
    };

    put_texts("spec", specs, sizeof(specs) / sizeof(specs[0]));
    put_texts("by", bys, sizeof(bys) / sizeof(bys[0]));
    put_texts("csv", tables, sizeof(tables) / sizeof(tables[0]));
}

static void images(void)
{
    static const char *const formats[] = {"jpeg", "png", "webp"};
    imgsim_image *image = bed_image(1, 3);
    /* A GIF of 2 x 2, and a TIFF of 1 x 1: header, strip, one directory. */
    static const uint8_t gif[] = {'G', 'I', 'F', '8', '9', 'a', 2,   0,    2, 0,    0x80, 0,
                                  0,   255, 0,   0,   0,   0,   255, ',',  0, 0,    0,    0,
                                  2,   0,   2,   0,   0,   2,   3,   0x44, 2, 0x05, 0,    ';'};
    static const uint8_t tiff[] = {
        'I', 'I', 42, 0, 8, 0, 0,  0,  9, 0, 0, 1, 3, 0, 1, 0, 0, 0, 1, 0,  0,  0, 1, 1, 3,
        0,   1,   0,  0, 0, 1, 0,  0,  0, 2, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0,  0,  3, 1, 3, 0,
        1,   0,   0,  0, 1, 0, 0,  0,  6, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0,  17, 1, 4, 0, 1,
        0,   0,   0,  8, 0, 0, 0,  21, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 22, 1,  3, 0, 1, 0,
        0,   0,   1,  0, 0, 0, 23, 1,  4, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0,  0,  0};
    /* BMPs of 3 x 2: run lengths of 8 bits with a palette, and bit fields of 16. */
    static const uint8_t runs[] = {'B', 'M', 0, 0, 0, 0, 0, 0, 0, 0, 62, 0, 0, 0, 40, 0, 0, 0, 3,
                                   0,   0,   0, 2, 0, 0, 0, 1, 0, 8, 0,  1, 0, 0, 0,  0, 0, 0, 0,
                                   0,   0,   0, 0, 0, 0, 0, 0, 2, 0, 0,  0, 0, 0, 0,  0, 9, 9, 9,
                                   0,   99,  0, 5, 0, 2, 1, 1, 0, 0, 0,  0, 3, 1, 0,  1, 0, 0, 1};
    static const uint8_t fields[] = {
        'B', 'M', 0, 0, 0, 0, 0, 0,  0, 0, 66, 0, 0, 0,    40, 0,  0,    0, 3, 0, 0,
        0,   2,   0, 0, 0, 1, 0, 16, 0, 3, 0,  0, 0, 0,    0,  0,  0,    0, 0, 0, 0,
        0,   0,   0, 0, 0, 0, 0, 0,  0, 0, 0,  0, 0, 0xf8, 0,  0,  0xe0, 7, 0, 0, 0x1f,
        0,   0,   0, 1, 2, 3, 4, 5,  6, 0, 0,  7, 8, 9,    10, 11, 12,   0, 0};
    static const char ppm[] = "P6\n# a comment\n2 2\n255\nabcdefghijkl";
    static const char pgm[] = "P5 3 1 65535\nabcdef";
    static const char plain[] = "P3\n2 1\n15\n0 1 2 15 14 13\n";
    uint8_t pixels[BED_PIXELS];

    /* Of 16 x 12 pixels, so that they stay small. */
    memcpy(pixels, imgsim_image_get_pixels(image), sizeof(pixels));
    imgsim_image_free(image);
    CHECK_OK(imgsim_image_new(pixels, 16, 12, BED_WIDTH * 3, &image));
    for (int i = 0; i < 3; i++) {
        uint8_t *data = NULL;
        size_t size;
        char name[32];

        CHECK_OK(ims_image_encode(image, formats[i], 80, &data, &size));
        snprintf(name, sizeof(name), "small.%s", formats[i]);
        put("image", name, data, size);
        ims_free(data);
    }
    imgsim_image_free(image);
    put("image", "small.gif", gif, sizeof(gif));
    put("image", "small.tiff", tiff, sizeof(tiff));
    put("image", "runs.bmp", runs, sizeof(runs));
    put("image", "fields.bmp", fields, sizeof(fields));
    put("image", "small.ppm", ppm, sizeof(ppm) - 1);
    put("image", "small.pgm", pgm, sizeof(pgm) - 1);
    put("image", "plain.ppm", plain, sizeof(plain) - 1);
}

static void containers(void)
{
    static const struct ims_section_data sections[3] = {
        {"first", "some bytes", 10}, {"empty", "", 0}, {"eightchr", "abcdefgh", 8}};
    uint8_t header[IMS_NPY_DATA];
    static const char weights[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\","
                                  "\"shape\":[2,1],\"data_offsets\":[0,8]},\"b\":{\"dtype\":"
                                  "\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}";
    uint8_t file[400] = {(uint8_t)(sizeof(weights) - 1)};
    static const char old[] = "\x93NUMPY\x01\0\x46\0{'descr': '<f4', 'fortran_order': False, "
                              "'shape': (3, 2), }          \n";

    CHECK_OK(ims_sections_write(seed_path("sections", "three.ims"), "test", 1, sections, 3));
    CHECK_OK(ims_sections_write(seed_path("sections", "none.ims"), "index", 2, NULL, 0));
    CHECK_OK(ims_npy_header("<f4", 7, 3, header));
    put("npy", "matrix.npy", header, sizeof(header));
    put("npy", "cut.npy", header, 128);
    CHECK_OK(ims_npy_header("<u2", 9, 0, header));
    put("npy", "list.npy", header, sizeof(header));
    put("npy", "short.npy", old, sizeof(old) - 1);
    memcpy(file + 8, weights, sizeof(weights) - 1);
    put("safetensors", "two.safetensors", file, 8 + sizeof(weights) - 1 + 16);
    memcpy(file, "\x02\0\0\0\0\0\0\0{}", 10);
    put("safetensors", "none.safetensors", file, 10);
}

static void save_index(const char *name, int32_t kind, int32_t metric, size_t row_count)
{
    static const int64_t gone[2] = {3, 4};
    imgsim_index_options options;
    imgsim_index *index = NULL;
    struct ims_rng rng;
    static float rows[1100 * 2];

    ims_rng_init(&rng, 5);
    for (int i = 0; i < 1100 * 2; i++)
        rows[i] = (float)ims_rng_double(&rng);
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = metric;
    options.dimension = metric == IMGSIM_METRIC_HAMMING ? 64 : 2;
    options.max_links = 2;
    options.build_width = 8;
    CHECK_OK(imgsim_index_new(&options, &index));
    if (metric == IMGSIM_METRIC_HAMMING) {
        CHECK_OK(imgsim_index_add_bits(index, (const uint8_t *)rows, row_count, NULL));
    } else if (row_count != 0) {
        CHECK_OK(imgsim_index_add(index, rows, row_count, NULL));
        CHECK_OK(imgsim_index_remove(index, gone, 2, NULL));
    }
    CHECK_OK(imgsim_index_set_note(index, "a note"));
    CHECK_OK(imgsim_index_save(index, seed_path("index", name)));
    imgsim_index_free(index);
}

static void indexes(void)
{
    save_index("exact.ims", IMGSIM_INDEX_EXACT, IMGSIM_METRIC_L1, 10);
    save_index("bits.ims", IMGSIM_INDEX_EXACT, IMGSIM_METRIC_HAMMING, 9);
    save_index("histograms.ims", IMGSIM_INDEX_EXACT, IMGSIM_METRIC_CHI_SQUARE, 8);
    save_index("hnsw_cosine.ims", IMGSIM_INDEX_HNSW, IMGSIM_METRIC_COSINE, 1030);
    save_index("hnsw_l2.ims", IMGSIM_INDEX_HNSW, IMGSIM_METRIC_L2, 12);
    save_index("empty.ims", IMGSIM_INDEX_HNSW, IMGSIM_METRIC_L2, 0);
}

static void projectors(void)
{
    imgsim_projector_options options;
    imgsim_projector *projector = NULL;
    struct ims_rng rng;
    float rows[12 * 5];

    ims_rng_init(&rng, 6);
    for (int i = 0; i < 12 * 5; i++)
        rows[i] = (float)ims_rng_normal(&rng);
    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    for (int whiten = 0; whiten < 2; whiten++) {
        options.whiten = whiten;
        CHECK_OK(imgsim_projector_new(5, 3, &options, &projector));
        CHECK_OK(imgsim_projector_add(projector, rows, 12));
        CHECK_OK(imgsim_projector_train(projector));
        CHECK_OK(imgsim_projector_save(
            projector, seed_path("projector", whiten ? "white.ims" : "plain.ims")));
        imgsim_projector_free(projector);
    }
}

/* Changes for fuzz_features.c: file, then place, count, bytes. */
static void features(void)
{
    uint8_t change[1 + 2 * 11 + 2] = {0};

    for (uint8_t file = 0; file < 5; file++) {
        char name[16];

        change[0] = file;
        change[1] = 16;
        change[2] = 0x10; /* byte 4112: behind the header */
        change[3] = 8;
        memset(change + 4, file % 2 == 0 ? 0xff : 3, 8);
        change[12] = 60; /* in the header */
        change[14] = 2;
        memcpy(change + 15, "9,", 2);
        snprintf(name, sizeof(name), "%u.bin", file);
        put("features", name, change, 12);
        snprintf(name, sizeof(name), "%u-two.bin", file);
        put("features", name, change, 23);
        change[23] = 0;
        change[24] = 0x10;
        snprintf(name, sizeof(name), "%u-cut.bin", file);
        put("features", name, change, 25);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    root = argv[1];
    (void)mkdir(root, 0777);
    texts();
    images();
    containers();
    indexes();
    projectors();
    features();
    return 0;
}
