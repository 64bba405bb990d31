/* SPDX-License-Identifier: Apache-2.0 */
/* What a page is packed with: every number, name and byte comes back. */
#include "page_read.h"

#include "core/memory.h"
#include "core/rng.h"

static void numbers_come_back(void)
{
    static const uint32_t values[] = {0, 1, 127, 128, 300, 65535, 65536, 0x1FFFFF, 0xFFFFFFFF};
    struct ims_bytes bytes = {0};
    const uint8_t *at;

    for (size_t i = 0; i < 9; i++)
        ims_bytes_varint(&bytes, values[i]);
    at = bytes.data;
    for (size_t i = 0; i < 9; i++)
        CHECK(read_varint(&at) == values[i]);
    CHECK(at == bytes.data + bytes.size);
    ims_bytes_clear(&bytes);

    for (int32_t value = -70000; value <= 70000; value += 7)
        CHECK_EQUAL(unzigzag(ims_zigzag(value)), value);
    CHECK_EQUAL(ims_zigzag(0), 0);
    CHECK_EQUAL(ims_zigzag(-1), 1);
    CHECK_EQUAL(ims_zigzag(1), 2);
    CHECK_EQUAL(unzigzag(ims_zigzag(INT32_MIN)), INT32_MIN);

    CHECK_EQUAL(ims_planes_needed(values, 1), 1);
    CHECK_EQUAL(ims_planes_needed(values, 5), 2);
    CHECK_EQUAL(ims_planes_needed(values, 8), 3);
    CHECK_EQUAL(ims_planes_needed(values, 9), 4);
    ims_bytes_planes(&bytes, values, 9, 4);
    CHECK_EQUAL(bytes.size, 36);
    for (size_t i = 0; i < 9; i++)
        CHECK(plane_value(&bytes, 9, i) == values[i]);
    ims_bytes_clear(&bytes);
}

static void text_of(struct ims_bytes *bytes, const char *expected)
{
    ims_bytes_add(bytes, "", 1);
    CHECK_TEXT((const char *)bytes->data, expected);
    ims_bytes_clear(bytes);
}

static void decimals_and_counts(void)
{
    struct ims_bytes bytes = {0};

    ims_bytes_number(&bytes, 0.5, 6);
    text_of(&bytes, "0.5");
    ims_bytes_number(&bytes, -1e-7, 6);
    text_of(&bytes, "-1e-07");
    ims_bytes_number(&bytes, NAN, 6);
    text_of(&bytes, "null");
    ims_bytes_count(&bytes, UINT64_MAX);
    text_of(&bytes, "18446744073709551615");
}

/* RFC 4648, section 10. */
static void base64_as_published(void)
{
    static const char *const pairs[][2] = {
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"foobar", "Zm9vYmFy"}};
    struct ims_bytes bytes = {0};

    for (size_t i = 0; i < 5; i++) {
        ims_bytes_base64(&bytes, (const uint8_t *)pairs[i][0], strlen(pairs[i][0]));
        text_of(&bytes, pairs[i][1]);
    }
}

static void compression_comes_back(void)
{
    static const size_t sizes[] = {0, 1, 6143, 6144, 6145, 300000};
    struct ims_rng rng;

    ims_rng_init(&rng, 3);
    for (size_t s = 0; s < 6; s++) {
        uint8_t *data = malloc(sizes[s] + 1);
        struct ims_bytes packed = {0}, encoded = {0}, back;

        CHECK(data != NULL);
        for (size_t i = 0; i < sizes[s]; i++)
            data[i] = (uint8_t)(ims_rng_below(&rng, 7) * 31);
        CHECK_OK(ims_bytes_deflate(&packed, data, sizes[s]));
        ims_bytes_base64(&encoded, packed.data, packed.size);
        ims_bytes_text(&encoded, "<");
        ims_bytes_add(&encoded, "", 1);
        ims_bytes_clear(&packed);
        packed = base64_bytes((const char *)encoded.data);
        back = inflated(&packed);
        CHECK_EQUAL(back.size, sizes[s]);
        CHECK(sizes[s] == 0 || memcmp(back.data, data, sizes[s]) == 0);
        ims_bytes_clear(&encoded);
        ims_bytes_clear(&back);
        free(data);
    }
}

/* Nothing in a name ends the script element, reverses the text or breaks the JSON. */
static void names_are_harmless(void)
{
    struct ims_bytes bytes = {0};

    ims_bytes_json(&bytes, "a\"b\\c</script><!--'&\n\x7f");
    text_of(
        &bytes, "\"a\\u0022b\\u005cc\\u003c/script\\u003e\\u003c!--\\u0027\\u0026\\u000a\\u007f\"");
    ims_bytes_json(
        &bytes, "\xE2\x80\xAE"
                "gpj \xE2\x80\xA8 \xE2\x81\xA6 \xE2\x80\x93");
    text_of(&bytes, "\"\\u202egpj \\u2028 \\u2066 \xE2\x80\x93\"");
    ims_bytes_json(&bytes, "\xFF\xC3(\xC0\xAF\xED\xA0\x80 \xF0\x9F\x98\x80 \xE2\x82");
    text_of(
        &bytes, "\"\\ufffd\\ufffd(\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd \xF0\x9F\x98\x80 "
                "\\ufffd\\ufffd\"");
}

static void sorted_strings_come_back(void)
{
    static const char *const texts[] = {"",        "a", "aa",       "ab",          "abc/def",
                                        "abc/deg", "b", "\xFF\x01", "\xFF\x01\x02"};
    struct ims_front_coder coder = {0};
    struct ims_bytes block = {0}, back;
    const char *at;

    for (size_t i = 0; i < 9; i++)
        ims_front_add(&coder, texts[i], strlen(texts[i]));
    ims_bytes_varint(&block, (uint32_t)coder.shared.size);
    ims_bytes_varint(&block, (uint32_t)coder.lengths.size);
    ims_bytes_add(&block, coder.shared.data, coder.shared.size);
    ims_bytes_add(&block, coder.lengths.data, coder.lengths.size);
    ims_bytes_add(&block, coder.rests.data, coder.rests.size);
    CHECK(coder.rests.size < 20);
    back = front_texts(&block, 9);
    at = (const char *)back.data;
    for (size_t i = 0; i < 9; i++, at += strlen(at) + 1)
        CHECK_TEXT(at, texts[i]);
    ims_bytes_clear(&back);
    ims_bytes_clear(&block);
    ims_front_clear(&coder);
}

/* ---- places ---- */

static void positions_keep_their_shape(void)
{
    static const float positions[] = {-1, 10, 3, 12, 1, 11, -1, 10};
    struct ims_quantised quantised = {0};
    float bad[] = {0, 0, 1, NAN};

    CHECK_OK(ims_quantise(positions, 4, 2, &quantised));
    for (size_t i = 0; i < 8; i++)
        CHECK_NEAR(
            quantised.low[i % 2] + quantised.values[i] * quantised.scale, positions[i],
            quantised.scale * 0.51);
    CHECK_EQUAL(quantised.values[0], 0);
    CHECK_EQUAL(quantised.values[2], 65535);
    /* The shorter axis takes half the range, in its middle. */
    CHECK_NEAR(quantised.values[1], 65535 / 4.0, 1);
    ims_quantised_clear(&quantised);

    CHECK_FAILS(ims_quantise(bad, 2, 2, &quantised), IMGSIM_ERROR_INVALID_ARGUMENT, "point 1");
    CHECK_OK(ims_quantise(positions, 1, 2, &quantised)); /* one point has no extent */
    ims_quantised_clear(&quantised);
}

#define POINTS 5000

static float *drawn(uint32_t dimension)
{
    float *positions = malloc(POINTS * dimension * sizeof(float));
    struct ims_rng rng;

    CHECK(positions != NULL);
    ims_rng_init(&rng, 5);
    for (size_t i = 0; i < POINTS * dimension; i++)
        positions[i] = (float)ims_rng_normal(&rng);
    return positions;
}

/* Every point once, codes ascending, and neighbours along the curve near each other on the map. */
static void curve_is_local(uint32_t dimension)
{
    float *positions = drawn(dimension);
    struct ims_quantised quantised = {0};
    uint32_t order[POINTS], codes[POINTS];
    uint8_t seen[POINTS] = {0};
    double along = 0, by_chance = 0;

    CHECK_OK(ims_quantise(positions, POINTS, dimension, &quantised));
    CHECK_OK(ims_curve_order(&quantised, POINTS, order, codes));
    for (size_t i = 0; i < POINTS; i++) {
        CHECK(order[i] < POINTS && !seen[order[i]]);
        seen[order[i]] = 1;
        CHECK(
            i == 0 || codes[i - 1] < codes[i] ||
            (codes[i - 1] == codes[i] && order[i - 1] < order[i]));
        for (uint32_t axis = 0; i > 0 && axis < dimension; axis++) {
            along += fabs(
                positions[order[i] * dimension + axis] -
                positions[order[i - 1] * dimension + axis]);
            by_chance +=
                fabs(positions[i * dimension + axis] - positions[(i - 1) * dimension + axis]);
        }
    }
    CHECK(along < by_chance / (dimension == 2 ? 8 : 4));
    ims_quantised_clear(&quantised);
    free(positions);
}

/* The first ones already lie all over the map; all are different; identical points are no obstacle. */
static void representatives_spread(void)
{
    float *positions = drawn(2);
    struct ims_quantised quantised = {0};
    uint32_t order[POINTS], codes[POINTS], chosen[POINTS];
    uint8_t seen[POINTS] = {0};
    double farthest = 0;
    size_t count = 0;

    for (size_t i = 0; i < 200; i++)
        positions[i] = 1; /* a hundred at one place */
    CHECK_OK(ims_quantise(positions, POINTS, 2, &quantised));
    CHECK_OK(ims_curve_order(&quantised, POINTS, order, codes));
    CHECK_OK(ims_representatives(&quantised, order, codes, POINTS, POINTS, chosen, &count));
    CHECK_EQUAL(count, POINTS);
    for (size_t i = 0; i < POINTS; i++) {
        CHECK(chosen[i] < POINTS && !seen[chosen[i]]);
        seen[chosen[i]] = 1;
    }
    for (size_t i = 0; i < POINTS; i++) {
        double nearest = INFINITY;

        for (size_t j = 0; j < 300; j++) {
            const uint16_t *a = quantised.values + 2 * i,
                           *b = quantised.values + 2 * order[chosen[j]];

            nearest = fmin(nearest, hypot(a[0] - b[0], a[1] - b[1]));
        }
        farthest = fmax(farthest, nearest);
    }
    CHECK(farthest < 65535 / 6.0);
    CHECK_OK(ims_representatives(&quantised, order, codes, POINTS, 7, chosen, &count));
    CHECK_EQUAL(count, 7);
    ims_quantised_clear(&quantised);
    free(positions);
}

int main(void)
{
    numbers_come_back();
    decimals_and_counts();
    base64_as_published();
    compression_comes_back();
    names_are_harmless();
    sorted_strings_come_back();
    positions_keep_their_shape();
    curve_is_local(2);
    curve_is_local(3);
    representatives_spread();
    return 0;
}
