#include "engine/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/ctl_priv.h"

#define ACTIVE_MAX 8
#define PASSES_A_TURN 32 /* then the loop turns: renewals and answers must not wait */
#define OVERDUE_MS 10000
#define LOOK_MS 1000 /* how often an overdue write, or leave to run, is looked for */

static const enum kind ours[] = { KIND_CLUSTER, KIND_PDGROUP, KIND_PD, KIND_TIKVGROUP, KIND_TIKV };
static const double seconds[] = { 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 0 };

static void
key_free(void *value)
{
	struct ctl_key *k = value;

	json_free(k->last);
	free(k->status);
	free(k->busy);
	free(k->pd_cluster);
	free(k->ns);
	free(k->name);
	free(k);
}

struct ctl *
ctl_new(const struct ctl_conf *conf)
{
	struct ctl *c = xcalloc(1, sizeof(*c));
	struct metrics *m = conf->metrics;

	c->conf = *conf;
	if (c->conf.max_active <= 0)
		c->conf.max_active = ACTIVE_MAX;
	c->keys = map_new(key_free);
	c->timer_at = -1;
	if (!m)
		return c;
	metric_family(m, "tikv_operator_reconcile_total", METRIC_COUNTER,
		"Passes that ended, by kind and result.", NULL);
	metric_family(m, "tikv_operator_reconcile_seconds", METRIC_HISTOGRAM,
		"Time to build a world and decide on it, by kind.", seconds);
	metric_family(m, "tikv_operator_queue_depth", METRIC_GAUGE,
		"Objects waiting for a pass, retries included.", NULL);
	metric_family(m, "tikv_operator_passes_active", METRIC_GAUGE,
		"Passes whose actions are on the wire.", NULL);
	return c;
}

void
ctl_free(struct ctl *c)
{
	if (!c)
		return;
	while (c->passes) {
		exec_cancel(c->conf.exec, c->passes->run);
		ctl_pass_free(c->passes);
	}
	loop_cancel(c->conf.loop, c->timer);
	loop_cancel(c->conf.loop, c->expect_timer);
	loop_cancel(c->conf.loop, c->drained_timer);
	map_free(c->keys);
	free(c);
}

int64_t
ctl_now(const struct ctl *c)
{
	return loop_now(c->conf.loop);
}

/* ---- keys ---- */

static struct ctl_key *
key_new(const char *text)
{
	const char *slash = strchr(text, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;
	size_t n = strlen(text) + 1;
	struct ctl_key *k;
	enum kind kind;
	char *name;

	if (!second)
		return NULL;
	name = xstrndup(text, (size_t)(slash - text));
	if (kind_of(name, &kind) < 0 || !kind_row(kind)->ours) {
		free(name);
		return NULL;
	}
	free(name);
	k = xcalloc(1, sizeof(*k) + n);
	memcpy(k->text, text, n);
	k->kind = kind;
	k->ns = xstrndup(slash + 1, (size_t)(second - slash - 1));
	k->name = xstrdup(second + 1);
	k->status_due = -1;
	return k;
}

struct ctl_key *
ctl_key_get(struct ctl *c, const char *text)
{
	struct ctl_key *k = map_get(c->keys, text);

	if (!k && (k = key_new(text)))
		map_put(c->keys, k->text, k);
	return k;
}

void
ctl_key_forget(struct ctl *c, struct ctl_key *k)
{
	world_forget(c->conf.world, k->text);
	expect_forget(c->conf.expect, k->text);
	map_del(c->keys, k->text);
}

static char *
key_of(const struct obj *o)
{
	return xasprintf("%s/%s", kind_row(o->kind)->kind, o->key);
}

char *
ctl_cluster_of(const struct obj *o, const cJSON *tree)
{
	return xstrdup(o->kind == KIND_CLUSTER ? o->name : json_str(tree, "spec.cluster.name", ""));
}

/* ---- when passes run ---- */

static void on_timer(void *arg);

void
ctl_arm(struct ctl *c)
{
	int64_t due = queue_next_due(c->conf.queue), now = ctl_now(c);

	if (c->conf.metrics) {
		metric_set(c->conf.metrics, "tikv_operator_queue_depth", "",
			(double)queue_depth(c->conf.queue));
		metric_set(c->conf.metrics, "tikv_operator_passes_active", "", c->active);
	}
	if (c->running)
		return;
	if (due < 0 || c->draining || c->active >= c->conf.max_active) {
		loop_cancel(c->conf.loop, c->timer);
		c->timer = NULL;
		return;
	}
	if (due < now)
		due = now;
	/* A lease that ran low and was renewed tells nobody. */
	if (!c->conf.may_run(c->conf.arg))
		due = c->timer && c->timer_at > now ? c->timer_at : now + LOOK_MS;
	if (c->timer && c->timer_at == due)
		return;
	loop_cancel(c->conf.loop, c->timer);
	c->timer_at = due;
	c->timer = loop_after(c->conf.loop, due - now, on_timer, c);
}

static void
on_freed(void *arg, const char *text)
{
	struct ctl *c = arg;
	struct ctl_key *k = map_get(c->keys, text);

	if (!k || !k->held)
		return;
	k->held = false;
	queue_add(c->conf.queue, text, ctl_now(c), QUEUE_EVENT, "its own writes were seen");
}

/* On time-out the kind is listed again; a key is never let through on time alone (R1). */
static void
on_expect_timer(void *arg)
{
	struct ctl *c = arg;
	uint32_t kinds;

	c->expect_timer = NULL;
	expect_look(c->conf.expect, on_freed, c);
	kinds = expect_overdue(c->conf.expect, ctl_now(c) - OVERDUE_MS + 1);
	if (kinds && ctl_now(c) >= c->relist_next) {
		c->relist_next = ctl_now(c) + OVERDUE_MS;
		for (int k = 0; k < KIND_COUNT; k++)
			if (kinds & 1u << k)
				c->conf.relist(c->conf.arg, (enum kind)k);
	}
	if (expect_open(c->conf.expect))
		c->expect_timer =
			loop_after(c->conf.loop, kinds ? LOOK_MS : OVERDUE_MS, on_expect_timer, c);
	ctl_arm(c);
}

static void
arm_expect(struct ctl *c)
{
	if (!c->expect_timer && expect_open(c->conf.expect))
		c->expect_timer = loop_after(c->conf.loop, OVERDUE_MS, on_expect_timer, c);
}

/* The key wrote to PD, and PD has not been asked since. */
static bool
waits_for_pd(struct ctl *c, struct ctl_key *k)
{
	if (!k->pd_cluster)
		return false;
	if (ctl_now(c) - k->pd_wrote < OVERDUE_MS && c->conf.pd_since &&
		!c->conf.pd_since(c->conf.arg, k->ns, k->pd_cluster, k->pd_wrote))
		return true;
	free(k->pd_cluster);
	k->pd_cluster = NULL;
	return false;
}

static void
start_one(struct ctl *c, const char *text, const char *reason)
{
	struct ctl_key *k = ctl_key_get(c, text);

	if (!k) {
		queue_done(c->conf.queue, text, QUEUE_GONE, ctl_now(c), 0);
	} else if (expect_holds(c->conf.expect, text)) {
		k->held = true;
		queue_hold(c->conf.queue, text, ctl_now(c) + OVERDUE_MS, "held: own writes unseen");
	} else if (waits_for_pd(c, k)) {
		queue_hold(c->conf.queue, text, ctl_now(c) + LOOK_MS, "held: PD was not asked yet");
	} else {
		k->held = false;
		ctl_pass_start(c, k, reason);
	}
}

void
ctl_kick(struct ctl *c)
{
	const char *key, *reason;

	if (c->running)
		return;
	c->running = true;
	for (int i = 0; i < PASSES_A_TURN && !c->draining && c->active < c->conf.max_active; i++) {
		if (!c->conf.may_run(c->conf.arg))
			break;
		key = queue_pop(c->conf.queue, ctl_now(c), &reason);
		if (!key)
			break;
		start_one(c, key, reason);
	}
	c->running = false;
	ctl_arm(c);
}

static void
on_timer(void *arg)
{
	struct ctl *c = arg;

	c->timer = NULL;
	ctl_kick(c);
}

static void
on_drained(void *arg)
{
	struct ctl *c = arg;

	c->drained_timer = NULL;
	c->drained(c->drained_arg);
}

void
ctl_pass_over(struct ctl *c)
{
	arm_expect(c);
	if (c->draining && c->active == 0 && c->drained && !c->drained_timer)
		c->drained_timer = loop_after(c->conf.loop, 0, on_drained, c);
	ctl_arm(c);
}

void
ctl_drain(struct ctl *c, void (*done)(void *arg), void *arg)
{
	c->draining = true;
	c->drained = done;
	c->drained_arg = arg;
	ctl_pass_over(c);
}

bool
ctl_idle(const struct ctl *c)
{
	int64_t due = queue_next_due(c->conf.queue);

	return c->active == 0 && (due < 0 || due > ctl_now(c));
}

/* ---- events ---- */

struct waking {
	struct ctl *c;
	char reason[160];
};

static void
wake_because(void *arg, const char *text)
{
	struct waking *x = arg;

	queue_add(x->c->conf.queue, text, ctl_now(x->c), QUEUE_EVENT, x->reason);
}

static bool
same(const cJSON *a, const cJSON *b, const char *path)
{
	const cJSON *x = json_path(a, path), *y = json_path(b, path);

	return x == y || (x && y && json_equal(x, y));
}

char *
ctl_digest(const cJSON *tree)
{
	char hex[65];
	struct buf b;

	buf_init(&b, 0);
	json_print_canonical(tree, &b);
	hash_sha256_hex(b.at, b.len, hex);
	buf_fini(&b);
	return xstrdup(hex);
}

/* False when nothing but the status differs, and that is what we wrote. */
static bool
own_change_matters(struct ctl *c, const char *text, const struct obj *old, const struct obj *now)
{
	static const char *const watched[] = { "metadata.labels", "metadata.annotations",
		"metadata.finalizers", "metadata.ownerReferences", NULL };
	const struct ctl_key *k = map_get(c->keys, text);
	const cJSON *a, *b;
	bool matters = false;

	if (!old || !now || old->generation != now->generation || old->deleting != now->deleting)
		return true;
	a = obj_tree(old);
	b = obj_tree(now);
	for (const char *const *p = watched; *p; p++)
		matters |= !same(a, b, *p);
	if (!matters && !same(a, b, "status")) {
		const cJSON *status = json_get(b, "status");
		char *t = status ? ctl_digest(status) : xstrdup("");

		matters = !k || !k->status || strcmp(t, k->status) != 0;
		free(t);
	}
	json_free(a);
	json_free(b);
	return matters;
}

static void
own_event(struct ctl *c, const struct obj *old, const struct obj *now)
{
	const struct obj *o = now ? now : old;
	struct store *s = c->conf.store(c->conf.arg, o->kind);
	bool one = o->kind == KIND_PD || o->kind == KIND_TIKV;
	/* Of a thousand new instances, those that were begun are brought up first. */
	bool first = !old && (one || (s && !store_synced(s)));
	char *text = key_of(o);

	if (own_change_matters(c, text, old, now))
		queue_add(c->conf.queue, text, ctl_now(c), first ? QUEUE_RESYNC : QUEUE_EVENT,
			!old          ? "it was added"
			: !now        ? "it is gone"
			: o->deleting ? "it is being deleted"
				      : "it changed");
	free(text);
}

void
ctl_event(struct ctl *c, const struct obj *old, const struct obj *now)
{
	const struct obj *o = now ? now : old;
	/* Read once for all that compare it below. */
	const cJSON *tree = obj_tree(o);
	struct waking x = { .c = c };

	expect_saw(c->conf.expect, old, now, on_freed, c);
	if (kind_row(o->kind)->ours)
		own_event(c, old, now);
	snprintf(x.reason, sizeof(x.reason), "%s %s %s", kind_row(o->kind)->kind, o->name,
		!old   ? "was added"
		: !now ? "is gone"
		       : "changed");
	world_interested(c->conf.world, old, now, wake_because, &x);
	json_free(tree);
	ctl_arm(c);
}

void
ctl_pd_event(
	struct ctl *c, const char *ns, const char *cluster, const char *const *changed, size_t n)
{
	struct waking x = { .c = c };

	snprintf(x.reason, sizeof(x.reason), "PD: %s%s", n ? changed[0] : "", n > 1 ? ", ..." : "");
	world_interested_pd(c->conf.world, ns, cluster, changed, n, wake_because, &x);
	ctl_arm(c);
}

void
ctl_secret_event(struct ctl *c, const char *ns, const char *name)
{
	struct waking x = { .c = c };

	snprintf(x.reason, sizeof(x.reason), "Secret %s", name);
	world_interested_secret(c->conf.world, ns, name, wake_because, &x);
	ctl_arm(c);
}

void
ctl_tikv_event(struct ctl *c, const char *ns, const char *instance)
{
	struct waking x = { .c = c };

	snprintf(x.reason, sizeof(x.reason), "settings of %s", instance);
	world_interested_tikv(c->conf.world, ns, instance, wake_because, &x);
	ctl_arm(c);
}

void
ctl_everything(struct ctl *c, const char *reason)
{
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
		struct store *s = c->conf.store(c->conf.arg, ours[i]);
		const struct obj **list;
		size_t n = s ? store_list(s, STORE_ALL, "", &list) : 0;

		for (size_t j = 0; j < n; j++) {
			char *text = key_of(list[j]);

			queue_add(c->conf.queue, text, ctl_now(c), QUEUE_RESYNC, reason);
			free(text);
		}
		if (s)
			free(list);
	}
	ctl_arm(c);
}
