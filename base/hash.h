/* base/hash.h - identity and accident
 *
 * Two hashes, two purposes.  `struct id` is BLAKE2b-256: the identity of a page, document or engine;
 * nobody can make two things share one.  sum128 is XXH3-128: it finds accidents on disk at memory
 * speed and is no defence against an attacker.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id {
	uint8_t b[32];
};

struct sum128 {
	uint64_t lo, hi;
};

/* An incremental BLAKE2b-256.  Opaque room for libsodium's state; lives on the stack. */
struct hasher {
	_Alignas(64) unsigned char state[384];
};

void hasher_init(struct hasher *h);
void hasher_add(struct hasher *h, const void *data, size_t n);
/* A length-prefixed field, so that ("ab","c") and ("a","bc") differ. */
void hasher_field(struct hasher *h, const void *data, size_t n);
struct id hasher_done(struct hasher *h);

struct id id_of(const void *data, size_t n);
bool id_eq(const struct id *a, const struct id *b);
int id_cmp(const struct id *a, const struct id *b);
/* 64 hex digits and a NUL. */
void id_hex(const struct id *id, char out[65]);
bool id_parse(const char *hex64, struct id *out);

/* SHA-256, for what the outside world names by it: model files, documents. */
struct sha256 {
	_Alignas(8) unsigned char state[128];
};
void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t n);
void sha256_done(struct sha256 *s, uint8_t out[32]);

struct sum128 sum128_of(const void *data, size_t n);
bool sum128_eq(struct sum128 a, struct sum128 b);

#endif
