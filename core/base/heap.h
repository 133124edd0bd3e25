#ifndef BASE_HEAP_H
#define BASE_HEAP_H
/*
 * heap: a binary heap of intrusive nodes ordered by (time, sequence).
 *
 * Two nodes with the same time leave in the order they came. A node is in at most one heap; `at`
 * is 0 when it is in none, so removal is O(log n) without a search. Nodes belong to the caller.
 */
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	int64_t due;
	uint64_t seq;
	size_t at; /* 1-based place in the heap, 0 = not in it */
};

struct heap {
	struct heap_node **node;
	size_t count, cap;
	uint64_t seq;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h); /* does not look at nodes still in it: they may be gone */
void heap_push(struct heap *h, struct heap_node *n, int64_t due);
struct heap_node *heap_peek(const struct heap *h); /* NULL when empty */
struct heap_node *heap_pop(struct heap *h);
void heap_remove(struct heap *h, struct heap_node *n); /* no-op when it is in no heap */

#endif
