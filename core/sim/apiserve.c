#include "sim/apiserve.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "wire/httpd.h"

struct apiserve {
	struct apisim *api;
	struct httpd *httpd;
	char *ca, *cert, *key, *addr;
	struct visit *visits; /* open watches */
	apiserve_proxy_fn *proxy;
	void *proxy_arg;
};

/* One request; lives on only when it is a watch. */
struct visit {
	struct apiserve *s;
	struct visit *next;
	struct httpd_req *r;
	struct apisim_call *stream;
	bool open; /* the head is out */
	int status;
	char *type, *warning;
	struct buf body;
};

static void
visit_free(struct visit *v)
{
	struct visit **at = &v->s->visits;

	while (*at && *at != v)
		at = &(*at)->next;
	if (*at)
		*at = v->next;
	free(v->type);
	free(v->warning);
	buf_fini(&v->body);
	free(v);
}

static void
on_head(void *arg, int status, const char *type, const char *warning)
{
	struct visit *v = arg;

	v->status = status;
	v->type = xstrdup(type);
	v->warning = warning ? xstrdup(warning) : NULL;
}

static void
on_chunk(void *arg, const char *bytes, size_t n)
{
	struct visit *v = arg;

	if (v->open)
		httpd_chunk(v->r, bytes, n);
	else
		buf_put(&v->body, bytes, n);
}

static void
on_end(void *arg)
{
	struct visit *v = arg;

	if (!v->open)
		return;
	v->stream = NULL;
	httpd_on_gone(v->r, NULL, NULL);
	httpd_finish(v->r);
	visit_free(v);
}

static void
on_gone(void *arg)
{
	struct visit *v = arg;

	apisim_cancel(v->s->api, v->stream);
	visit_free(v);
}

static void
on_request(void *arg, struct httpd_req *r, const struct httpd_in *in)
{
	struct apiserve *s = arg;
	struct visit *v;

	if (s->proxy && strstr(in->path, "/proxy/") && s->proxy(s->proxy_arg, r, in))
		return;
	v = xcalloc(1, sizeof(*v));
	const char *token = in->header(in, "authorization");
	struct apisim_req q = {
		.method = in->method,
		.path = in->path,
		.query = in->query,
		.content_type = in->header(in, "content-type"),
		.accept = in->header(in, "accept"),
		.body = in->body,
		.body_len = in->body_len,
		.user = in->peer_cn ? in->peer_cn : "anonymous",
		.user_agent = in->header(in, "user-agent"),
		.on_head = on_head,
		.on_chunk = on_chunk,
		.on_end = on_end,
		.arg = v,
	};

	if (token && !strncmp(token, "Bearer ", 7))
		q.user = token + 7;
	v->s = s;
	v->r = r;
	buf_init(&v->body, 0);
	v->stream = apisim_request(s->api, &q);
	if (!v->stream) {
		struct http_header warning = { "Warning", v->warning };
		httpd_reply(r, v->status, &warning, v->warning ? 1 : 0, v->type, v->body.at,
			v->body.len);
		visit_free(v);
		return;
	}
	v->next = s->visits;
	s->visits = v;
	v->open = true;
	httpd_on_gone(r, on_gone, v);
	httpd_start(r, v->status, v->type);
	if (v->body.len)
		httpd_chunk(r, v->body.at, v->body.len);
}

void
apiserve_on_proxy(struct apiserve *s, apiserve_proxy_fn *fn, void *arg)
{
	s->proxy = fn;
	s->proxy_arg = arg;
}

struct apiserve *
apiserve_new(struct loop *event_loop, struct apisim *a, const char *addr, int port, struct err *e)
{
	struct apiserve *s = xcalloc(1, sizeof(*s));
	const char *names[] = { "kube-apiserver", "localhost", "127.0.0.1", addr, NULL };
	struct httpd_tls tls;

	s->api = a;
	s->addr = xstrdup(addr);
	if (httpd_make_certs(names, &s->ca, &s->cert, &s->key, e))
		goto failed;
	tls = (struct httpd_tls){ .cert = s->cert, .key = s->key };
	s->httpd = httpd_new(event_loop, addr, port, &tls, 16 << 20, on_request, s, e);
	if (s->httpd)
		return s;
failed:
	apiserve_free(s);
	return NULL;
}

void
apiserve_free(struct apiserve *s)
{
	if (!s)
		return;
	/* Watches first: a closed connection must not call back into a half-freed server. */
	while (s->visits) {
		struct visit *v = s->visits;
		apisim_cancel(s->api, v->stream);
		httpd_on_gone(v->r, NULL, NULL);
		visit_free(v);
	}
	if (s->httpd)
		httpd_free(s->httpd);
	free(s->ca);
	free(s->cert);
	free(s->key);
	free(s->addr);
	free(s);
}

int
apiserve_port(const struct apiserve *s)
{
	return httpd_port(s->httpd);
}

const char *
apiserve_ca(const struct apiserve *s)
{
	return s->ca;
}

int
apiserve_kubeconfig(const struct apiserve *s, const char *user, struct buf *out)
{
	size_t n = strlen(s->ca);
	char *ca = xmalloc((n + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)ca, (const unsigned char *)s->ca, (int)n);
	int rc = buf_printf(out,
		"apiVersion: v1\nkind: Config\nclusters:\n- name: playground\n  cluster:\n"
		"    server: https://%s:%d\n    certificate-authority-data: %s\n"
		"contexts:\n- name: playground\n  context:\n    cluster: playground\n    user: %s\n"
		"    namespace: default\ncurrent-context: playground\nusers:\n- name: %s\n  user:\n"
		"    token: %s\n",
		s->addr, apiserve_port(s), ca, user, user, user);
	free(ca);
	return rc;
}
