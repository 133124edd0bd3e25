#ifndef WIRE_LOOP_H
#define WIRE_LOOP_H
/*
 * loop: timers and deferred calls, on libevent or in virtual time.
 *
 * The seam between the engine and time. Code above this layer sees only timers and deferred calls;
 * descriptors and signals exist only for the real loop (loop_event.h) and its users in wire/ and
 * app/. A timer fires once, never before loop_after() returned, and not after loop_cancel().
 * Same-time timers fire in the order they were set. In the simulator nothing blocks: the time
 * jumps to the next timer.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct loop;
struct timer;
typedef void loop_fn(void *arg);

struct loop_ops {
	struct timer *(*after)(struct loop *l, int64_t ms, loop_fn *fn, void *arg);
	void (*cancel)(struct loop *l, struct timer *t);
};

/* Implementations embed this as their first member. */
struct loop {
	const struct loop_ops *ops;
	const struct clock *clock;
};

/* Run fn once in `ms` (0 = at the next turn). The handle is dead once fn runs or it is cancelled.
 */
struct timer *loop_after(struct loop *l, int64_t ms, loop_fn *fn, void *arg);
void loop_cancel(struct loop *l, struct timer *t); /* NULL is fine */
int64_t loop_now(const struct loop *l);            /* monotonic milliseconds */
int64_t loop_wall(const struct loop *l);

#endif
