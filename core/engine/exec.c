#include "engine/exec.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/exec_priv.h"

static void step(void *arg);

struct exec *
exec_new(const struct exec_conf *c)
{
	struct exec *x = xcalloc(1, sizeof *x);

	x->conf = *c;
	if (c->metrics != NULL)
		metric_family(c->metrics, "tikv_operator_actions_total", METRIC_COUNTER,
			"Actions of plans that were sent, by action and result.", NULL);
	return x;
}

static void
run_free(struct exec_run *r)
{
	*r->prev = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	r->x->active--;
	loop_cancel(r->x->conf.loop, r->timer);
	api_cancel(r->x->conf.api, r->api);
	if (r->pd_call != NULL)
		pd_cancel(r->pd, r->pd_call);
	if (r->http != NULL)
		http_cancel(r->x->conf.http, r->http);
	tikv_target_fini(&r->tikv);
	for (size_t i = 0; i < r->made_n; i++)
		free(r->made[i]);
	free(r->made);
	free(r->subject_rv);
	obj_unref(r->subject);
	plan_free(r->plan);
	free(r->key);
	free(r->cluster);
	free(r->ns);
	free(r);
}

void
exec_free(struct exec *x)
{
	if (x == NULL)
		return;
	while (x->runs != NULL)
		run_free(x->runs);
	free(x);
}

void
exec_cancel(struct exec *x, struct exec_run *r)
{
	if (r == NULL)
		return;
	must(r->x == x);
	run_free(r);
}

int
exec_active(const struct exec *x)
{
	return x->active;
}

struct exec_run *
exec_start(struct exec *x, const char *key, const struct guard_subject *s, struct plan *own_plan,
	bool write_status, exec_done_fn *done, void *arg)
{
	struct exec_run *r = xcalloc(1, sizeof *r);

	r->x = x;
	r->key = xstrdup(key);
	r->subject = obj_ref(s->object);
	r->subject_rv = xstrdup(r->subject->rv);
	r->cluster = xstrdup(s->cluster != NULL ? s->cluster : "");
	r->ns = xstrdup(s->object->ns != NULL ? s->object->ns : "");
	r->plan = own_plan;
	r->write_status = write_status && own_plan->status != NULL;
	r->result.failed = -1;
	r->done = done;
	r->arg = arg;
	r->next = x->runs;
	r->prev = &x->runs;
	if (r->next != NULL)
		r->next->prev = &r->next;
	x->runs = r;
	x->active++;
	r->timer = loop_after(x->conf.loop, 0, step, r);
	return r;
}

struct guard_subject
exec_subject(const struct exec_run *r)
{
	return (struct guard_subject){ .object = r->subject,
		.cluster = r->cluster,
		.made = (const char *const *)r->made,
		.made_n = r->made_n };
}

const struct action *
exec_action(const struct exec_run *r)
{
	return &r->plan->action[r->at];
}

/* Actions that create or destroy need the owner from a quorum first, once a run (R4). */
static bool
needs_owner(const struct action *a)
{
	switch (a->kind) {
	case ACTION_APPLY:
		return a->creates;
	case ACTION_PATCH_META:
		return json_get(a->tree, "remove_finalizers") != NULL;
	case ACTION_DELETE:
	case ACTION_JOB:
	case ACTION_PD_OFFLINE:
	case ACTION_PD_REMOVE_MEMBER:
	case ACTION_PD_PURGE:
		return true;
	case ACTION_MARK:
	case ACTION_STATUS:
	case ACTION_PD_ONLINE:
	case ACTION_PD_EVICT_LEADERS:
	case ACTION_PD_RESTORE_LEADERS:
	case ACTION_PD_TRANSFER_LEADER:
	case ACTION_PD_LABELS:
	case ACTION_PD_CONFIG:
	case ACTION_PD_STORE_LIMIT:
	case ACTION_TIKV_CONFIG:
	case ACTION_EVENT:
	case ACTION_COUNT:
		return false;
	}
	return true;
}

static void
finish(struct exec_run *r)
{
	struct exec_result result = r->result;
	exec_done_fn *done = r->done;
	void *arg = r->arg;

	run_free(r);
	done(arg, &result);
}

static void
note(struct exec_run *r, const struct action *a, const char *result)
{
	struct buf labels;

	if (r->x->conf.metrics == NULL)
		return;
	buf_init(&labels, 0);
	metric_label(&labels, "action", action_name(a->kind));
	metric_label(&labels, "result", result);
	metric_add(r->x->conf.metrics, "tikv_operator_actions_total", labels.at, 1);
	buf_fini(&labels);
}

static void
fail(struct exec_run *r, const struct err *e)
{
	const struct action *a = exec_action(r);

	r->result.failed = r->at;
	r->result.err = *e;
	r->result.refused = e->code == ERR_REFUSED;
	note(r, a, r->result.refused ? "refused" : err_name(e->code));
	log_write(r->x->conf.log, LOG_WARN, "action not carried out", "key", r->key, "action",
		action_name(a->kind), "name", a->name, "why", e->msg, NULL);
	r->at = r->plan->actions;
}

/* The status comes last, also after a failure: it is what was observed. */
static void
end(struct exec_run *r)
{
	struct guard_subject s = exec_subject(r);
	struct action a = { .kind = ACTION_STATUS,
		.of = r->subject->kind,
		.object = r->plan->status,
		.ns = r->ns,
		.name = r->subject->name,
		.uid = r->subject->uid,
		.rv = "" };
	struct err e = { 0 };

	if (!r->write_status || r->subject_gone) {
		finish(r);
		return;
	}
	if (guard_check(r->x->conf.guard, &s, &a, &e) != 0) {
		r->result.status_failed = true;
		if (r->result.failed < 0) {
			r->result.err = e;
			r->result.refused = true;
		}
		finish(r);
		return;
	}
	exec_kube_status(r);
}

static int
send(struct exec_run *r, const struct action *a, struct err *e)
{
	switch (a->kind) {
	case ACTION_APPLY:
	case ACTION_DELETE:
	case ACTION_PATCH_META:
	case ACTION_MARK:
	case ACTION_JOB:
	case ACTION_EVENT:
		return exec_kube_send(r, a, e);
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
		return exec_pd_send(r, a, e);
	case ACTION_TIKV_CONFIG:
		return exec_tikv_send(r, a, e);
	case ACTION_STATUS:
	case ACTION_COUNT:
		break;
	}
	return err_set(e, ERR_INTERNAL, "action %d can not be sent", (int)a->kind);
}

static void
step(void *arg)
{
	struct exec_run *r = arg;
	struct guard_subject s = exec_subject(r);
	const struct action *a;
	struct err e = { 0 };

	r->timer = NULL;
	if (r->at >= r->plan->actions) {
		end(r);
		return;
	}
	a = exec_action(r);
	if (guard_check(r->x->conf.guard, &s, a, &e) != 0)
		goto failed;
	if (needs_owner(a) && !r->owner_seen) {
		exec_kube_owner(r);
		return;
	}
	if (send(r, a, &e) == 0)
		return;
failed:
	fail(r, &e);
	end(r);
}

void
exec_owner_done(struct exec_run *r, const struct err *e)
{
	if (e->code != ERR_NONE) {
		fail(r, e);
		if (e->code == ERR_CONFLICT || e->code == ERR_NOT_FOUND)
			r->subject_gone = true; /* its status was computed from a stale object */
		end(r);
		return;
	}
	r->owner_seen = true;
	step(r); /* the guard is asked again: time has passed */
}

void
exec_step_done(struct exec_run *r, const struct err *e)
{
	if (e->code != ERR_NONE) {
		fail(r, e);
		if (e->code == ERR_CANCELLED)
			r->write_status = false; /* the lease is lost */
		end(r);
		return;
	}
	note(r, exec_action(r), "ok");
	r->result.done++;
	r->at++;
	must(r->timer == NULL);
	r->timer = loop_after(r->x->conf.loop, 0, step, r);
}

void
exec_status_done(struct exec_run *r, const struct err *e)
{
	r->result.status_written = e->code == ERR_NONE;
	r->result.status_failed = !r->result.status_written;
	if (r->result.status_failed && r->result.failed < 0)
		r->result.err = *e;
	finish(r);
}
