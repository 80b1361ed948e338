#include "config.h"

#include "base/hash.h"

#include <sodium.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(((struct hasher *)0)->state),
	       "room for libsodium's BLAKE2b state");
_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(((struct sha256 *)0)->state),
	       "room for libsodium's SHA-256 state");

void hasher_init(struct hasher *h)
{
	crypto_generichash_init((crypto_generichash_state *)h->state, NULL, 0, 32);
}

void hasher_add(struct hasher *h, const void *data, size_t n)
{
	crypto_generichash_update((crypto_generichash_state *)h->state, data, n);
}

void hasher_field(struct hasher *h, const void *data, size_t n)
{
	uint64_t n64 = n;

	hasher_add(h, &n64, sizeof(n64));
	hasher_add(h, data, n);
}

struct id hasher_done(struct hasher *h)
{
	struct id id;

	crypto_generichash_final((crypto_generichash_state *)h->state, id.b, sizeof(id.b));
	return id;
}

struct id id_of(const void *data, size_t n)
{
	struct hasher h;

	hasher_init(&h);
	hasher_add(&h, data, n);
	return hasher_done(&h);
}

bool id_eq(const struct id *a, const struct id *b)
{
	return !memcmp(a->b, b->b, sizeof(a->b));
}

int id_cmp(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

void id_hex(const struct id *id, char out[65])
{
	sodium_bin2hex(out, 65, id->b, sizeof(id->b));
}

bool id_parse(const char *hex64, struct id *out)
{
	size_t n;

	return strlen(hex64) == 64 &&
	       !sodium_hex2bin(out->b, sizeof(out->b), hex64, 64, NULL, &n, NULL) && n == 32;
}

void sha256_init(struct sha256 *s)
{
	crypto_hash_sha256_init((crypto_hash_sha256_state *)s->state);
}

void sha256_add(struct sha256 *s, const void *data, size_t n)
{
	crypto_hash_sha256_update((crypto_hash_sha256_state *)s->state, data, n);
}

void sha256_done(struct sha256 *s, uint8_t out[32])
{
	crypto_hash_sha256_final((crypto_hash_sha256_state *)s->state, out);
}

struct sum128 sum128_of(const void *data, size_t n)
{
	XXH128_hash_t x = XXH3_128bits(data, n);

	return (struct sum128){ x.low64, x.high64 };
}

bool sum128_eq(struct sum128 a, struct sum128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}
