#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static char *
print_tree(const cJSON *tree, size_t *len)
{
	struct buf out;

	buf_init(&out, 0);
	json_print(tree, &out);
	*len = out.len;
	return buf_take(&out);
}

struct ver *
ver_new(const char *key, int64_t rv, cJSON *own_tree)
{
	struct ver *v = xcalloc(1, sizeof(*v));

	v->refs = 1;
	v->rv = rv;
	v->key = xstrdup(key);
	v->text = print_tree(own_tree, &v->len);
	v->tree = own_tree;
	return v;
}

struct ver *
ver_ref(struct ver *v)
{
	if (v)
		v->refs++;
	return v;
}

void
ver_unref(struct ver *v)
{
	if (!v || --v->refs)
		return;
	json_free(v->tree);
	free(v->text);
	free(v->key);
	free(v);
}

const cJSON *
ver_tree(struct ver *v)
{
	struct err e;

	if (!v->tree) {
		v->tree = json_parse(v->text, v->len, &e);
		must(v->tree);
	}
	return v->tree;
}

struct res *
res_find(const struct apisim *a, const char *group, const char *version, const char *plural)
{
	for (struct res *r = a->resources; r; r = r->next)
		if (!strcmp(r->plural, plural) && !strcmp(r->group, group) &&
			!strcmp(r->version, version))
			return r;
	return NULL;
}

struct res *
res_by_id(const struct apisim *a, const char *id)
{
	for (struct res *r = a->resources; r; r = r->next)
		if (!strcmp(r->id, id))
			return r;
	return NULL;
}

struct res *
res_by_kind(const struct apisim *a, const char *group, const char *kind)
{
	for (struct res *r = a->resources; r; r = r->next)
		if (!strcmp(r->kind, kind) && !strcmp(r->group, group))
			return r;
	return NULL;
}

struct res *
res_add(struct apisim *a, const char *group, const char *version, const char *plural,
	const char *kind)
{
	struct res *r = xcalloc(1, sizeof(*r));

	r->group = xstrdup(group);
	r->version = xstrdup(version);
	r->plural = xstrdup(plural);
	r->kind = xstrdup(kind);
	r->id = *group ? xasprintf("%s.%s", plural, group) : xstrdup(plural);
	r->list_kind = xasprintf("%sList", kind);
	r->singular = xstrdup(kind);
	for (char *p = r->singular; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	r->shorts = xstrdup("");
	r->categories = xstrdup("");
	r->forgotten = 0;
	if (a->resources_end)
		a->resources_end->next = r;
	else
		a->resources = r;
	a->resources_end = r;
	return r;
}

static void
change_fini(struct change *ch)
{
	ver_unref(ch->now);
	ver_unref(ch->old);
}

void
res_free(struct res *r)
{
	while (r->watches)
		watch_drop(r->watches);
	for (size_t i = 0; i < r->count; i++)
		ver_unref(r->live[i]);
	while (r->changes) {
		change_fini(&r->ring[r->first]);
		r->first++;
		r->changes--;
	}
	free(r->live);
	free(r->ring);
	free(r->id);
	free(r->group);
	free(r->version);
	free(r->plural);
	free(r->singular);
	free(r->kind);
	free(r->list_kind);
	free(r->shorts);
	free(r->categories);
	free(r->replicas_path);
	free(r->status_replicas_path);
	free(r->selector_path);
	json_free(r->crd_version);
	free(r);
}

void
key_of(struct buf *out, const struct res *res, const char *ns, const char *name)
{
	buf_init(out, 0);
	if (res->namespaced)
		buf_printf(out, "%s/%s", ns, name);
	else
		buf_puts(out, name);
}

/* Where the key is, or would be. */
static size_t
place(struct ver *const *list, size_t count, const char *key, bool *found)
{
	size_t lo = 0, hi = count;

	*found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int order = strcmp(list[mid]->key, key);
		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct ver *
live_key(const struct res *res, const char *key)
{
	bool found;
	size_t at = place(res->live, res->count, key, &found);

	return found ? res->live[at] : NULL;
}

struct ver *
live_find(const struct res *res, const char *ns, const char *name)
{
	struct buf key;

	key_of(&key, res, ns, name);
	struct ver *v = live_key(res, key.at);
	buf_fini(&key);
	return v;
}

static void
list_put(struct ver **list, size_t *count, struct ver *v)
{
	bool found;
	size_t at = place(list, *count, v->key, &found);

	if (!found) {
		memmove(list + at + 1, list + at, (*count - at) * sizeof(*list));
		(*count)++;
	}
	list[at] = v;
}

static void
list_drop(struct ver **list, size_t *count, const char *key)
{
	bool found;
	size_t at = place(list, *count, key, &found);

	if (found) {
		(*count)--;
		memmove(list + at, list + at + 1, (*count - at) * sizeof(*list));
	}
}

int
live_at(const struct res *res, int64_t rv, struct ver ***out, size_t *n)
{
	*out = NULL;
	*n = 0;
	if (rv && rv < res->forgotten)
		return -1;
	struct ver **list = xcalloc(res->count + res->changes + 1, sizeof(struct ver *));
	size_t count = res->count;
	if (count)
		memcpy(list, res->live, count * sizeof(*list));
	for (size_t i = res->changes; rv && i > 0; i--) {
		const struct change *ch = &res->ring[res->first + i - 1];
		if (ch->rv <= rv)
			break;
		if (ch->old)
			list_put(list, &count, ch->old);
		else
			list_drop(list, &count, ch->now->key);
	}
	*out = list;
	*n = count;
	return 0;
}

void
res_forget(struct res *res, int64_t rv)
{
	while (res->changes && res->ring[res->first].rv <= rv) {
		change_fini(&res->ring[res->first]);
		res->first++;
		res->changes--;
	}
	if (rv > res->forgotten)
		res->forgotten = rv;
}

static void
remember(struct apisim *a, struct res *res, struct change ch)
{
	size_t most = a->conf.history ? a->conf.history : 1000;

	while (res->changes >= most)
		res_forget(res, res->ring[res->first].rv);
	if (!res->ring)
		res->ring = xcalloc(most * 2, sizeof(struct change));
	if (res->first + res->changes == most * 2) {
		memmove(res->ring, res->ring + res->first, res->changes * sizeof(struct change));
		res->first = 0;
	}
	res->ring[res->first + res->changes++] = ch;
}

struct ver *
commit(struct call *c, struct res *res, struct ver *old, const char *key, cJSON *own_now,
	bool removed)
{
	struct apisim *a = c->a;
	char rv[24];

	snprintf(rv, sizeof(rv), "%lld", (long long)++a->rv);
	json_put_str((cJSON *)json_get(own_now, "metadata"), "resourceVersion", rv);
	struct ver *v = ver_new(key, a->rv, own_now);
	struct change ch = { .rv = a->rv, .now = v, .old = ver_ref(old) };
	ch.kind = removed ? CHANGE_DELETED : old ? CHANGE_MODIFIED : CHANGE_ADDED;
	if (removed) {
		list_drop(res->live, &res->count, key);
	} else {
		if (res->count == res->cap) {
			res->cap = res->cap ? res->cap * 2 : 16;
			res->live = xrealloc(res->live, res->cap * sizeof(struct ver *));
		}
		list_put(res->live, &res->count, ver_ref(v));
	}
	if (a->conf.hooks.committed) {
		struct apisim_commit seen = {
			.resource = res->id,
			.ns = json_str(own_now, "metadata.namespace", ""),
			.name = json_str(own_now, "metadata.name", ""),
			.user = c->r->user ? c->r->user : "sim",
			.manager = c->manager,
			.subresource = c->sub,
			.old = old ? ver_tree(old) : NULL,
			.now = removed ? NULL : own_now,
			.rv = a->rv,
			.old_rv = old ? old->rv : 0,
			.text = v->text,
			.len = v->len,
		};
		a->conf.hooks.committed(a->conf.hooks.arg, &seen);
	}
	remember(a, res, ch);
	if (old) {
		/* The text stays for history; a tree is rarely asked for again. */
		json_free(old->tree);
		old->tree = NULL;
		ver_unref(old);
	}
	watch_wake(res);
	return v;
}
