#include "engine/queue.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"

#define BACKOFF_FIRST_MS 5
#define BACKOFF_MAX_MS 60000
#define LOOK_AGAIN_MS 600000

enum place {
	IDLE,    /* kept only for its failures or its spacing */
	WAITING, /* in `waiting`, by due time */
	READY,   /* in ready[priority], by due time */
	ACTIVE,  /* popped */
};

struct entry {
	struct heap_node node; /* first: a node is its entry */
	enum place place;
	enum queue_priority priority;
	int failures;
	bool look; /* only the ten-minute look: not counted as depth */
	int64_t space;
	bool dirty; /* added while active: the fields below say how */
	enum queue_priority dirty_priority;
	int64_t dirty_due;
	char *dirty_reason;
	char *reason;
	char key[];
};

struct queue {
	struct rng rng;
	struct map *entries;
	struct heap waiting;
	struct heap ready[QUEUE_RESYNC + 1];
	size_t depth;
};

static void
entry_free(void *value)
{
	struct entry *en = value;

	free(en->reason);
	free(en->dirty_reason);
	free(en);
}

struct queue *
queue_new(struct rng rng)
{
	struct queue *q = xcalloc(1, sizeof(*q));

	q->rng = rng;
	q->entries = map_new(entry_free);
	heap_init(&q->waiting);
	for (int p = QUEUE_EVENT; p <= QUEUE_RESYNC; p++)
		heap_init(&q->ready[p]);
	return q;
}

void
queue_free(struct queue *q)
{
	if (!q)
		return;
	heap_fini(&q->waiting);
	for (int p = QUEUE_EVENT; p <= QUEUE_RESYNC; p++)
		heap_fini(&q->ready[p]);
	map_free(q->entries);
	free(q);
}

static bool
counted(const struct entry *en)
{
	return en->place == READY || (en->place == WAITING && !en->look);
}

static void
leave(struct queue *q, struct entry *en)
{
	q->depth -= counted(en);
	switch (en->place) {
	case WAITING:
		heap_remove(&q->waiting, &en->node);
		break;
	case READY:
		heap_remove(&q->ready[en->priority], &en->node);
		break;
	case IDLE:
	case ACTIVE:
		break;
	}
	en->place = IDLE;
}

static void
enter(struct queue *q, struct entry *en, enum place place, int64_t due)
{
	must(en->place == IDLE && (place == WAITING || place == READY));
	en->place = place;
	heap_push(place == WAITING ? &q->waiting : &q->ready[en->priority], &en->node, due);
	q->depth += counted(en);
}

static void
set_reason(char **at, const char *reason)
{
	char *copy = xstrdup(reason ? reason : "");

	free(*at);
	*at = copy;
}

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void
queue_add(struct queue *q, const char *key, int64_t due, enum queue_priority priority,
	const char *reason)
{
	struct entry *en = map_get(q->entries, key);

	if (!en) {
		size_t n = strlen(key) + 1;

		en = xcalloc(1, sizeof(*en) + n);
		memcpy(en->key, key, n);
		en->priority = QUEUE_RESYNC;
		map_put(q->entries, key, en);
	}
	switch (en->place) {
	case IDLE:
		en->priority = priority;
		en->look = false;
		set_reason(&en->reason, reason);
		enter(q, en, WAITING, later(due, en->space));
		break;
	case WAITING:
	case READY: {
		int64_t was = en->node.due;
		enum place place = en->place;
		bool urgent = priority < en->priority;
		bool sooner = place == WAITING && later(due, en->space) < was;

		if (!urgent && !sooner && !en->look)
			break;
		leave(q, en);
		if (urgent || sooner || en->look)
			set_reason(&en->reason, reason);
		if (urgent || en->look)
			en->priority = priority;
		en->look = false;
		enter(q, en, place, sooner ? later(due, en->space) : was);
		break;
	}
	case ACTIVE:
		if (!en->dirty || due < en->dirty_due || priority < en->dirty_priority)
			set_reason(&en->dirty_reason, reason);
		if (!en->dirty || due < en->dirty_due)
			en->dirty_due = due;
		if (!en->dirty || priority < en->dirty_priority)
			en->dirty_priority = priority;
		en->dirty = true;
		break;
	}
}

void
queue_space(struct queue *q, const char *key, int64_t until)
{
	struct entry *en = map_get(q->entries, key);

	if (!en || until <= en->space)
		return;
	en->space = until;
	if ((en->place == WAITING || en->place == READY) && en->node.due < until) {
		leave(q, en);
		enter(q, en, WAITING, until);
	}
}

const char *
queue_pop(struct queue *q, int64_t now, const char **reason)
{
	struct heap_node *n;

	while ((n = heap_peek(&q->waiting)) && n->due <= now) {
		struct entry *en = (struct entry *)n;
		int64_t due = n->due;

		leave(q, en);
		enter(q, en, READY, due);
	}
	for (int p = QUEUE_EVENT; p <= QUEUE_RESYNC; p++) {
		n = heap_peek(&q->ready[p]);
		if (n) {
			struct entry *en = (struct entry *)n;

			leave(q, en);
			en->place = ACTIVE;
			if (reason)
				*reason = en->reason;
			return en->key;
		}
	}
	return NULL;
}

static int64_t
backoff(struct queue *q, int failures)
{
	int64_t ms = BACKOFF_MAX_MS;

	if (failures < 20 && (BACKOFF_FIRST_MS << failures) < BACKOFF_MAX_MS)
		ms = BACKOFF_FIRST_MS << failures;
	return ms - (int64_t)((double)ms * 0.2 * rng_unit(&q->rng));
}

/* Put a key that ran to its next place, and repeat an add that came meanwhile. */
static void
settle(struct queue *q, struct entry *en, int64_t again, int64_t now)
{
	if (again >= 0)
		enter(q, en, WAITING, later(again, en->space));
	if (en->dirty) {
		char *why = en->dirty_reason;

		en->dirty = false;
		en->dirty_reason = NULL;
		queue_add(q, en->key, en->dirty_due, en->dirty_priority, why);
		free(why);
	}
	if (en->place == IDLE && en->space <= now)
		map_del(q->entries, en->key);
}

void
queue_hold(struct queue *q, const char *key, int64_t until, const char *reason)
{
	struct entry *en = map_get(q->entries, key);

	must(en && en->place == ACTIVE);
	en->place = IDLE;
	en->look = false;
	set_reason(&en->reason, reason);
	settle(q, en, until, until);
}

void
queue_done(struct queue *q, const char *key, enum queue_end end, int64_t now, int64_t due)
{
	struct entry *en = map_get(q->entries, key);
	int64_t again = -1;

	must(en && en->place == ACTIVE);
	en->place = IDLE;
	en->look = false;
	switch (end) {
	case QUEUE_SETTLED:
		en->failures = 0;
		break;
	case QUEUE_WAIT:
		en->failures = 0;
		en->look = true;
		en->priority = QUEUE_RESYNC;
		again = now + LOOK_AGAIN_MS;
		set_reason(&en->reason, "ten minutes without an event");
		break;
	case QUEUE_RETRY:
		en->failures = 0;
		again = due;
		set_reason(&en->reason, "retry");
		break;
	case QUEUE_FAILED:
		again = now + backoff(q, en->failures++);
		set_reason(&en->reason, "back-off after a failure");
		break;
	case QUEUE_GONE:
		en->failures = 0;
		en->space = 0;
		break;
	}
	settle(q, en, again, now);
}

int64_t
queue_next_due(const struct queue *q)
{
	int64_t best = -1;
	const struct heap_node *n = heap_peek(&q->waiting);

	if (n)
		best = n->due;
	for (int p = QUEUE_EVENT; p <= QUEUE_RESYNC; p++) {
		n = heap_peek(&q->ready[p]);
		if (n && (best < 0 || n->due < best))
			best = n->due;
	}
	return best;
}

size_t
queue_depth(const struct queue *q)
{
	return q->depth;
}

int
queue_failures(const struct queue *q, const char *key)
{
	const struct entry *en = map_get(q->entries, key);

	return en ? en->failures : 0;
}
