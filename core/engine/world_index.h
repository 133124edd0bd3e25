#ifndef ENGINE_WORLD_INDEX_H
#define ENGINE_WORLD_INDEX_H
/*
 * world_index: which keys asked for what, found from what changed.
 *
 * A topic is a text: a selector of objects or a fact of PD. A subscription is (topic, projection).
 * Finding the subscribers of a topic is one hash look-up; a key's needs take a few hundred bytes,
 * shared topics are stored once. Order of subscribers depends on the calls only.
 */
#include "kube/store.h"

struct world_index;
struct topic;

struct subscription {
	const char *topic; /* in wanted lists: text, owned by the list */
	const struct projection *projection;
};

struct world_index *world_index_new(void);
void world_index_free(struct world_index *x);
/* Replace the subscriptions of key. Equal ones cost nothing. */
void world_index_set(
	struct world_index *x, const char *key, const struct subscription *list, size_t n);
void world_index_forget(struct world_index *x, const char *key);

struct topic *world_index_find(const struct world_index *x, const char *topic); /* or NULL */
/* Begin a round: each key is told at most once until the next round. */
void world_index_round(struct world_index *x);
/* Tell the topic's keys for whose projection want() is true; want NULL: all. */
typedef bool world_index_want_fn(void *arg, const struct projection *p);
void world_index_tell(struct world_index *x, struct topic *t, world_index_want_fn *want,
	void *want_arg, void (*fn)(void *arg, const char *key), void *arg);

#endif
