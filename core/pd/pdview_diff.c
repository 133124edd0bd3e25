#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pd/pdview_priv.h"

void
changes_add(struct changes *c, const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (c->n == c->cap) {
		c->cap = c->cap > 0 ? c->cap * 2 : 8;
		c->what = xrealloc(c->what, c->cap * sizeof *c->what);
	}
	c->what[c->n++] = xstrdup(text);
}

void
changes_fini(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->what[i]);
	free(c->what);
	*c = (struct changes){ 0 };
}

/* ---- history ---- */

static bool broken(struct pdview *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool
broken(struct pdview *v, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	free(v->history);
	v->history = xstrdup(text);
	return true;
}

/* Both lists are sorted by id: one walk. */
static bool
stores_broken(struct pdview *v, const struct round *r)
{
	const cJSON *was, *is = r->stores != NULL ? r->stores->child : NULL;

	cJSON_ArrayForEach(was, json_get(v->snapshot, "stores"))
	{
		const char *id = json_str(was, "id", ""), *state = json_str(was, "state", "");
		while (is != NULL && pdview_compare_ids(json_str(is, "id", ""), id) < 0)
			is = is->next;
		bool there = is != NULL && strcmp(json_str(is, "id", ""), id) == 0;
		if (strcmp(state, "Tombstone") == 0) {
			if (there && strcmp(json_str(is, "state", ""), "Tombstone") != 0)
				return broken(v, "store %s was removed and is %s now", id,
					json_str(is, "state", "?"));
		} else if (!there && strcmp(state, "Offline") != 0) {
			return broken(
				v, "store %s was %s and is not in the list any more", id, state);
		}
	}
	return false;
}

static bool
recording_broken(struct pdview *v, const cJSON *was, const cJSON *is)
{
	const char *state = is != NULL ? json_str(is, "state", "") : "";

	if (cJSON_IsTrue(was) && is == NULL)
		return broken(v, "store %s is recorded and is not in the list", was->string);
	if (cJSON_IsFalse(was) && is != NULL && strcmp(state, "Tombstone") != 0)
		return broken(
			v, "store %s is recorded as removed and is %s now", was->string, state);
	return false;
}

/* What was recorded of this cluster's stores before this process asked PD. */
static bool
recorded_broken(struct pdview *v, const struct round *r)
{
	struct map *stores;
	const cJSON *it;
	bool yes = false;

	if (v->recorded == NULL)
		return false;
	stores = map_new(NULL);
	cJSON_ArrayForEach(it, r->stores) map_put(stores, json_str(it, "id", ""), (void *)it);
	for (it = v->recorded->child; it != NULL && !yes; it = it->next)
		yes = recording_broken(v, it, map_get(stores, it->string));
	map_free(stores);
	return yes;
}

bool
pdview_history_broken(struct pdview *v, const struct round *r)
{
	const char *was = json_str(v->snapshot, "cluster_id", "");

	if (v->expect[0] != '\0' && strcmp(v->expect, r->cluster_id) != 0)
		return broken(v, "PD says cluster id %s, recorded is %s", r->cluster_id, v->expect);
	if (was[0] != '\0' && strcmp(was, r->cluster_id) != 0)
		return broken(v, "PD's cluster id was %s and is %s", was, r->cluster_id);
	return stores_broken(v, r) || recorded_broken(v, r);
}

/* ---- building ---- */

static cJSON *
kept(struct pdview *v, const char *key, cJSON **fresh)
{
	cJSON *out = *fresh;

	*fresh = NULL;
	if (out == NULL && json_get(v->snapshot, key) != NULL)
		out = json_clone(json_get(v->snapshot, key));
	return out;
}

static bool
listed(const cJSON *list, const char *id)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, list)
	{
		if (strcmp(m->valuestring, id) == 0)
			return true;
	}
	return false;
}

static cJSON *
build_members(struct pdview *v, struct round *r)
{
	const char *leader = json_str(r->leader, "id", "");
	cJSON *m, *out = r->members;

	r->members = NULL;
	cJSON_ArrayForEach(m, out)
	{
		const char *id = json_str(m, "id", "");
		const cJSON *healthy = json_get(v->health, id);
		if (healthy != NULL)
			json_put_bool(
				m, "healthy", cJSON_IsTrue(healthy) && json_get(m, "name") != NULL);
		json_put_bool(m, "leader", strcmp(id, leader) == 0);
	}
	return out;
}

static cJSON *
build_counts(const cJSON *stores)
{
	static const char *const states[] = { "Up", "Disconnected", "Down", "Offline",
		"Tombstone" };
	cJSON *out = json_object();
	const cJSON *s;

	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		int n = 0;
		cJSON_ArrayForEach(s, stores)
		{
			n += strcmp(json_str(s, "state", ""), states[i]) == 0;
		}
		json_put_int(out, states[i], n);
	}
	return out;
}

/* What regions need is known from placement rules; without any it is max-replicas. */
static void
put_placement(cJSON *replication, int64_t voters, int64_t peers)
{
	int64_t all = json_int(replication, "max_replicas", 0);

	if (replication == NULL)
		return;
	json_put_int(replication, "voters", voters > 0 ? voters : all);
	json_put_int(replication, "peers", peers > 0 ? peers : all);
}

cJSON *
pdview_build(struct pdview *v, struct round *r)
{
	cJSON *out = json_object(), *s, *evicting, *schedulers,
	      *replication = kept(v, "replication", &r->replication),
	      *settings = kept(v, "settings", &r->settings);
	bool halted = v->asked[PART_CONFIG] == r->began ? r->halted
							: json_bool(v->snapshot, "halted", false);

	json_put_str(out, "cluster_id", r->cluster_id);
	json_put_str(out, "version", v->version);
	if (v->start >= 0)
		json_put_int(r->leader, "start", v->start);
	json_put(out, "leader", json_clone(r->leader));
	if (v->revision >= 0)
		json_put_int(out, "etcd_revision", v->revision);
	json_put(out, "members", build_members(v, r));
	json_put_bool(out, "bootstrapped", r->bootstrapped);
	evicting = kept(v, "evicting", &r->evicting);
	cJSON_ArrayForEach(s, r->stores)
	{
		json_put_bool(s, "evicting", listed(evicting, json_str(s, "id", "")));
	}
	json_put(out, "counts", build_counts(r->stores));
	json_put(out, "stores", r->stores);
	r->stores = NULL;
	put_placement(replication, v->voters, v->peers);
	if (replication != NULL)
		json_put(out, "replication", replication);
	if (settings != NULL)
		json_put(out, "settings", settings);
	schedulers = kept(v, "schedulers", &r->schedulers);
	json_put(out, "schedulers", schedulers != NULL ? schedulers : json_array());
	json_put(out, "evicting", evicting != NULL ? evicting : json_array());
	if (v->counts != NULL)
		json_put(out, "regions", json_clone(v->counts));
	json_put_bool(out, "halted", halted);
	json_put_bool(out, "no_space", v->no_space);
	return out;
}

/* ---- differences ---- */

static void
told_free(void *value)
{
	struct told *t = value;

	free(t->facts);
	free(t);
}

/* Everything of a store but its figures and ages, as one text. */
static char *
facts_of(const cJSON *s)
{
	struct buf b;

	buf_init(&b, 0);
	buf_printf(&b, "%s|%s|%s|%s|%s|%lld|%d%d%d|", json_str(s, "address", ""),
		json_str(s, "status_address", ""), json_str(s, "state", ""),
		json_str(s, "node_state", ""), json_str(s, "version", ""),
		(long long)json_int(s, "started_at", 0), json_bool(s, "evicting", false),
		json_bool(s, "busy", false), json_bool(s, "destroyed", false));
	json_print(json_get(s, "labels"), &b);
	return buf_take(&b);
}

static bool
material(int64_t was, int64_t is, bool any)
{
	int64_t by = is > was ? is - was : was - is;

	if (by == 0)
		return false;
	return any || was <= 0 || is <= 0 || by * 4 > was;
}

static void
diff_store(struct pdview *v, const cJSON *s, struct changes *c)
{
	const char *id = json_str(s, "id", "");
	struct told *t = map_get(v->told, id);
	char *facts = facts_of(s);
	int64_t leaders = json_int(s, "leaders", 0), regions = json_int(s, "regions", 0);
	int64_t capacity = json_int(s, "capacity", 0), available = json_int(s, "available", 0);
	/* While it drains or hands over its leaders, each step is progress. */
	bool any =
		strcmp(json_str(s, "state", ""), "Offline") == 0 || json_bool(s, "evicting", false);

	if (t == NULL) {
		t = xcalloc(1, sizeof *t);
		map_put(v->told, id, t);
	} else if (strcmp(t->facts, facts) == 0 && !material(t->leaders, leaders, any) &&
		   !material(t->regions, regions, any) && !material(t->capacity, capacity, false) &&
		   !material(t->available, available, false)) {
		free(facts);
		return;
	}
	if (t->facts == NULL || strcmp(t->facts, facts) != 0)
		changes_add(c, "store:%s", id);
	else
		changes_add(c, "figures:%s", id);
	free(t->facts);
	*t = (struct told){ .facts = facts,
		.leaders = leaders,
		.regions = regions,
		.capacity = capacity,
		.available = available };
}

static void
diff_gone(struct pdview *v, const cJSON *old, struct changes *c)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, json_get(old, "stores"))
	{
		const char *id = json_str(s, "id", "");
		if (map_get(v->by_id, id) == NULL) {
			map_del(v->told, id);
			changes_add(c, "store:%s", id);
		}
	}
}

static void
diff_part(const cJSON *old, const cJSON *now, const char *key, const char *name, struct changes *c)
{
	const cJSON *a = json_get(old, key), *b = json_get(now, key);

	if (a == NULL && b == NULL)
		return;
	if (a == NULL || b == NULL || !json_equal(a, b))
		changes_add(c, "%s", name);
}

void
pdview_diff(struct pdview *v, const cJSON *old, const cJSON *now, struct changes *c)
{
	const cJSON *s;

	if (v->told == NULL)
		v->told = map_new(told_free);
	diff_part(old, now, "leader", "leader", c);
	diff_part(old, now, "members", "members", c);
	diff_part(old, now, "counts", "counts", c);
	diff_part(old, now, "schedulers", "schedulers", c);
	diff_part(old, now, "regions", "regions", c);
	diff_part(old, now, "settings", "settings", c);
	if (old == NULL ||
		json_bool(old, "bootstrapped", false) != json_bool(now, "bootstrapped", false))
		changes_add(c, "counts");
	if (old == NULL ||
		!json_equal(json_get(old, "replication"), json_get(now, "replication")) ||
		json_bool(old, "halted", false) != json_bool(now, "halted", false) ||
		json_bool(old, "no_space", false) != json_bool(now, "no_space", false) ||
		strcmp(json_str(old, "version", ""), json_str(now, "version", "")) != 0)
		changes_add(c, "config");
	cJSON_ArrayForEach(s, json_get(now, "stores")) diff_store(v, s, c);
	diff_gone(v, old, c);
}
