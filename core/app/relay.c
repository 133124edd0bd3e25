#include "app/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/http_curl.h"

#define POD "/api/v1/namespaces/tikv-system/pods/tikv-operator-0"
#define ANSWER_MS 5000

static const char pod[] = "apiVersion: v1\n"
			  "kind: Pod\n"
			  "metadata:\n"
			  "  name: tikv-operator-0\n"
			  "  namespace: tikv-system\n"
			  "  labels:\n"
			  "    app.kubernetes.io/name: tikv-operator\n"
			  "    app.kubernetes.io/component: operator\n"
			  "spec:\n"
			  "  containers:\n"
			  "    - name: operator\n"
			  "      image: tikv-operator\n"
			  "      ports: [{name: http, containerPort: 8080}]\n";

struct relay {
	struct playground *p;
	struct http *http;
	int port;
	struct passing *first;
};

struct passing { /* one request on its way through */
	struct relay *relay;
	struct passing *next, **prev;
	struct httpd_req *from;
	struct http_req *to;
};

static void
passing_free(struct passing *x)
{
	*x->prev = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	free(x);
}

static void
on_gone(void *arg)
{
	struct passing *x = arg;

	http_cancel(x->relay->http, x->to);
	passing_free(x);
}

static void
on_answer(void *arg, const struct http_head *h, const char *body, size_t n, const struct err *e)
{
	struct passing *x = arg;
	const char *why = "the operator does not answer\n";

	httpd_on_gone(x->from, NULL, NULL);
	if (e->code == ERR_NONE)
		httpd_reply(x->from, h->status, NULL, 0, h->content_type, body, n);
	else
		httpd_reply(x->from, 503, NULL, 0, "text/plain", why, strlen(why));
	passing_free(x);
}

/* POD, or POD:PORT, then /proxy/ and what is asked for. */
static bool
on_request(void *arg, struct httpd_req *r, const struct httpd_in *in)
{
	struct relay *relay = arg;
	const char *rest = in->path;
	struct passing *x;
	char *url;

	if (strcmp(in->method, "GET") != 0 || strncmp(rest, POD, strlen(POD)) != 0)
		return false;
	rest += strlen(POD);
	rest += *rest == ':' ? 1 + strspn(rest + 1, "0123456789") : 0;
	if (strncmp(rest, "/proxy/", 7) != 0)
		return false;
	x = xcalloc(1, sizeof *x);
	x->relay = relay;
	x->from = r;
	x->next = relay->first;
	x->prev = &relay->first;
	if (x->next != NULL)
		x->next->prev = &x->next;
	relay->first = x;
	url = xasprintf("http://127.0.0.1:%d%s", relay->port, rest + 6);
	httpd_on_gone(r, on_gone, x);
	x->to = http_send(relay->http, &(struct http_call){ .method = "GET",
					       .url = url,
					       .accept = "*/*",
					       .total_ms = ANSWER_MS,
					       .on_end = on_answer,
					       .arg = x });
	free(url);
	return true;
}

int
relay_free_port(struct loop *l, struct err *e)
{
	struct httpd *d = httpd_new(l, "127.0.0.1", 0, NULL, 0, NULL, NULL, e);
	int port;

	if (d == NULL)
		return -1;
	port = httpd_port(d);
	httpd_free(d);
	return port;
}

struct relay *
relay_new(struct playground *p, int port, struct err *e)
{
	struct relay *r;

	if (outside_apply(&p->world, "tikv-system", "pod", pod, sizeof pod - 1, e) < 0)
		return NULL;
	r = xcalloc(1, sizeof *r);
	r->p = p;
	r->port = port;
	r->http = http_curl_new(p->loop, NULL, e);
	if (r->http == NULL) {
		free(r);
		return NULL;
	}
	apiserve_on_proxy(p->serve, on_request, r);
	return r;
}

void
relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	apiserve_on_proxy(r->p->serve, NULL, NULL);
	while (r->first != NULL) {
		httpd_on_gone(r->first->from, NULL, NULL);
		on_gone(r->first);
	}
	http_curl_free(r->http);
	free(r);
}
