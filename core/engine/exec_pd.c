#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/exec_priv.h"
#include "wire/http.h"

/* PD reads store ids of scheduler requests through a double. */
#define EXACT_ID_MAX 9007199254740991ull
#define PROVEN_MS 2000

struct pd_request {
	const char *method;
	struct buf path;
	cJSON *body;
};

static void
segment(struct buf *out, const char *prefix, const char *value)
{
	buf_puts(out, prefix);
	http_escape(out, value);
}

static int
request_of(const struct action *a, struct pd_request *q, struct err *e)
{
	q->method = "POST";
	switch (a->kind) {
	case ACTION_PD_OFFLINE:
		q->method = "DELETE";
		segment(&q->path, "/pd/api/v1/store/", a->store_id);
		if (json_bool(a->tree, "force", false))
			buf_puts(&q->path, "?force=true");
		return 0;
	case ACTION_PD_ONLINE:
		segment(&q->path, "/pd/api/v1/store/", a->store_id);
		buf_puts(&q->path, "/state?state=Up");
		return 0;
	case ACTION_PD_EVICT_LEADERS:
		if (strtoull(a->store_id, NULL, 10) > EXACT_ID_MAX)
			return err_set(e, ERR_UNSUPPORTED,
				"store %s: PD rounds ids beyond 2^53 in scheduler requests",
				a->store_id);
		buf_puts(&q->path, "/pd/api/v1/schedulers");
		q->body = json_object();
		json_put_str(q->body, "name", "evict-leader-scheduler");
		json_put(q->body, "store_id", cJSON_CreateRaw(a->store_id));
		return 0;
	case ACTION_PD_RESTORE_LEADERS:
		q->method = "DELETE";
		segment(&q->path, "/pd/api/v1/schedulers/evict-leader-scheduler-", a->store_id);
		return 0;
	case ACTION_PD_TRANSFER_LEADER:
		segment(&q->path, "/pd/api/v1/leader/transfer/", json_str(a->tree, "member", ""));
		return 0;
	case ACTION_PD_REMOVE_MEMBER:
		q->method = "DELETE";
		segment(&q->path, "/pd/api/v1/members/id/", a->member_id);
		return 0;
	case ACTION_PD_LABELS:
		segment(&q->path, "/pd/api/v1/store/", a->store_id);
		buf_puts(&q->path, "/label");
		q->body = json_clone(json_get(a->tree, "labels"));
		return 0;
	case ACTION_PD_CONFIG:
		buf_puts(&q->path, "/pd/api/v1/config");
		q->body = json_clone(json_get(a->tree, "items"));
		return 0;
	case ACTION_PD_STORE_LIMIT:
		if (a->store_id != NULL) {
			segment(&q->path, "/pd/api/v1/store/", a->store_id);
			buf_puts(&q->path, "/limit");
		} else {
			buf_puts(&q->path, "/pd/api/v1/stores/limit");
		}
		q->body = json_object();
		json_put_str(q->body, "type", json_str(a->tree, "type", ""));
		json_put_int(q->body, "rate", json_int(a->tree, "rate", 0));
		return 0;
	case ACTION_PD_PURGE:
		q->method = "DELETE";
		buf_puts(&q->path, "/pd/api/v1/stores/remove-tombstone");
		return 0;
	case ACTION_APPLY:
	case ACTION_DELETE:
	case ACTION_PATCH_META:
	case ACTION_MARK:
	case ACTION_STATUS:
	case ACTION_TIKV_CONFIG:
	case ACTION_JOB:
	case ACTION_EVENT:
	case ACTION_COUNT:
		break;
	}
	return err_set(e, ERR_INTERNAL, "%s does not go to PD", action_name(a->kind));
}

static struct pdview *
view_of(struct exec_run *r)
{
	return r->x->conf.pdview(r->x->conf.arg, r->ns, r->cluster);
}

static void
on_pd_written(void *arg, const cJSON *body, int64_t date_ms, const struct err *why)
{
	struct exec_run *r = arg;
	const struct action *a = exec_action(r);
	struct guard_subject s = exec_subject(r);
	struct pdview *v = view_of(r);
	struct err e = *why;

	(void)body;
	(void)date_ms;
	r->pd_call = NULL;
	r->result.pd_wrote = loop_now(r->x->conf.loop);
	/* A setting that PD does not take is an answer: the script reads it, and others follow. */
	if (a->kind == ACTION_PD_CONFIG && v != NULL &&
		(e.code == ERR_NONE || e.code == ERR_INVALID)) {
		pdview_tried(v, json_get(a->tree, "items"), e.code == ERR_NONE ? "" : e.msg);
		err_clear(&e);
	}
	if (e.code == ERR_NONE)
		guard_note(r->x->conf.guard, &s, a, true);
	/* A lost answer may have been carried out: look in any case. */
	if (v != NULL)
		pdview_poll_now(v);
	exec_step_done(r, &e);
}

/* G8: the member that gets the write belongs to the cluster that the plan was made for. */
static int
same_cluster(struct exec_run *r, struct pdview *v, const cJSON *check, struct err *e)
{
	const cJSON *snapshot = pdview_snapshot(v);
	const char *was = json_str(snapshot, "cluster_id", ""), *is;

	is = json_str(check, "cluster_id", "");
	if (is[0] == '\0' || strcmp(is, was) != 0) {
		struct guard_subject s = exec_subject(r);
		guard_note(r->x->conf.guard, &s, exec_action(r), false);
		return err_set(e, ERR_REFUSED,
			"G8: PDHistoryChanged: PD says cluster id %.20s, the view has %.20s", is,
			was);
	}
	if (strcmp(json_str(check, "leader.id", ""), json_str(snapshot, "leader.id", "?")) != 0)
		return err_set(e, ERR_CONFLICT,
			"PD has another leader than the plan was made for: looked at again");
	if (json_int(check, "etcd_revision", INT64_MAX) < json_int(snapshot, "etcd_revision", 0))
		return err_set(
			e, ERR_REFUSED, "G8: PDHistoryChanged: PD's etcd revision went back");
	return 0;
}

static int
write_now(struct exec_run *r, struct err *e)
{
	struct pd_request q = { 0 };

	buf_init(&q.path, 0);
	if (request_of(exec_action(r), &q, e) == 0)
		r->pd_call = pd_write(r->pd, q.method, q.path.at, q.body, on_pd_written, r);
	buf_fini(&q.path);
	json_free(q.body);
	return r->pd_call != NULL ? 0 : -1;
}

static void
on_pd_checked(void *arg, const cJSON *body, int64_t date_ms, const struct err *why)
{
	struct exec_run *r = arg;
	struct guard_subject s = exec_subject(r);
	struct pdview *v = view_of(r);
	struct err e = *why;

	(void)date_ms;
	r->pd_call = NULL;
	if (e.code == ERR_NONE && (v == NULL || pdview_pd(v) != r->pd))
		err_set(&e, ERR_UNAVAILABLE, "PD of cluster %s is gone", r->cluster);
	if (e.code == ERR_NONE && same_cluster(r, v, body, &e) != 0)
		pdview_poll_now(v);
	else if (e.code == ERR_NONE)
		pd_vouch(r->pd);
	if (e.code != ERR_NONE || guard_check(r->x->conf.guard, &s, exec_action(r), &e) != 0 ||
		write_now(r, &e) != 0)
		exec_step_done(r, &e);
}

/* Labels take nothing away, and a thousand stores set theirs when they are new: what a moment ago
 * proved to be the right PD is asked no questions. */
static bool
just_proven(const struct pd *p, const struct action *a)
{
	int64_t age = pd_vouched_ms(p);

	return a->kind == ACTION_PD_LABELS && age >= 0 && age < PROVEN_MS;
}

int
exec_pd_send(struct exec_run *r, const struct action *a, struct err *e)
{
	struct pdview *v = view_of(r);
	struct pd_request q = { 0 };
	int rc;

	if (v == NULL)
		return err_set(e, ERR_UNAVAILABLE, "PD of cluster %s is not known", r->cluster);
	buf_init(&q.path, 0);
	rc = request_of(a, &q, e);
	buf_fini(&q.path);
	json_free(q.body);
	if (rc != 0)
		return -1;
	r->pd = pdview_pd(v);
	if (just_proven(r->pd, a))
		return write_now(r, e);
	r->pd_call = pd_check(r->pd, on_pd_checked, r);
	return 0;
}

/* TiKV took the change or says why not; any other 500 is a proxy's word. */
static bool
tikv_spoke(int status, const char *text)
{
	return status == 200 || (status >= 400 && status < 500) ||
	       strncmp(text, "failed to ", 10) == 0;
}

/* A complaint of TiKV is an answer too: what a change did is found by reading back. */
static void
on_tikv(void *arg, const struct http_head *h, const char *body, size_t n, const struct err *why)
{
	struct exec_run *r = arg;
	const struct action *a = exec_action(r);
	struct err e = *why;
	char text[300];

	r->http = NULL;
	tikv_target_fini(&r->tikv);
	if (e.code == ERR_NONE) {
		snprintf(text, sizeof text, "%.*s", (int)(n < 299 ? n : 299), body);
		if (!tikv_spoke(h->status, text))
			err_set(&e, ERR_UNAVAILABLE, "TiKV's /config: %d", h->status);
	}
	if (e.code == ERR_NONE)
		tikvview_tried(r->x->conf.tikvview(r->x->conf.arg), r->ns,
			json_str(a->tree, "instance", ""), json_get(a->tree, "items"),
			h->status == 200 ? "" : text);
	exec_step_done(r, &e);
}

/* TiKV wants a flat map of texts. */
static cJSON *
texts_of(const cJSON *items)
{
	cJSON *out = json_object();
	const cJSON *m;

	cJSON_ArrayForEach(m, items)
	{
		const char *text = json_text(m);
		char *printed = text == NULL ? json_string(m) : NULL;
		json_put_str(out, m->string, text != NULL ? text : printed);
		free(printed);
	}
	return out;
}

int
exec_tikv_send(struct exec_run *r, const struct action *a, struct err *e)
{
	const char *instance = json_str(a->tree, "instance", "");
	struct exec_conf *c = &r->x->conf;
	char *url, *text;
	cJSON *body;
	struct http_call call = { 0 };

	if (c->tikv_target != NULL)
		c->tikv_target(c->arg, r->ns, instance, &r->tikv);
	if (r->tikv.url == NULL)
		return err_set(e, ERR_UNAVAILABLE, "TiKV %s has no address yet", instance);
	url = xasprintf("%s/config", r->tikv.url);
	body = texts_of(json_get(a->tree, "items"));
	text = json_string(body);
	json_free(body);
	call = (struct http_call){ .method = "POST",
		.url = url,
		.body = text,
		.body_len = strlen(text),
		.content_type = "application/json",
		.cred = r->tikv.cred,
		.pool = "pd/tikv",
		.total_ms = GUARD_REQUEST_MS,
		.max_body = 64 << 10,
		.on_end = on_tikv,
		.arg = r };
	r->http = http_send(c->http, &call);
	free(url);
	free(text);
	return 0;
}
