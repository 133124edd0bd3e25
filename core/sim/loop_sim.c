#include "sim/loop_sim.h"

#include <stdlib.h>

#include "base/heap.h"
#include "base/mem.h"

struct timer {
	struct heap_node node; /* first: the heap knows only this */
	loop_fn *fn;
	void *arg;
};

struct loop_sim {
	struct loop loop;
	struct clock clock;
	struct heap due;
	int64_t mono, wall_minus_mono;
};

static int64_t
mono_ms(void *self)
{
	return ((struct loop_sim *)self)->mono;
}

static int64_t
wall_ms(void *self)
{
	struct loop_sim *l = self;

	return l->mono + l->wall_minus_mono;
}

static struct timer *
after(struct loop *base, int64_t ms, loop_fn *fn, void *arg)
{
	struct loop_sim *l = (struct loop_sim *)base;
	struct timer *t = xcalloc(1, sizeof(*t));

	t->fn = fn;
	t->arg = arg;
	heap_push(&l->due, &t->node, l->mono + (ms > 0 ? ms : 0));
	return t;
}

static void
cancel(struct loop *base, struct timer *t)
{
	heap_remove(&((struct loop_sim *)base)->due, &t->node);
	free(t);
}

static const struct loop_ops ops = { .after = after, .cancel = cancel };

struct loop *
loop_sim_new(int64_t start_wall_ms)
{
	struct loop_sim *l = xcalloc(1, sizeof(*l));

	l->mono = 1000;
	l->wall_minus_mono = start_wall_ms - l->mono;
	l->clock = (struct clock){ .mono_ms = mono_ms, .wall_ms = wall_ms, .self = l };
	l->loop.ops = &ops;
	l->loop.clock = &l->clock;
	heap_init(&l->due);
	return &l->loop;
}

void
loop_sim_free(struct loop *base)
{
	struct loop_sim *l = (struct loop_sim *)base;
	struct heap_node *n;

	if (!l)
		return;
	while ((n = heap_pop(&l->due)))
		free(n);
	heap_fini(&l->due);
	free(l);
}

bool
loop_sim_step(struct loop *base)
{
	struct loop_sim *l = (struct loop_sim *)base;
	struct timer *t = (struct timer *)heap_pop(&l->due);

	if (!t)
		return false;
	if (t->node.due > l->mono)
		l->mono = t->node.due;
	loop_fn *fn = t->fn;
	void *arg = t->arg;
	free(t);
	fn(arg);
	return true;
}

size_t
loop_sim_run_until(struct loop *base, int64_t when)
{
	struct loop_sim *l = (struct loop_sim *)base;
	size_t ran = 0;

	while (l->due.count && heap_peek(&l->due)->due <= when) {
		loop_sim_step(base);
		ran++;
	}
	if (when > l->mono)
		l->mono = when;
	return ran;
}

size_t
loop_sim_run_for(struct loop *l, int64_t ms)
{
	return loop_sim_run_until(l, loop_now(l) + ms);
}

int64_t
loop_sim_next(const struct loop *base)
{
	const struct loop_sim *l = (const struct loop_sim *)base;
	const struct heap_node *n = heap_peek(&l->due);

	return n ? n->due : -1;
}

size_t
loop_sim_pending(const struct loop *base)
{
	return ((const struct loop_sim *)base)->due.count;
}

void
loop_sim_move_wall(struct loop *base, int64_t by_ms)
{
	((struct loop_sim *)base)->wall_minus_mono += by_ms;
}
