/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums (XXH3 of libxxhash), SHA-256 (libcrypto), hexadecimal and UUIDs. */
#include "core/hash.h"

#include "core/memory.h"

#define XXH_STATIC_LINKING_ONLY /* shows XXH3_state_t, so that its memory can be ours */
#include <xxhash.h>

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

uint64_t ims_hash64(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

void ims_hash128(const void *data, size_t size, uint8_t out[16])
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, size));
    memcpy(out, canonical.digest, 16);
}

struct ims_hasher {
    XXH3_state_t state;
};

struct ims_hasher *ims_hasher_new(void)
{
    struct ims_hasher *hasher = ims_alloc_aligned(sizeof(*hasher));

    if (hasher != NULL) {
        memset(hasher, 0, sizeof(*hasher));
        XXH3_128bits_reset(&hasher->state);
    }
    return hasher;
}

void ims_hasher_add(struct ims_hasher *hasher, const void *data, size_t size)
{
    if (size > 0)
        XXH3_128bits_update(&hasher->state, data, size);
}

void ims_hasher_take(struct ims_hasher *hasher, uint8_t out[16])
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&hasher->state));
    memcpy(out, canonical.digest, 16);
    XXH3_128bits_reset(&hasher->state);
}

void ims_hasher_free(struct ims_hasher *hasher)
{
    ims_free_aligned(hasher);
}

struct ims_fingerprint {
    XXH3_state_t state;
};

struct ims_fingerprint *ims_fingerprint_new(void)
{
    struct ims_fingerprint *fingerprint = ims_alloc_aligned(sizeof(*fingerprint));

    if (fingerprint != NULL) {
        memset(fingerprint, 0, sizeof(*fingerprint));
        XXH3_128bits_reset(&fingerprint->state);
    }
    return fingerprint;
}

void ims_fingerprint_add(struct ims_fingerprint *fingerprint, const void *data, size_t size)
{
    uint8_t length[8];

    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)size >> (8 * i));
    XXH3_128bits_update(&fingerprint->state, length, sizeof(length));
    if (size > 0)
        XXH3_128bits_update(&fingerprint->state, data, size);
}

void ims_fingerprint_add_text(struct ims_fingerprint *fingerprint, const char *text)
{
    ims_fingerprint_add(fingerprint, text, strlen(text));
}

void ims_fingerprint_text(const struct ims_fingerprint *fingerprint, char out[33])
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&fingerprint->state));
    ims_hex(canonical.digest, 16, out);
}

void ims_fingerprint_free(struct ims_fingerprint *fingerprint)
{
    ims_free_aligned(fingerprint);
}

imgsim_status ims_sha256(const void *data, size_t size, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    if (EVP_Digest(data, size, digest, &length, EVP_sha256(), NULL) != 1 || length != 32)
        return ims_fail(IMGSIM_ERROR_INTERNAL, "SHA-256 of libcrypto failed");
    ims_hex(digest, 32, out);
    return IMGSIM_OK;
}

void ims_hex(const uint8_t *bytes, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

imgsim_status ims_uuids_new(uint8_t (*out)[16], size_t count)
{
    uint8_t *bytes = (uint8_t *)out;
    size_t have = 0;

    while (have < 16 * count) {
        ssize_t got = getrandom(bytes + have, 16 * count - have, 0);

        if (got < 0 && errno != EINTR)
            return ims_fail_errno(errno, "the system gives no random numbers");
        if (got > 0)
            have += (size_t)got;
    }
    for (size_t i = 0; i < count; i++) {
        out[i][6] = (uint8_t)((out[i][6] & 0x0f) | 0x40); /* version 4 */
        out[i][8] = (uint8_t)((out[i][8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    }
    return IMGSIM_OK;
}

imgsim_status ims_uuid_new(uint8_t out[16])
{
    return ims_uuids_new((uint8_t(*)[16])out, 1);
}

/* Bytes of a UUID before which its text has a hyphen. */
static int hyphen_before(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void ims_uuid_text(const uint8_t uuid[16], char out[37])
{
    for (int i = 0; i < 16; i++) {
        if (hyphen_before(i))
            *out++ = '-';
        ims_hex(&uuid[i], 1, out);
        out += 2;
    }
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

int ims_uuid_parse(const char *text, uint8_t out[16])
{
    for (int i = 0; i < 16; i++) {
        int high, low;

        if (hyphen_before(i) && *text++ != '-')
            return 0;
        if ((high = digit_value(text[0])) < 0 || (low = digit_value(text[1])) < 0)
            return 0;
        out[i] = (uint8_t)(high * 16 + low);
        text += 2;
    }
    return *text == '\0';
}
