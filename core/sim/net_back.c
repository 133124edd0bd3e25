#include <stdlib.h>
#include <string.h>

#include "sim/net_priv.h"

static void
parcel_free(struct parcel *p)
{
	struct parcel **at = &p->r->parcels;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	loop_cancel(p->r->net->conf.loop, p->timer);
	free(p->bytes);
	free(p);
}

void
req_settle(struct http_req *r)
{
	struct net *n = r->net;

	if (!r->ended || r->busy || r->leave)
		return;
	struct http_req **at = &n->first;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	while (r->parcels)
		parcel_free(r->parcels);
	loop_cancel(n->conf.loop, r->deadline);
	if (r->stream)
		apisim_cancel(r->api, r->stream);
	buf_fini(&r->collected);
	free(r->who);
	free(r->method);
	free(r->url);
	free(r->host);
	free(r->path);
	free(r->query);
	free(r->body);
	free(r->content_type);
	free(r->accept);
	free(r->agent);
	free(r->head_type);
	free(r->head_warning);
	free(r);
}

void
req_detach(struct http_req *r)
{
	r->ended = true;
	r->client = NULL;
	req_settle(r);
}

static void
finish(struct http_req *r, const struct err *e)
{
	if (r->ended)
		return;
	r->ended = true;
	r->busy++;
	if (r->on_end)
		r->on_end(r->arg, r->have_head ? &r->head : NULL,
			r->collected.at ? r->collected.at : "", r->collected.len, e);
	r->busy--;
	req_settle(r);
}

static void
finish_with(struct http_req *r, enum err_code code, const char *why)
{
	struct err e;

	err_clear(&e);
	err_set(&e, code, "%s http://%s%s: %s", r->method, r->host, r->path, why);
	finish(r, &e);
}

static void
timed_out(void *arg)
{
	struct http_req *r = arg;

	r->deadline = NULL;
	finish_with(r, ERR_TIMEOUT, r->have_head ? "silent for too long" : "no answer in time");
}

void
back_deadline(struct http_req *r, int64_t ms)
{
	loop_cancel(r->net->conf.loop, r->deadline);
	r->deadline = loop_after(r->net->conf.loop, ms, timed_out, r);
}

static void
take_bytes(struct http_req *r, const char *bytes, size_t n)
{
	size_t most = r->max_body ? r->max_body : r->idle_ms ? 0 : (size_t)64 << 20;
	struct err e;

	r->received += n;
	if (most && r->received > most) {
		finish_with(r, ERR_TOO_LARGE, "the answer is too large");
		return;
	}
	if (!r->on_body) {
		buf_put(&r->collected, bytes, n);
		return;
	}
	err_clear(&e);
	r->busy++;
	int rc = r->on_body(r->arg, bytes, n, &e);
	r->busy--;
	if (rc && !r->ended)
		finish(r, &e);
	else
		req_settle(r);
}

static void
take_head(struct http_req *r)
{
	r->have_head = true;
	r->head.date_wall_ms = loop_wall(r->net->conf.loop);
	if (!r->on_head)
		return;
	r->busy++;
	r->on_head(r->arg, &r->head);
	r->busy--;
	req_settle(r);
}

static void
arrive(void *arg)
{
	struct parcel *p = arg;
	struct http_req *r = p->r;
	enum parcel_kind kind = p->kind;
	char *bytes = p->bytes;
	size_t len = p->len;
	struct err e = p->e;

	p->timer = NULL;
	p->bytes = NULL;
	parcel_free(p);
	if (r->ended) {
		free(bytes);
		return;
	}
	if (r->idle_ms)
		back_deadline(r, r->idle_ms);
	switch (kind) {
	case PARCEL_HEAD:
		take_head(r);
		break;
	case PARCEL_BYTES:
		take_bytes(r, bytes, len);
		break;
	case PARCEL_END:
	case PARCEL_FAIL:
		finish(r, &e);
		break;
	}
	free(bytes);
}

static void
post(struct http_req *r, enum parcel_kind kind, const char *bytes, size_t n, const struct err *e,
	int64_t ms)
{
	struct loop *loop = r->net->conf.loop;
	int64_t due = loop_now(loop) + ms;

	if (r->mute || r->ended)
		return;
	if (due < r->last_due)
		due = r->last_due;
	r->last_due = due;
	struct parcel *p = xcalloc(1, sizeof(*p));
	p->r = r;
	p->kind = kind;
	if (n) {
		p->bytes = xmalloc(n);
		memcpy(p->bytes, bytes, n);
	}
	p->len = n;
	if (e)
		p->e = *e;
	p->next = r->parcels;
	r->parcels = p;
	p->timer = loop_after(loop, due - loop_now(loop), arrive, p);
}

void
back_head(struct http_req *r, int status, const char *type, const char *warning, int retry_after_s,
	int64_t ms)
{
	int n = 0;

	free(r->head_type);
	free(r->head_warning);
	r->head_type = xstrdup(type ? type : "");
	r->head_warning = warning ? xstrdup(warning) : NULL;
	r->header[n++] = (struct http_header){ "content-type", r->head_type };
	if (warning)
		r->header[n++] = (struct http_header){ "warning", r->head_warning };
	r->head = (struct http_head){ .status = status,
		.content_type = r->head_type,
		.etag = "",
		.retry_after_s = retry_after_s,
		.header = r->header,
		.headers = n };
	post(r, PARCEL_HEAD, NULL, 0, NULL, ms);
}

void
back_bytes(struct http_req *r, const char *bytes, size_t n, size_t piece, int64_t ms)
{
	size_t step = piece ? piece : n;

	for (size_t at = 0; at < n; at += step)
		post(r, PARCEL_BYTES, bytes + at, n - at < step ? n - at : step, NULL, ms);
}

void
back_end(struct http_req *r, int64_t ms)
{
	post(r, PARCEL_END, NULL, 0, NULL, ms);
}

void
back_fail(struct http_req *r, enum err_code code, const char *why, int64_t ms)
{
	struct err e;

	err_clear(&e);
	err_set(&e, code, "%s http://%s%s: %s", r->method, r->host, r->path, why);
	post(r, PARCEL_FAIL, NULL, 0, &e, ms);
	r->mute = true;
}
