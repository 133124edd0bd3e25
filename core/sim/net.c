#include "sim/net.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim/net_priv.h"

struct net *
net_new(const struct net_conf *conf)
{
	struct net *n = xcalloc(1, sizeof(*n));

	n->conf = *conf;
	return n;
}

void
net_free(struct net *n)
{
	if (!n)
		return;
	for (struct http_req *next, *r = n->first; r; r = next) {
		next = r->next;
		loop_cancel(n->conf.loop, r->leave);
		r->leave = NULL;
		req_detach(r);
	}
	while (n->scripts) {
		struct script *s = n->scripts;
		n->scripts = s->next;
		free(s);
	}
	while (n->servers) {
		struct server *s = n->servers;
		n->servers = s->next;
		free(s->pattern);
		free(s);
	}
	free(n);
}

void
net_reseed(struct net *n, struct rng rng)
{
	n->conf.rng = rng;
}

static struct server *
serve(struct net *n, const char *pattern)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->pattern = xstrdup(pattern);
	if (n->servers_end)
		n->servers_end->next = s;
	else
		n->servers = s;
	n->servers_end = s;
	return s;
}

void
net_serve_api(struct net *n, const char *pattern, struct apisim *a)
{
	serve(n, pattern)->api = a;
}

void
net_serve(struct net *n, const char *pattern, net_handler_fn *fn, void *arg)
{
	struct server *s = serve(n, pattern);

	s->fn = fn;
	s->arg = arg;
}

void
net_unserve(struct net *n, net_handler_fn *fn, void *arg)
{
	struct server **at = &n->servers;

	n->servers_end = NULL;
	while (*at) {
		struct server *s = *at;
		if (s->fn == fn && s->arg == arg) {
			*at = s->next;
			free(s->pattern);
			free(s);
			continue;
		}
		n->servers_end = s;
		at = &s->next;
	}
}

static bool
glob(const char *p, const char *s)
{
	while (*p && *p != '*') {
		if (*p++ != *s++)
			return false;
	}
	if (!*p)
		return !*s;
	for (;; s++) {
		if (glob(p + 1, s))
			return true;
		if (!*s)
			return false;
	}
}

static struct server *
server_of(struct net *n, const char *host)
{
	struct server *s = n->servers;

	while (s && !glob(s->pattern, host))
		s = s->next;
	return s;
}

int64_t
net_latency(struct net *n)
{
	int64_t span = n->conf.latency_max_ms - n->conf.latency_min_ms;

	if (span <= 0)
		return n->conf.latency_min_ms;
	return n->conf.latency_min_ms + (int64_t)rng_below(&n->conf.rng, (uint64_t)span + 1);
}

static struct net_point
point_of(const struct http_req *r, enum net_point_kind kind, size_t len)
{
	return (struct net_point){ .kind = kind,
		.who = r->who,
		.method = r->method,
		.host = r->host,
		.path = r->path,
		.query = r->query,
		.seq = r->seq,
		.stream = r->idle_ms > 0,
		.content_type = r->content_type,
		.body = r->body,
		.body_len = r->body_len,
		.sent_ms = r->sent_ms,
		.status = r->head.status,
		.len = len };
}

bool
net_carrying(const struct net *n, struct net_point *out)
{
	if (!n->carried)
		return false;
	*out = point_of(n->carried, NET_AT_REQUEST, n->carried->body_len);
	return true;
}

struct net_verdict
net_judge(struct http_req *r, enum net_point_kind kind, size_t len)
{
	struct net_point p = point_of(r, kind, len);

	for (struct script **at = &r->net->scripts; *at; at = &(*at)->next) {
		struct script *s = *at;
		if (s->at != kind || (s->seq && s->seq != r->seq))
			continue;
		struct net_verdict v = s->verdict;
		*at = s->next;
		free(s);
		return v;
	}
	if (!r->net->conf.fault)
		return (struct net_verdict){ .fault = NET_PASS };
	return r->net->conf.fault(r->net->conf.arg, &p);
}

void
net_script(struct net *n, enum net_point_kind at, uint64_t seq, const struct net_verdict *v)
{
	struct script **end = &n->scripts, *s = xcalloc(1, sizeof(*s));

	while (*end)
		end = &(*end)->next;
	s->at = at;
	s->seq = seq;
	s->verdict = *v;
	*end = s;
}

/* A whole answer on its way: head, body, end. */
static void
answer(struct http_req *r, int status, const char *type, const char *warning, const char *body,
	size_t n, int64_t delay)
{
	r->head.status = status;
	struct net_verdict v = net_judge(r, NET_AT_ANSWER, n);
	int64_t ms = net_latency(r->net) + v.delay_ms + delay;

	switch (v.fault) {
	case NET_PASS:
	case NET_REFUSE:
	case NET_DUPLICATE:
		break;
	case NET_HANG:
		r->mute = true;
		return;
	case NET_STATUS:
		back_head(r, v.status, "text/plain", NULL, v.retry_after_s, ms);
		back_end(r, ms);
		return;
	case NET_RESET:
	case NET_EOF:
		if (v.cut_at) {
			back_head(r, status, type, warning, 0, ms);
			back_bytes(r, body, v.cut_at < n ? v.cut_at : n, v.piece, ms);
		}
		back_fail(r, ERR_UNAVAILABLE, "connection reset by peer", ms);
		return;
	}
	back_head(r, status, type, warning, 0, ms);
	back_bytes(r, body, n, v.piece, ms);
	back_end(r, ms);
}

/* What the API server says while it carries a request out. */
struct hearing {
	struct http_req *r; /* NULL: nobody listens (a duplicate) */
	bool open;          /* it is a stream, and lives on */
	int status;
	char *type, *warning;
	struct buf body;
	bool ended;
};

static void
hear_head(void *arg, int status, const char *type, const char *warning)
{
	struct hearing *h = arg;

	h->status = status;
	h->type = xstrdup(type);
	h->warning = warning ? xstrdup(warning) : NULL;
}

static void
hear_bytes(void *arg, const char *bytes, size_t n)
{
	struct hearing *h = arg;

	buf_put(&h->body, bytes, n);
}

static void
hear_end(void *arg)
{
	((struct hearing *)arg)->ended = true;
}

static void
stream_bytes(struct http_req *r, const char *bytes, size_t n)
{
	if (r->ended || r->mute)
		return;
	struct net_verdict v = net_judge(r, NET_AT_CHUNK, n);
	int64_t ms = net_latency(r->net) + v.delay_ms;
	switch (v.fault) {
	case NET_PASS:
	case NET_REFUSE:
	case NET_DUPLICATE:
	case NET_STATUS:
		back_bytes(r, bytes, n, v.piece, ms);
		break;
	case NET_HANG:
		r->mute = true;
		break;
	case NET_RESET:
		back_bytes(r, bytes, v.cut_at < n ? v.cut_at : n, v.piece, ms);
		back_fail(r, ERR_UNAVAILABLE, "connection reset by peer", ms);
		break;
	case NET_EOF:
		back_bytes(r, bytes, v.cut_at < n ? v.cut_at : n, v.piece, ms);
		back_end(r, ms);
		r->mute = true;
		break;
	}
}

static void
watch_head(void *arg, int status, const char *type, const char *warning)
{
	struct http_req *r = arg;

	r->head.status = status;
	struct net_verdict v = net_judge(r, NET_AT_ANSWER, 0);
	int64_t ms = net_latency(r->net) + v.delay_ms;
	switch (v.fault) {
	case NET_PASS:
	case NET_REFUSE:
	case NET_DUPLICATE:
		back_head(r, status, type, warning, 0, ms);
		break;
	case NET_HANG:
		r->mute = true;
		break;
	case NET_STATUS:
		back_head(r, v.status, "text/plain", NULL, v.retry_after_s, ms);
		back_end(r, ms);
		r->mute = true;
		break;
	case NET_RESET:
	case NET_EOF:
		back_fail(r, ERR_UNAVAILABLE, "connection reset by peer", ms);
		break;
	}
}

static void
watch_bytes(void *arg, const char *bytes, size_t n)
{
	stream_bytes(arg, bytes, n);
}

static void
watch_ended(void *arg)
{
	struct http_req *r = arg;

	r->stream = NULL;
	back_end(r, net_latency(r->net));
}

static bool
is_watch(const struct http_req *r)
{
	const char *at = strstr(r->query, "watch=");

	return at && (at[6] == '1' || at[6] == 't') && !strcmp(r->method, "GET");
}

static void
ask_api(struct http_req *r, struct apisim *a, bool silent)
{
	struct hearing h = { .r = r };
	struct apisim_req q = {
		.method = r->method,
		.path = r->path,
		.query = r->query,
		.content_type = r->content_type,
		.accept = r->accept,
		.body = r->body,
		.body_len = r->body_len,
		.user = r->who,
		.user_agent = r->agent,
	};

	if (is_watch(r)) {
		/* A client that went away before the watch began leaves nothing behind. */
		if (silent || r->ended)
			return;
		q.on_head = watch_head;
		q.on_chunk = watch_bytes;
		q.on_end = watch_ended;
		q.arg = r;
		r->api = a;
		r->stream = apisim_request(a, &q);
		return;
	}
	q.on_head = hear_head;
	q.on_chunk = hear_bytes;
	q.on_end = hear_end;
	q.arg = &h;
	buf_init(&h.body, 0);
	r->net->carried = r;
	apisim_request(a, &q);
	r->net->carried = NULL;
	if (!silent && !r->ended)
		answer(r, h.status, h.type, h.warning, h.body.at, h.body.len, 0);
	free(h.type);
	free(h.warning);
	buf_fini(&h.body);
}

static void
ask_host(struct http_req *r, struct server *s, bool silent)
{
	struct net_in in = { .who = r->who,
		.method = r->method,
		.host = r->host,
		.path = r->path,
		.query = r->query,
		.body = r->body,
		.content_type = r->content_type,
		.body_len = r->body_len };
	struct net_out out = { .status = 500, .content_type = "text/plain" };

	buf_init(&out.body, 0);
	s->fn(s->arg, &in, &out);
	if (silent || r->ended)
		;
	else if (out.status == 0)
		back_fail(r, ERR_UNAVAILABLE, "connection refused", net_latency(r->net));
	else if (out.status > 0)
		answer(r, out.status, out.content_type, NULL, out.body.at, out.body.len,
			out.delay_ms);
	buf_fini(&out.body);
}

static void
reach(void *arg)
{
	struct http_req *r = arg;
	struct server *s = server_of(r->net, r->host);
	int times = r->request_verdict.fault == NET_DUPLICATE ? 2 : 1;

	r->leave = NULL;
	r->busy++;
	for (int i = 0; i < times; i++) {
		if (!s) {
			if (!r->ended)
				back_fail(r, ERR_UNAVAILABLE, "no such host", 0);
		} else if (s->api) {
			ask_api(r, s->api, i > 0);
		} else {
			ask_host(r, s, i > 0);
		}
	}
	r->busy--;
	req_settle(r);
}

static void
take_url(struct http_req *r, const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	size_t n = strcspn(host, "/?");
	const char *path = host + n, *query = strchr(path, '?');
	r->host = xstrndup(host, n);
	r->path = query ? xstrndup(path, (size_t)(query - path)) : xstrdup(path);
	r->query = xstrdup(query ? query + 1 : "");
}

static struct http_req *
send_call(struct http *h, const struct http_call *c)
{
	struct net_http *client = (struct net_http *)h;
	struct net *n = client->net;
	struct http_req *r = xcalloc(1, sizeof(*r));

	r->net = n;
	r->client = client;
	r->who = xstrdup(client->who);
	r->seq = ++n->seq;
	r->sent_ms = loop_now(n->conf.loop);
	r->method = xstrdup(c->method);
	r->url = xstrdup(c->url);
	take_url(r, c->url);
	r->body = c->body ? xmalloc(c->body_len + 1) : NULL;
	if (r->body) {
		memcpy(r->body, c->body, c->body_len);
		r->body[c->body_len] = 0;
		r->body_len = c->body_len;
	}
	r->content_type = c->content_type ? xstrdup(c->content_type) : NULL;
	r->accept = c->accept ? xstrdup(c->accept) : NULL;
	for (int i = 0; i < c->headers && !r->agent; i++)
		if (!strcasecmp(c->header[i].name, "user-agent"))
			r->agent = xstrdup(c->header[i].value);
	r->total_ms = c->total_ms;
	r->idle_ms = c->idle_ms;
	r->max_body = c->max_body;
	r->on_head = c->on_head;
	r->on_body = c->on_body;
	r->on_end = c->on_end;
	r->arg = c->arg;
	buf_init(&r->collected, 0);
	r->next = n->first;
	n->first = r;
	back_deadline(r, c->total_ms);
	struct net_verdict v = r->request_verdict = net_judge(r, NET_AT_REQUEST, r->body_len);
	int64_t ms = net_latency(n) + v.delay_ms;
	switch (v.fault) {
	case NET_REFUSE:
	case NET_RESET:
	case NET_EOF:
		back_fail(r, ERR_UNAVAILABLE, "connection refused", ms);
		break;
	case NET_HANG:
		r->mute = true;
		break;
	case NET_STATUS:
		back_head(r, v.status, "text/plain", NULL, v.retry_after_s, ms);
		back_end(r, ms);
		break;
	case NET_PASS:
	case NET_DUPLICATE:
		r->leave = loop_after(n->conf.loop, ms, reach, r);
		break;
	}
	return r;
}

static void
cancel_call(struct http *h, struct http_req *r)
{
	(void)h;
	req_detach(r);
}

static const struct http_ops ops = { .send = send_call, .cancel = cancel_call };

struct http *
net_http_new(struct net *n, const char *who)
{
	struct net_http *client = xcalloc(1, sizeof(*client));

	client->http.ops = &ops;
	client->net = n;
	client->who = xstrdup(who);
	return &client->http;
}

void
net_http_free(struct http *h)
{
	struct net_http *client = (struct net_http *)h;

	if (!client)
		return;
	for (struct http_req *next, *r = client->net->first; r; r = next) {
		next = r->next;
		if (r->client == client)
			req_detach(r);
	}
	free(client->who);
	free(client);
}

size_t
net_in_flight(const struct net *n)
{
	size_t count = 0;

	for (const struct http_req *r = n->first; r; r = r->next)
		count++;
	return count;
}

uint64_t
net_requests(const struct net *n)
{
	return n->seq;
}

void
net_cut_streams(struct net *n, const char *who)
{
	for (struct http_req *r = n->first; r; r = r->next)
		if (r->idle_ms && !r->ended && (!who || !strcmp(who, r->who))) {
			r->last_due = 0;
			back_fail(r, ERR_UNAVAILABLE, "connection reset by peer", 0);
		}
}

bool
net_ask(struct net *n, const struct net_in *in, struct net_out *out)
{
	struct server *s = server_of(n, in->host);

	if (!s || !s->fn)
		return false;
	s->fn(s->arg, in, out);
	return true;
}
