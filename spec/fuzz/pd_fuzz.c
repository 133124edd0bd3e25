/* layers: base format wire kube pd
 * PD answers anything: the view never crashes, and never knows what no whole round has told. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pd/pdview.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);

struct timer {
	struct timer *next;
	loop_fn *fn;
	void *arg;
};

struct http_req {
	struct http_call call;
};

struct world {
	struct loop loop; /* first */
	struct http http;
	struct clock clock;
	int64_t now;
	struct timer *timers;
	struct http_req *open;
	const unsigned char *at, *end;
};

static struct world *W; /* one input at a time */

static int64_t
now_ms(void *self)
{
	return ((struct world *)self)->now;
}

static struct timer *
after(struct loop *l, int64_t ms, loop_fn *fn, void *arg)
{
	struct timer *t = xcalloc(1, sizeof *t), **end = &W->timers;

	(void)l;
	(void)ms;
	t->fn = fn;
	t->arg = arg;
	while (*end != NULL)
		end = &(*end)->next;
	*end = t;
	return t;
}

static void
cancel_timer(struct loop *l, struct timer *t)
{
	(void)l;
	for (struct timer **p = &W->timers; *p != NULL; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			free(t);
			return;
		}
	}
	abort();
}

static struct http_req *
send(struct http *h, const struct http_call *c)
{
	(void)h;
	must(W->open == NULL);
	W->open = xcalloc(1, sizeof *W->open);
	W->open->call = *c;
	return W->open;
}

static void
cancel(struct http *h, struct http_req *r)
{
	(void)h;
	must(r == W->open);
	W->open = NULL;
	free(r);
}

/* One answer: a byte chooses status and type, the text goes up to the next 0xff. */
static void
answer(void)
{
	static const int status[] = { 200, 200, 200, 404, 500, 503, 400, 302 };
	static const char *const type[] = { "application/json", "application/octet-stream",
		"text/html", "" };
	struct http_req *r = W->open;
	struct http_call c = r->call;
	unsigned char how = W->at < W->end ? *W->at++ : 0;
	const unsigned char *body = W->at;
	struct http_head head = { .status = status[how & 7],
		.content_type = type[how >> 3 & 3],
		.etag = "",
		.date_wall_ms = how & 32 ? -1 : 1795209900000 };
	struct err e = { 0 };
	size_t n;

	while (W->at < W->end && *W->at != 0xff)
		W->at++;
	n = (size_t)(W->at - body);
	W->at += W->at < W->end;
	W->open = NULL;
	free(r);
	if (how & 64)
		err_set(&e, ERR_UNAVAILABLE, "cut");
	if (c.on_head != NULL)
		c.on_head(c.arg, &head);
	if (c.on_body != NULL && n > 0) {
		size_t half = n / 2;
		if (c.on_body(c.arg, (const char *)body, half, &e) == 0)
			c.on_body(c.arg, (const char *)body + half, n - half, &e);
	}
	c.on_end(c.arg, &head, c.on_body != NULL ? NULL : (const char *)body,
		c.on_body != NULL ? 0 : n, &e);
}

int
LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
	static const struct loop_ops loop_ops = { after, cancel_timer };
	static const struct http_ops http_ops = { send, cancel };
	struct world w = { .now = 1000, .at = bytes, .end = bytes + n };
	const char *url = "http://pd:2379";
	struct pd_conf pc = { .loop = &w.loop, .http = &w.http, .pool = "pd" };
	struct pdview_conf vc = { .loop = &w.loop };
	struct pdview *v;

	W = &w;
	w.clock = (struct clock){ now_ms, now_ms, &w };
	w.loop = (struct loop){ &loop_ops, &w.clock };
	w.http.ops = &http_ops;
	rng_seed(&vc.rng, 1);
	vc.pd = pd_new(&pc);
	v = pdview_new(&vc);
	pdview_set_endpoints(v, &url, 1);
	for (int i = 0; i < 200 && (w.at < w.end || i < 20); i++) {
		w.now += 5000;
		if (w.open != NULL) {
			answer();
		} else if (w.timers != NULL) {
			struct timer *t = w.timers;
			loop_fn *fn = t->fn;
			void *arg = t->arg;
			w.timers = t->next;
			free(t);
			fn(arg);
		}
		if (pdview_snapshot(v) != NULL)
			must(json_path(pdview_snapshot(v), "leader.id") != NULL);
		if (pdview_settled(v))
			must(pdview_trouble(v)[0] == '\0' && !pdview_history_changed(v, NULL));
	}
	pdview_free(v);
	must(w.open == NULL && w.timers == NULL);
	return 0;
}
