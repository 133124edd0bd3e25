#ifndef KUBE_BACKOFF_H
#define KUBE_BACKOFF_H
/*
 * backoff: growing pauses with jitter, forgotten after a quiet time (B1).
 */
#include "base/rng.h"

struct backoff {
	int64_t first_ms, max_ms, reset_ms;
	int64_t ms, until; /* private, 0 at first */
};

/* The next pause: at least least_ms, up to twice as long by jitter. */
static inline int64_t
backoff_next(struct backoff *b, struct rng *rng, int64_t now, int64_t least_ms)
{
	if (b->ms == 0 || now - b->until > b->reset_ms)
		b->ms = b->first_ms;
	int64_t pause = rng_jitter(rng, b->ms > least_ms ? b->ms : least_ms, 1.0);
	b->ms = b->ms * 2 < b->max_ms ? b->ms * 2 : b->max_ms;
	b->until = now + pause;
	return pause;
}

#endif
