#include "engine/world_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"

struct need {
	struct topic *topic;
	const struct projection *projection;
	uint32_t at; /* place in topic->sub */
};

struct subscriber {    /* a key */
	uint64_t told; /* the last round in which it was told */
	uint32_t n;
	struct need *need;
	char key[];
};

struct sub {
	struct subscriber *who;
	uint32_t need; /* place in who->need */
};

struct topic {
	struct topic *next; /* in its bucket */
	struct sub *sub;
	uint32_t n, cap;
	uint32_t hash;
	char text[];
};

struct world_index {
	struct map *subscribers;
	struct topic **bucket;
	size_t buckets, topics; /* buckets: a power of two */
	uint64_t round;
};

static void
subscriber_free(void *value)
{
	struct subscriber *s = value;

	free(s->need);
	free(s);
}

struct world_index *
world_index_new(void)
{
	struct world_index *x = xcalloc(1, sizeof(*x));

	x->subscribers = map_new(subscriber_free);
	x->buckets = 64;
	x->bucket = xcalloc(x->buckets, sizeof(*x->bucket));
	return x;
}

void
world_index_free(struct world_index *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < x->buckets; i++)
		for (struct topic *t = x->bucket[i], *next; t; t = next) {
			next = t->next;
			free(t->sub);
			free(t);
		}
	free(x->bucket);
	map_free(x->subscribers);
	free(x);
}

static uint32_t
topic_hash(const char *text, size_t n)
{
	uint64_t h = hash_fnv(text, n, 0);

	return (uint32_t)(h ^ h >> 32);
}

static struct topic *
find(const struct world_index *x, const char *text, uint32_t hash)
{
	struct topic *t = x->bucket[hash & (x->buckets - 1)];

	while (t && (t->hash != hash || strcmp(t->text, text) != 0))
		t = t->next;
	return t;
}

struct topic *
world_index_find(const struct world_index *x, const char *text)
{
	return find(x, text, topic_hash(text, strlen(text)));
}

static void
grow(struct world_index *x)
{
	size_t n = x->buckets * 2;
	struct topic **bucket = xcalloc(n, sizeof(*bucket));

	for (size_t i = 0; i < x->buckets; i++)
		for (struct topic *t = x->bucket[i], *next; t; t = next) {
			next = t->next;
			t->next = bucket[t->hash & (n - 1)];
			bucket[t->hash & (n - 1)] = t;
		}
	free(x->bucket);
	x->bucket = bucket;
	x->buckets = n;
}

static struct topic *
topic_of(struct world_index *x, const char *text)
{
	size_t n = strlen(text);
	uint32_t hash = topic_hash(text, n);
	struct topic *t = find(x, text, hash);

	if (t)
		return t;
	if (x->topics >= x->buckets)
		grow(x);
	t = xcalloc(1, sizeof(*t) + n + 1);
	t->hash = hash;
	memcpy(t->text, text, n + 1);
	t->next = x->bucket[hash & (x->buckets - 1)];
	x->bucket[hash & (x->buckets - 1)] = t;
	x->topics++;
	return t;
}

static void
topic_drop(struct world_index *x, struct topic *t)
{
	struct topic **at = &x->bucket[t->hash & (x->buckets - 1)];

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	x->topics--;
	free(t->sub);
	free(t);
}

static void
subscribe(struct world_index *x, struct subscriber *who, uint32_t i, const struct subscription *s)
{
	struct topic *t = topic_of(x, s->topic);

	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 1;
		t->sub = xrealloc(t->sub, t->cap * sizeof(*t->sub));
	}
	t->sub[t->n] = (struct sub){ who, i };
	who->need[i] = (struct need){ t, s->projection, t->n++ };
}

static void
unsubscribe_all(struct world_index *x, struct subscriber *who)
{
	for (uint32_t i = 0; i < who->n; i++) {
		struct need *need = &who->need[i];
		struct topic *t = need->topic;
		struct sub last = t->sub[--t->n];

		t->sub[need->at] = last;
		last.who->need[last.need].at = need->at;
		if (t->n == 0)
			topic_drop(x, t);
	}
	free(who->need);
	who->need = NULL;
	who->n = 0;
}

static bool
same(const struct subscriber *who, const struct subscription *list, size_t n)
{
	if (who->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (who->need[i].projection != list[i].projection ||
			strcmp(who->need[i].topic->text, list[i].topic) != 0)
			return false;
	return true;
}

void
world_index_set(struct world_index *x, const char *key, const struct subscription *list, size_t n)
{
	struct subscriber *who = map_get(x->subscribers, key);

	if (who && same(who, list, n))
		return;
	if (!who) {
		size_t len = strlen(key) + 1;

		who = xcalloc(1, sizeof(*who) + len);
		memcpy(who->key, key, len);
		map_put(x->subscribers, key, who);
	}
	unsubscribe_all(x, who);
	who->need = n ? xcalloc(n, sizeof(*who->need)) : NULL;
	for (size_t i = 0; i < n; i++)
		subscribe(x, who, (uint32_t)i, &list[i]);
	who->n = (uint32_t)n;
}

void
world_index_forget(struct world_index *x, const char *key)
{
	struct subscriber *who = map_get(x->subscribers, key);

	if (!who)
		return;
	unsubscribe_all(x, who);
	map_del(x->subscribers, key);
}

void
world_index_round(struct world_index *x)
{
	x->round++;
}

void
world_index_tell(struct world_index *x, struct topic *t, world_index_want_fn *want, void *want_arg,
	void (*fn)(void *arg, const char *key), void *arg)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct subscriber *who = t->sub[i].who;

		if (who->told == x->round ||
			(want && !want(want_arg, who->need[t->sub[i].need].projection)))
			continue;
		who->told = x->round;
		fn(arg, who->key);
	}
}
