#include "kube/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

/* Objects in order of their keys. */
struct list {
	struct obj **at;
	size_t n, cap;
};

struct listener {
	store_event_fn *fn;
	void *arg;
};

struct store {
	enum kind kind;
	bool synced;
	struct list all;     /* holds one reference of each */
	struct map *buckets; /* tagged index value -> struct list, lent objects */
	struct listener *listener;
	size_t listeners;
	char *rv;
	int64_t heard_ms;
};

/* ---- sorted lists ---- */

/* The place of the key, or where it would be. */
static size_t
list_place(const struct list *l, const char *key, bool *found)
{
	size_t lo = 0, hi = l->n;

	/* Lists come sorted, so most objects belong at the end. */
	if (hi > 0 && strcmp(l->at[hi - 1]->key, key) < 0)
		lo = hi;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(l->at[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = lo < l->n && strcmp(l->at[lo]->key, key) == 0;
	return lo;
}

static void
list_insert(struct list *l, size_t at, struct obj *o)
{
	if (l->n == l->cap) {
		l->cap = l->cap < 4 ? l->cap + 1 : l->cap + l->cap / 2;
		l->at = xrealloc(l->at, l->cap * sizeof *l->at);
	}
	memmove(l->at + at + 1, l->at + at, (l->n - at) * sizeof *l->at);
	l->at[at] = o;
	l->n++;
}

static void
list_delete(struct list *l, size_t at)
{
	l->n--;
	memmove(l->at + at, l->at + at + 1, (l->n - at) * sizeof *l->at);
}

static void
list_free(void *value)
{
	struct list *l = value;

	free(l->at);
	free(l);
}

/* ---- indexes ---- */

static void
bucket_name(struct buf *out, enum store_index index, const char *value)
{
	buf_putc(out, (char)('0' + (int)index));
	buf_puts(out, value);
}

struct indexing {
	struct store *store;
	struct obj *object;
};

static void
index_add(void *arg, enum store_index index, const char *value)
{
	struct indexing *x = arg;
	struct buf name;
	bool found;

	if (index == STORE_NAMESPACE)
		return;
	buf_init(&name, 0);
	bucket_name(&name, index, value);
	struct list *l = map_get(x->store->buckets, name.at);
	if (!l) {
		l = xcalloc(1, sizeof *l);
		map_put(x->store->buckets, name.at, l);
	}
	size_t at = list_place(l, x->object->key, &found);
	if (!found)
		list_insert(l, at, x->object);
	buf_fini(&name);
}

static void
index_remove(void *arg, enum store_index index, const char *value)
{
	struct indexing *x = arg;
	struct buf name;
	bool found = false;

	if (index == STORE_NAMESPACE)
		return;
	buf_init(&name, 0);
	bucket_name(&name, index, value);
	struct list *l = map_get(x->store->buckets, name.at);
	size_t at = l ? list_place(l, x->object->key, &found) : 0;
	if (found)
		list_delete(l, at);
	if (l && l->n == 0)
		map_del(x->store->buckets, name.at);
	buf_fini(&name);
}

static void
reindex(struct store *s, struct obj *old, struct obj *now)
{
	if (old)
		obj_index_values(old, index_remove, &(struct indexing){ s, old });
	if (now)
		obj_index_values(now, index_add, &(struct indexing){ s, now });
}

/* ---- life ---- */

struct store *
store_new(enum kind k)
{
	struct store *s = xcalloc(1, sizeof *s);

	s->kind = k;
	s->buckets = map_new(list_free);
	s->rv = xstrdup("");
	return s;
}

void
store_free(struct store *s)
{
	if (!s)
		return;
	map_free(s->buckets);
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
	size_t at = list_place(&s->all, own_o->key, &found);
	struct obj *old = found ? s->all.at[at] : NULL;

	must(own_o->kind == s->kind);
	if (old && rv_compare(own_o->rv, old->rv) <= 0) {
		obj_unref(own_o);
		return false;
	}
	if (old)
		s->all.at[at] = own_o;
	else
		list_insert(&s->all, at, own_o);
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
	size_t at = list_place(&s->all, key, &found);

	if (!found || (uid && strcmp(s->all.at[at]->uid, uid) != 0))
		return false;
	struct obj *old = s->all.at[at];
	list_delete(&s->all, at);
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

static struct list
merge(struct list *was, struct obj **list, size_t n, struct change *changes, size_t *count)
{
	struct list all = { .at = xmalloc((n ? n : 1) * sizeof *all.at), .cap = n ? n : 1 };
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
	struct list all = merge(&s->all, own_list, n, changes, &count);
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
	size_t at = list_place(&s->all, key.at, &found);
	buf_fini(&key);
	return found ? s->all.at[at] : NULL;
}

size_t
store_count(const struct store *s)
{
	return s->all.n;
}

/* The run of keys that start with "ns/"; '0' follows '/'. */
static struct list
in_namespace(const struct store *s, const char *ns)
{
	struct buf key;
	bool found;

	buf_init(&key, 0);
	buf_puts(&key, ns);
	buf_putc(&key, '/');
	size_t from = list_place(&s->all, key.at, &found);
	key.at[key.len - 1] = '0';
	size_t to = list_place(&s->all, key.at, &found);
	buf_fini(&key);
	return (struct list){ .at = s->all.at + from, .n = to - from };
}

static struct list
in_bucket(const struct store *s, enum store_index index, const char *value)
{
	struct buf name;

	buf_init(&name, 0);
	bucket_name(&name, index, value);
	const struct list *l = map_get(s->buckets, name.at);
	buf_fini(&name);
	return l ? *l : (struct list){ 0 };
}

static struct list
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
		return in_bucket(s, index, value);
	}
	return (struct list){ 0 };
}

size_t
store_list(
	const struct store *s, enum store_index index, const char *value, const struct obj ***out)
{
	struct list l = select_list(s, index, value);

	*out = xmalloc((l.n ? l.n : 1) * sizeof **out);
	if (l.n)
		memcpy(*out, l.at, l.n * sizeof **out);
	return l.n;
}
