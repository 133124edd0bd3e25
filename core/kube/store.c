#include "kube/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kube/postings.h"

struct listener {
	store_event_fn *fn;
	void *arg;
};

struct store {
	enum kind kind;
	bool synced;
	struct obj_list all; /* holds one reference of each */
	struct postings *postings;
	struct listener *listener;
	size_t listeners;
	char *rv;
	int64_t heard_ms;
};

static size_t
place(const struct store *s, const char *key, bool *found)
{
	return obj_list_place(s->all.at, s->all.n, key, found);
}

static void
reindex(struct store *s, struct obj *old, struct obj *now)
{
	if (old)
		postings_remove(s->postings, old);
	if (now)
		postings_add(s->postings, now);
}

/* ---- life ---- */

struct store *
store_new(enum kind k)
{
	struct store *s = xcalloc(1, sizeof *s);

	s->kind = k;
	s->postings = postings_new();
	s->rv = xstrdup("");
	return s;
}

void
store_free(struct store *s)
{
	if (!s)
		return;
	postings_free(s->postings);
	for (size_t i = 0; i < s->all.n; i++)
		obj_unref(s->all.at[i]);
	free(s->all.at);
	free(s->listener);
	free(s->rv);
	free(s);
}

enum kind
store_kind(const struct store *s)
{
	return s->kind;
}

void
store_listen(struct store *s, store_event_fn *fn, void *arg)
{
	s->listener = xrealloc(s->listener, (s->listeners + 1) * sizeof *s->listener);
	s->listener[s->listeners++] = (struct listener){ fn, arg };
}

static void
tell_one(struct store *s, const struct obj *old, const struct obj *now)
{
	for (size_t i = 0; i < s->listeners; i++)
		s->listener[i].fn(s->listener[i].arg, old, now);
}

/* A successor of the same name is not a change of the old object (W12). */
static void
tell(struct store *s, const struct obj *old, const struct obj *now)
{
	if (old && now && strcmp(old->uid, now->uid) != 0) {
		tell_one(s, old, NULL);
		tell_one(s, NULL, now);
		return;
	}
	tell_one(s, old, now);
}

/* ---- changes ---- */

bool
store_put(struct store *s, struct obj *own_o)
{
	bool found;
	size_t at = place(s, own_o->key, &found);
	struct obj *old = found ? s->all.at[at] : NULL;

	must(own_o->kind == s->kind);
	if (old && rv_compare(own_o->rv, old->rv) <= 0) {
		obj_unref(own_o);
		return false;
	}
	if (old)
		s->all.at[at] = own_o;
	else
		obj_list_insert(&s->all, at, own_o);
	reindex(s, old, own_o);
	struct obj *now = obj_ref(own_o);
	tell(s, old, now);
	obj_unref(now);
	obj_unref(old);
	return true;
}

bool
store_remove(struct store *s, const char *key, const char *uid)
{
	bool found;
	size_t at = place(s, key, &found);

	if (!found || (uid && strcmp(s->all.at[at]->uid, uid) != 0))
		return false;
	struct obj *old = s->all.at[at];
	obj_list_delete(&s->all, at);
	reindex(s, old, NULL);
	tell(s, old, NULL);
	obj_unref(old);
	return true;
}

static int
by_key_newest_first(const void *a, const void *b)
{
	const struct obj *x = *(struct obj *const *)a, *y = *(struct obj *const *)b;
	int c = strcmp(x->key, y->key);

	return c ? c : -rv_compare(x->rv, y->rv);
}

struct change {
	struct obj *old, *now; /* both held */
};

static struct obj_list
merge(struct obj_list *was, struct obj **list, size_t n, struct change *changes, size_t *count)
{
	struct obj_list all = { .at = xmalloc((n ? n : 1) * sizeof *all.at), .cap = n ? n : 1 };
	size_t i = 0, j = 0;

	while (i < was->n || j < n) {
		int c = i == was->n ? 1 : j == n ? -1 : strcmp(was->at[i]->key, list[j]->key);
		struct obj *old = c <= 0 ? was->at[i++] : NULL;
		struct obj *now = c >= 0 ? list[j++] : NULL;
		/* A page may repeat what an earlier page had: the newest version came first. */
		while (now && j < n && strcmp(list[j]->key, now->key) == 0)
			obj_unref(list[j++]);
		if (old && now && strcmp(old->uid, now->uid) == 0 &&
			strcmp(old->rv, now->rv) == 0) {
			obj_unref(now);
			all.at[all.n++] = old;
			continue;
		}
		if (now)
			all.at[all.n++] = now;
		changes[(*count)++] = (struct change){ old, now ? obj_ref(now) : NULL };
	}
	return all;
}

void
store_replace(struct store *s, struct obj **own_list, size_t n)
{
	struct change *changes = xmalloc((s->all.n + n + 1) * sizeof *changes);
	size_t count = 0;

	if (n)
		qsort(own_list, n, sizeof *own_list, by_key_newest_first);
	struct obj_list all = merge(&s->all, own_list, n, changes, &count);
	free(s->all.at);
	s->all = all;
	for (size_t i = 0; i < count; i++)
		reindex(s, changes[i].old, changes[i].now);
	for (size_t i = 0; i < count; i++) {
		tell(s, changes[i].old, changes[i].now);
		obj_unref(changes[i].old);
		obj_unref(changes[i].now);
	}
	free(changes);
}

/* ---- state of the stream ---- */

const char *
store_rv(const struct store *s)
{
	return s->rv;
}

void
store_set_rv(struct store *s, const char *rv)
{
	char *copy = xstrdup(rv);

	free(s->rv);
	s->rv = copy;
}

bool
store_synced(const struct store *s)
{
	return s->synced;
}

void
store_set_synced(struct store *s, bool synced)
{
	s->synced = synced;
}

int64_t
store_heard_ms(const struct store *s)
{
	return s->heard_ms;
}

void
store_set_heard(struct store *s, int64_t mono_ms)
{
	s->heard_ms = mono_ms;
}

/* ---- reading ---- */

const struct obj *
store_get(const struct store *s, const char *ns, const char *name)
{
	struct buf key;
	bool found;

	buf_init(&key, 0);
	ref_key(&key, ns, name);
	size_t at = place(s, key.at, &found);
	buf_fini(&key);
	return found ? s->all.at[at] : NULL;
}

size_t
store_count(const struct store *s)
{
	return s->all.n;
}

/* The run of keys that start with "ns/"; '0' follows '/'. */
static struct obj_list
in_namespace(const struct store *s, const char *ns)
{
	struct buf key;
	bool found;

	buf_init(&key, 0);
	buf_puts(&key, ns);
	buf_putc(&key, '/');
	size_t from = place(s, key.at, &found);
	key.at[key.len - 1] = '0';
	size_t to = place(s, key.at, &found);
	buf_fini(&key);
	return (struct obj_list){ .at = s->all.at + from, .n = to - from };
}

static struct obj_list
with_value(const struct store *s, enum store_index index, const char *value)
{
	struct obj *const *at;
	size_t n = postings_find(s->postings, index, value, &at);

	return (struct obj_list){ .at = (struct obj **)at, .n = n };
}

static struct obj_list
select_list(const struct store *s, enum store_index index, const char *value)
{
	switch (index) {
	case STORE_ALL:
		return s->all;
	case STORE_NAMESPACE:
		return in_namespace(s, value);
	case STORE_OWNER:
	case STORE_LABEL:
	case STORE_CLUSTER:
		return with_value(s, index, value);
	}
	return (struct obj_list){ 0 };
}

size_t
store_list(
	const struct store *s, enum store_index index, const char *value, const struct obj ***out)
{
	struct obj_list l = select_list(s, index, value);

	*out = xmalloc((l.n ? l.n : 1) * sizeof **out);
	if (l.n)
		memcpy(*out, l.at, l.n * sizeof **out);
	return l.n;
}
