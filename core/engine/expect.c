#include "engine/expect.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

/* One unseen write, in the list of its object and counted by its key. */
struct open {
	struct open *next;
	struct holder *holder;
	int64_t at;
	char *uid;
	char *rv; /* NULL: a deletion */
};

struct holder { /* a key with unseen writes */
	size_t open;
	char key[];
};

struct target { /* an object with unseen writes */
	enum kind kind;
	char *key;
	struct open *first;
};

struct expect {
	struct map *holders; /* key -> struct holder */
	struct map *targets; /* "kind number/object key" -> struct target */
	size_t open;
	struct store *(*store)(void *arg, enum kind k);
	void *arg;
};

static void
open_free(struct open *w)
{
	free(w->uid);
	free(w->rv);
	free(w);
}

static void
target_free(void *value)
{
	struct target *t = value;

	for (struct open *w = t->first, *next; w; w = next) {
		next = w->next;
		open_free(w);
	}
	free(t->key);
	free(t);
}

struct expect *
expect_new(void)
{
	struct expect *x = xcalloc(1, sizeof(*x));

	x->holders = map_new(free);
	x->targets = map_new(target_free);
	return x;
}

void
expect_free(struct expect *x)
{
	if (!x)
		return;
	map_free(x->targets);
	map_free(x->holders);
	free(x);
}

void
expect_stores(struct expect *x, struct store *(*store)(void *arg, enum kind k), void *arg)
{
	x->store = store;
	x->arg = arg;
}

static char *
target_name(enum kind kind, const char *object_key)
{
	return xasprintf("%d/%s", (int)kind, object_key);
}

/* Does this version of the object (NULL: absent) show the write? */
static bool
shown(const struct open *w, const struct obj *o)
{
	if (!o)
		return w->rv == NULL;
	if (w->uid && *w->uid && strcmp(o->uid, w->uid) != 0)
		return w->rv == NULL || rv_compare(o->rv, w->rv) > 0; /* a successor */
	if (!w->rv)
		return o->deleting;
	return rv_compare(o->rv, w->rv) >= 0;
}

static const struct obj *
find(const struct store *s, const char *object_key)
{
	const char *slash = strchr(object_key, '/');
	const struct obj *o;
	char *ns;

	if (!slash)
		return store_get(s, NULL, object_key);
	ns = xstrndup(object_key, (size_t)(slash - object_key));
	o = store_get(s, ns, slash + 1);
	free(ns);
	return o;
}

static bool
shown_in_store(const struct expect *x, enum kind kind, const char *object_key, const struct open *w)
{
	struct store *s = x->store ? x->store(x->arg, kind) : NULL;

	if (!x->store)
		return false;
	if (!s)
		return true;
	if (shown(w, find(s, object_key)))
		return true;
	/* The stream is in order: a store that has passed the version has shown it. */
	return w->rv && store_synced(s) && rv_compare(store_rv(s), w->rv) >= 0;
}

void
expect_wrote(struct expect *x, const char *key, enum kind kind, const char *object_key,
	const char *uid, const char *rv, int64_t now)
{
	struct open probe = { .uid = (char *)uid, .rv = (char *)rv };
	struct holder *h;
	struct target *t;
	struct open *w;
	char *name;

	if (shown_in_store(x, kind, object_key, &probe))
		return;
	h = map_get(x->holders, key);
	if (!h) {
		size_t n = strlen(key) + 1;

		h = xcalloc(1, sizeof(*h) + n);
		memcpy(h->key, key, n);
		map_put(x->holders, key, h);
	}
	name = target_name(kind, object_key);
	t = map_get(x->targets, name);
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		t->kind = kind;
		t->key = xstrdup(object_key);
		map_put(x->targets, name, t);
	}
	free(name);
	w = xcalloc(1, sizeof(*w));
	*w = (struct open){ .next = t->first,
		.holder = h,
		.at = now,
		.uid = xstrdup(uid ? uid : ""),
		.rv = rv ? xstrdup(rv) : NULL };
	t->first = w;
	h->open++;
	x->open++;
}

struct sweep {
	struct expect *x;
	bool (*drop)(const struct sweep *s, const struct target *t, const struct open *w);
	expect_freed_fn *freed;
	void *arg;
	const struct obj *object; /* expect_saw */
	enum kind kind;           /* expect_relisted */
	int64_t before;
	const char *key; /* expect_forget */
};

/* Drop what the sweep says, tell whose last write that was. */
static void
sweep_target(const struct sweep *s, struct target *t)
{
	struct open **at = &t->first;

	while (*at) {
		struct open *w = *at;
		struct holder *h = w->holder;

		if (!s->drop(s, t, w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		open_free(w);
		s->x->open--;
		if (--h->open == 0) {
			char *key = xstrdup(h->key);

			map_del(s->x->holders, key);
			if (s->freed)
				s->freed(s->arg, key);
			free(key);
		}
	}
}

static void
sweep_all(const struct sweep *s)
{
	for (struct map_iter it = { 0 }; map_next(s->x->targets, &it);) {
		struct target *t = it.value;

		sweep_target(s, t);
		if (!t->first)
			map_del(s->x->targets, it.key);
	}
}

static bool
drop_seen(const struct sweep *s, const struct target *t, const struct open *w)
{
	(void)t;
	return shown(w, s->object);
}

void
expect_saw(struct expect *x, const struct obj *old, const struct obj *now, expect_freed_fn *freed,
	void *arg)
{
	const struct obj *any = now ? now : old;
	char *name = target_name(any->kind, any->key);
	struct target *t = map_get(x->targets, name);
	struct sweep s = { .x = x, .drop = drop_seen, .freed = freed, .arg = arg, .object = now };

	if (t && !now) {
		/* A removal shows every write to that uid, and nothing about a successor. */
		for (struct open *w = t->first; w; w = w->next)
			if (strcmp(w->uid, old->uid) == 0 && w->rv) {
				free(w->rv);
				w->rv = NULL;
			}
	}
	if (t) {
		sweep_target(&s, t);
		if (!t->first)
			map_del(x->targets, name);
	}
	free(name);
}

static bool
drop_listed(const struct sweep *s, const struct target *t, const struct open *w)
{
	return t->kind == s->kind && w->at <= s->before;
}

void
expect_relisted(
	struct expect *x, enum kind kind, int64_t list_started, expect_freed_fn *freed, void *arg)
{
	struct sweep s = { .x = x,
		.drop = drop_listed,
		.freed = freed,
		.arg = arg,
		.kind = kind,
		.before = list_started };

	sweep_all(&s);
}

static bool
drop_looked(const struct sweep *s, const struct target *t, const struct open *w)
{
	return shown_in_store(s->x, t->kind, t->key, w);
}

void
expect_look(struct expect *x, expect_freed_fn *freed, void *arg)
{
	struct sweep s = { .x = x, .drop = drop_looked, .freed = freed, .arg = arg };

	sweep_all(&s);
}

bool
expect_holds(const struct expect *x, const char *key)
{
	return map_has(x->holders, key);
}

size_t
expect_open(const struct expect *x)
{
	return x->open;
}

uint32_t
expect_overdue(const struct expect *x, int64_t before)
{
	uint32_t kinds = 0;

	for (struct map_iter it = { 0 }; map_next(x->targets, &it);) {
		const struct target *t = it.value;

		for (const struct open *w = t->first; w; w = w->next)
			if (w->at < before)
				kinds |= 1u << t->kind;
	}
	return kinds;
}

static bool
drop_key(const struct sweep *s, const struct target *t, const struct open *w)
{
	(void)t;
	return strcmp(w->holder->key, s->key) == 0;
}

void
expect_forget(struct expect *x, const char *key)
{
	struct sweep s = { .x = x, .drop = drop_key, .key = key };

	if (map_has(x->holders, key))
		sweep_all(&s);
}
