#include "kube/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define TRIES 10
#define REQUESTS "tikv_operator_api_requests_total"
#define WRITES_OPEN "tikv_operator_api_writes_open"

enum call_state {
	CALL_QUEUED, /* a write that waits for its turn */
	CALL_SENT,
	CALL_PAUSED, /* a timer runs: before a repeat, or before telling a failure of our own */
};

struct api_call {
	struct api *api;
	struct api_call *prev, *next;
	enum call_state state;
	bool write;
	bool refreshed; /* was repeated after a 401 */
	bool failed;    /* the timer tells `failure` */
	int tries;
	int64_t deadline;
	struct http_req *req;
	struct timer *timer;
	const char *method; /* static */
	const char *kind;   /* static, for the metric */
	char *path;         /* with its query */
	char *content_type;
	char *body;
	struct err failure;
	api_done_fn *done;
	void *arg;
};

struct api {
	struct api_conf conf;
	char *server, *user_agent, *field_manager, *pool;
	struct api_call *first, *last;
	int open, writes;
};

struct api *
api_new(const struct api_conf *c)
{
	struct api *a = xcalloc(1, sizeof *a);

	a->conf = *c;
	a->server = xstrdup(c->server);
	a->user_agent = xstrdup(c->user_agent ? c->user_agent : "tikv-operator");
	a->field_manager = xstrdup(c->field_manager ? c->field_manager : "tikv-operator");
	a->pool = xstrdup(c->pool ? c->pool : "");
	if (a->conf.max_writes <= 0)
		a->conf.max_writes = 8;
	if (a->conf.timeout_ms <= 0)
		a->conf.timeout_ms = 30000;
	if (c->metrics) {
		metric_family(c->metrics, REQUESTS, METRIC_COUNTER,
			"Requests to the Kubernetes API by verb, kind and result.", NULL);
		metric_family(c->metrics, WRITES_OPEN, METRIC_GAUGE,
			"Writes to the Kubernetes API that are on the wire.", NULL);
	}
	return a;
}

/* ---- the list of open calls ---- */

static void
link_call(struct api *a, struct api_call *c)
{
	c->prev = a->last;
	if (a->last)
		a->last->next = c;
	else
		a->first = c;
	a->last = c;
	a->open++;
}

static void
unlink_call(struct api *a, struct api_call *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		a->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		a->last = c->prev;
	a->open--;
}

static void
free_call(struct api_call *c)
{
	free(c->path);
	free(c->content_type);
	free(c->body);
	free(c);
}

static void
count_writes(struct api *a, int by)
{
	a->writes += by;
	if (a->conf.metrics)
		metric_set(a->conf.metrics, WRITES_OPEN, "", a->writes);
}

/* Leave the wire and the loop, without a word to the caller. */
static void
detach(struct api_call *c)
{
	struct api *a = c->api;

	if (c->req) {
		http_cancel(a->conf.http, c->req);
		c->req = NULL;
		if (c->write)
			count_writes(a, -1);
	}
	loop_cancel(a->conf.loop, c->timer);
	c->timer = NULL;
}

void
api_free(struct api *a)
{
	if (!a)
		return;
	while (a->first) {
		struct api_call *c = a->first;
		detach(c);
		unlink_call(a, c);
		free_call(c);
	}
	free(a->server);
	free(a->user_agent);
	free(a->field_manager);
	free(a->pool);
	free(a);
}

static void pump(struct api *a);

static void
count_result(const struct api_call *c, const struct err *e)
{
	struct metrics *m = c->api->conf.metrics;
	struct buf labels;

	if (!m)
		return;
	buf_init(&labels, 0);
	metric_label(&labels, "verb", c->method);
	metric_label(&labels, "kind", c->kind);
	metric_label(&labels, "result", e->code == ERR_NONE ? "ok" : err_name(e->code));
	metric_add(m, REQUESTS, labels.at, 1);
	buf_fini(&labels);
}

/* The caller may free the api in `done`: nothing of ours is touched after it. */
static void
finish(struct api_call *c, const cJSON *body, const struct err *e)
{
	struct api *a = c->api;
	api_done_fn *done = c->done;
	void *arg = c->arg;

	count_result(c, e);
	unlink_call(a, c);
	free_call(c);
	pump(a);
	done(arg, body, e);
}

static void
tell_failure(void *arg)
{
	struct api_call *c = arg;
	struct err e = c->failure;

	c->timer = NULL;
	finish(c, NULL, &e);
}

/* The caller still holds the handle: it hears of it at the next turn. */
static void
fail_soon(struct api_call *c)
{
	c->state = CALL_PAUSED;
	c->failed = true;
	c->timer = loop_after(c->api->conf.loop, 0, tell_failure, c);
}

/* ---- answers ---- */

static void send_now(struct api_call *c);

static void
resend(void *arg)
{
	struct api_call *c = arg;

	c->timer = NULL;
	send_now(c);
}

static void
log_throttled(const struct api_call *c, const struct http_head *h)
{
	for (int i = 0; i < h->headers; i++)
		if (strcmp(h->header[i].name, "x-kubernetes-pf-flowschema-uid") == 0)
			log_write(c->api->conf.log, LOG_WARN, "request throttled by flow control",
				"path", c->path, "flowschema", h->header[i].value, NULL);
}

/* Reads only: a write is decided anew from a newer world (T2, T4). */
static bool
repeats(struct api_call *c, const struct err *e)
{
	struct api *a = c->api;

	if (c->write)
		return false;
	if (e->status == 401 && !c->refreshed) {
		c->refreshed = true;
		send_now(c);
		return true;
	}
	if ((e->status != 429 && e->status < 500) || e->retry_after_s <= 0 || c->tries >= TRIES)
		return false;
	int64_t pause = rng_jitter(&a->conf.rng, (int64_t)e->retry_after_s * 1000, 0.1);
	if (loop_now(a->conf.loop) + pause >= c->deadline)
		return false;
	c->state = CALL_PAUSED;
	c->timer = loop_after(a->conf.loop, pause, resend, c);
	return true;
}

static const cJSON *
read_answer(const struct http_head *h, const char *body, size_t n, struct err *e)
{
	if (n == 0)
		return NULL;
	if (strstr(h->content_type, "json"))
		return json_read_object(body, n, e);
	char *text = xstrndup(body, n);
	cJSON *tree = cJSON_CreateString(text);
	free(text);
	return tree;
}

static void
wrap_call(const struct api_call *c, struct err *e)
{
	err_wrap(e, "%s %.*s", c->method, (int)strcspn(c->path, "?"), c->path);
}

static void
on_end(void *arg, const struct http_head *h, const char *body, size_t n, const struct err *e)
{
	struct api_call *c = arg;
	struct err mine = *e;
	const cJSON *tree = NULL;

	c->req = NULL;
	if (c->write)
		count_writes(c->api, -1);
	if (mine.code == ERR_NONE && h &&
		api_status_error(h->status, body, n, h->retry_after_s, &mine) != 0) {
		if (h->status == 401)
			api_unauthorized(c->api);
		if (h->status == 429)
			log_throttled(c, h);
		if (repeats(c, &mine))
			return;
	}
	if (mine.code == ERR_NONE && h)
		tree = read_answer(h, body, n, &mine);
	if (mine.code != ERR_NONE)
		wrap_call(c, &mine);
	finish(c, tree, &mine);
	json_free(tree);
}

static void
send_now(struct api_call *c)
{
	struct api *a = c->api;
	int64_t left = c->deadline - loop_now(a->conf.loop);
	char *url = xasprintf("%s%s", a->server, c->path);
	struct http_header agent = { "User-Agent", a->user_agent };
	struct http_call call = {
		.method = c->method,
		.url = url,
		.body = c->body,
		.body_len = c->body ? strlen(c->body) : 0,
		.content_type = c->content_type,
		.header = &agent,
		.headers = 1,
		.cred = a->conf.cred,
		.pool = a->pool,
		.total_ms = c->write   ? a->conf.timeout_ms
			    : left > 0 ? left
				       : 1,
		.on_end = on_end,
		.arg = c,
	};

	c->state = CALL_SENT;
	c->tries++;
	if (c->write)
		count_writes(a, 1);
	c->req = http_send(a->conf.http, &call);
	free(url);
}

/* ---- the queue of writes ---- */

static bool
may_leave(struct api_call *c)
{
	struct api *a = c->api;

	if (loop_now(a->conf.loop) > c->deadline) {
		err_set(&c->failure, ERR_UNAVAILABLE, "not sent: other writes took too long");
		return false;
	}
	if (!a->conf.gate || a->conf.gate(a->conf.gate_arg, &c->failure) == 0)
		return true;
	if (c->failure.code == ERR_NONE)
		err_set(&c->failure, ERR_CANCELLED, "not sent: the gate for writes is closed");
	return false;
}

static void
pump(struct api *a)
{
	for (struct api_call *c = a->first; c && a->writes < a->conf.max_writes; c = c->next) {
		if (c->state != CALL_QUEUED)
			continue;
		if (may_leave(c)) {
			send_now(c);
		} else {
			wrap_call(c, &c->failure);
			fail_soon(c);
		}
	}
}

/* ---- making calls ---- */

static struct api_call *
new_call(struct api *a, const char *method, const char *kind, api_done_fn *done, void *arg)
{
	struct api_call *c = xcalloc(1, sizeof *c);

	c->api = a;
	c->method = method;
	c->kind = kind;
	c->write = strcmp(method, "GET") != 0;
	c->deadline = loop_now(a->conf.loop) + a->conf.timeout_ms;
	c->done = done;
	c->arg = arg;
	link_call(a, c);
	return c;
}

static struct api_call *
start(struct api_call *c)
{
	if (c->failure.code != ERR_NONE) {
		wrap_call(c, &c->failure);
		fail_soon(c);
	} else if (c->write) {
		c->state = CALL_QUEUED;
		pump(c->api);
	} else {
		send_now(c);
	}
	return c;
}

struct request {
	const char *method;
	enum kind kind;
	const char *ns, *name, *sub;
	const char *content_type;
	const cJSON *body;
	bool apply, force;
	const char *refused; /* why it must not be sent, or NULL */
};

static void
put_query(const struct api *a, const struct request *r, struct buf *path)
{
	if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "DELETE") == 0)
		return;
	buf_puts(path, "?fieldManager=");
	http_escape(path, a->field_manager);
	if (r->apply)
		buf_puts(path, r->force ? "&force=true" : "&force=false");
	if (kind_row(r->kind)->ours)
		buf_puts(path, "&fieldValidation=Strict");
}

static struct api_call *
request(struct api *a, const struct request *r, api_done_fn *done, void *arg)
{
	struct api_call *c = new_call(a, r->method, kind_row(r->kind)->kind, done, arg);
	bool placed = !kind_row(r->kind)->namespaced || (r->ns && *r->ns);
	struct buf path;

	buf_init(&path, 0);
	if (ref_path(&path, r->kind, r->ns, r->name, r->sub) != 0 || !placed)
		err_set(&c->failure, ERR_INVALID, "name or namespace is missing");
	else if (r->refused)
		err_set(&c->failure, ERR_INVALID, "%s", r->refused);
	put_query(a, r, &path);
	c->path = buf_take(&path);
	if (r->body) {
		c->body = json_string(r->body);
		c->content_type = xstrdup(r->content_type ? r->content_type : "application/json");
	}
	return start(c);
}

struct api_call *
api_get(struct api *a, enum kind k, const char *ns, const char *name, api_done_fn *done, void *arg)
{
	return request(a,
		&(struct request){ .method = "GET", .kind = k, .ns = ns, .name = name ? name : "" },
		done, arg);
}

struct api_call *
api_create(struct api *a, enum kind k, const char *ns, const cJSON *object, api_done_fn *done,
	void *arg)
{
	return request(a,
		&(struct request){ .method = "POST", .kind = k, .ns = ns, .body = object }, done,
		arg);
}

struct api_call *
api_apply(struct api *a, enum kind k, const char *ns, const char *name, const char *sub,
	const cJSON *object, bool force, api_done_fn *done, void *arg)
{
	return request(a,
		&(struct request){ .method = "PATCH",
			.kind = k,
			.ns = ns,
			.name = name ? name : "",
			.sub = sub,
			.body = object,
			.content_type = "application/apply-patch+yaml",
			.apply = true,
			.force = force },
		done, arg);
}

struct api_call *
api_merge(struct api *a, enum kind k, const char *ns, const char *name, const char *sub,
	const cJSON *patch, api_done_fn *done, void *arg)
{
	return request(a,
		&(struct request){ .method = "PATCH",
			.kind = k,
			.ns = ns,
			.name = name ? name : "",
			.sub = sub,
			.body = patch,
			.content_type = "application/merge-patch+json" },
		done, arg);
}

struct api_call *
api_update(struct api *a, enum kind k, const char *ns, const char *name, const char *sub,
	const cJSON *object, api_done_fn *done, void *arg)
{
	const char *rv = json_text(json_get(json_get(object, "metadata"), "resourceVersion"));

	return request(a,
		&(struct request){ .method = "PUT",
			.kind = k,
			.ns = ns,
			.name = name ? name : "",
			.sub = sub,
			.body = object,
			.refused = rv && *rv ? NULL : "an update needs metadata.resourceVersion" },
		done, arg);
}

struct api_call *
api_delete(struct api *a, enum kind k, const char *ns, const char *name, const char *uid,
	const char *rv, int grace, api_done_fn *done, void *arg)
{
	bool sure = uid && *uid && rv && *rv;
	cJSON *options = json_object(), *pre = json_object();

	json_put_str(options, "apiVersion", "v1");
	json_put_str(options, "kind", "DeleteOptions");
	json_put_str(pre, "uid", uid);
	json_put_str(pre, "resourceVersion", rv);
	json_put(options, "preconditions", pre);
	json_put_str(options, "propagationPolicy", "Background");
	if (grace >= 0)
		json_put_int(options, "gracePeriodSeconds", grace);
	struct api_call *c = request(a,
		&(struct request){ .method = "DELETE",
			.kind = k,
			.ns = ns,
			.name = name ? name : "",
			.body = options,
			.refused = sure ? NULL : "a delete needs uid and resourceVersion" },
		done, arg);
	json_free(options);
	return c;
}

/* Methods are kept as static texts. */
static const char *
known_method(const char *method)
{
	static const char *const all[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(all[i], method) == 0)
			return all[i];
	return NULL;
}

struct api_call *
api_raw(struct api *a, const char *method, const char *path, const char *content_type,
	const char *body, api_done_fn *done, void *arg)
{
	const char *known = known_method(method);
	struct api_call *c = new_call(a, known ? known : "POST", "", done, arg);

	if (!known)
		err_set(&c->failure, ERR_INVALID, "unknown method %s", method);
	c->path = xstrdup(path);
	c->body = body ? xstrdup(body) : NULL;
	c->content_type = content_type ? xstrdup(content_type) : NULL;
	return start(c);
}

void
api_cancel(struct api *a, struct api_call *c)
{
	if (!c)
		return;
	detach(c);
	unlink_call(a, c);
	free_call(c);
	pump(a);
}

void
api_drop_writes(struct api *a)
{
	for (struct api_call *c = a->first; c; c = c->next) {
		if (!c->write || c->failed)
			continue;
		detach(c);
		err_set(&c->failure, ERR_CANCELLED, "writing ended");
		wrap_call(c, &c->failure);
		fail_soon(c);
	}
}

/* ---- streams ---- */

struct http_req *
api_stream(struct api *a, const char *path_and_query, const char *pool, int64_t idle_ms,
	void (*on_head)(void *, const struct http_head *),
	int (*on_body)(void *, const char *, size_t, struct err *),
	void (*on_stream_end)(
		void *, const struct http_head *, const char *, size_t, const struct err *),
	void *arg)
{
	char *url = xasprintf("%s%s", a->server, path_and_query);
	struct http_header agent = { "User-Agent", a->user_agent };
	struct http_req *r = http_send(a->conf.http, &(struct http_call){ .method = "GET",
							     .url = url,
							     .header = &agent,
							     .headers = 1,
							     .cred = a->conf.cred,
							     .pool = pool,
							     .total_ms = a->conf.timeout_ms,
							     .idle_ms = idle_ms,
							     .on_head = on_head,
							     .on_body = on_body,
							     .on_end = on_stream_end,
							     .arg = arg });

	free(url);
	return r;
}

void
api_stream_cancel(struct api *a, struct http_req *r)
{
	http_cancel(a->conf.http, r);
}

void
api_unauthorized(struct api *a)
{
	if (a->conf.cred)
		cred_unauthorized(a->conf.cred);
}

struct rng *
api_rng(struct api *a)
{
	return &a->conf.rng;
}

struct loop *
api_loop(struct api *a)
{
	return a->conf.loop;
}

int
api_open_calls(const struct api *a)
{
	return a->open;
}
