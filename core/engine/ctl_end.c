#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/ctl_priv.h"

#define REFUSED_MS 15000
#define BLAST_MS 60000   /* G9 counts by the minute */
#define INVALID_MS 60000 /* the same thing would be answered again (T6) */
#define SOONEST_MS 100
#define FAULTS_DEGRADED 5

void
ctl_count(struct ctl *c, enum kind k, const char *result)
{
	struct buf b;

	if (!c->conf.metrics)
		return;
	buf_init(&b, 0);
	metric_label(&b, "kind", kind_row(k)->kind);
	metric_label(&b, "result", result);
	metric_add(c->conf.metrics, "tikv_operator_reconcile_total", b.at, 1);
	buf_fini(&b);
}

static void
set_last(struct ctl_key *k, cJSON *own_last)
{
	json_free(k->last);
	k->last = own_last;
}

static cJSON *
failure(const char *action, const struct err *e)
{
	cJSON *out = json_object(), *f = json_put(out, "failed", json_object());

	json_put_str(f, "action", action);
	json_put_str(f, "code", err_name(e->code));
	json_put_str(f, "message", e->msg);
	return out;
}

static cJSON *
refusal(const char *action, const struct err *e)
{
	cJSON *out = json_object(), *r = json_put(out, "refused", json_object());
	char *rule = xstrndup(e->msg, strcspn(e->msg, ":"));

	json_put_str(r, "rule", rule);
	json_put_str(r, "message", e->msg);
	json_put_str(r, "action", action);
	free(rule);
	return out;
}

/* The pass is over: give the key back, and everything it held. */
static void
end_saying(struct pass *p, const char *result, const char *outcome, enum queue_end how, int64_t due)
{
	struct ctl *c = p->c;
	struct ctl_key *k = p->key;

	ctl_count(c, k->kind, result);
	record_outcome(c->conf.record, k->text, outcome);
	ctl_pass_free(p);
	queue_done(c->conf.queue, k->text, how, ctl_now(c), due);
	ctl_pass_over(c);
}

static void
end(struct pass *p, const char *result, enum queue_end how, int64_t due)
{
	end_saying(p, result, result, how, due);
}

void
ctl_end_verdict(struct pass *p)
{
	struct ctl *c = p->c;
	int64_t now = ctl_now(c), status_due = p->key->status_due, due;

	set_last(p->key, NULL);
	if (p->cut) {
		end(p, "cut", QUEUE_RETRY, now);
		return;
	}
	switch (p->verdict) {
	case VERDICT_SETTLED:
		if (status_due >= 0)
			end(p, "settled", QUEUE_RETRY, status_due);
		else
			end(p, "settled", QUEUE_SETTLED, 0);
		return;
	case VERDICT_WAIT:
		if (status_due >= 0)
			end(p, "wait", QUEUE_RETRY, status_due);
		else
			end(p, "wait", QUEUE_WAIT, 0);
		return;
	case VERDICT_RETRY:
		due = now + (int64_t)(p->after * 1000);
		if (due < now + SOONEST_MS)
			due = now + SOONEST_MS;
		if (status_due >= 0 && status_due < due)
			due = status_due;
		end(p, "retry", QUEUE_RETRY, due);
		return;
	}
}

/* The code decides when to look again. */
static void
end_failed(struct pass *p, const struct err *e)
{
	int64_t now = ctl_now(p->c);

	switch (e->code) {
	case ERR_CONFLICT:
	case ERR_EXISTS:
	case ERR_NOT_FOUND:
		end_saying(p, "conflict", e->msg, QUEUE_FAILED, 0);
		return;
	case ERR_INVALID:
	case ERR_FORBIDDEN:
	case ERR_UNSUPPORTED:
		end_saying(p, "failed", e->msg, QUEUE_RETRY, now + INVALID_MS);
		return;
	case ERR_THROTTLED:
		end_saying(p, "failed", e->msg, QUEUE_RETRY,
			now + (e->retry_after_s > 0 ? e->retry_after_s : 1) * 1000);
		return;
	case ERR_REFUSED:
		end_saying(p, "refused", e->msg, QUEUE_RETRY,
			now + (strncmp(e->msg, "G9:", 3) == 0 ? BLAST_MS : REFUSED_MS));
		return;
	case ERR_NONE:
	case ERR_EXPIRED:
	case ERR_TOO_NEW:
	case ERR_UNAUTHORIZED:
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_PROTOCOL:
	case ERR_TOO_LARGE:
	case ERR_CANCELLED:
	case ERR_INTERNAL:
		end_saying(p, "failed", e->msg, QUEUE_FAILED, 0);
		return;
	}
}

static void
tell_refusal(struct pass *p, const struct err *e)
{
	const cJSON *tree;

	/* Without the lease, or where another operator acts, one voice is enough. */
	if (!p->c->conf.events ||
		(strncmp(e->msg, "G1:", 3) == 0 && p->object->kind != KIND_CLUSTER))
		return;
	tree = obj_tree(p->object);
	events_emit(p->c->conf.events, tree, "Warning", "Refused", e->msg);
	json_free(tree);
}

/* The next pass waits until PD was asked after that: what it says before is older. */
static void
note_pd(struct pass *p, int64_t wrote)
{
	struct ctl_key *k = p->key;

	if (wrote == 0)
		return;
	free(k->pd_cluster);
	k->pd_cluster = xstrdup(p->cluster);
	k->pd_wrote = wrote;
}

void
ctl_end_exec(void *arg, const struct exec_result *r)
{
	struct pass *p = arg;
	const char *action = r->failed >= 0 && r->failed < p->actions
				     ? action_name(p->action[r->failed])
				     : action_name(ACTION_STATUS);

	p->run = NULL;
	p->c->active--;
	note_pd(p, r->pd_wrote);
	if (r->status_written)
		p->key->status_due = -1;
	if (r->failed < 0 && !r->status_failed) {
		ctl_end_verdict(p);
		return;
	}
	if (r->refused) {
		set_last(p->key, refusal(action, &r->err));
		tell_refusal(p, &r->err);
	} else {
		set_last(p->key, failure(action, &r->err));
	}
	end_failed(p, &r->err);
}

/* ---- faults of scripts (K5) ---- */

static cJSON *
degraded(struct ctl *c, const struct obj *o, const struct err *e)
{
	const cJSON *tree = obj_tree(o);
	cJSON *status = json_clone(json_get(tree, "status"));
	cJSON *condition = json_object(), *list, *it;
	const char *was = json_str(status, "conditions[type=Degraded].status", "");
	const char *since = json_str(status, "conditions[type=Degraded].lastTransitionTime", "");
	char now[32];

	if (!status)
		status = json_object();
	clock_format(clock_wall(c->conf.loop->clock), 0, now, sizeof(now));
	json_put_str(condition, "type", "Degraded");
	json_put_str(condition, "status", "True");
	json_put_str(condition, "reason", "ScriptError");
	json_put_str(condition, "message", e->msg);
	json_put_str(
		condition, "lastTransitionTime", strcmp(was, "True") == 0 && *since ? since : now);
	json_put_int(condition, "observedGeneration", o->generation);
	list = json_array();
	cJSON_ArrayForEach(it, json_get(status, "conditions")) if (strcmp(json_str(it, "type", ""),
									   "Degraded") != 0)
		json_add(list, json_clone(it));
	json_add(list, condition);
	json_put(status, "conditions", list);
	json_free(tree);
	return status;
}

/* A plan of the engine's own: no actions, only the status. */
static struct plan *
degraded_plan(struct ctl *c, const struct obj *o, const struct err *e)
{
	cJSON *verdict = json_object(), *tree = json_object();
	struct err why = { 0 };

	json_put_str(verdict, "kind", "retry");
	json_put_str(verdict, "step", "script");
	json_put_str(verdict, "reason", "ScriptError");
	json_put_str(verdict, "message", e->msg);
	json_put_int(verdict, "after", 1);
	json_put(tree, "actions", json_array());
	json_put(tree, "verdict", verdict);
	json_put(tree, "status", degraded(c, o, e));
	return plan_decode(tree, o->ns, &why);
}

static void
on_degraded(void *arg, const struct exec_result *r)
{
	struct pass *p = arg;

	(void)r;
	p->run = NULL;
	p->c->active--;
	end_saying(
		p, "script_error", json_str(p->key->last, "failed.message", ""), QUEUE_FAILED, 0);
}

void
ctl_end_script(struct ctl *c, struct ctl_key *k, const struct obj *o, const struct err *e,
	const char *what)
{
	const cJSON *tree = obj_tree(o);
	struct plan *plan = NULL;

	k->faults++;
	set_last(k, failure(what, e));
	log_write(c->conf.log, LOG_ERROR, "script error", "key", k->text, "in", what, "why", e->msg,
		NULL);
	if (c->conf.events)
		events_emit(c->conf.events, tree, "Warning", "ScriptError", e->msg);
	json_free(tree);
	if (k->faults == FAULTS_DEGRADED)
		plan = degraded_plan(c, o, e);
	if (plan) {
		ctl_pass_perform(c, k, o, plan, true, on_degraded);
		return;
	}
	ctl_count(c, k->kind, "script_error");
	record_outcome(c->conf.record, k->text, e->msg);
	queue_done(c->conf.queue, k->text, QUEUE_FAILED, ctl_now(c), 0);
}
