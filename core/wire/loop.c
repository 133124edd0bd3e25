#include "wire/loop.h"

struct timer *
loop_after(struct loop *l, int64_t ms, loop_fn *fn, void *arg)
{
	return l->ops->after(l, ms, fn, arg);
}

void
loop_cancel(struct loop *l, struct timer *t)
{
	if (t)
		l->ops->cancel(l, t);
}

int64_t
loop_now(const struct loop *l)
{
	return clock_mono(l->clock);
}

int64_t
loop_wall(const struct loop *l)
{
	return clock_wall(l->clock);
}
