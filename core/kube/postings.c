#include "kube/postings.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* n 0: empty; 1: the object itself; more: a sorted array. */
struct slot {
	uint64_t hash;
	uint32_t n, cap;
	union {
		struct obj *one;
		struct obj **many;
	} held;
};

struct postings {
	struct slot *slot;
	size_t used, size; /* size is a power of two */
};

/* ---- sorted lists ---- */

size_t
obj_list_place(struct obj *const *at, size_t n, const char *key, bool *found)
{
	size_t lo = 0, hi = n;

	/* Lists come sorted, so most objects belong at the end. */
	if (hi > 0 && strcmp(at[hi - 1]->key, key) < 0)
		lo = hi;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(at[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = lo < n && strcmp(at[lo]->key, key) == 0;
	return lo;
}

void
obj_list_insert(struct obj_list *l, size_t at, struct obj *o)
{
	if (l->n == l->cap) {
		l->cap = l->cap < 4 ? l->cap + 2 : l->cap + l->cap / 2;
		l->at = xrealloc(l->at, l->cap * sizeof *l->at);
	}
	memmove(l->at + at + 1, l->at + at, (l->n - at) * sizeof *l->at);
	l->at[at] = o;
	l->n++;
}

void
obj_list_delete(struct obj_list *l, size_t at)
{
	l->n--;
	memmove(l->at + at, l->at + at + 1, (l->n - at) * sizeof *l->at);
}

/* ---- the table ---- */

static struct obj *const *
held(const struct slot *s)
{
	return s->n == 1 ? &s->held.one : s->held.many;
}

struct question {
	enum store_index index;
	const char *value;
	bool yes;
};

static void
compare(void *arg, enum store_index index, const char *value)
{
	struct question *q = arg;

	q->yes = q->yes || (index == q->index && strcmp(value, q->value) == 0);
}

/* All objects of a slot have the value, so one of them can say which it is. */
static bool
is_slot_of(const struct slot *s, enum store_index index, const char *value)
{
	struct question q = { index, value, false };

	obj_index_values(held(s)[0], compare, &q);
	return q.yes;
}

static size_t
find_slot(const struct postings *p, uint64_t hash, enum store_index index, const char *value)
{
	size_t at = hash & (p->size - 1);

	while (p->slot[at].n > 0 &&
		(p->slot[at].hash != hash || !is_slot_of(&p->slot[at], index, value)))
		at = (at + 1) & (p->size - 1);
	return at;
}

static uint64_t
hash_of(enum store_index index, const char *value)
{
	char tag = (char)index;

	return hash_fnv(value, strlen(value), hash_fnv(&tag, 1, 0));
}

static void
grow(struct postings *p)
{
	struct slot *old = p->slot;
	size_t n = p->size;

	p->size = n * 2;
	p->slot = xcalloc(p->size, sizeof *p->slot);
	for (size_t i = 0; i < n; i++) {
		if (old[i].n == 0)
			continue;
		size_t at = old[i].hash & (p->size - 1);
		while (p->slot[at].n > 0)
			at = (at + 1) & (p->size - 1);
		p->slot[at] = old[i];
	}
	free(old);
}

/* Close the gap, so that no search ends before it should. */
static void
vacate(struct postings *p, size_t gap)
{
	size_t mask = p->size - 1, at = gap;

	p->slot[gap] = (struct slot){ 0 };
	p->used--;
	for (at = (at + 1) & mask; p->slot[at].n > 0; at = (at + 1) & mask) {
		size_t home = p->slot[at].hash & mask;
		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		p->slot[gap] = p->slot[at];
		p->slot[at] = (struct slot){ 0 };
		gap = at;
	}
}

struct postings *
postings_new(void)
{
	struct postings *p = xcalloc(1, sizeof *p);

	p->size = 16;
	p->slot = xcalloc(p->size, sizeof *p->slot);
	return p;
}

void
postings_free(struct postings *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->size; i++)
		if (p->slot[i].n > 1)
			free(p->slot[i].held.many);
	free(p->slot);
	free(p);
}

/* ---- one object ---- */

struct posting {
	struct postings *all;
	struct obj *object;
};

static void
add_to(struct slot *s, struct obj *o)
{
	bool found;
	size_t at = obj_list_place(held(s), s->n, o->key, &found);
	struct obj_list l = { s->held.many, s->n, s->cap };

	if (found) /* the same value twice in one object */
		return;
	if (s->n == 1) {
		l = (struct obj_list){ NULL, 0, 0 };
		obj_list_insert(&l, 0, s->held.one);
	}
	obj_list_insert(&l, at, o);
	s->held.many = l.at;
	s->n = (uint32_t)l.n;
	s->cap = (uint32_t)l.cap;
}

static void
add(void *arg, enum store_index index, const char *value)
{
	const struct posting *x = arg;
	struct postings *p = x->all;
	uint64_t hash = hash_of(index, value);

	if (index == STORE_NAMESPACE)
		return;
	if ((p->used + 1) * 4 > p->size * 3)
		grow(p);
	struct slot *s = &p->slot[find_slot(p, hash, index, value)];
	if (s->n > 0) {
		add_to(s, x->object);
		return;
	}
	*s = (struct slot){ .hash = hash, .n = 1, .held.one = x->object };
	p->used++;
}

static void
take_out(void *arg, enum store_index index, const char *value)
{
	const struct posting *x = arg;
	struct postings *p = x->all;
	bool found;

	if (index == STORE_NAMESPACE)
		return;
	size_t i = find_slot(p, hash_of(index, value), index, value);
	struct slot *s = &p->slot[i];
	if (s->n == 0)
		return;
	size_t at = obj_list_place(held(s), s->n, x->object->key, &found);
	if (!found)
		return;
	if (s->n == 1) {
		vacate(p, i);
		return;
	}
	struct obj_list l = { s->held.many, s->n, s->cap };
	obj_list_delete(&l, at);
	s->n--;
	if (s->n == 1) {
		struct obj *last = l.at[0];
		free(l.at);
		s->held.one = last;
	}
}

void
postings_add(struct postings *p, struct obj *o)
{
	obj_index_values(o, add, &(struct posting){ p, o });
}

void
postings_remove(struct postings *p, struct obj *o)
{
	obj_index_values(o, take_out, &(struct posting){ p, o });
}

size_t
postings_find(const struct postings *p, enum store_index index, const char *value,
	struct obj *const **out)
{
	const struct slot *s = &p->slot[find_slot(p, hash_of(index, value), index, value)];

	*out = s->n > 0 ? held(s) : NULL;
	return s->n;
}
