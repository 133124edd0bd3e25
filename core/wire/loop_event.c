#include "wire/loop_event.h"

#include <signal.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/err.h"
#include "base/heap.h"
#include "base/mem.h"

struct timer {
	struct heap_node node; /* first: the heap knows only this */
	uint64_t born;
	loop_fn *fn;
	void *arg;
};

struct watched_signal {
	struct event *ev;
	loop_fn *fn;
	void *arg;
	struct watched_signal *next;
};

struct loop_event {
	struct loop loop;
	struct event_base *base;
	struct event *wake;
	struct heap due;
	uint64_t born;
	int64_t armed; /* when `wake` is due, if it is pending */
	bool draining;
	struct watched_signal *signals;
};

static void
arm(struct loop_event *l)
{
	struct heap_node *first = heap_peek(&l->due);

	if (!first) {
		evtimer_del(l->wake);
		return;
	}
	if (l->armed == first->due && evtimer_pending(l->wake, NULL))
		return;
	int64_t ms = first->due - loop_now(&l->loop);
	if (ms < 0)
		ms = 0;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	evtimer_add(l->wake, &tv);
	l->armed = first->due;
}

static struct timer *
after(struct loop *base, int64_t ms, loop_fn *fn, void *arg)
{
	struct loop_event *l = (struct loop_event *)base;
	struct timer *t = xcalloc(1, sizeof(*t));

	t->fn = fn;
	t->arg = arg;
	t->born = l->born++;
	heap_push(&l->due, &t->node, loop_now(base) + (ms > 0 ? ms : 0));
	if (!l->draining)
		arm(l);
	return t;
}

static void
cancel(struct loop *base, struct timer *t)
{
	struct loop_event *l = (struct loop_event *)base;

	heap_remove(&l->due, &t->node);
	free(t);
	if (!l->draining)
		arm(l);
}

static void
drain(evutil_socket_t fd, short what, void *arg)
{
	struct loop_event *l = arg;
	int64_t now = loop_now(&l->loop);
	uint64_t limit = l->born; /* timers set from here on wait for the next turn */
	struct heap_node *first;

	(void)fd;
	(void)what;
	l->draining = true;
	while ((first = heap_peek(&l->due)) && first->due <= now) {
		struct timer *t = (struct timer *)first;
		if (t->born >= limit)
			break;
		heap_pop(&l->due);
		loop_fn *fn = t->fn;
		void *fn_arg = t->arg;
		free(t);
		fn(fn_arg);
		if (event_base_got_break(l->base))
			break;
	}
	l->draining = false;
	arm(l);
}

static const struct loop_ops ops = { .after = after, .cancel = cancel };

struct loop *
loop_event_new(void)
{
	struct loop_event *l = xcalloc(1, sizeof(*l));

	signal(SIGPIPE, SIG_IGN);
	l->loop.ops = &ops;
	l->loop.clock = clock_system();
	l->base = event_base_new();
	must(l->base);
	l->wake = evtimer_new(l->base, drain, l);
	must(l->wake);
	heap_init(&l->due);
	return &l->loop;
}

void
loop_event_free(struct loop *base)
{
	struct loop_event *l = (struct loop_event *)base;
	struct heap_node *n;

	if (!l)
		return;
	while ((n = heap_pop(&l->due)))
		free(n);
	heap_fini(&l->due);
	while (l->signals) {
		struct watched_signal *s = l->signals;
		l->signals = s->next;
		event_free(s->ev);
		free(s);
	}
	event_free(l->wake);
	event_base_free(l->base);
	free(l);
}

struct event_base *
loop_event_base(struct loop *l)
{
	return ((struct loop_event *)l)->base;
}

void
loop_event_run(struct loop *l)
{
	event_base_loop(((struct loop_event *)l)->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

struct limit {
	struct loop *loop;
	bool fired;
};

static void
time_is_up(void *arg)
{
	struct limit *limit = arg;

	limit->fired = true;
	loop_event_stop(limit->loop);
}

void
loop_event_run_for(struct loop *l, int64_t ms)
{
	struct limit limit = { .loop = l };
	struct timer *t = loop_after(l, ms, time_is_up, &limit);

	loop_event_run(l);
	if (!limit.fired)
		loop_cancel(l, t);
}

void
loop_event_stop(struct loop *l)
{
	event_base_loopbreak(((struct loop_event *)l)->base);
}

size_t
loop_event_timers(const struct loop *l)
{
	return ((const struct loop_event *)l)->due.count;
}

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct watched_signal *s = arg;

	(void)signo;
	(void)what;
	s->fn(s->arg);
}

void
loop_event_signal(struct loop *base, int signo, loop_fn *fn, void *arg)
{
	struct loop_event *l = (struct loop_event *)base;
	struct watched_signal *s = xcalloc(1, sizeof(*s));

	s->fn = fn;
	s->arg = arg;
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	must(s->ev);
	event_add(s->ev, NULL);
	s->next = l->signals;
	l->signals = s;
}
