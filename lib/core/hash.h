/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums (XXH3 of libxxhash), SHA-256 (libcrypto), hexadecimal and UUIDs. */
#ifndef IMS_CORE_HASH_H
#define IMS_CORE_HASH_H

#include "core/status.h"

uint64_t ims_hash64(const void *data, size_t size);
void ims_hash128(const void *data, size_t size, uint8_t out[16]);
/* ims_hash128() of data that comes in pieces. */
struct ims_hasher;                       /* allocated */
struct ims_hasher *ims_hasher_new(void); /* NULL: out of memory */
void ims_hasher_add(struct ims_hasher *hasher, const void *data, size_t size);
/* The hash of what was added; the next piece begins anew. */
void ims_hasher_take(struct ims_hasher *hasher, uint8_t out[16]);
void ims_hasher_free(struct ims_hasher *hasher);

/* Streaming fingerprint of several pieces; each piece is delimited by its length. */
struct ims_fingerprint;                            /* allocated */
struct ims_fingerprint *ims_fingerprint_new(void); /* NULL: out of memory */
void ims_fingerprint_add(struct ims_fingerprint *fingerprint, const void *data, size_t size);
void ims_fingerprint_add_text(struct ims_fingerprint *fingerprint, const char *text);
/* 32 hexadecimal digits and NUL. */
void ims_fingerprint_text(const struct ims_fingerprint *fingerprint, char out[33]);
void ims_fingerprint_free(struct ims_fingerprint *fingerprint);

/* 64 hexadecimal digits and NUL. */
imgsim_status ims_sha256(const void *data, size_t size, char out[65]);

/* 2 * size digits and NUL. */
void ims_hex(const uint8_t *bytes, size_t size, char *out);

/* A random UUID, version 4 (RFC 9562), and its 36-character text. */
imgsim_status ims_uuid_new(uint8_t out[16]);
/* As many at once. */
imgsim_status ims_uuids_new(uint8_t (*out)[16], size_t count);
void ims_uuid_text(const uint8_t uuid[16], char out[37]);
/* 0 if `text` is not a UUID. */
int ims_uuid_parse(const char *text, uint8_t out[16]);

#endif
