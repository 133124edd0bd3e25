#include "sim/life.h"

#include <stdio.h>

#include "base/mem.h"

static void
drop(struct life *l)
{
	if (l->op != NULL)
		operator_free(l->op);
	if (l->http != NULL)
		net_http_free(l->http);
	if (l->metrics != NULL)
		metrics_free(l->metrics);
	loop_cancel(l->loop, l->timer);
	l->op = NULL;
	l->http = NULL;
	l->metrics = NULL;
	l->timer = NULL;
}

static void
born(void *arg)
{
	struct life *l = arg;
	l->timer = NULL;
	life_start(l);
}

static void
die(void *arg)
{
	struct life *l = arg;
	l->timer = NULL;
	drop(l);
	l->died_ms = loop_now(l->loop);
	if (!l->over)
		l->timer = loop_after(l->loop, 100 + (int64_t)rng_below(&l->rng, 5000), born, l);
}

void
life_crash_soon(struct life *l)
{
	if (l->op != NULL && l->timer == NULL)
		l->timer = loop_after(l->loop, 0, die, l);
}

static void
on_lost(void *arg, const char *why)
{
	(void)why;
	life_crash_soon(arg);
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
	(void)dir;
	(void)e;
	*n = l->script_count;
	*out = xcalloc(*n + 1, sizeof **out);
	for (size_t i = 0; i < *n; i++) {
		(*out)[i].name = xstrdup(l->scripts[i].name);
		(*out)[i].path = xstrdup(l->scripts[i].path);
		(*out)[i].text = xstrndup(l->scripts[i].text, l->scripts[i].len);
		(*out)[i].len = l->scripts[i].len;
	}
	return 0;
}

static int64_t
fixed_cost(void *arg)
{
	(void)arg;
	return 200;
}

void
life_start(struct life *l)
{
	struct err e = { 0 };
	snprintf(l->identity, sizeof l->identity, "%s-%d", l->who, ++l->generation);
	l->http = net_http_new(l->net, l->who);
	l->metrics = metrics_new();
	struct operator_conf c = { .loop = l->loop,
		.http = l->http,
		.server = "http://apisim",
		.ns = "tikv-system",
		.identity = l->identity,
		.lua_dir = l->scripts != NULL ? "scripts" : NULL,
		.seed = rng_u64(&l->rng),
		.log = l->log,
		.metrics = l->metrics,
		.record_bytes = 4096,
		.read_dir = read_scripts,
		.in_child = inline_child,
		.cost_us = fixed_cost,
		.on_lost = on_lost,
		.arg = l };
	l->op = operator_new(&c, &e);
	if (l->op == NULL)
		l->on_error(l->arg, e.msg);
	else
		operator_start(l->op);
}

void
life_end(struct life *l)
{
	l->over = true;
	if (l->loop != NULL)
		drop(l);
}
