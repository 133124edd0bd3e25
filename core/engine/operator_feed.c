#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/operator_priv.h"

#define MANAGED "app.kubernetes.io/managed-by=tikv-operator"
#define RELIST_IN_FLIGHT 2

static const struct feed_row {
	enum kind kind;
	const char *selector;
	bool sources, cluster_scoped, optional;
} rows[] = {
	{ .kind = KIND_CLUSTER },
	{ .kind = KIND_PDGROUP },
	{ .kind = KIND_PD },
	{ .kind = KIND_TIKVGROUP },
	{ .kind = KIND_TIKV },
	{ .kind = KIND_POD },
	{ .kind = KIND_CLAIM },
	{ .kind = KIND_CONFIGMAP, .selector = MANAGED },
	{ .kind = KIND_CONFIGMAP, .selector = "tikv.org/policy", .sources = true },
	{ .kind = KIND_CONFIGMAP, .selector = "tikv.org/scripts", .sources = true },
	{ .kind = KIND_SERVICE, .selector = MANAGED },
	{ .kind = KIND_REVISION, .selector = MANAGED },
	{ .kind = KIND_BUDGET, .selector = MANAGED },
	/* Only hooks need them: a role without them loses hooks, nothing else. */
	{ .kind = KIND_JOB, .selector = MANAGED, .optional = true },
	{ .kind = KIND_NODE, .cluster_scoped = true, .optional = true },
	{ .kind = KIND_VOLUME, .cluster_scoped = true, .optional = true },
	{ .kind = KIND_STORAGECLASS, .cluster_scoped = true, .optional = true },
};

static bool
one_namespace(const struct tikv_operator *o)
{
	return o->conf.watch_ns && *o->conf.watch_ns;
}

static void
count_objects(const struct feed *f)
{
	struct buf b;

	if (!f->o->conf.metrics)
		return;
	buf_init(&b, 0);
	metric_label(&b, "kind", kind_row(f->kind)->kind);
	if (f->sources)
		metric_label(&b, "selector", f->selector);
	metric_set(f->o->conf.metrics, "tikv_operator_store_objects", b.at,
		(double)store_count(f->store));
	buf_fini(&b);
}

static void
on_event(void *arg, const struct obj *old, const struct obj *now)
{
	struct feed *f = arg;

	if (!old || !now)
		count_objects(f);
	operator_event(f->o, old, now);
}

/* Two feeds fill one store of sources: an object leaves it when neither has it any more. */
static void
on_source(void *arg, const struct obj *old, const struct obj *now)
{
	struct feed *f = arg;
	struct tikv_operator *o = f->o;

	if (!old || !now)
		count_objects(f);
	if (now) {
		store_put(o->sources, obj_ref(now));
		return;
	}
	for (int i = 0; i < o->feeds; i++)
		if (o->feed[i].sources && store_get(o->feed[i].store, old->ns, old->name))
			return;
	store_remove(o->sources, old->key, old->uid);
}

static void
on_sources(void *arg, const struct obj *old, const struct obj *now)
{
	struct tikv_operator *o = arg;

	if (o->script)
		script_configmap(o->script, old, now);
	sources_event(o, old, now);
}

static void
on_synced(void *arg)
{
	struct feed *f = arg;

	count_objects(f);
	if (f->on_demand && f->o->ctl)
		ctl_everything(f->o->ctl, "a kind asked for was read");
	operator_synced_now(f->o);
}

static struct feed *
feed_new(struct tikv_operator *o, const struct feed_row *row, bool on_demand)
{
	struct feed *f = &o->feed[o->feeds++];
	struct watch_conf c = { .api = o->api, .lists = o->lists };

	*f = (struct feed){ .o = o,
		.kind = row->kind,
		.selector = row->selector,
		.sources = row->sources,
		.on_demand = on_demand,
		.optional = row->optional };
	f->store = store_new(row->kind);
	store_listen(f->store, row->sources ? on_source : on_event, f);
	if (!row->sources)
		o->of[row->kind] = f;
	c.store = f->store;
	c.label_selector = f->selector;
	c.ns = one_namespace(o) ? o->conf.watch_ns : NULL;
	/* Scripts replace our own code: only where the operator lives may they be written. */
	if (row->selector && strcmp(row->selector, "tikv.org/scripts") == 0)
		c.ns = o->conf.ns;
	c.log = o->conf.log;
	c.metrics = o->conf.metrics;
	c.on_synced = on_synced;
	c.arg = f;
	f->watch = watch_new(&c);
	return f;
}

void
feeds_new(struct tikv_operator *o)
{
	o->lists = watch_lists_new(RELIST_IN_FLIGHT);
	o->sources = store_new(KIND_CONFIGMAP);
	store_listen(o->sources, on_sources, o);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (!rows[i].cluster_scoped || !one_namespace(o))
			feed_new(o, &rows[i], false);
}

void
feeds_start(struct tikv_operator *o)
{
	for (int i = 0; i < o->feeds; i++)
		watch_start(o->feed[i].watch);
}

void
feeds_free(struct tikv_operator *o)
{
	for (int i = 0; i < o->feeds; i++)
		watch_free(o->feed[i].watch);
	for (int i = 0; i < o->feeds; i++)
		store_free(o->feed[i].store);
	store_free(o->sources);
	watch_lists_free(o->lists);
}

bool
feeds_synced(const struct tikv_operator *o, const char **why)
{
	for (int i = 0; i < o->feeds; i++) {
		const struct feed *f = &o->feed[i];
		const char *trouble;

		if (f->on_demand || store_synced(f->store))
			continue;
		if (f->optional && watch_state(f->watch) == WATCH_DENIED)
			continue;
		trouble = watch_trouble(f->watch);
		if (why) {
			char *text = (char *)o->why;

			snprintf(text, sizeof(o->why), "%s: not read yet%s%s",
				kind_row(f->kind)->plural, *trouble ? ": " : "", trouble);
			*why = text;
		}
		return false;
	}
	return true;
}

/* Kinds that a pass may ask for though nothing of ours lives in them. */
static bool
on_demand(const struct tikv_operator *o, enum kind k)
{
	return k == KIND_QUOTA || (k == KIND_VOLUMEATTACHMENT && !one_namespace(o));
}

struct store *
feed_peek(void *arg, enum kind k)
{
	struct tikv_operator *o = arg;

	return o->of[k] ? o->of[k]->store : NULL;
}

struct store *
feed_want(void *arg, enum kind k)
{
	struct tikv_operator *o = arg;
	struct feed_row row = { .kind = k };

	if (!o->of[k] && on_demand(o, k) && o->started)
		watch_start(feed_new(o, &row, true)->watch);
	return feed_peek(arg, k);
}

const char *
feed_trouble(void *arg, enum kind k)
{
	struct tikv_operator *o = arg;

	if (o->of[k])
		return watch_trouble(o->of[k]->watch);
	if (!kind_row(k)->namespaced && one_namespace(o))
		return "not watched: the operator reads one namespace only";
	return "";
}

void
feed_relist(void *arg, enum kind k)
{
	struct tikv_operator *o = arg;

	if (o->of[k])
		watch_relist(o->of[k]->watch);
}
