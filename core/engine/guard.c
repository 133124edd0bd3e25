#include "engine/guard.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/guard_priv.h"

const struct guard_rule_row guard_rules[GUARD_RULES] = {
	[G1] = { "G1", "ValidLease",
		"Writes only with a lease that outlives the request, on synced caches, where no "
		"other or newer operator looks after the Cluster." },
	[G2] = { "G2", "Preconditions",
		"Deletions and patches carry uid and resourceVersion; the owner is live and not "
		"superseded." },
	[G3] = { "G3", "OnlyOwnObjects",
		"Only objects of the owner's uid, in its namespace, are touched; claims never "
		"carry owner references." },
	[G4] = { "G4", "DataOnlyWithProof",
		"A claim is deleted only with proof that its store or member left PD, or with its "
		"Cluster by whenDeleted." },
	[G5] = { "G5", "PDKeepsMajority",
		"PD changes one member at a time and keeps a healthy majority; a cluster id never "
		"changes." },
	[G6] = { "G6", "StoresStayAvailable",
		"Planned steps keep enough stores serving for every region." },
	[G7] = { "G7", "NoForceWithoutProof",
		"No force without proof that the node is gone. Time is no proof." },
	[G8] = { "G8", "PDHistory",
		"Nothing is removed while PD is unknown, another cluster, or gone back in time." },
	[G9] = { "G9", "BlastRadius",
		"Destructive actions are limited per cluster and minute; a broken expectation "
		"stops "
		"them." },
};

typedef int rule_fn(const struct ask *q, struct err *e);
static rule_fn *const rules[GUARD_RULES] = {
	[G1] = guard_g1,
	[G2] = guard_g2,
	[G3] = guard_g3,
	[G4] = guard_g4,
	[G5] = guard_g5,
	[G6] = guard_g6,
	[G7] = guard_g7,
	[G8] = guard_g8,
	[G9] = guard_g9,
};

/* ---- what rules share ---- */

int
guard_no(struct err *e, enum guard_rule rule, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(e, ERR_REFUSED, "%s: %s", guard_rules[rule].id, text);
}

bool
guard_same(const char *a, const char *b)
{
	return a[0] != '\0' && strcmp(a, b) == 0;
}

bool
guard_in_list(const char *list, const char *id)
{
	size_t n = strlen(id);

	for (const char *at = list; at != NULL && *at != '\0'; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, id, n) == 0 && (at[n] == ',' || at[n] == '\0'))
			return true;
	}
	return false;
}

bool
guard_ready(const cJSON *pod)
{
	return guard_same(json_str(pod, "status.conditions[type=Ready].status", ""), "True");
}

const char *
guard_ns(const struct ask *q)
{
	return q->s->object->ns != NULL ? q->s->object->ns : "";
}

const struct obj *
guard_get(const struct ask *q, enum kind k, const char *ns, const char *name)
{
	struct store *s = q->g->facts.store(q->g->facts.arg, k);

	return s != NULL && name[0] != '\0' ? store_get(s, ns, name) : NULL;
}

size_t
guard_list(const struct ask *q, enum kind k, enum store_index index, const char *value,
	const struct obj ***out)
{
	struct store *s = q->g->facts.store(q->g->facts.arg, k);

	*out = NULL;
	return s != NULL ? store_list(s, index, value, out) : 0;
}

const char *
guard_label(const cJSON *object, const char *key)
{
	const char *v = json_text(json_get(json_path(object, "metadata.labels"), key));

	return v != NULL ? v : "";
}

const char *
guard_annotation(const cJSON *object, const char *key)
{
	const char *v = json_text(json_get(json_path(object, "metadata.annotations"), key));

	return v != NULL ? v : "";
}

char *
guard_mark(const struct ask *q, const cJSON *claim, const char *label)
{
	const char *own = guard_label(claim, label);
	const struct obj *volume;
	char *mark;
	const cJSON *t;

	if (own[0] != '\0')
		return xstrdup(own);
	volume = guard_get(q, KIND_VOLUME, "", json_str(claim, "spec.volumeName", ""));
	t = volume != NULL ? obj_tree(volume) : NULL;
	mark = xstrdup(guard_label(t, label));
	json_free(t);
	return mark;
}

const char *
guard_owner(enum kind k, const cJSON *object)
{
	if (k == KIND_CLAIM)
		return guard_annotation(object, OWNER_UID);
	return json_str(ref_controller(object), "uid", "");
}

bool
guard_is(const struct ask *q, enum action_kind a, enum kind of)
{
	return q->a->kind == a && q->a->of == of;
}

bool
guard_ending(const struct ask *q)
{
	return q->cluster != NULL && q->cluster->deleting;
}

bool
guard_going_down(const struct ask *q)
{
	return guard_ending(q) ||
	       json_bool(q->cluster_tree, "spec.suspendAction.suspendCompute", false);
}

const char *
guard_component(const cJSON *object)
{
	return guard_label(object, LABEL_COMPONENT);
}

const char *
guard_pd_unknown(const struct ask *q)
{
	const char *recorded = json_str(q->cluster_tree, "status.id", "");
	const char *seen = json_str(q->pd, "cluster_id", ""), *why;

	if (q->view == NULL || q->pd == NULL)
		return "PD has not answered yet";
	if (pdview_history_changed(q->view, &why))
		return "PDHistoryChanged";
	if (pdview_age_ms(q->view) < 0 || pdview_age_ms(q->view) > GUARD_PD_FRESH_MS)
		return "PD's last answer is too old";
	if (seen[0] == '\0' || (recorded[0] != '\0' && strcmp(recorded, seen) != 0))
		return "PDHistoryChanged: another cluster id than the recorded one";
	if (json_path(q->pd, "leader.id") == NULL)
		return "PD has no leader";
	return NULL;
}

bool
guard_never_founded(const struct ask *q)
{
	return q->cluster != NULL && json_str(q->cluster_tree, "status.id", "")[0] == '\0' &&
	       json_str(q->live_tree, "status.id", "")[0] == '\0' &&
	       json_str(q->live_tree, "status.clusterID", "")[0] == '\0' &&
	       json_path(q->pd, "leader.id") == NULL;
}

/* ---- G1: every action ---- */

/* Another installation, or a newer version that has looked after it: then we only read. */
static int
owned_by_us(const struct ask *q, struct err *e)
{
	const char *us = q->g->facts.operator_id;
	const char *owner = guard_annotation(q->cluster_tree, OPERATOR_ID);
	const char *behaviour = guard_annotation(q->cluster_tree, BEHAVIOUR);

	if (us != NULL && us[0] != '\0' && owner[0] != '\0' && strcmp(owner, us) != 0)
		return guard_no(e, G1,
			"Cluster %s is looked after by the operator %s, this is %s: a person may "
			"remove the annotation " OPERATOR_ID,
			q->s->cluster, owner, us);
	if (strtoll(behaviour, NULL, 10) > GUARD_BEHAVIOUR)
		return guard_no(e, G1,
			"a newer operator has looked after Cluster %s (behaviour %s, this has %d)",
			q->s->cluster, behaviour, GUARD_BEHAVIOUR);
	return 0;
}

int
guard_g1(const struct ask *q, struct err *e)
{
	const struct guard_facts *f = &q->g->facts;

	if (f->read_only)
		return guard_no(e, G1, "read only: nothing is written");
	if (f->lease_valid_ms(f->arg) <= GUARD_REQUEST_MS)
		return guard_no(
			e, G1, "the lease may end before the request does: wait for its renewal");
	if (!f->synced(f->arg))
		return guard_no(e, G1, "not all caches have synced");
	return owned_by_us(q, e);
}

/* ---- G2: every action; preconditions for those on objects ---- */

int
guard_g2(const struct ask *q, struct err *e)
{
	const struct obj *s = q->s->object;
	const struct action *a = q->a;

	if (q->live == NULL || strcmp(q->live->uid, s->uid) != 0)
		return guard_no(e, G2, "%s %s is gone or is another object now",
			kind_row(s->kind)->kind, s->name);
	if (q->live->generation != s->generation || q->live->deleting != s->deleting)
		return guard_no(e, G2, "%s %s was superseded: decided anew",
			kind_row(s->kind)->kind, s->name);
	switch (a->kind) {
	case ACTION_DELETE:
	case ACTION_PATCH_META:
	case ACTION_MARK:
		if (a->uid == NULL || a->uid[0] == '\0' || !rv_valid(a->rv))
			return guard_no(e, G2, "%s %s: uid and resourceVersion are needed",
				action_name(a->kind), a->name);
		break;
	case ACTION_APPLY:
	case ACTION_JOB:
		if (a->creates && q->target != NULL)
			return guard_no(e, G2, "%s %s is there already: its uid is needed",
				kind_row(a->of)->kind, a->name);
		/* What drains may need its pod once more; nothing else is begun. */
		if (a->creates && s->deleting && a->of != KIND_POD && a->of != KIND_CONFIGMAP &&
			a->of != KIND_JOB)
			return guard_no(e, G2, "%s %s is being deleted: nothing new is made for it",
				kind_row(s->kind)->kind, s->name);
		break;
	case ACTION_STATUS:
		return 0;
	case ACTION_PD_OFFLINE:
	case ACTION_PD_ONLINE:
	case ACTION_PD_EVICT_LEADERS:
	case ACTION_PD_RESTORE_LEADERS:
	case ACTION_PD_TRANSFER_LEADER:
	case ACTION_PD_REMOVE_MEMBER:
	case ACTION_PD_LABELS:
	case ACTION_PD_CONFIG:
	case ACTION_PD_STORE_LIMIT:
	case ACTION_PD_PURGE:
	case ACTION_TIKV_CONFIG:
	case ACTION_EVENT:
	case ACTION_COUNT:
		return 0;
	}
	if (!a->creates && q->target != NULL && strcmp(q->target->uid, a->uid) != 0)
		return guard_no(e, G2, "%s %s has uid %.40s, the plan means %.40s",
			kind_row(a->of)->kind, a->name, q->target->uid, a->uid);
	return 0;
}

/* ---- asking ---- */

struct guard *
guard_new(const struct guard_facts *f)
{
	struct guard *g = xcalloc(1, sizeof *g);

	must(f->store != NULL && f->lease_valid_ms != NULL && f->synced != NULL &&
		f->clock != NULL);
	g->facts = *f;
	g->blast = guard_blasts_new();
	g->stopping = guard_stopping_new();
	if (f->metrics == NULL)
		return g;
	metric_family(f->metrics, "tikv_operator_guard_refusals_total", METRIC_COUNTER,
		"Actions that the guard refused, by rule.", NULL);
	metric_family(f->metrics, "tikv_operator_guard_breaker_open", METRIC_GAUGE,
		"1 while G9's breaker of a cluster is open: a person must confirm.", NULL);
	return g;
}

void
guard_free(struct guard *g)
{
	if (g == NULL)
		return;
	map_free(g->blast);
	map_free(g->stopping);
	free(g);
}

static const cJSON *
tree(const struct obj *o)
{
	return o != NULL ? obj_tree(o) : NULL;
}

static void
ask_open(struct ask *q, struct guard *g, const struct guard_subject *s, const struct action *a)
{
	*q = (struct ask){ .g = g, .s = s, .a = a };
	q->live = guard_get(q, s->object->kind, guard_ns(q), s->object->name);
	q->cluster = s->object->kind == KIND_CLUSTER
			     ? q->live
			     : guard_get(q, KIND_CLUSTER, guard_ns(q), s->cluster);
	if (a->of != KIND_COUNT && a->name != NULL)
		q->target = guard_get(q, a->of, a->ns, a->name);
	q->live_tree = tree(q->live);
	q->cluster_tree = tree(q->cluster);
	q->target_tree = tree(q->target);
	if (g->facts.pdview != NULL && s->cluster != NULL)
		q->view = g->facts.pdview(g->facts.arg, guard_ns(q), s->cluster);
	q->pd = q->view != NULL ? pdview_snapshot(q->view) : NULL;
}

static void
refused(struct guard *g, const char *rule)
{
	struct buf labels;

	if (g->facts.metrics == NULL)
		return;
	buf_init(&labels, 0);
	metric_label(&labels, "rule", rule);
	metric_add(g->facts.metrics, "tikv_operator_guard_refusals_total", labels.at, 1);
	buf_fini(&labels);
}

/* The first rule that says no, or -1. */
static int
first_no(struct guard *g, const struct guard_subject *s, const struct action *a, int from,
	struct err *e)
{
	struct ask q;
	int no = -1;

	ask_open(&q, g, s, a);
	for (int i = from; i < GUARD_RULES && no < 0; i++)
		no = rules[i](&q, e) != 0 ? i : -1;
	json_free(q.live_tree);
	json_free(q.cluster_tree);
	json_free(q.target_tree);
	return no;
}

int
guard_check(struct guard *g, const struct guard_subject *s, const struct action *a, struct err *e)
{
	int no = first_no(g, s, a, 0, e);

	if (no >= 0)
		refused(g, guard_rules[no].id);
	else
		guard_stopping_note(g, a);
	return no < 0 ? 0 : -1;
}

int
guard_foresee(struct guard *g, const struct guard_subject *s, const struct action *a, struct err *e)
{
	return first_no(g, s, a, 1, e) < 0 ? 0 : -1;
}
