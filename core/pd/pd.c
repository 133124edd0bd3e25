#include "pd/pd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "format/jsonstream.h"
#include "pd/pd_priv.h"

#define TIMEOUT_MS 5000
#define BODY_MAX (8u << 20)
#define LIST_MAX (64u << 20)
#define ITEM_MAX (256u << 10)
#define ERROR_MAX (16u << 10)
#define TRIES_MAX 5
/* A member takes a request with this header for one that was forwarded already: unless it is the
 * leader itself, it answers with an error instead of passing it on. */
#define REDIRECTED "PD-Redirector"

/* ---- life ---- */

struct pd *
pd_new(const struct pd_conf *c)
{
	struct pd *p = xcalloc(1, sizeof *p);

	p->conf = *c;
	p->pool = xstrdup(c->pool != NULL ? c->pool : "pd");
	p->leader = xstrdup("");
	p->checked = xstrdup("");
	if (p->conf.timeout_ms <= 0)
		p->conf.timeout_ms = TIMEOUT_MS;
	if (c->metrics != NULL)
		metric_family(c->metrics, "tikv_operator_pd_requests_total", METRIC_COUNTER,
			"Requests to PD, by result.", NULL);
	return p;
}

static void
urls_free(char **url, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(url[i]);
	free(url);
}

static void
call_free(struct pd_call *c)
{
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	if (c->req != NULL)
		http_cancel(c->pd->conf.http, c->req);
	loop_cancel(c->pd->conf.loop, c->timer);
	jsonstream_free(c->stream);
	buf_fini(&c->error);
	json_free(c->checked);
	urls_free(c->todo, c->todo_n);
	free(c->path);
	free(c->url);
	free(c->body);
	free(c->array);
	free(c);
}

void
pd_free(struct pd *p)
{
	if (p == NULL)
		return;
	while (p->open != NULL)
		call_free(p->open);
	urls_free(p->url, p->urls);
	free(p->pool);
	free(p->leader);
	free(p->checked);
	free(p);
}

char *
pd_base_url(const char *s)
{
	size_t n = strlen(s);

	while (n > 0 && s[n - 1] == '/')
		n--;
	return xstrndup(s, n);
}

void
pd_remember(char **slot, const char *url)
{
	char *fresh = pd_base_url(url);

	free(*slot);
	*slot = fresh;
}

void
pd_set_endpoints(struct pd *p, const char *const *urls, size_t n)
{
	urls_free(p->url, p->urls);
	p->url = xcalloc(n + 1, sizeof *p->url);
	p->urls = n;
	for (size_t i = 0; i < n; i++)
		p->url[i] = pd_base_url(urls[i]);
	if (n == 0) {
		pd_remember(&p->leader, "");
		pd_remember(&p->checked, "");
		p->vouched = 0;
	}
}

void
pd_set_cred(struct pd *p, const struct cred *cred)
{
	p->conf.cred = cred;
}

void
pd_cancel(struct pd *p, struct pd_call *c)
{
	if (c == NULL)
		return;
	must(c->pd == p);
	call_free(c);
}

const char *
pd_leader_url(const struct pd *p)
{
	return p->leader;
}

uint64_t
pd_calls(const struct pd *p)
{
	return p->calls;
}

bool
pd_not_bootstrapped(const struct err *e)
{
	return e->code == ERR_UNSUPPORTED && strstr(e->msg, "ErrNotBootstrapped") != NULL;
}

int
pd_id(const cJSON *node, char out[24])
{
	const char *s = json_text(node);
	size_t n;

	if (s == NULL && cJSON_IsNumber(node)) {
		if (node->valuedouble < 0 || node->valuedouble > 999999999999999.0 ||
			node->valuedouble != floor(node->valuedouble))
			return -1;
		text_int((long long)node->valuedouble, out);
		return 0;
	}
	if (s == NULL)
		return -1;
	n = strspn(s, "0123456789");
	if (n == 0 || n > 20 || s[n] != '\0')
		return -1;
	memcpy(out, s, n + 1);
	return 0;
}

/* ---- endings ---- */

static void
count(struct pd *p, const char *result)
{
	struct buf labels;

	if (p->conf.metrics == NULL)
		return;
	buf_init(&labels, 0);
	metric_label(&labels, "result", result);
	metric_add(p->conf.metrics, "tikv_operator_pd_requests_total", labels.at, 1);
	buf_fini(&labels);
}

void
pd_call_finish(struct pd_call *c, const cJSON *body, int64_t date_ms, const struct err *why)
{
	pd_done_fn *done = c->done;
	void *arg = c->arg;
	struct err e = *why;

	c->req = NULL;
	call_free(c);
	done(arg, e.code == ERR_NONE ? body : NULL, date_ms, &e);
}

static void
fail_later(void *arg)
{
	struct pd_call *c = arg;
	struct err e = c->err;

	c->timer = NULL;
	pd_call_finish(c, NULL, -1, &e);
}

/* ---- answers ---- */

/* Region lists are octet-stream, the rest JSON; a page of a proxy is neither. */
static bool
type_fits(const char *type)
{
	return strncmp(type, "application/json", 16) == 0 ||
	       strncmp(type, "application/octet-stream", 24) == 0;
}

static bool
worth_another(const struct pd_call *c, const struct err *e)
{
	if (c->todo_at >= c->todo_n)
		return false;
	switch (e->code) {
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_PROTOCOL:
	case ERR_UNAUTHORIZED:
		return true;
	case ERR_TOO_LARGE:
	case ERR_NONE:
	case ERR_INVALID:
	case ERR_NOT_FOUND:
	case ERR_EXISTS:
	case ERR_CONFLICT:
	case ERR_EXPIRED:
	case ERR_TOO_NEW:
	case ERR_FORBIDDEN:
	case ERR_THROTTLED:
	case ERR_CANCELLED:
	case ERR_REFUSED:
	case ERR_UNSUPPORTED:
	case ERR_INTERNAL:
		return false;
	}
	return false;
}

static void
learn_leader(struct pd *p, const cJSON *members)
{
	const char *url = json_str(members, "leader.client_urls[0]", "");

	if (url[0] != '\0')
		pd_remember(&p->leader, url);
}

static void
answered(struct pd_call *c, const cJSON *body, int64_t date_ms, const struct err *e)
{
	struct pd *p = c->pd;
	bool members = strcmp(c->path, MEMBERS) == 0;

	count(p, e->code == ERR_NONE ? "ok" : err_name(e->code));
	if (e->code == ERR_NONE && members)
		learn_leader(p, body);
	if (e->code != ERR_NONE && strcmp(c->url, p->leader) == 0 &&
		(e->code == ERR_UNAVAILABLE || e->code == ERR_TIMEOUT))
		pd_remember(&p->leader, "");
	if (e->code != ERR_NONE && worth_another(c, e)) {
		pd_call_ask(c);
		return;
	}
	if (c->check != CHECK_NONE)
		pd_check_next(c, body, e);
	else
		pd_call_finish(c, body, date_ms, e);
}

static void
on_end(void *arg, const struct http_head *h, const char *body, size_t n, const struct err *why)
{
	struct pd_call *c = arg;
	struct err e = *why;
	char *rest = NULL;
	cJSON *tree = NULL;
	int64_t date = h != NULL ? h->date_wall_ms : -1;

	c->req = NULL;
	if (c->stream != NULL && h != NULL && h->status != 200) {
		body = c->error.at;
		n = c->error.len;
	}
	if (e.code != ERR_NONE)
		err_wrap(&e, "PD %s %s", c->method, c->path);
	else if (h->status < 200 || h->status > 299)
		pd_refused(c, h->status, body, n, &e);
	else if (!type_fits(h->content_type) && (n > 0 || c->stream != NULL))
		err_set(&e, ERR_PROTOCOL, "PD %s %s: content type \"%.60s\" is not JSON", c->method,
			c->path, h->content_type);
	else if (c->stream != NULL && jsonstream_end(c->stream, &rest, &e) == 0)
		tree = rest != NULL ? json_parse(rest, strlen(rest), &e) : NULL;
	else if (c->stream == NULL && n > 0)
		tree = json_parse(body, n, &e);
	if (tree == NULL && e.code != ERR_NONE && why->code == ERR_NONE && h->status == 200 &&
		e.code != ERR_PROTOCOL) {
		e.code = ERR_PROTOCOL;
		err_wrap(&e, "PD %s %s", c->method, c->path);
	}
	free(rest);
	answered(c, tree, date, &e);
	json_free(tree);
}

static void
on_head(void *arg, const struct http_head *h)
{
	struct pd_call *c = arg;

	c->status = h->status;
}

static int
on_item(void *arg, const char *text, size_t n, struct err *e)
{
	struct pd_call *c = arg;
	cJSON *item = json_parse(text, n, e);
	int rc;

	if (item == NULL)
		return -1;
	rc = c->item(c->arg, item, e);
	json_free(item);
	return rc;
}

static int
on_body(void *arg, const char *chunk, size_t n, struct err *e)
{
	struct pd_call *c = arg;

	if (c->status != 200) {
		size_t room = ERROR_MAX - c->error.len;
		buf_put(&c->error, chunk, n < room ? n : room);
		return 0;
	}
	if (jsonstream_feed(c->stream, chunk, n, e) == 0)
		return 0;
	if (e->code != ERR_TOO_LARGE)
		e->code = ERR_PROTOCOL;
	return -1;
}

/* ---- asking ---- */

void
pd_call_ask(struct pd_call *c)
{
	struct pd *p = c->pd;
	static const struct http_header own[] = { { REDIRECTED, "tikv-operator" } };
	bool only_itself = c->target != TO_ANY;
	struct err none = { 0 };
	struct http_call h;
	char *url;

	must(c->todo_at < c->todo_n);
	free(c->url);
	c->url = xstrdup(c->todo[c->todo_at++]);
	url = xasprintf("%s%s", c->url, c->path);
	if (c->array != NULL) {
		if (c->stream != NULL)
			c->item(c->arg, NULL, &none);
		jsonstream_free(c->stream);
		c->stream = jsonstream_new(JSONSTREAM_ITEMS, c->array, ITEM_MAX, on_item, c);
		buf_reset(&c->error);
		c->status = 0;
	}
	h = (struct http_call){ .method = c->method,
		.url = url,
		.body = c->body,
		.body_len = c->body != NULL ? strlen(c->body) : 0,
		.content_type = c->body != NULL ? "application/json" : NULL,
		.header = only_itself ? own : NULL,
		.headers = only_itself ? 1 : 0,
		.cred = p->conf.cred,
		.pool = p->pool,
		/* /health of PD waits up to 3 s for each dead member */
		.total_ms = p->conf.timeout_ms * (strstr(c->path, "/health") != NULL ? 2 : 1),
		.max_body = c->array != NULL ? LIST_MAX : BODY_MAX,
		.on_head = c->array != NULL ? on_head : NULL,
		.on_body = c->array != NULL ? on_body : NULL,
		.on_end = on_end,
		.arg = c };
	p->calls++;
	c->req = http_send(p->conf.http, &h);
	free(url);
}

static void
add_todo(struct pd_call *c, const char *url)
{
	for (size_t i = 0; i < c->todo_n; i++) {
		if (strcmp(c->todo[i], url) == 0)
			return;
	}
	if (url[0] == '\0' || c->todo_n == TRIES_MAX)
		return;
	c->todo = xrealloc(c->todo, (c->todo_n + 1) * sizeof *c->todo);
	c->todo[c->todo_n++] = xstrdup(url);
}

void
pd_call_aim(struct pd_call *c, enum target target)
{
	struct pd *p = c->pd;

	urls_free(c->todo, c->todo_n);
	c->todo = NULL;
	c->todo_n = c->todo_at = 0;
	c->target = target;
	switch (target) {
	case TO_ANY:
		add_todo(c, p->leader);
		for (size_t i = 0; i < p->urls; i++)
			add_todo(c, p->url[i]);
		break;
	case TO_LEADER:
		add_todo(c, p->leader);
		break;
	case TO_CHECKED:
		add_todo(c, p->checked);
		break;
	}
}

struct pd_call *
pd_call_new(struct pd *p, enum target target, const char *method, const char *path,
	pd_done_fn *done, void *arg)
{
	struct pd_call *c = xcalloc(1, sizeof *c);

	c->pd = p;
	c->method = method;
	c->path = xstrdup(path);
	c->url = xstrdup("");
	buf_init(&c->error, 0);
	c->done = done;
	c->arg = arg;
	c->next = p->open;
	c->prev = &p->open;
	if (c->next != NULL)
		c->next->prev = &c->next;
	p->open = c;
	pd_call_aim(c, target);
	return c;
}

struct pd_call *
pd_call_begin(struct pd_call *c)
{
	if (c->todo_n > 0) {
		pd_call_ask(c);
		return c;
	}
	err_set(&c->err, ERR_UNAVAILABLE, "PD %s %s: %s", c->method, c->path,
		c->target == TO_ANY ? "no PD endpoint is known"
				    : "the leader is not known: ask again");
	c->timer = loop_after(c->pd->conf.loop, 0, fail_later, c);
	return c;
}

struct pd_call *
pd_read(struct pd *p, const char *path, pd_done_fn *done, void *arg)
{
	return pd_call_begin(pd_call_new(p, TO_ANY, "GET", path, done, arg));
}

struct pd_call *
pd_read_list(struct pd *p, const char *path, const char *array, pd_item_fn *item, pd_done_fn *done,
	void *arg)
{
	struct pd_call *c = pd_call_new(p, TO_ANY, "GET", path, done, arg);

	c->array = xstrdup(array);
	c->item = item;
	return pd_call_begin(c);
}

struct pd_call *
pd_read_leader(struct pd *p, const char *method, const char *path, pd_done_fn *done, void *arg)
{
	struct pd_call *c;

	method = strcmp(method, "POST") == 0 ? "POST" : "GET";
	c = pd_call_new(p, TO_LEADER, method, path, done, arg);
	if (strcmp(method, "POST") == 0)
		c->body = xstrdup("{}");
	return pd_call_begin(c);
}

void
pd_vouch(struct pd *p)
{
	p->vouched = loop_now(p->conf.loop);
}

int64_t
pd_vouched_ms(const struct pd *p)
{
	return p->vouched > 0 ? loop_now(p->conf.loop) - p->vouched : -1;
}

struct pd_call *
pd_write(struct pd *p, const char *method, const char *path, const cJSON *body, pd_done_fn *done,
	void *arg)
{
	struct pd_call *c = pd_call_new(
		p, TO_CHECKED, strcmp(method, "DELETE") == 0 ? "DELETE" : "POST", path, done, arg);

	if (body != NULL)
		c->body = json_string(body);
	return pd_call_begin(c);
}
