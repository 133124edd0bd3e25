#include "sim/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/hash.h"
#include "base/mem.h"
#include "sim/judge.h"
#include "sim/loop_sim.h"
#include "sim/operations.h"
#include "sim/outside.h"
#include "sim/trace.h"

#define START_WALL INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define STORM_MIN_MS 10000                /* while things go wrong */
#define STORM_MAX_MS 45000
#define EMPTY_ONE_IN 50
#define CONVERGE_MS 900000     /* after that it must be there */
#define LATE_FIGURES_MS 120000 /* what may be written late is written */
#define QUIET_MS 60000         /* nothing is written at all */
#define STAY_ONE_IN 2          /* the long ends, which cost, not every time */
#define TAKE_OVER_ONE_IN 3
#define TAKEOVER_MS 35000 /* lease 15 s, retries, restart within 5 s, reading all, acting */
#define STEP_MS 1000
#define LATE_MS 100 /* longer than any way without faults */
#define OPERATORS 2

struct schedule {
	struct schedule_conf conf;
	struct schedule_result own; /* of the time before the schedule */
	struct schedule_result *result;
	struct loop *loop;
	struct outside out;
	struct faults faults;
	struct operations operations;
	struct log *log;
	struct life life[OPERATORS];
	int64_t storm_ms;
	bool calm, failed, leader_died, to_stay, to_take_over;
};

static void
say(void *arg, const char *line)
{
	struct schedule *s = arg;
	if (s->conf.log != NULL)
		s->conf.log(s->conf.arg, line);
}

static void
say_at(struct schedule *s, const char *what, const char *text)
{
	char line[4000];
	if (s->conf.log == NULL)
		return;
	snprintf(line, sizeof line, "%8.3f %s%s: %s", (double)loop_now(s->loop) / 1000,
		s->calm ? "calm: " : "", what, text);
	say(s, line);
}

static void
fail(void *arg, const char *why)
{
	struct schedule *s = arg;
	if (s->failed)
		return;
	s->failed = true;
	s->result->ok = false;
	snprintf(s->result->why, sizeof s->result->why, "%s", why);
	say_at(s, "FAILED", why);
}

/* Time goes on until something is red. */
static void
pass(struct schedule *s, int64_t ms)
{
	int64_t until = loop_now(s->loop) + ms, next;
	while (!s->failed && (next = loop_sim_next(s->loop)) >= 0 && next <= until)
		loop_sim_step(s->loop);
	if (!s->failed)
		loop_sim_run_until(s->loop, until);
}

/* Ask a Lua module; a text as answer is what is wrong. NULL: nothing. The caller frees. */
static cJSON *
ask(struct schedule *s, const char *module, const char *function, const cJSON *in)
{
	struct err e = { 0 };
	cJSON *out = NULL;
	if (actors_call(s->out.actors, module, function, in, &out, &e) < 0)
		fail(s, e.msg);
	return out;
}

static void
ask_bool(struct schedule *s, const char *module, const char *function, bool value)
{
	cJSON *in = cJSON_CreateBool(value);
	json_free(ask(s, module, function, in));
	json_free(in);
}

static struct life *
life_of(struct schedule *s, const char *who)
{
	for (int i = 0; i < OPERATORS; i++)
		if (strcmp(s->life[i].who, who) == 0)
			return &s->life[i];
	return NULL;
}

static bool
is_lease(const struct apisim_commit *c)
{
	return strcmp(c->resource, "leases.coordination.k8s.io") == 0;
}

static void
trace(struct schedule *s, const struct apisim_commit *c)
{
	struct buf b;
	if (s->conf.log == NULL || is_lease(c) || strcmp(c->resource, "events") == 0)
		return;
	buf_init(&b, 0);
	trace_commit(&b, c);
	say_at(s, c->user, b.at);
	buf_fini(&b);
}

static void
add_to_hash(struct schedule *s, const struct apisim_commit *c)
{
	uint64_t h = s->result->hash;
	h = hash_fnv(c->resource, strlen(c->resource), h);
	h = hash_fnv(c->ns, strlen(c->ns), h);
	h = hash_fnv(c->name, strlen(c->name), h);
	h = hash_fnv(c->user, strlen(c->user), h);
	s->result->hash = c->now != NULL ? hash_fnv(c->text, c->len, h) : h;
}

static void
judge(struct schedule *s, const struct apisim_commit *c)
{
	struct net_point p;
	cJSON *in = json_object();
	if (net_carrying(s->out.net, &p)) {
		int64_t age = loop_now(s->loop) - p.sent_ms;
		const char *why = age < LATE_MS ? judge_commit(&p, c) : NULL;
		if (why != NULL)
			fail(s, why);
		json_put_int(in, "age_ms", age);
	}
	json_put_str(in, "resource", c->resource);
	json_put_str(in, "ns", c->ns);
	json_put_str(in, "name", c->name);
	json_put_str(in, "user", c->user);
	json_put_str(in, "subresource", c->subresource);
	const struct actors_member both[] = { { "old", c->old_rv, c->old },
		{ "now", c->rv, c->now } };
	struct err e = { 0 };
	cJSON *out = NULL;
	if (actors_call_with(s->out.actors, "oracle", "committed", in, both, 2, &out, &e) < 0)
		fail(s, e.msg);
	if (json_text(out) != NULL)
		fail(s, json_text(out));
	json_free(in);
	json_free(out);
}

/* At once: the model is true now. */
static void
on_committed(void *arg, const struct apisim_commit *c)
{
	struct schedule *s = arg;
	struct life *l = life_of(s, c->user);
	trace(s, c);
	add_to_hash(s, c);
	if (l == NULL || is_lease(c))
		return;
	s->result->writes++;
	judge(s, c);
	if (s->conf.crash_after_write > 0 && s->result->writes == s->conf.crash_after_write &&
		!s->leader_died)
		life_crash_soon(l);
	else if (faults_roll(&s->faults, FAULT_OPERATOR_CRASH, 25))
		life_crash_soon(l);
}

static struct net_verdict
on_point(void *arg, const struct net_point *p)
{
	struct schedule *s = arg;
	if (p->kind == NET_AT_REQUEST && strncmp(p->host, "apisim", 6) == 0) {
		struct life *l = life_of(s, p->who);
		const char *why = l != NULL ? judge_request(p, l, s->out.api) : NULL;
		if (why != NULL) {
			char text[600];
			snprintf(text, sizeof text, "%s: %s %s", why, p->method, p->path);
			fail(s, text);
		}
	}
	return faults_verdict(&s->faults, p);
}

static void
happen(struct schedule *s, int n)
{
	const struct operation *o = &s->operations.list[n];
	if (s->conf.without.operations >> n & 1)
		return;
	if (o->needs != FAULT_COUNT && !faults_roll(&s->faults, o->needs, 1))
		return;
	if (strcmp(o->name, "compact") == 0) {
		apisim_compact(s->out.api, 0);
		apisim_drop_watches(s->out.api, o->arg % 2 ? 410 : 0);
		say_at(s, "compact", "watches start again");
		return;
	}
	cJSON *in = json_object();
	json_put_str(in, "name", o->name);
	json_put_int(in, "arg", o->arg);
	cJSON *out = ask(s, "people", "act", in);
	if (*json_str(out, "line", "") != '\0')
		say_at(s, o->name, json_str(out, "line", ""));
	s->faults.pd_dead = json_bool(out, "pd_dead", false);
	json_free(in);
	json_free(out);
}

static void
storm(struct schedule *s)
{
	int64_t began = loop_now(s->loop);
	for (int i = 0; i < s->operations.count && !s->failed; i++) {
		pass(s, s->operations.list[i].at_ms - (loop_now(s->loop) - began));
		happen(s, i);
	}
	if (!s->failed)
		pass(s, s->storm_ms - (loop_now(s->loop) - began));
}

/* Until everything is as wanted. */
static void
settle(struct schedule *s)
{
	int64_t began = loop_now(s->loop);
	s->faults.stopped = true;
	say_at(s, "faults", "they stop here");
	json_free(ask(s, "people", "repair", NULL));
	for (cJSON *out = NULL; !s->failed; json_free(out)) {
		pass(s, STEP_MS);
		out = ask(s, "verdict", "unlike", NULL);
		const char *not_yet = json_text(out);
		if (not_yet == NULL)
			break;
		if (loop_now(s->loop) - began > CONVERGE_MS) {
			char why[600];
			snprintf(why, sizeof why, "L1: not converged after %d s: %s",
				CONVERGE_MS / 1000, not_yet);
			fail(s, why);
		}
	}
	s->result->virtual_s = (double)(loop_now(s->loop) - began) / 1000;
}

static void
stay(struct schedule *s)
{
	pass(s, LATE_FIGURES_MS);
	s->calm = true;
	ask_bool(s, "oracle", "calm", true);
	pass(s, QUIET_MS);
	ask_bool(s, "oracle", "calm", false);
	s->calm = false;
	cJSON *out = ask(s, "verdict", "unlike", NULL);
	if (json_text(out) != NULL) {
		char why[600];
		snprintf(why, sizeof why, "L1: it was there and did not stay: %s", json_text(out));
		fail(s, why);
	}
	json_free(out);
}

static int
count(struct schedule *s)
{
	cJSON *out = ask(s, "verdict", "count", NULL);
	int n = cJSON_IsNumber(out) ? (int)out->valuedouble : -1;
	json_free(out);
	return n;
}

/* L8: the leader dies, somebody asks for one more store, and another leader makes it. */
static void
take_over(struct schedule *s)
{
	int before = count(s);
	s->leader_died = true; /* a second death would only make the first one last longer */
	for (int i = 0; i < OPERATORS; i++)
		if (s->life[i].op != NULL && operator_leading(s->life[i].op))
			life_crash_soon(&s->life[i]);
	int64_t died = loop_now(s->loop);
	pass(s, 10);
	cJSON *asked = ask(s, "people", "ask_for_one_more", NULL);
	bool wanted = cJSON_IsTrue(asked);
	json_free(asked);
	while (wanted && !s->failed && count(s) == before) {
		pass(s, STEP_MS);
		if (loop_now(s->loop) - died > TAKEOVER_MS)
			fail(s, "L8: nobody acts after the death of the leader");
	}
	if (wanted)
		s->result->takeover_s = (double)(loop_now(s->loop) - died) / 1000;
}

static int
people_begin(struct schedule *s, struct err *e)
{
	static const char *const judges[] = { "people", "oracle", "verdict" };
	static const char ns[] = "{apiVersion: v1, kind: Namespace, metadata: {name: tikv-system}}";
	const struct embed_file *f = embed_find("examples/basic/cluster.yaml");
	for (int i = 0; i < 3; i++)
		if (actors_start(s->out.actors, judges[i], NULL, e) < 0)
			return -1;
	if (outside_apply(&s->out, "", "namespace", ns, strlen(ns), e) < 0)
		return -1;
	loop_sim_run_for(s->loop, 100);
	return outside_apply(&s->out, "default", f->path, f->text, f->len, e);
}

struct schedule *
schedule_new(const struct schedule_world *w, struct err *e)
{
	struct schedule *s = xcalloc(1, sizeof *s);
	struct outside_conf c = {
		.nodes = 6, .latency_min_ms = 1, .latency_max_ms = 20, .fault = on_point, .arg = s
	};
	s->loop = loop_sim_new(START_WALL);
	s->result = &s->own;
	s->own.ok = true;
	s->log = log_new(s->loop->clock, w->trace ? LOG_DEBUG : LOG_ERROR, 0, say, s);
	s->faults.stopped = true;
	for (int i = 0; i < OPERATORS; i++) {
		s->life[i] = (struct life){ .loop = s->loop,
			.log = s->log,
			.scripts = w->scripts,
			.script_count = w->script_count,
			.on_error = fail,
			.arg = s };
		rng_seed(&s->life[i].rng, (uint64_t)i);
		snprintf(s->life[i].who, sizeof s->life[i].who, "operator-%c", 'a' + i);
	}
	c.loop = s->loop;
	if (outside_init(&s->out, &c, e) < 0 || people_begin(s, e) < 0) {
		schedule_free(s);
		return NULL;
	}
	s->out.committed = on_committed;
	s->out.arg = s;
	for (int i = 0; i < OPERATORS; i++)
		s->life[i].net = s->out.net;
	if (w->start == SCHEDULE_FOUNDED) {
		life_start(&s->life[0]);
		settle(s);
	}
	return s;
}

void
schedule_free(struct schedule *s)
{
	for (int i = 0; i < OPERATORS; i++)
		life_end(&s->life[i]);
	if (s->out.loop != NULL)
		outside_fini(&s->out);
	loop_sim_free(s->loop);
	log_free(s->log);
	free(s);
}

enum schedule_start
schedule_start_of(uint64_t seed)
{
	return seed % EMPTY_ONE_IN == 0 ? SCHEDULE_EMPTY : SCHEDULE_FOUNDED;
}

/* The world's own chance ends here. */
static void
begin(struct schedule *s, const struct schedule_conf *conf, struct schedule_result *r)
{
	struct rng rng;
	rng_seed(&rng, conf->seed);
	memset(r, 0, sizeof *r);
	r->ok = s->own.ok;
	memcpy(r->why, s->own.why, sizeof r->why);
	r->hash = s->own.hash;
	s->result = r;
	s->conf = *conf;
	outside_reseed(&s->out, rng_u64(&rng));
	faults_init(&s->faults, s->loop, rng_fork(&rng, "faults"));
	s->faults.skip = s->conf.without.hits;
	s->faults.on &= ~conf->without.kinds;
	if (conf->no_faults || conf->crash_after_write > 0)
		s->faults.on = 0;
	s->storm_ms = STORM_MIN_MS + (int64_t)rng_below(&rng, STORM_MAX_MS - STORM_MIN_MS);
	operations_draw(&s->operations, rng_fork(&rng, "operations"), s->storm_ms);
	s->to_stay = rng_below(&rng, STAY_ONE_IN) == 0;
	s->to_take_over = rng_below(&rng, TAKE_OVER_ONE_IN) == 0;
	r->faults_on = s->faults.on;
	r->operations = s->operations.count;
	for (int i = 0; i < OPERATORS; i++) {
		char label[] = { 'l', 'i', 'f', 'e', (char)('0' + i), '\0' };
		s->life[i].rng = rng_fork(&rng, label);
		if (s->life[i].op == NULL &&
			(i == 0 || faults_roll(&s->faults, FAULT_OPERATOR_PAIR, 1)))
			life_start(&s->life[i]);
	}
	if (faults_roll(&s->faults, FAULT_OPERATOR_CRASH, 4))
		life_crash_soon(&s->life[0]);
}

void
schedule_run(struct schedule *s, const struct schedule_conf *conf, struct schedule_result *r)
{
	begin(s, conf, r);
	if (!s->failed)
		storm(s);
	if (!s->failed)
		settle(s);
	if (!s->failed && s->to_stay)
		stay(s);
	if (!s->failed && s->to_take_over)
		take_over(s);
	memcpy(r->hits, s->faults.hits, sizeof r->hits);
}
