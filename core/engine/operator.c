#include "engine/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/operator_priv.h"

#define SYNC_MS 120000
#define SYNC_LOOK_MS 5000
#define OVERDUE_MS 20000
#define FOREVER_MS (INT64_C(1) << 40)

/* ---- gates ---- */

static int64_t
lease_ms(void *arg)
{
	const struct tikv_operator *o = arg;

	if (o->conf.no_lease)
		return FOREVER_MS;
	return o->lease ? lease_valid_ms(o->lease) : 0;
}

bool
operator_may_write(const struct tikv_operator *o)
{
	return !o->conf.read_only && lease_ms((void *)o) > GUARD_REQUEST_MS;
}

/* Asked at the moment of sending: a request must end before the lease does (E5, E10). */
static int
gate(void *arg, struct err *e)
{
	const struct tikv_operator *o = arg;

	if (o->conf.read_only)
		return err_set(e, ERR_CANCELLED, "read-only: nothing is written");
	if (!operator_may_write(o))
		return err_set(e, ERR_CANCELLED, "the lease is not held long enough to write");
	return 0;
}

static bool
all_synced(void *arg)
{
	return ((const struct tikv_operator *)arg)->synced;
}

static bool
may_run(void *arg)
{
	const struct tikv_operator *o = arg;

	return o->synced && !o->stopping && lease_ms(arg) > GUARD_REQUEST_MS;
}

/* ---- callbacks ---- */

static void
say_leader(struct tikv_operator *o)
{
	if (o->conf.metrics)
		metric_set(
			o->conf.metrics, "tikv_operator_leader", "", operator_leading(o) ? 1 : 0);
}

static void
on_gain(void *arg)
{
	struct tikv_operator *o = arg;

	log_write(o->conf.log, LOG_INFO, "leading", "identity", o->conf.identity, NULL);
	say_leader(o);
	sources_publish(o);
	ctl_kick(o->ctl);
}

static void
on_lose(void *arg, const char *why)
{
	struct tikv_operator *o = arg;
	char *text = xstrdup(why);

	log_write(o->conf.log, LOG_ERROR, "the lease is lost", "why", text, NULL);
	say_leader(o);
	o->stopping = true;
	api_drop_writes(o->api);
	if (o->conf.on_lost)
		o->conf.on_lost(o->conf.arg, text); /* may free us */
	free(text);
}

static void
on_swap(void *arg)
{
	struct tikv_operator *o = arg;

	if (o->ctl)
		ctl_everything(o->ctl, "scripts changed");
}

void
operator_event(void *arg, const struct obj *old, const struct obj *now)
{
	struct tikv_operator *o = arg;
	const struct obj *any = now ? now : old;

	if (any->kind == KIND_CLUSTER)
		pds_cluster(o, old, now);
	else if (any->kind == KIND_TIKV)
		pds_store(o, old, now);
	ctl_event(o->ctl, old, now);
}

void
operator_synced_now(struct tikv_operator *o)
{
	if (o->synced || !feeds_synced(o, NULL))
		return;
	script_settle(o->script);
	o->synced = true;
	pds_recall(o);
	loop_cancel(o->conf.loop, o->sync_timer);
	o->sync_timer = NULL;
	log_write(o->conf.log, LOG_INFO, "all kinds were read", NULL);
	ctl_kick(o->ctl);
}

/* Half-blind is worse than not running (Q5): the process starts again. */
static void
on_sync_timer(void *arg)
{
	struct tikv_operator *o = arg;
	const char *why = "";
	char *text;

	o->sync_timer = NULL;
	/* A denied optional kind tells nobody when it is given up. */
	operator_synced_now(o);
	if (o->synced)
		return;
	if (loop_now(o->conf.loop) < o->sync_until) {
		o->sync_timer = loop_after(o->conf.loop, SYNC_LOOK_MS, on_sync_timer, o);
		return;
	}
	feeds_synced(o, &why);
	text = xasprintf("not everything could be read within two minutes: %s", why);
	log_write(o->conf.log, LOG_ERROR, text, NULL);
	o->stopping = true;
	if (o->conf.on_lost)
		o->conf.on_lost(o->conf.arg, text); /* may free us */
	free(text);
}

static void
on_breaker(void *arg, const char *ns, const char *cluster)
{
	static const char *const changed[] = { "history" };
	struct tikv_operator *o = arg;

	log_write(o->conf.log, LOG_ERROR, "the breaker is open", "namespace", ns, "cluster",
		cluster, "why", guard_breaker(o->guard, ns, cluster), NULL);
	ctl_pd_event(o->ctl, ns, cluster, changed, 1);
}

static const char *
breaker(void *arg, const char *ns, const char *cluster)
{
	return guard_breaker(((const struct tikv_operator *)arg)->guard, ns, cluster);
}

static cJSON *
facts(void *arg)
{
	const struct tikv_operator *o = arg;
	cJSON *f = json_object();

	json_put_str(f, "version", VERSION);
	json_put_str(f, "id", o->id);
	json_put_int(f, "behaviour", GUARD_BEHAVIOUR);
	json_put_bool(f, "namespaced", o->conf.watch_ns && *o->conf.watch_ns);
	json_put_str(f, "namespace", o->conf.ns);
	json_put_str(f, "prestop_image", o->conf.prestop_image);
	return f;
}

/* ---- life ---- */

static char *
copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static void
own_texts(struct tikv_operator *o)
{
	struct operator_conf *c = &o->conf;

	c->server = copy(c->server);
	c->ns = xstrdup(c->ns ? c->ns : "");
	c->watch_ns = copy(c->watch_ns);
	c->identity = xstrdup(c->identity ? c->identity : "");
	c->lease_name = xstrdup(c->lease_name ? c->lease_name : "tikv-operator");
	c->lua_dir = copy(c->lua_dir);
	c->prestop_image = copy(c->prestop_image);
}

static void
free_texts(struct tikv_operator *o)
{
	struct operator_conf *c = &o->conf;

	free((char *)c->server);
	free((char *)c->ns);
	free((char *)c->watch_ns);
	free((char *)c->identity);
	free((char *)c->lease_name);
	free((char *)c->lua_dir);
	free((char *)c->prestop_image);
}

static void
new_clients(struct tikv_operator *o)
{
	struct operator_conf *c = &o->conf;

	o->api = api_new(&(struct api_conf){ .loop = c->loop,
		.http = c->http,
		.cred = c->cred,
		.server = c->server,
		.user_agent = "tikv-operator/" VERSION,
		.field_manager = "tikv-operator",
		.log = c->log,
		.metrics = c->metrics,
		.rng = rng_fork(&o->rng, "api"),
		.gate = gate,
		.gate_arg = o });
	o->events = events_new(o->api, "tikv-operator", c->identity, c->log, c->metrics);
}

static int
new_lease(struct tikv_operator *o, struct err *e)
{
	struct operator_conf *c = &o->conf;

	if (c->no_lease)
		return 0;
	o->lease = lease_new(&(struct lease_conf){ .loop = c->loop,
				     .http = c->http,
				     .cred = c->cred,
				     .server = c->server,
				     .ns = c->ns,
				     .name = c->lease_name,
				     .identity = c->identity,
				     .rng = rng_fork(&o->rng, "lease"),
				     .log = c->log,
				     .on_gain = on_gain,
				     .on_lose = on_lose,
				     .arg = o },
		e);
	return o->lease ? 0 : -1;
}

static int
read_dir(void *arg, const char *dir, struct vm_source **out, size_t *n, struct err *e)
{
	const struct tikv_operator *o = arg;

	return o->conf.read_dir(o->conf.arg, dir, out, n, e);
}

static int
in_child(void *arg, int (*fn)(void *arg2, struct buf *out), void *arg2, struct buf *out,
	struct err *e)
{
	const struct tikv_operator *o = arg;

	return o->conf.in_child(o->conf.arg, fn, arg2, out, e);
}

static int
new_script(struct tikv_operator *o, struct err *e)
{
	struct operator_conf *c = &o->conf;

	o->script = script_new(&(struct script_conf){ .loop = c->loop,
				       .lua_dir = c->lua_dir,
				       .ns = c->ns,
				       .configmaps = o->sources,
				       .log = c->log,
				       .metrics = c->metrics,
				       .read_dir = c->read_dir ? read_dir : NULL,
				       .in_child = c->in_child ? in_child : NULL,
				       .on_state = sources_state,
				       .on_swap = on_swap,
				       .arg = o },
		e);
	return o->script ? 0 : -1;
}

static void
new_engine(struct tikv_operator *o)
{
	struct operator_conf *c = &o->conf;

	o->queue = queue_new(rng_fork(&o->rng, "queue"));
	o->expect = expect_new();
	expect_stores(o->expect, feed_peek, o);
	o->world = world_new(&(struct world_sources){ .arg = o,
		.store = feed_want,
		.trouble = feed_trouble,
		.pdview = pds_view,
		.tikvview = pds_tikv_view,
		.secrets = pds_secrets,
		.operator_facts = facts,
		.breaker = breaker,
		.clock = c->loop->clock });
	o->guard = guard_new(&(struct guard_facts){ .arg = o,
		.store = feed_want,
		.pdview = pds_view,
		.lease_valid_ms = lease_ms,
		.synced = all_synced,
		.read_only = c->read_only,
		.operator_id = o->id,
		.on_breaker = on_breaker,
		.clock = c->loop->clock,
		.metrics = c->metrics });
	o->exec = exec_new(&(struct exec_conf){ .loop = c->loop,
		.api = o->api,
		.events = o->events,
		.guard = o->guard,
		.expect = o->expect,
		.log = c->log,
		.metrics = c->metrics,
		.arg = o,
		.pdview = pds_view,
		.tikv_target = pds_tikv_target,
		.tikvview = pds_tikv_view,
		.http = c->http });
	o->record = record_new(c->record_bytes);
}

static int64_t
cost_us(void *arg)
{
	const struct tikv_operator *o = arg;

	return o->conf.cost_us(o->conf.arg);
}

static void
new_ctl(struct tikv_operator *o)
{
	struct operator_conf *c = &o->conf;

	o->ctl = ctl_new(&(struct ctl_conf){ .loop = c->loop,
		.queue = o->queue,
		.world = o->world,
		.expect = o->expect,
		.script = o->script,
		.exec = o->exec,
		.guard = o->guard,
		.events = o->events,
		.record = o->record,
		.log = c->log,
		.metrics = c->metrics,
		.arg = o,
		.store = feed_peek,
		.may_run = may_run,
		.relist = feed_relist,
		.pd_busy = pds_busy,
		.pd_since = pds_since,
		.cost_us = c->cost_us ? cost_us : NULL });
}

struct tikv_operator *
operator_new(const struct operator_conf *c, struct err *e)
{
	struct tikv_operator *o = xcalloc(1, sizeof(*o));

	o->conf = *c;
	own_texts(o);
	o->id = o->conf.no_lease ? xstrdup("") : xasprintf("%s/%s", o->conf.ns, o->conf.lease_name);
	rng_seed(&o->rng, c->seed);
	pds_new(o);
	sources_new(o);
	if (c->metrics) {
		metric_family(c->metrics, "tikv_operator_leader", METRIC_GAUGE,
			"1 while this process holds the lease.", NULL);
		metric_family(c->metrics, "tikv_operator_store_objects", METRIC_GAUGE,
			"Objects in the cache, by kind.", NULL);
	}
	new_clients(o);
	feeds_new(o);
	if (new_lease(o, e) < 0 || new_script(o, e) < 0) {
		operator_free(o);
		return NULL;
	}
	new_engine(o);
	new_ctl(o);
	say_leader(o);
	return o;
}

void
operator_free(struct tikv_operator *o)
{
	if (!o)
		return;
	loop_cancel(o->conf.loop, o->sync_timer);
	ctl_free(o->ctl);
	o->ctl = NULL;
	exec_free(o->exec);
	guard_free(o->guard);
	pds_free(o);
	script_free(o->script);
	o->script = NULL;
	sources_free(o);
	lease_free(o->lease);
	feeds_free(o);
	world_free(o->world);
	expect_free(o->expect);
	queue_free(o->queue);
	record_free(o->record);
	events_free(o->events);
	api_free(o->api);
	free(o->id);
	free_texts(o);
	free(o);
}

void
operator_start(struct tikv_operator *o)
{
	o->started = true;
	o->sync_until = loop_now(o->conf.loop) + SYNC_MS;
	o->sync_timer = loop_after(o->conf.loop, SYNC_LOOK_MS, on_sync_timer, o);
	feeds_start(o);
	if (o->lease)
		lease_start(o->lease);
}

static void
on_released(void *arg)
{
	struct tikv_operator *o = arg;

	say_leader(o);
	o->stopped(o->stopped_arg); /* may free us */
}

/* All writes have ended: a successor may lead at once (E7). */
static void
on_drained(void *arg)
{
	struct tikv_operator *o = arg;

	if (o->lease)
		lease_release(o->lease, on_released, o);
	else
		o->stopped(o->stopped_arg);
}

void
operator_stop(struct tikv_operator *o, void (*done)(void *arg), void *arg)
{
	o->stopped = done;
	o->stopped_arg = arg;
	o->stopping = true;
	ctl_drain(o->ctl, on_drained, o);
}

/* ---- questions ---- */

bool
operator_leading(const struct tikv_operator *o)
{
	return o->conf.no_lease || (o->lease && lease_held(o->lease));
}

bool
operator_synced(const struct tikv_operator *o)
{
	return o->synced;
}

bool
operator_ready(const struct tikv_operator *o, const char **why)
{
	const char *text = "";
	bool ready = o->synced;

	if (!ready)
		feeds_synced(o, &text);
	if (why)
		*why = text;
	return ready;
}

bool
operator_healthy(const struct tikv_operator *o, const char **why)
{
	bool overdue = o->lease && lease_overdue_ms(o->lease) > OVERDUE_MS;

	if (why)
		*why = overdue ? "the lease should have been renewed long ago" : "";
	return !overdue;
}

void
operator_reload(struct tikv_operator *o)
{
	script_reload(o->script);
}

struct ctl *
operator_ctl(struct tikv_operator *o)
{
	return o->ctl;
}
