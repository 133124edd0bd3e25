#include "kube/turns.h"

#include <stdlib.h>

#include "base/mem.h"

struct watch_lists {
	int max, in_flight;
	struct turn *first, *last;
};

struct watch_lists *
watch_lists_new(int in_flight)
{
	struct watch_lists *l = xcalloc(1, sizeof *l);

	l->max = in_flight > 0 ? in_flight : 2;
	return l;
}

void
watch_lists_free(struct watch_lists *l)
{
	free(l);
}

static void
grant(struct watch_lists *l, struct turn *t)
{
	l->in_flight++;
	t->has = true;
	t->go(t->arg);
}

static void
step_out(struct watch_lists *l, struct turn *t)
{
	struct turn *before = NULL;

	for (struct turn *x = l->first; x != t; x = x->next)
		before = x;
	if (before)
		before->next = t->next;
	else
		l->first = t->next;
	if (l->last == t)
		l->last = before;
	t->next = NULL;
	t->waits = false;
}

void
turns_take(struct watch_lists *l, struct turn *t)
{
	if (t->has) {
		t->go(t->arg);
	} else if (t->waits) {
		return;
	} else if (l->in_flight < l->max) {
		grant(l, t);
	} else {
		t->waits = true;
		t->next = NULL;
		if (l->last)
			l->last->next = t;
		else
			l->first = t;
		l->last = t;
	}
}

void
turns_leave(struct watch_lists *l, struct turn *t)
{
	struct turn *next;

	if (t->waits)
		step_out(l, t);
	if (!t->has)
		return;
	t->has = false;
	l->in_flight--;
	next = l->first;
	if (next) {
		step_out(l, next);
		grant(l, next);
	}
}
