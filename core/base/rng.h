#ifndef BASE_RNG_H
#define BASE_RNG_H
/*
 * rng: the only randomness, seeded (xoshiro256** from splitmix64).
 *
 * Jitter, uids in the simulator, identities. Not for secrets. Same seed, same numbers, on every
 * machine. rng_fork() gives an independent stream, so that adding one user does not shift another:
 * it depends on the state and the label only and leaves the state alone (so no label twice).
 */
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
struct rng rng_fork(struct rng *r, const char *label);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);              /* [0, n), n > 0, without modulo bias */
double rng_unit(struct rng *r);                             /* [0, 1) */
int64_t rng_jitter(struct rng *r, int64_t ms, double part); /* ms .. ms * (1 + part) */
void rng_uuid(struct rng *r, char out[37]);
uint64_t rng_entropy(void); /* a seed from the system, for production */

#endif
