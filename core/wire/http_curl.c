#include "wire/http_curl.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/hash.h"
#include "base/mem.h"
#include "wire/cred.h"
#include "wire/http_curl_priv.h"
#include "wire/loop_event.h"

#define CONNECTIONS_PER_HOST 32L
#define CONNECTIONS_KEPT 64L
#define POOL_IDLE_MS 90000
#define SWEEP_EVERY_MS 30000

struct transport;
TAILQ_HEAD(req_list, http_req);

/* One curl multi handle: one name, one set of TLS material, one kind of traffic. */
struct pool {
	struct transport *t;
	char *name;
	bool uploads;
	uint64_t trust;
	const struct cred *cred; /* only compared */
	CURLM *multi;
	struct timer *tick; /* when curl wants to be called */
	struct timer *kick; /* there are queued or dead requests */
	struct req_list queued, active, dead;
	bool inside;  /* curl is on the stack: its handles must not be added or removed */
	bool retired; /* no new requests */
	int64_t idle_since;
	struct pool *next;
};

struct transport {
	struct http http;
	struct loop *loop;
	struct connect_rule *rules;
	size_t rule_count;
	struct pool *pools;
	size_t open;
	uint64_t seq;
	struct timer *sweep, *sweep_later;
};

/* Per socket, made when curl first names it. */
struct watch {
	struct event *ev;
	struct pool *pool;
};

static void sweep_soon(struct transport *t);
static void on_sweep_due(void *arg);

bool
req_is_dead(const struct http_req *r)
{
	return r->state == CALL_DEAD;
}

static struct req_list *
list_of(struct http_req *r)
{
	switch (r->state) {
	case CALL_QUEUED:
		return &r->pool->queued;
	case CALL_ACTIVE:
		return &r->pool->active;
	case CALL_DEAD:
		return &r->pool->dead;
	case CALL_ENDING:
		return NULL;
	}
	return NULL;
}

static void
leave_list(struct http_req *r)
{
	struct req_list *list = list_of(r);

	TAILQ_REMOVE(list, r, link);
}

static bool
pool_is_idle(const struct pool *p)
{
	return TAILQ_EMPTY(&p->queued) && TAILQ_EMPTY(&p->active) && TAILQ_EMPTY(&p->dead);
}

/* Take the request from its list and from curl. Nothing is called back for it from here on. */
static void
detach(struct http_req *r)
{
	struct pool *p = r->pool;
	bool known_to_curl = r->state != CALL_QUEUED;

	leave_list(r);
	r->state = CALL_ENDING;
	loop_cancel(r->loop, r->deadline);
	r->deadline = NULL;
	if (known_to_curl)
		curl_multi_remove_handle(p->multi, r->easy);
	if (pool_is_idle(p)) {
		p->idle_since = loop_now(r->loop);
		if (p->retired)
			sweep_soon(p->t);
	}
}

static void
finish(struct http_req *r)
{
	if (r->cred && r->fail.code == ERR_UNAUTHORIZED)
		cred_unauthorized(r->cred); /* the CA may have been rotated: read it again */
	detach(r);
	r->pool->t->open--;
	bool collected = !r->on_body && r->fail.code == ERR_NONE;
	if (r->on_end)
		r->on_end(r->arg, r->have_head ? &r->head : NULL,
			collected && r->body.at ? r->body.at : "", collected ? r->body.len : 0,
			&r->fail);
	call_forget(r);
}

void
req_deadline(void *arg)
{
	struct http_req *r = arg;

	r->deadline = NULL;
	if (r->have_head && r->stream) {
		int64_t left = r->last_byte + r->idle_ms - loop_now(r->loop);
		if (left > 0) {
			r->deadline = loop_after(r->loop, left, req_deadline, r);
			return;
		}
	}
	if (r->fail.code == ERR_NONE)
		call_timed_out(r);
	finish(r);
}

/* curl returned: end what is done. */
static void
collect(struct pool *p)
{
	struct CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left))) {
		struct http_req *r = NULL;
		CURLcode code = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		if (r->state == CALL_DEAD) {
			detach(r);
			call_forget(r);
			continue;
		}
		call_result(r, code);
		finish(r);
	}
}

static void
drive(struct pool *p, curl_socket_t fd, int what)
{
	int running;

	p->inside = true;
	curl_multi_socket_action(p->multi, fd, what, &running);
	p->inside = false;
	collect(p);
}

static void
on_tick(void *arg)
{
	struct pool *p = arg;

	p->tick = NULL;
	drive(p, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	struct pool *p = arg;

	(void)multi;
	loop_cancel(p->t->loop, p->tick);
	p->tick = ms < 0 ? NULL : loop_after(p->t->loop, ms, on_tick, p);
	return 0;
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	drive(w->pool, fd,
		(what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static int
on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct pool *p = arg;
	struct watch *w = socket_arg;
	struct event_base *base = loop_event_base(p->t->loop);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			event_free(w->ev);
			free(w);
			curl_multi_assign(p->multi, fd, NULL);
		}
		return 0;
	}
	short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
			       (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
	if (w) {
		event_del(w->ev);
	} else {
		w = xcalloc(1, sizeof(*w));
		w->pool = p;
		w->ev = event_new(base, -1, 0, on_ready, w);
		must(w->ev);
		curl_multi_assign(p->multi, fd, w);
	}
	event_assign(w->ev, base, fd, events, on_ready, w);
	event_add(w->ev, NULL);
	return 0;
}

static void
on_kick(void *arg)
{
	struct pool *p = arg;
	uint64_t limit = p->t->seq; /* what callbacks send from here on waits for the next turn */
	struct http_req *r;

	p->kick = NULL;
	while ((r = TAILQ_FIRST(&p->dead))) {
		detach(r);
		call_forget(r);
	}
	while ((r = TAILQ_FIRST(&p->queued)) && r->seq < limit) {
		if (r->fail.code != ERR_NONE) {
			finish(r);
			continue;
		}
		leave_list(r);
		r->state = CALL_ACTIVE;
		TAILQ_INSERT_TAIL(&p->active, r, link);
		curl_multi_add_handle(p->multi, r->easy);
	}
}

static void
kick(struct pool *p)
{
	if (!p->kick)
		p->kick = loop_after(p->t->loop, 0, on_kick, p);
}

static uint64_t
hash_text(const char *s, uint64_t seed)
{
	/* The NUL is hashed too, so that texts can not run into each other; absent is not empty. */
	return s ? hash_fnv(s, strlen(s) + 1, seed) : hash_fnv("\1\1", 2, seed);
}

static uint64_t
trust_of(const struct cred *cred)
{
	if (!cred)
		return 0;
	struct cred_view v = cred_view(cred);
	uint64_t h = hash_fnv(&v.insecure, sizeof(v.insecure), 0);
	h = hash_text(v.ca_pem, h);
	h = hash_text(v.cert_pem, h);
	h = hash_text(v.key_pem, h);
	h = hash_text(v.server_name, h);
	return hash_text(v.proxy_url, h);
}

static struct pool *
pool_new(struct transport *t, const char *name, bool uploads, uint64_t trust,
	const struct cred *cred)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->t = t;
	p->name = xstrdup(name);
	p->uploads = uploads;
	p->trust = trust;
	p->cred = cred;
	p->idle_since = loop_now(t->loop);
	TAILQ_INIT(&p->queued);
	TAILQ_INIT(&p->active);
	TAILQ_INIT(&p->dead);
	p->multi = curl_multi_init();
	must(p->multi);
	curl_multi_setopt(p->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(p->multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_PER_HOST);
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	p->next = t->pools;
	t->pools = p;
	if (!t->sweep_later)
		t->sweep_later = loop_after(t->loop, SWEEP_EVERY_MS, on_sweep_due, t);
	return p;
}

static void
pool_free(struct pool *p)
{
	struct req_list *lists[] = { &p->queued, &p->active, &p->dead };

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		struct http_req *r;
		while ((r = TAILQ_FIRST(lists[i]))) {
			p->t->open -= r->state != CALL_DEAD;
			detach(r);
			call_forget(r);
		}
	}
	curl_multi_cleanup(p->multi);
	loop_cancel(p->t->loop, p->tick);
	loop_cancel(p->t->loop, p->kick);
	free(p->name);
	free(p);
}

/* New TLS material of the same credentials: the old connections only finish what they carry. */
static struct pool *
pool_for(struct transport *t, const char *name, bool uploads, const struct cred *cred)
{
	uint64_t trust = trust_of(cred);
	struct pool *found = NULL;

	for (struct pool *p = t->pools; p; p = p->next) {
		if (p->retired || strcmp(p->name, name))
			continue;
		if (p->trust == trust) {
			if (p->uploads == uploads)
				found = p;
		} else if (cred && p->cred == cred) {
			p->retired = true;
			sweep_soon(t);
		}
	}
	return found ? found : pool_new(t, name, uploads, trust, cred);
}

static void
on_sweep(void *arg)
{
	struct transport *t = arg;
	int64_t old = loop_now(t->loop) - POOL_IDLE_MS;

	t->sweep = NULL;
	for (struct pool **at = &t->pools; *at;) {
		struct pool *p = *at;
		if (!pool_is_idle(p) || (!p->retired && p->idle_since > old)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		pool_free(p);
	}
	if (!t->pools) {
		loop_cancel(t->loop, t->sweep_later);
		t->sweep_later = NULL;
	}
}

static void
sweep_soon(struct transport *t)
{
	if (!t->sweep)
		t->sweep = loop_after(t->loop, 0, on_sweep, t);
}

static void
on_sweep_due(void *arg)
{
	struct transport *t = arg;

	t->sweep_later = loop_after(t->loop, SWEEP_EVERY_MS, on_sweep_due, t);
	sweep_soon(t);
}

static struct http_req *
transport_send(struct http *h, const struct http_call *c)
{
	struct transport *t = (struct transport *)h;
	const char *name = c->pool ? c->pool : "";
	bool rules = !strncmp(name, "pd", 2);
	struct http_req *r = xcalloc(1, sizeof(*r));

	must(c->total_ms > 0);
	r->loop = t->loop;
	r->seq = t->seq++;
	r->pool = pool_for(t, name, call_uploads(c), c->cred);
	call_prepare(r, c, t->rules, rules ? t->rule_count : 0, c->cred);
	r->state = CALL_QUEUED;
	TAILQ_INSERT_TAIL(&r->pool->queued, r, link);
	t->open++;
	r->deadline = loop_after(t->loop, r->total_ms, req_deadline, r);
	kick(r->pool);
	return r;
}

static void
transport_cancel(struct http *h, struct http_req *r)
{
	(void)h;
	if (r->state == CALL_DEAD || r->state == CALL_ENDING)
		return;
	r->pool->t->open--;
	if (r->pool->inside && r->state == CALL_ACTIVE) {
		leave_list(r);
		loop_cancel(r->loop, r->deadline);
		r->deadline = NULL;
		r->state = CALL_DEAD;
		TAILQ_INSERT_TAIL(&r->pool->dead, r, link);
		kick(r->pool);
		return;
	}
	detach(r);
	call_forget(r);
}

static const struct http_ops ops = { .send = transport_send, .cancel = transport_cancel };

static char *
rule_part(const char **at)
{
	const char *s = *at;
	size_t n = *s == '[' ? strcspn(s, "]") + (strchr(s, ']') != NULL) : strcspn(s, ":");

	*at = s + n;
	return xstrndup(s, n);
}

static int
rule_port(const char **at, int *out)
{
	char *end;
	long n = strtol(*at, &end, 10);

	if (end != *at && (n < 1 || n > 65535))
		return -1;
	*out = (int)n;
	*at = end;
	return 0;
}

static int
rule_parse(struct connect_rule *rule, const char *text, struct err *e)
{
	const char *at = text;
	bool ok;

	rule->host = rule_part(&at);
	ok = *at == ':' && (at++, !rule_port(&at, &rule->port)) && *at == ':';
	at += ok;
	rule->addr = rule_part(&at);
	ok = ok && *at == ':' && (at++, !rule_port(&at, &rule->to_port));
	if (ok && *at == '\0')
		return 0;
	return err_set(e, ERR_INVALID,
		"connect-to \"%s\": not HOST:PORT:ADDR:PORT: write for example ::127.0.0.1:2379",
		text);
}

struct http *
http_curl_new(struct loop *event_loop, const char *const *connect_to, struct err *e)
{
	struct transport *t = xcalloc(1, sizeof(*t));

	t->http.ops = &ops;
	t->loop = event_loop;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	for (; connect_to && connect_to[t->rule_count]; t->rule_count++) {
		t->rules = xrealloc(t->rules, (t->rule_count + 1) * sizeof(*t->rules));
		t->rules[t->rule_count] = (struct connect_rule){ 0 };
		if (rule_parse(&t->rules[t->rule_count], connect_to[t->rule_count], e)) {
			t->rule_count++;
			http_curl_free(&t->http);
			return NULL;
		}
	}
	return &t->http;
}

void
http_curl_free(struct http *h)
{
	struct transport *t = (struct transport *)h;

	if (!t)
		return;
	for (struct pool *p = t->pools; p; p = p->next)
		must(!p->inside);
	while (t->pools) {
		struct pool *p = t->pools;
		t->pools = p->next;
		pool_free(p);
	}
	loop_cancel(t->loop, t->sweep);
	loop_cancel(t->loop, t->sweep_later);
	for (size_t i = 0; i < t->rule_count; i++) {
		free(t->rules[i].host);
		free(t->rules[i].addr);
	}
	free(t->rules);
	free(t);
	curl_global_cleanup();
}

void
http_curl_refresh(struct http *h)
{
	struct transport *t = (struct transport *)h;

	for (struct pool *p = t->pools; p; p = p->next)
		p->retired = true;
	sweep_soon(t);
}

size_t
http_curl_open(const struct http *h)
{
	return ((const struct transport *)h)->open;
}
