#include "base/heap.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

void
heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void
heap_fini(struct heap *h)
{
	free(h->node);
	heap_init(h);
}

static bool
before(const struct heap_node *a, const struct heap_node *b)
{
	return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static void
place(struct heap *h, size_t at, struct heap_node *n)
{
	h->node[at - 1] = n;
	n->at = at;
}

static void
rise(struct heap *h, size_t at, struct heap_node *n)
{
	while (at > 1 && before(n, h->node[at / 2 - 1])) {
		place(h, at, h->node[at / 2 - 1]);
		at /= 2;
	}
	place(h, at, n);
}

static void
sink(struct heap *h, size_t at, struct heap_node *n)
{
	for (size_t child; (child = 2 * at) <= h->count; at = child) {
		if (child < h->count && before(h->node[child], h->node[child - 1]))
			child++;
		if (!before(h->node[child - 1], n))
			break;
		place(h, at, h->node[child - 1]);
	}
	place(h, at, n);
}

void
heap_push(struct heap *h, struct heap_node *n, int64_t due)
{
	must(n->at == 0);
	if (h->count == h->cap) {
		h->cap = h->cap > 0 ? h->cap * 2 : 16;
		h->node = xrealloc(h->node, h->cap * sizeof(*h->node));
	}
	n->due = due;
	n->seq = h->seq++;
	rise(h, ++h->count, n);
}

struct heap_node *
heap_peek(const struct heap *h)
{
	return h->count > 0 ? h->node[0] : NULL;
}

struct heap_node *
heap_pop(struct heap *h)
{
	struct heap_node *first = heap_peek(h);

	if (first != NULL)
		heap_remove(h, first);
	return first;
}

void
heap_remove(struct heap *h, struct heap_node *n)
{
	size_t at = n->at;
	struct heap_node *last;

	if (at == 0)
		return;
	must(at <= h->count && h->node[at - 1] == n);
	last = h->node[--h->count];
	n->at = 0;
	if (last == n)
		return;
	if (at > 1 && before(last, h->node[at / 2 - 1]))
		rise(h, at, last);
	else
		sink(h, at, last);
}
