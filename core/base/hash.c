#include "base/hash.h"

#include <openssl/evp.h>

#include "base/err.h"

static void
sha256(const void *p, size_t n, unsigned char out[32])
{
	unsigned int len = 0;

	must(EVP_Digest(n > 0 ? p : "", n, out, &len, EVP_sha256(), NULL) == 1 && len == 32);
}

void
hash_sha256_hex(const void *p, size_t n, char out[65])
{
	const char hex[] = "0123456789abcdef";
	unsigned char sum[32];

	sha256(p, n, sum);
	for (int i = 0; i < 32; i++) {
		out[2 * i] = hex[sum[i] >> 4];
		out[2 * i + 1] = hex[sum[i] & 15];
	}
	out[64] = '\0';
}

uint64_t
hash_fnv(const void *p, size_t n, uint64_t seed)
{
	const unsigned char *s = p;
	uint64_t h = seed != 0 ? seed : UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ s[i]) * UINT64_C(0x100000001b3);
	return h;
}

void
hash_safe_name(const void *p, size_t n, char out[11])
{
	const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	unsigned char sum[32];
	uint64_t v = 0;

	sha256(p, n, sum);
	for (int i = 0; i < 8; i++)
		v = v << 8 | sum[i];
	for (int i = 0; i < 10; i++) {
		out[i] = alphabet[v % (sizeof(alphabet) - 1)];
		v /= sizeof(alphabet) - 1;
	}
	out[10] = '\0';
}
