#include "engine/world.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "engine/world_index.h"
#include "engine/world_needs.h"
#include "engine/world_pd.h"

struct world {
	struct world_sources from;
	struct projections *projections;
	struct world_index *index;
};

struct world *
world_new(const struct world_sources *s)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->from = *s;
	w->projections = projections_new();
	w->index = world_index_new();
	return w;
}

void
world_free(struct world *w)
{
	if (!w)
		return;
	world_index_free(w->index);
	projections_free(w->projections);
	free(w);
}

/* ---- subscriptions ---- */

struct wanted {
	struct subscription *list;
	size_t n, cap;
	const struct projection *projection; /* of the need being added */
};

static void
want(void *arg, const char *topic)
{
	struct wanted *l = arg;

	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->list = xrealloc(l->list, l->cap * sizeof(*l->list));
	}
	l->list[l->n++] = (struct subscription){ xstrdup(topic), l->projection };
}

static void
wanted_fini(struct wanted *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((char *)l->list[i].topic);
	free(l->list);
}

/* "<kind><index><value>"; 'n' stands for one object by key. */
static char *
object_topic(enum kind k, char index, const char *value)
{
	return xasprintf("%c%c%s", 'a' + (char)k, index, value);
}

static char
index_letter(enum store_index index)
{
	switch (index) {
	case STORE_ALL:
		return 'a';
	case STORE_NAMESPACE:
		return 's';
	case STORE_OWNER:
		return 'o';
	case STORE_LABEL:
		return 'l';
	case STORE_CLUSTER:
		return 'c';
	}
	return '?';
}

static char *
one_key(const struct world_need *n, const char *ns)
{
	return kind_row(n->kind)->namespaced ? xasprintf("%s/%s", ns, n->name) : xstrdup(n->name);
}

static void
want_secrets(struct wanted *l, const struct world_need *n, const char *ns)
{
	const cJSON *it;

	cJSON_ArrayForEach(it, n->secrets)
	{
		char *topic = xasprintf("S%s/%s", ns, json_text(it));
		want(l, topic);
		free(topic);
	}
}

static void
want_need(struct wanted *l, const struct world_need *n, const char *ns)
{
	char *value, *topic = NULL;

	l->projection = n->projection;
	switch (n->form) {
	case NEED_PD:
		world_pd_topics(n, ns, want, l);
		return;
	case NEED_SECRETS:
		want_secrets(l, n, ns);
		return;
	case NEED_TIKV:
		topic = xasprintf("T%s/%s", ns, n->instance);
		break;
	case NEED_ONE:
		value = one_key(n, ns);
		topic = object_topic(n->kind, 'n', value);
		free(value);
		break;
	case NEED_LIST:
		topic = object_topic(n->kind, index_letter(n->index), n->value);
		break;
	}
	want(l, topic);
	free(topic);
}

/* ---- members ---- */

static cJSON *
row_of(const struct obj *o, const struct projection *p)
{
	return json_lent(obj_row(o, p));
}

static cJSON *
rows_of(struct store *s, const struct world_need *n, const char *ns)
{
	const struct obj **list;
	size_t count = store_list(s, n->index, n->value, &list);
	bool own_ns = kind_row(n->kind)->namespaced;
	cJSON *rows = json_array();

	for (size_t i = 0; i < count; i++)
		if (!own_ns || strcmp(list[i]->ns, ns) == 0)
			json_add(rows, row_of(list[i], n->projection));
	free(list);
	return rows;
}

struct building {
	struct world *w;
	const char *ns;
	cJSON *out, *unknown, *ages;
	struct wanted wanted;
};

static const char *
why_unknown(struct world *w, struct store *s, enum kind k)
{
	const char *trouble = w->from.trouble ? w->from.trouble(w->from.arg, k) : "";

	if (s && store_synced(s))
		return NULL;
	if (trouble && *trouble)
		return trouble;
	return s ? "not synced yet" : "not watched";
}

static void
put_objects(struct building *b, const struct world_need *n)
{
	struct store *s = b->w->from.store(b->w->from.arg, n->kind);
	const char *why = why_unknown(b->w, s, n->kind);
	const struct obj *o;

	if (why) {
		json_put_str(b->unknown, n->as, why);
		return;
	}
	if (!json_get(b->ages, kind_row(n->kind)->kind))
		json_put_int(b->ages, kind_row(n->kind)->kind,
			(clock_mono(b->w->from.clock) - store_heard_ms(s)) / 1000);
	if (n->form == NEED_LIST) {
		json_put(b->out, n->as, rows_of(s, n, b->ns));
		return;
	}
	o = store_get(s, kind_row(n->kind)->namespaced ? b->ns : NULL, n->name);
	if (o && (!n->uid || strcmp(n->uid, o->uid) == 0))
		json_put(b->out, n->as, row_of(o, n->projection));
}

static void
put_pd(struct building *b, const struct world_need *n)
{
	const struct world_sources *from = &b->w->from;
	struct pdview *v = from->pdview ? from->pdview(from->arg, b->ns, n->cluster) : NULL;
	const char *open = from->breaker ? from->breaker(from->arg, b->ns, n->cluster) : "";
	cJSON *pd = world_pd_member(n, v);

	json_put_str(pd, "breaker", *open ? open : NULL);
	json_put(b->out, n->as, pd);
}

static cJSON *
tikv_member(struct building *b, const struct world_need *n)
{
	const struct world_sources *from = &b->w->from;
	struct tikvview *v = from->tikvview ? from->tikvview(from->arg) : NULL;
	cJSON *out;

	if (v)
		return tikvview_ask(v, b->ns, n->instance, n->settings, n->fresh);
	out = json_object();
	json_put_bool(out, "known", false);
	json_put_str(out, "reason", "nobody asks TiKV here");
	return out;
}

static int
put_need(struct building *b, const cJSON *item, struct err *e)
{
	struct world_need n;

	if (world_need_read(&n, item, b->ns, b->w->projections, e) < 0)
		return -1;
	if (json_get(b->out, n.as) || json_get(b->unknown, n.as)) {
		err_set(e, ERR_INVALID, "needs: %s: named twice", n.as);
		world_need_fini(&n);
		return -1;
	}
	want_need(&b->wanted, &n, b->ns);
	if (n.form == NEED_PD)
		put_pd(b, &n);
	else if (n.form == NEED_TIKV)
		json_put(b->out, n.as, tikv_member(b, &n));
	else if (n.form == NEED_SECRETS)
		json_put(b->out, n.as,
			b->w->from.secrets
				? b->w->from.secrets(b->w->from.arg, b->ns, n.cluster, n.secrets)
				: json_object());
	else
		put_objects(b, &n);
	world_need_fini(&n);
	return 0;
}

static cJSON *
clock_of(int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	cJSON *c = json_object();
	struct tm tm;

	gmtime_r(&t, &tm);
	json_put_int(c, "year", tm.tm_year + 1900);
	json_put_int(c, "month", tm.tm_mon + 1);
	json_put_int(c, "day", tm.tm_mday);
	json_put_int(c, "hour", tm.tm_hour);
	json_put_int(c, "minute", tm.tm_min);
	json_put_int(c, "second", tm.tm_sec);
	json_put_int(c, "weekday", tm.tm_wday);
	return c;
}

static cJSON *
frame(struct world *w, const struct obj *object, const cJSON *last)
{
	int64_t wall = clock_wall(w->from.clock);
	cJSON *out = json_object();

	json_put_int(out, "now", wall / 1000);
	json_put(out, "clock", clock_of(wall));
	json_put_str(out, "kind", kind_row(object->kind)->kind);
	json_put(out, "object", json_lent(object->text));
	json_put_bool(out, "deleting", object->deleting);
	if (w->from.operator_facts)
		json_put(out, "operator", w->from.operator_facts(w->from.arg));
	if (last)
		json_put(out, "last", json_clone(last));
	return out;
}

cJSON *
world_build(struct world *w, const char *key, const struct obj *object, const cJSON *needs,
	const cJSON *last, struct err *e)
{
	struct building b = { .w = w, .ns = object->ns };
	const cJSON *item;
	int rc = 0;

	if (needs && !cJSON_IsArray(needs) && needs->child) {
		err_set(e, ERR_INVALID, "needs: expected a list");
		return NULL;
	}
	b.out = frame(w, object, last);
	b.unknown = json_object();
	b.ages = json_object();
	cJSON_ArrayForEach(item, needs) if ((rc = put_need(&b, item, e)) < 0) break;
	json_put(b.out, "ages", b.ages);
	json_put(b.out, "unknown", b.unknown);
	if (rc == 0) {
		world_index_set(w->index, key, b.wanted.list, b.wanted.n);
	} else {
		json_free(b.out);
		b.out = NULL;
	}
	wanted_fini(&b.wanted);
	return b.out;
}

/* ---- who is interested ---- */

struct touched {
	char **topic;
	size_t n, cap;
	enum kind kind;
};

static void
touch(struct touched *t, char *own_topic)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 8;
		t->topic = xrealloc(t->topic, t->cap * sizeof(*t->topic));
	}
	t->topic[t->n++] = own_topic;
}

static void
touch_index(void *arg, enum store_index index, const char *value)
{
	struct touched *t = arg;

	if (index != STORE_ALL)
		touch(t, object_topic(t->kind, index_letter(index), value));
}

static void
touch_all(struct touched *t, const struct obj *o)
{
	if (!o)
		return;
	t->kind = o->kind;
	touch(t, object_topic(o->kind, 'n', o->key));
	touch(t, object_topic(o->kind, 'a', ""));
	obj_index_values(o, touch_index, t);
}

static bool
touches(const struct touched *t, const char *topic)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->topic[i], topic) == 0)
			return true;
	return false;
}

static void
touched_fini(struct touched *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->topic[i]);
	free(t->topic);
}

#define COMPARED_MAX 32

/* Rows are compared once per projection, however many keys share it. */
struct comparison {
	const struct obj *old, *now;
	struct {
		const struct projection *p;
		bool differs;
	} done[COMPARED_MAX];
	size_t n;
};

static bool
differs(void *arg, const struct projection *p)
{
	struct comparison *c = arg;
	bool yes;

	for (size_t i = 0; i < c->n; i++)
		if (c->done[i].p == p)
			return c->done[i].differs;
	yes = strcmp(obj_row(c->old, p), obj_row(c->now, p)) != 0;
	if (c->n < COMPARED_MAX) {
		c->done[c->n].p = p;
		c->done[c->n++].differs = yes;
	}
	return yes;
}

void
world_interested(
	struct world *w, const struct obj *old, const struct obj *now, world_key_fn *fn, void *arg)
{
	struct comparison c = { .old = old, .now = now };
	struct touched was = { 0 }, is = { 0 };
	struct topic *t;

	touch_all(&was, old);
	touch_all(&is, now);
	world_index_round(w->index);
	for (size_t i = 0; i < is.n; i++) {
		bool both = touches(&was, is.topic[i]);

		t = world_index_find(w->index, is.topic[i]);
		if (t)
			world_index_tell(w->index, t, both ? differs : NULL, &c, fn, arg);
	}
	for (size_t i = 0; i < was.n; i++) {
		t = world_index_find(w->index, was.topic[i]);
		if (t && !touches(&is, was.topic[i]))
			world_index_tell(w->index, t, NULL, NULL, fn, arg);
	}
	touched_fini(&was);
	touched_fini(&is);
}

struct telling {
	struct world *w;
	world_key_fn *fn;
	void *arg;
};

static void
tell_topic(void *arg, const char *topic)
{
	struct telling *x = arg;
	struct topic *t = world_index_find(x->w->index, topic);

	if (t)
		world_index_tell(x->w->index, t, NULL, NULL, x->fn, x->arg);
}

void
world_interested_pd(struct world *w, const char *ns, const char *cluster,
	const char *const *changed, size_t n, world_key_fn *fn, void *arg)
{
	struct pdview *v = w->from.pdview ? w->from.pdview(w->from.arg, ns, cluster) : NULL;
	struct telling x = { w, fn, arg };

	world_index_round(w->index);
	for (size_t i = 0; i < n; i++)
		world_pd_touched(v, ns, cluster, changed[i], tell_topic, &x);
}

static void
tell_one(struct world *w, char kind, const char *ns, const char *name, world_key_fn *fn, void *arg)
{
	struct telling x = { w, fn, arg };
	char *topic = xasprintf("%c%s/%s", kind, ns, name);

	world_index_round(w->index);
	tell_topic(&x, topic);
	free(topic);
}

void
world_interested_tikv(
	struct world *w, const char *ns, const char *instance, world_key_fn *fn, void *arg)
{
	tell_one(w, 'T', ns, instance, fn, arg);
}

void
world_interested_secret(
	struct world *w, const char *ns, const char *name, world_key_fn *fn, void *arg)
{
	tell_one(w, 'S', ns, name, fn, arg);
}

void
world_forget(struct world *w, const char *key)
{
	world_index_forget(w->index, key);
}
