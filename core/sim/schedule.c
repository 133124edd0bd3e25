#include "sim/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/operator.h"
#include "sim/loop_sim.h"
#include "sim/outside.h"

#define START_WALL INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define STORM_MS 90000                    /* while things go wrong */
#define CONVERGE_MS 900000                /* after that it must be there */
#define QUIET_MS 120000                   /* and stay */
#define STEP_MS 1000
#define OPERATORS 2

struct life { /* one operator process after the other */
	struct schedule *s;
	char who[16];
	int generation;
	struct http *http;
	struct tikv_operator *op;
	struct metrics *metrics;
	struct timer *timer;
};

struct schedule {
	const struct schedule_conf *conf;
	struct schedule_result *result;
	struct loop *loop;
	struct outside out;
	struct faults faults;
	struct rng rng;
	struct log *log;
	struct life life[OPERATORS];
	int tikv, pd; /* wanted replicas */
	bool calm, failed;
	int quiet_writes;
};

static void
fail(struct schedule *s, const char *why)
{
	if (s->failed)
		return;
	s->failed = true;
	s->result->ok = false;
	snprintf(s->result->why, sizeof s->result->why, "%s", why);
}

static void
on_log_line(void *arg, const char *line)
{
	struct schedule *s = arg;
	if (s->conf->log != NULL)
		s->conf->log(s->conf->arg, line);
}

static void life_start(void *arg);

static void
life_end(struct life *l)
{
	if (l->op != NULL)
		operator_free(l->op);
	if (l->http != NULL)
		net_http_free(l->http);
	if (l->metrics != NULL)
		metrics_free(l->metrics);
	loop_cancel(l->s->loop, l->timer);
	l->op = NULL;
	l->http = NULL;
	l->metrics = NULL;
	l->timer = NULL;
}

static void
life_crash(void *arg)
{
	struct life *l = arg;
	l->timer = NULL;
	life_end(l);
	l->timer =
		loop_after(l->s->loop, 100 + (int64_t)rng_below(&l->s->rng, 5000), life_start, l);
}

/* Ask for a crash at the next turn: never in the middle of the operator's own call. */
static void
life_crash_soon(struct life *l)
{
	if (l->op == NULL || l->timer != NULL)
		return;
	l->timer = loop_after(l->s->loop, 0, life_crash, l);
}

static void
on_lost(void *arg, const char *why)
{
	struct life *l = arg;
	(void)why;
	life_crash_soon(l);
}

static int
inline_child(void *arg, int (*fn)(void *arg2, struct buf *out), void *arg2, struct buf *out,
	struct err *e)
{
	(void)arg;
	if (fn(arg2, out) != 0)
		return err_set(e, ERR_INVALID, "self-test: %.400s", out->at);
	return 0;
}

/* The scripts under test come in through --lua-dir's seam. */
static int
read_scripts(void *arg, const char *dir, struct vm_source **out, size_t *n, struct err *e)
{
	struct life *l = arg;
	const struct schedule_conf *c = l->s->conf;
	(void)dir;
	(void)e;
	*n = c->script_count;
	*out = xcalloc(*n + 1, sizeof **out);
	for (size_t i = 0; i < *n; i++) {
		(*out)[i].name = xstrdup(c->scripts[i].name);
		(*out)[i].path = xstrdup(c->scripts[i].path);
		(*out)[i].text = xstrndup(c->scripts[i].text, c->scripts[i].len);
		(*out)[i].len = c->scripts[i].len;
	}
	return 0;
}

static int64_t
fixed_cost(void *arg)
{
	(void)arg;
	return 200;
}

static void
life_start(void *arg)
{
	struct life *l = arg;
	struct schedule *s = l->s;
	struct err e = { 0 };
	char identity[64];
	l->timer = NULL;
	snprintf(identity, sizeof identity, "%s-%d", l->who, ++l->generation);
	l->http = net_http_new(s->out.net, l->who);
	l->metrics = metrics_new();
	struct operator_conf c = { .loop = s->loop,
		.http = l->http,
		.server = "http://apisim",
		.ns = "tikv-system",
		.identity = identity,
		.lua_dir = s->conf->scripts != NULL ? "scripts" : NULL,
		.seed = rng_u64(&s->rng),
		.log = s->log,
		.metrics = l->metrics,
		.record_bytes = 4096,
		.read_dir = read_scripts,
		.in_child = inline_child,
		.cost_us = fixed_cost,
		.on_lost = on_lost,
		.arg = l };
	l->op = operator_new(&c, &e);
	if (l->op == NULL) {
		fail(s, e.msg);
		return;
	}
	operator_start(l->op);
}

/* Judged by the oracle at once: the model is true now. */
static void
on_committed(void *arg, const struct apisim_commit *c)
{
	struct schedule *s = arg;
	uint64_t h = s->result->hash;
	h = hash_fnv(c->resource, strlen(c->resource), h);
	h = hash_fnv(c->ns, strlen(c->ns), h);
	h = hash_fnv(c->name, strlen(c->name), h);
	h = hash_fnv(c->user, strlen(c->user), h);
	char *text = c->now != NULL ? json_string(c->now) : xstrdup("");
	s->result->hash = hash_fnv(text, strlen(text), h);
	free(text);
	if (strncmp(c->user, "operator", 8) != 0 ||
		strcmp(c->resource, "leases.coordination.k8s.io") == 0)
		return;
	s->result->writes++;
	if (s->calm && strcmp(c->resource, "events") != 0)
		s->quiet_writes++;
	if (s->out.actors == NULL)
		return;
	struct err e = { 0 };
	cJSON *in = json_object(), *out = NULL;
	json_put_str(in, "resource", c->resource);
	json_put_str(in, "ns", c->ns);
	json_put_str(in, "name", c->name);
	json_put_str(in, "user", c->user);
	json_put_str(in, "subresource", c->subresource);
	if (c->old != NULL)
		json_put(in, "old", json_clone(c->old));
	if (c->now != NULL)
		json_put(in, "now", json_clone(c->now));
	if (actors_call(s->out.actors, "oracle", "committed", in, &out, &e) < 0)
		fail(s, e.msg);
	else if (json_text(out) != NULL)
		fail(s, json_text(out));
	json_free(in);
	json_free(out);
	struct life *l = &s->life[strcmp(c->user, s->life[1].who) == 0];
	if (s->conf->crash_after_write > 0 && s->result->writes == s->conf->crash_after_write)
		life_crash_soon(l);
	else if (faults_roll(&s->faults, FAULT_OPERATOR_CRASH, 25))
		life_crash_soon(l);
}

static int
request(struct schedule *s, const char *method, const char *path, const char *body)
{
	char *answer = NULL;
	int status = apisim_do(
		s->out.api, method, path, body, "application/merge-patch+json", "person", &answer);
	free(answer);
	return status;
}

#define GROUPS "/apis/core.tikv.org/v1alpha1/namespaces/default/"

/* Something a person or the world does. */
static void
happen(struct schedule *s)
{
	char body[128];
	struct err e = { 0 };
	cJSON *what = NULL, *out = NULL;
	switch (rng_below(&s->rng, 6)) {
	case 0:
		if (s->tikv < 6)
			s->tikv++;
		snprintf(body, sizeof body, "{\"spec\":{\"replicas\":%d}}", s->tikv);
		request(s, "PATCH", GROUPS "tikvgroups/basic", body);
		break;
	case 1:
		/* Refused while founding, as it should be. */
		snprintf(body, sizeof body, "{\"spec\":{\"replicas\":%d}}", s->pd + 1);
		if (s->pd < 5 && request(s, "PATCH", GROUPS "pdgroups/basic", body) < 300)
			s->pd++;
		break;
	case 2:
	case 3:
		what = cJSON_CreateString("pod");
		if (faults_roll(&s->faults, FAULT_POD_KILLED, 2))
			(void)actors_call(s->out.actors, "oracle", "kill_some_pod", what, &out, &e);
		else if (faults_roll(&s->faults, FAULT_POD_DELETED, 2))
			(void)actors_call(
				s->out.actors, "oracle", "delete_some_pod", what, &out, &e);
		break;
	case 4:
		what = cJSON_CreateString("node");
		if (faults_roll(&s->faults, FAULT_NODE_CRASH, 2))
			(void)actors_call(
				s->out.actors, "oracle", "crash_some_node", what, &out, &e);
		break;
	case 5:
		if (faults_roll(&s->faults, FAULT_WATCH_GONE, 2)) {
			apisim_compact(s->out.api, 0);
			apisim_drop_watches(s->out.api, rng_below(&s->rng, 2) ? 410 : 0);
		}
		break;
	}
	json_free(what);
	json_free(out);
	if (e.code != ERR_NONE)
		fail(s, e.msg);
}

/* NULL: everything is as wanted. Else what is not; valid until the next call. */
static cJSON *
unlike(struct schedule *s)
{
	struct err e = { 0 };
	cJSON *in = json_object(), *out = NULL;
	json_put_int(in, "pd", s->pd);
	json_put_int(in, "tikv", s->tikv);
	if (actors_call(s->out.actors, "oracle", "unlike", in, &out, &e) < 0)
		fail(s, e.msg);
	json_free(in);
	return out;
}

static void
storm(struct schedule *s)
{
	int64_t until = loop_now(s->loop) + STORM_MS;
	while (loop_now(s->loop) < until && !s->failed) {
		loop_sim_run_for(s->loop, STEP_MS);
		if (rng_below(&s->rng, 8) == 0)
			happen(s);
	}
}

static void
settle(struct schedule *s)
{
	int64_t began = loop_now(s->loop);
	struct err e = { 0 };
	cJSON *out = NULL, *not_yet = NULL;
	s->faults.stopped = true;
	(void)actors_call(s->out.actors, "oracle", "repair", NULL, &out, &e);
	json_free(out);
	while (!s->failed) {
		loop_sim_run_for(s->loop, STEP_MS);
		json_free(not_yet);
		not_yet = unlike(s);
		if (not_yet == NULL || json_text(not_yet) == NULL)
			break;
		if (loop_now(s->loop) - began > CONVERGE_MS) {
			char why[600];
			snprintf(why, sizeof why, "L1: not converged after %d s: %s",
				CONVERGE_MS / 1000, json_text(not_yet));
			fail(s, why);
		}
	}
	json_free(not_yet);
	s->result->virtual_s = (double)(loop_now(s->loop) - began) / 1000;
}

static void
stay(struct schedule *s)
{
	if (s->failed)
		return;
	loop_sim_run_for(s->loop, QUIET_MS); /* figures that move for a while are not noise */
	s->calm = true;
	loop_sim_run_for(s->loop, QUIET_MS);
	s->calm = false;
	if (s->quiet_writes > 0) {
		char why[100];
		snprintf(why, sizeof why, "S20: %d writes although nothing changes",
			s->quiet_writes);
		fail(s, why);
	}
	cJSON *out = unlike(s);
	if (out != NULL && json_text(out) != NULL)
		fail(s, json_text(out));
	json_free(out);
}

static int
begin(struct schedule *s, struct err *e)
{
	struct outside_conf c = { .loop = s->loop,
		.seed = rng_u64(&s->rng),
		.nodes = 6,
		.latency_min_ms = 1,
		.latency_max_ms = 20,
		.fault = faults_verdict,
		.arg = &s->faults };
	if (outside_init(&s->out, &c, e) < 0 || actors_start(s->out.actors, "oracle", NULL, e) < 0)
		return -1;
	s->out.committed = on_committed;
	s->out.arg = s;
	static const char ns[] = "{apiVersion: v1, kind: Namespace, metadata: {name: tikv-system}}";
	const struct embed_file *f = embed_find("examples/basic/cluster.yaml");
	if (outside_apply(&s->out, "", "namespace", ns, strlen(ns), e) < 0)
		return -1;
	loop_sim_run_for(s->loop, 100);
	if (outside_apply(&s->out, "default", f->path, f->text, f->len, e) < 0)
		return -1;
	for (int i = 0; i < OPERATORS; i++) {
		struct life *l = &s->life[i];
		l->s = s;
		snprintf(l->who, sizeof l->who, "operator-%c", 'a' + i);
		if (i == 0 || faults_roll(&s->faults, FAULT_OPERATOR_PAIR, 1))
			life_start(l);
	}
	return 0;
}

int
schedule_run(const struct schedule_conf *conf, struct schedule_result *r, struct err *e)
{
	struct schedule s = { .conf = conf, .result = r, .tikv = 3, .pd = 3 };
	memset(r, 0, sizeof *r);
	r->ok = true;
	rng_seed(&s.rng, conf->seed);
	faults_init(&s.faults, rng_fork(&s.rng, "faults"),
		conf->no_faults || conf->crash_after_write > 0);
	r->faults_on = s.faults.on;
	s.loop = loop_sim_new(START_WALL);
	s.log = log_new(
		s.loop->clock, conf->log != NULL ? LOG_DEBUG : LOG_ERROR, 0, on_log_line, &s);
	int ret = begin(&s, e);
	if (ret == 0) {
		storm(&s);
		settle(&s);
		stay(&s);
	}
	memcpy(r->hits, s.faults.hits, sizeof r->hits);
	for (int i = 0; i < OPERATORS; i++)
		if (s.life[i].s != NULL)
			life_end(&s.life[i]);
	if (s.out.loop != NULL)
		outside_fini(&s.out);
	loop_sim_free(s.loop);
	log_free(s.log);
	return ret;
}
