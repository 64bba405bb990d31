/* SPDX-License-Identifier: Apache-2.0 */
/* Published check values of the hashes, fingerprints, UUIDs. */
#include "check.h"

#include "core/hash.h"

static void hashes_give_their_published_values(void)
{
    uint8_t hash[16];
    char text[65];

    CHECK(ims_hash64("", 0) == UINT64_C(0x2d06800538d394c2));
    ims_hash128("", 0, hash);
    ims_hex(hash, 16, text);
    CHECK_TEXT(text, "99aa06d3014798d86001c324468d497f");
    CHECK_OK(ims_sha256("abc", 3, text));
    CHECK_TEXT(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_OK(ims_sha256("", 0, text));
    CHECK_TEXT(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* Fingerprint of up to two pieces. */
static void fingerprint_of(const char *a, const char *b, char out[33])
{
    struct ims_fingerprint *fingerprint = ims_fingerprint_new();

    CHECK(fingerprint != NULL);
    ims_fingerprint_add_text(fingerprint, a);
    if (b != NULL)
        ims_fingerprint_add_text(fingerprint, b);
    ims_fingerprint_text(fingerprint, out);
    ims_fingerprint_free(fingerprint);
}

static void fingerprints_tell_how_the_pieces_are_cut(void)
{
    char a[33], b[33], c[33], again[33];

    fingerprint_of("ab", "c", a);
    fingerprint_of("a", "bc", b);
    fingerprint_of("abc", NULL, c);
    fingerprint_of("ab", "c", again);
    CHECK_EQUAL(strlen(a), 32);
    CHECK(strcmp(a, b) != 0 && strcmp(a, c) != 0 && strcmp(b, c) != 0);
    CHECK_TEXT(a, again);
}

static void uuids_are_random_and_of_version_4(void)
{
    uint8_t a[16], b[16];
    char text[37];

    CHECK_OK(ims_uuid_new(a));
    CHECK_OK(ims_uuid_new(b));
    CHECK(memcmp(a, b, 16) != 0);
    ims_uuid_text(a, text);
    CHECK_EQUAL(strlen(text), 36);
    CHECK(text[14] == '4');
    CHECK(strchr("89ab", text[19]) != NULL);
    CHECK_EQUAL(ims_uuid_parse(text, b), 1);
    CHECK_EQUAL(memcmp(a, b, 16), 0);
}

static void only_uuids_are_parsed(void)
{
    static const char *const wrong[] = {
        "",
        "0b5e",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233x4455-6677-8899-aabbccddeeff",
        "0011223g-4455-6677-8899-aabbccddeeff",
        "00112233445566778899aabbccddeeff"};
    uint8_t uuid[16];
    char text[37];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_EQUAL(ims_uuid_parse(wrong[i], uuid), 0);
    CHECK_EQUAL(ims_uuid_parse("00112233-4455-6677-8899-AABBccddeeff", uuid), 1);
    ims_uuid_text(uuid, text);
    CHECK_TEXT(text, "00112233-4455-6677-8899-aabbccddeeff");
}

int main(void)
{
    hashes_give_their_published_values();
    fingerprints_tell_how_the_pieces_are_cut();
    uuids_are_random_and_of_version_4();
    only_uuids_are_parsed();
    return 0;
}
