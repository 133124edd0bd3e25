#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/ctl_priv.h"

#define SPACE_MS 250    /* between passes of groups and clusters */
#define SPACE_FACTOR 20 /* times the last pass's cost */
#define QUIET_MS 200    /* of instances, after two passes in a row that did nothing */
#define QUIET_MAX 5     /* doubled up to 1.6 s */
#define SPACE_MAX_MS 10000
#define POLICIES_MAX 64

/* ---- policies ---- */

static void
add_refs(char **refs, size_t *n, const char *ns, const cJSON *list)
{
	const cJSON *it;

	cJSON_ArrayForEach(it, list)
	{
		const char *name = json_str(it, "name", NULL);
		char *ref;
		bool known = false;

		if (!name || *n == POLICIES_MAX)
			continue;
		ref = xasprintf("%s/%s", ns, name);
		for (size_t i = 0; i < *n; i++)
			known |= strcmp(refs[i], ref) == 0;
		if (known)
			free(ref);
		else
			refs[(*n)++] = ref;
	}
}

static void
add_refs_of(struct ctl *c, char **refs, size_t *n, enum kind k, const char *ns, const char *name)
{
	struct store *s = c->conf.store(c->conf.arg, k);
	const struct obj *o = s && *name ? store_get(s, ns, name) : NULL;
	const cJSON *tree;

	if (!o || !strstr(o->text, "policyRefs"))
		return;
	tree = obj_tree(o);
	add_refs(refs, n, ns, json_path(tree, "spec.policyRefs"));
	json_free(tree);
}

char **
ctl_policies(struct ctl *c, const struct obj *o, const cJSON *tree)
{
	char **refs = xcalloc(POLICIES_MAX + 1, sizeof(*refs));
	const cJSON *owner = ref_controller(tree);
	char *cluster = ctl_cluster_of(o, tree);
	enum kind group;
	size_t n = 0;

	if (o->kind != KIND_CLUSTER)
		add_refs_of(c, refs, &n, KIND_CLUSTER, o->ns, cluster);
	/* An instance follows its group. */
	if (owner && kind_of(json_str(owner, "kind", ""), &group) == 0 &&
		(group == KIND_PDGROUP || group == KIND_TIKVGROUP))
		add_refs_of(c, refs, &n, group, o->ns, json_str(owner, "name", ""));
	add_refs(refs, &n, o->ns, json_path(tree, "spec.policyRefs"));
	free(cluster);
	return refs;
}

void
ctl_policies_free(char **refs)
{
	for (char **r = refs; *r; r++)
		free(*r);
	free(refs);
}

/* ---- one pass ---- */

static bool
is_group(enum kind k)
{
	return k == KIND_CLUSTER || k == KIND_PDGROUP || k == KIND_TIKVGROUP;
}

static void
space(struct ctl *c, const struct ctl_key *k, int64_t began)
{
	int64_t cost = c->conf.cost_us ? c->conf.cost_us(c->conf.arg) : (ctl_now(c) - began) * 1000;
	int64_t ms = cost * SPACE_FACTOR / 1000;
	int64_t least = is_group(k->kind) ? SPACE_MS : 0;

	/* Woken again and again for nothing: its pod, disk and node change within moments. */
	if (!is_group(k->kind) && k->quiet > 1)
		least = (int64_t)QUIET_MS << (k->quiet - 2);

	if (ms < least)
		ms = least;
	if (ms > SPACE_MAX_MS)
		ms = SPACE_MAX_MS;
	queue_space(c->conf.queue, k->text, began + ms);
	if (c->conf.metrics) {
		struct buf b;

		buf_init(&b, 0);
		metric_label(&b, "kind", kind_row(k->kind)->kind);
		metric_observe(c->conf.metrics, "tikv_operator_reconcile_seconds", b.at,
			(double)cost / 1e6);
		buf_fini(&b);
	}
}

/* The plan of an object as the active generation sees it now. NULL with *e and *what failed. */
static cJSON *
decide(struct ctl *c, const char *key, const struct obj *o, const cJSON *last, const char *because,
	bool keep, cJSON **world_out, const char **what, struct err *e)
{
	const struct generation *g = script_active(c->conf.script);
	const cJSON *tree = obj_tree(o);
	cJSON *needs = NULL, *world = NULL, *plan = NULL;
	char **refs = ctl_policies(c, o, tree);

	*what = "needs";
	if (script_needs(c->conf.script, tree, &needs, e) == VM_OK) {
		*what = "world";
		world = world_build(c->conf.world, key, o, needs, last, e);
	}
	if (world) {
		*what = "run";
		if (script_run(c->conf.script, world, (const char *const *)refs, &plan, e) !=
			VM_OK) {
			json_free(plan);
			plan = NULL;
		} else if (!plan) {
			err_set(e, ERR_INVALID, "the pass returned no plan");
		}
	}
	if (keep) {
		record_pass(c->conf.record, key, g ? g->name : "", because, world, plan,
			plan ? "" : e->msg, clock_wall(c->conf.loop->clock));
		if (world)
			record_asked(c->conf.record, key, script_asked(c->conf.script));
	}
	if (world_out && world)
		*world_out = json_clone(world);
	json_free(world);
	json_free(needs);
	json_free(tree);
	ctl_policies_free(refs);
	return plan;
}

/* Whether the status is to be written now; a delayed write is remembered with its time. */
static bool
status_now(struct ctl *c, struct ctl_key *k, const struct obj *o, const struct plan *p)
{
	const cJSON *tree, *live;
	bool same;

	if (!p->status)
		return false;
	tree = obj_tree(o);
	live = json_get(tree, "status");
	same = live ? json_equal(live, p->status) : p->status->child == NULL;
	json_free(tree);
	if (same) {
		k->status_due = -1;
		return false;
	}
	if (p->status_after <= 0)
		return true;
	if (k->status_due < 0)
		k->status_due = ctl_now(c) + (int64_t)(p->status_after * 1000);
	return k->status_due <= ctl_now(c);
}

static void
tell_pd(struct ctl *c, struct ctl_key *k, const char *cluster, bool busy)
{
	bool moved = k->busy && strcmp(k->busy, cluster) != 0;

	if (!c->conf.pd_busy)
		return;
	if (k->busy && (!busy || moved)) {
		c->conf.pd_busy(c->conf.arg, k->ns, k->busy, k->text, false);
		free(k->busy);
		k->busy = NULL;
	}
	if (busy && !k->busy && *cluster) {
		k->busy = xstrdup(cluster);
		c->conf.pd_busy(c->conf.arg, k->ns, cluster, k->text, true);
	}
}

static struct pass *
pass_new(struct ctl *c, struct ctl_key *k, const struct obj *o, const struct plan *plan)
{
	struct pass *p = xcalloc(1, sizeof(*p));
	const cJSON *tree = obj_tree(o);

	p->c = c;
	p->key = k;
	p->object = obj_ref(o);
	p->cluster = ctl_cluster_of(o, tree);
	p->verdict = plan->verdict;
	p->after = plan->after;
	p->cut = plan->cut;
	p->actions = plan->actions;
	p->action = xcalloc(plan->actions ? (size_t)plan->actions : 1, sizeof(*p->action));
	for (int i = 0; i < plan->actions; i++)
		p->action[i] = plan->action[i].kind;
	p->next = c->passes;
	p->prev = &c->passes;
	if (p->next)
		p->next->prev = &p->next;
	c->passes = p;
	json_free(tree);
	return p;
}

void
ctl_pass_free(struct pass *p)
{
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	obj_unref(p->object);
	free(p->cluster);
	free(p->action);
	free(p);
}

void
ctl_pass_perform(struct ctl *c, struct ctl_key *k, const struct obj *o, struct plan *own_plan,
	bool status, exec_done_fn *done)
{
	struct pass *p = pass_new(c, k, o, own_plan);
	struct guard_subject s = { .object = p->object, .cluster = p->cluster };

	tell_pd(c, k, p->cluster, own_plan->pd_busy);
	if (status) {
		/* The event of the write may come before its answer. */
		free(k->status);
		k->status = ctl_digest(own_plan->status);
	}
	if (own_plan->actions == 0 && !status) {
		plan_free(own_plan);
		ctl_end_verdict(p);
		return;
	}
	c->active++;
	p->run = exec_start(c->conf.exec, k->text, &s, own_plan, status, done, p);
}

void
ctl_pass_start(struct ctl *c, struct ctl_key *k, const char *reason)
{
	struct store *s = c->conf.store(c->conf.arg, k->kind);
	const struct obj *o = s ? store_get(s, k->ns, k->name) : NULL;
	int64_t began = ctl_now(c);
	struct err e = { 0 };
	const char *what = "";
	struct plan *plan = NULL;
	const cJSON *object;
	struct obj *held;
	cJSON *tree;

	if (!o) {
		tell_pd(c, k, "", false);
		ctl_count(c, k->kind, "gone");
		queue_done(c->conf.queue, k->text, QUEUE_GONE, began, 0);
		ctl_key_forget(c, k);
		return;
	}
	held = obj_ref(o);
	object = obj_tree(held); /* read once for all that look at it below */
	tree = decide(c, k->text, held, k->last, reason, true, NULL, &what, &e);
	if (tree) {
		what = "plan";
		plan = plan_decode(tree, held->ns, &e);
	}
	if (plan) {
		bool status = status_now(c, k, held, plan), idle = !status && plan->actions == 0;

		k->faults = 0;
		k->quiet = !idle ? 0 : k->quiet < QUIET_MAX ? k->quiet + 1 : QUIET_MAX;
		space(c, k, began);
		ctl_pass_perform(c, k, held, plan, status, ctl_end_exec);
	} else {
		space(c, k, began);
		ctl_end_script(c, k, held, &e, what);
	}
	json_free(object);
	obj_unref(held);
}

/* ---- dry run ---- */

static cJSON *
verdict_of(struct ctl *c, const struct guard_subject *s, const struct action *a)
{
	cJSON *out = json_object();
	struct err e = { 0 };

	json_put_str(out, "action", action_name(a->kind));
	if (a->of != KIND_COUNT)
		json_put_str(out, "kind", kind_row(a->of)->kind);
	json_put_str(out, "name", a->name && *a->name ? a->name : NULL);
	json_put_bool(out, "allowed", guard_foresee(c->conf.guard, s, a, &e) == 0);
	json_put_str(out, "refusal", e.code ? e.msg : NULL);
	return out;
}

cJSON *
ctl_dry_run(struct ctl *c, enum kind kind, const char *ns, const char *name, struct err *e)
{
	struct store *s = c->conf.store(c->conf.arg, kind);
	const struct obj *o = s ? store_get(s, ns, name) : NULL;
	const struct generation *g = script_active(c->conf.script);
	cJSON *out, *world = NULL, *tree, *guards;
	struct guard_subject subject;
	const char *what = "", **made;
	struct plan *plan;
	struct obj *held;
	char *key;

	if (!o) {
		err_set(e, ERR_NOT_FOUND, "%s %s/%s: there is no such object", kind_row(kind)->kind,
			ns, name);
		return NULL;
	}
	held = obj_ref(o);
	key = xasprintf("%s/%s", kind_row(kind)->kind, held->key);
	out = json_object();
	json_put_str(out, "key", key);
	json_put_str(out, "generation", g ? g->name : "");
	tree = decide(c, key, held, NULL, "dry run", false, &world, &what, e);
	if (world)
		json_put(out, "world", world);
	if (tree)
		json_put(out, "plan", json_clone(tree));
	plan = tree ? plan_decode(tree, held->ns, e) : NULL;
	if (!plan) {
		json_put_str(out, "error", e ? e->msg : what);
	} else {
		const cJSON *object = obj_tree(held);
		char *cluster = ctl_cluster_of(held, object);

		made = xcalloc((size_t)plan->actions + 1, sizeof(*made));
		subject =
			(struct guard_subject){ .object = held, .cluster = cluster, .made = made };
		guards = json_array();
		for (int i = 0; i < plan->actions; i++) {
			const struct action *a = &plan->action[i];

			json_add(guards, verdict_of(c, &subject, a));
			if (a->kind == ACTION_APPLY && a->creates && a->of == KIND_CLAIM)
				made[subject.made_n++] = a->name;
		}
		json_put(out, "guard", guards);
		json_free(object);
		free(made);
		free(cluster);
		plan_free(plan);
	}
	obj_unref(held);
	free(key);
	return out;
}
