/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of .npy files: ours, NumPy's, and odd ones. */
#include "check.h"

#include "core/npy.h"

static uint8_t file[70000];

/* A file of format `major` whose header is this text; returns its size. */
static size_t make_file(int major, const char *text)
{
    size_t length = strlen(text);
    size_t start = major == 1 ? 10 : 12;

    memcpy(file, "\x93NUMPY", 6);
    file[6] = (uint8_t)major;
    file[7] = 0;
    file[8] = (uint8_t)(length & 0xff);
    file[9] = (uint8_t)(length >> 8);
    if (major > 1)
        file[10] = file[11] = 0;
    memcpy(file + start, text, length);
    return start + length;
}

static void what_we_write_is_read(void)
{
    static const char *const dtypes[] = {"<f4", "<i8", "<u4", "<u2", "<u8", "|u1"};
    static const uint32_t sizes[] = {4, 8, 4, 2, 8, 1};
    uint8_t header[IMS_NPY_DATA];
    struct ims_npy npy;

    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
        CHECK_OK(ims_npy_header(dtypes[i], 12345678901, 1280, header));
        CHECK_OK(ims_npy_parse(header, sizeof(header), "x", &npy));
        CHECK_TEXT(npy.dtype, dtypes[i]);
        CHECK_EQUAL(npy.item_size, sizes[i]);
        CHECK_EQUAL(npy.dimensions, 2);
        CHECK_EQUAL(npy.shape[0], 12345678901);
        CHECK_EQUAL(npy.shape[1], 1280);
        CHECK_EQUAL(npy.data_offset, IMS_NPY_DATA);
    }
    CHECK_OK(ims_npy_header("<i8", 0, 0, header));
    CHECK_OK(ims_npy_parse(header, sizeof(header), "x", &npy));
    CHECK_EQUAL(npy.dimensions, 1);
    CHECK_EQUAL(npy.shape[0], 0);
    CHECK_EQUAL(npy.shape[1], 1);
    CHECK_EQUAL(header[IMS_NPY_DATA - 1], '\n');
    CHECK_FAILS(ims_npy_header("<c8", 1, 1, header), IMGSIM_ERROR_UNSUPPORTED, "<c8");
}

static void headers_of_other_writers_are_read(void)
{
    static const char *const texts[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }        \n",
        "{\"shape\": (3,4), \"descr\": \"<f4\", \"fortran_order\": False}",
        "{'fortran_order':False,'shape':(3L, 4L),'descr':'<f4'}\n",
        "  { 'descr' : '<f4' ,\n 'fortran_order' : False , 'shape' : ( 3 , 4 , ) }  ",
    };
    struct ims_npy npy;

    for (int major = 1; major <= 3; major++) {
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
            size_t size = make_file(major, texts[i]);

            CHECK_OK(ims_npy_parse(file, size + 100, "x", &npy));
            CHECK_EQUAL(npy.shape[0], 3);
            CHECK_EQUAL(npy.shape[1], 4);
            CHECK_EQUAL(npy.data_offset, size);
        }
    }
    CHECK_OK(ims_npy_parse(
        file, make_file(1, "{'descr': '<u1', 'fortran_order': True, 'shape': (7,), }"), "x", &npy));
    CHECK_TEXT(npy.dtype, "|u1");
    CHECK_EQUAL(npy.dimensions, 1);
    CHECK_EQUAL(npy.shape[0], 7);
}

static void what_we_cannot_use_is_refused(void)
{
    static const struct {
        const char *text;
        const char *word;
    } cases[] = {
        {"", "dictionary"},
        {"{}", "incomplete"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)", "dictionary"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } x", "after"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }", "fortran_order"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3, 4), }", "fortran_order"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (3, 4), }", "dtype"},
        {"{'descr': '<c16', 'fortran_order': False, 'shape': (3, 4), }", "dtype"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 4), }", "dtype"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 4), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 99999999999999999999), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 9999999999), }",
         "large"},
        {"{'descr': '<f4', 'fortran_order': False}", "incomplete"},
        {"{'other': '<f4'}", "unknown key"},
        {"{'descr' '<f4'}", "dictionary"},
        {"{'descr': '<f4", "dtype"},
    };
    struct ims_npy npy;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_FAILS(
            ims_npy_parse(file, make_file(1, cases[i].text), "the path", &npy),
            IMGSIM_ERROR_CORRUPT, cases[i].word);
    CHECK(strstr(imgsim_last_error(), "the path") != NULL);
}

static void every_cut_of_a_header_is_refused(void)
{
    size_t size = make_file(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }");
    struct ims_npy npy;

    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1); /* so that a sanitizer sees reads beyond */

        CHECK(copy != NULL);
        memcpy(copy, file, cut);
        CHECK_FAILS(ims_npy_parse(copy, cut, "x", &npy), IMGSIM_ERROR_CORRUPT, "x");
        free(copy);
    }
    file[6] = 9;
    CHECK_FAILS(ims_npy_parse(file, size, "x", &npy), IMGSIM_ERROR_CORRUPT, "9.0");
    file[0] = 'P';
    CHECK_FAILS(ims_npy_parse(file, size, "x", &npy), IMGSIM_ERROR_CORRUPT, "not a .npy");
}

int main(void)
{
    what_we_write_is_read();
    headers_of_other_writers_are_read();
    what_we_cannot_use_is_refused();
    every_cut_of_a_header_is_refused();
    return 0;
}
