#include "base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/hash.h"

static uint64_t
splitmix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t
rotl(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

void
rng_seed(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&seed);
}

struct rng
rng_fork(struct rng *r, const char *label)
{
	struct rng made;
	uint64_t seed = hash_fnv(label, strlen(label), 0);

	for (int i = 0; i < 4; i++)
		seed = rotl(splitmix(&seed) ^ r->s[i], 23);
	rng_seed(&made, seed);
	return made;
}

uint64_t
rng_u64(struct rng *r)
{
	uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

uint64_t
rng_below(struct rng *r, uint64_t n)
{
	uint64_t v, least;

	must(n > 0);
	least = (0 - n) % n; /* 2^64 mod n: that many values at the bottom would be one too many */
	do {
		v = rng_u64(r);
	} while (v < least);
	return v % n;
}

double
rng_unit(struct rng *r)
{
	return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

int64_t
rng_jitter(struct rng *r, int64_t ms, double part)
{
	return ms + (int64_t)((double)ms * part * rng_unit(r));
}

void
rng_uuid(struct rng *r, char out[37])
{
	uint64_t a = rng_u64(r), b = rng_u64(r);

	a = (a & ~UINT64_C(0xf000)) | UINT64_C(0x4000);     /* version 4 */
	b = (b & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63; /* the RFC's variant */
	snprintf(out, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32),
		(unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff), (unsigned)(b >> 48),
		(unsigned long long)(b & UINT64_C(0xffffffffffff)));
}

uint64_t
rng_entropy(void)
{
	uint64_t seed = 0;
	ssize_t n;

	do {
		n = getrandom(&seed, sizeof(seed), 0);
	} while (n < 0 && errno == EINTR);
	must(n == (ssize_t)sizeof(seed));
	return seed;
}
