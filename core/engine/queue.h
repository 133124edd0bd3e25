#ifndef ENGINE_QUEUE_H
#define ENGINE_QUEUE_H
/*
 * queue: which keys to reconcile, and when.
 *
 * A key is in at most one place: waiting (it has a due time), ready, or active (popped and not yet
 * done). Adding an active key marks it dirty, so queue_done() makes it ready again: one key never
 * runs twice at once and no add is lost (K1). Adding a waiting key keeps the earlier time (K3).
 *
 * Ready keys leave by priority, then due time, then order of arrival (K7). A group's passes are
 * spaced: queue_space() says how long after its last pass a key may run again, so that a storm of
 * events becomes one pass. Failures back off 5 ms * 2^n up to 60 s, with jitter (K2).
 *
 * The queue reads no clock and does no I/O: a run depends on its calls only. Keys are copied in; a
 * popped key is borrowed until queue_done().
 */
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

struct queue;

enum queue_end {
	QUEUE_SETTLED, /* nothing to do: forget its failures */
	QUEUE_WAIT,    /* an event will wake it; looked at again after ten minutes anyway */
	QUEUE_RETRY,   /* expected delay: run again at the given time, no back-off (K4) */
	QUEUE_FAILED,  /* back off exponentially */
	QUEUE_GONE,    /* the object is gone: forget the key, unless it was added meanwhile */
};

enum queue_priority { QUEUE_EVENT, QUEUE_RESYNC }; /* events before resync and first lists */

struct queue *queue_new(struct rng rng);
void queue_free(struct queue *q);
/* Make key due at `due`. An earlier time already set wins, and so does the higher priority. */
void queue_add(struct queue *q, const char *key, int64_t due, enum queue_priority priority,
	const char *reason);
/* Do not run key again before `until` (its failures' back-off and its retries respect it too). */
void queue_space(struct queue *q, const char *key, int64_t until);
/* Next key that is due, or NULL. *reason is why it was added, lent. */
const char *queue_pop(struct queue *q, int64_t now, const char **reason);
void queue_done(struct queue *q, const char *key, enum queue_end end, int64_t now, int64_t due);
/* Give a popped key back unrun: it comes again at `until`, or when it is added. Keeps its failures.
 */
void queue_hold(struct queue *q, const char *key, int64_t until, const char *reason);
/* When the next key is due, or -1. */
int64_t queue_next_due(const struct queue *q);
size_t queue_depth(const struct queue *q); /* ready and waiting-with-reason keys */
int queue_failures(const struct queue *q, const char *key);

#endif
