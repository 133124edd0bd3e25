#include "app/client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "wire/http_curl.h"

int
client_open(struct client *c, const struct args *a, struct err *e)
{
	memset(c, 0, sizeof *c);
	const char *file = args_text(a, "kubeconfig");
	bool in_cluster = file == NULL && getenv("KUBECONFIG") == NULL &&
			  getenv("KUBERNETES_SERVICE_HOST") != NULL;
	c->cred = in_cluster ? cred_in_cluster(NULL, clock_system(), &c->at, e)
			     : cred_kubeconfig(
				       file, args_text(a, "context"), clock_system(), &c->at, e);
	if (c->cred == NULL)
		return -1;
	c->loop = loop_event_new();
	c->http = http_curl_new(c->loop, NULL, e);
	if (c->http == NULL) {
		client_close(c);
		return -1;
	}
	struct api_conf conf = { .loop = c->loop,
		.http = c->http,
		.cred = c->cred,
		.server = c->at.server,
		.user_agent = "kubectl-tikv/" VERSION,
		.field_manager = "kubectl-tikv" };
	rng_seed(&conf.rng, rng_entropy());
	c->api = api_new(&conf);
	c->ns = args_text(a, "namespace") != NULL ? args_text(a, "namespace") : c->at.ns;
	return 0;
}

void
client_close(struct client *c)
{
	if (c->api != NULL)
		api_free(c->api);
	if (c->http != NULL)
		http_curl_free(c->http);
	if (c->loop != NULL)
		loop_event_free(c->loop);
	if (c->cred != NULL)
		cred_free(c->cred);
	cred_cluster_fini(&c->at);
	memset(c, 0, sizeof *c);
}

struct answer {
	struct client *c;
	cJSON *body;
	struct err *e;
};

static void
on_answer(void *arg, const cJSON *body, const struct err *e)
{
	struct answer *r = arg;
	if (e->code != ERR_NONE)
		*r->e = *e;
	else
		r->body = body != NULL ? json_clone(body) : json_object();
	loop_event_stop(r->c->loop);
}

/* There was no answer: the server and the reason say more than the path that was asked for. */
static void
unreachable(const struct client *c, struct err *e)
{
	const char *url = strstr(e->msg, c->at.server),
		   *why = url != NULL ? strstr(url, ": ") : NULL;
	if (why == NULL)
		return;
	char *text = xstrdup(why + 2);
	err_set(e, e->code, "%s: %s: check --kubeconfig and --context", c->at.server, text);
	free(text);
}

cJSON *
client_do(struct client *c, const char *method, const char *path, const char *content_type,
	const cJSON *body, struct err *e)
{
	struct answer r = { .c = c, .e = e };
	char *text = body != NULL ? json_string(body) : NULL;
	api_raw(c->api, method, path, content_type, text, on_answer, &r);
	loop_event_run(c->loop);
	free(text);
	if (r.body == NULL && e->status == 0)
		unreachable(c, e);
	return r.body;
}

cJSON *
client_get(struct client *c, enum kind k, const char *name, struct err *e)
{
	struct buf path;
	buf_init(&path, 0);
	(void)ref_path(&path, k, kind_row(k)->namespaced ? c->ns : NULL, name, NULL);
	cJSON *tree = client_do(c, "GET", path.at, NULL, NULL, e);
	buf_fini(&path);
	return tree;
}

cJSON *
client_list(struct client *c, enum kind k, const char *label_selector, struct err *e)
{
	struct buf path;
	buf_init(&path, 0);
	(void)ref_path(&path, k, c->ns, NULL, NULL);
	if (label_selector != NULL) {
		(void)buf_puts(&path, "?labelSelector=");
		(void)http_escape(&path, label_selector);
	}
	cJSON *tree = client_do(c, "GET", path.at, NULL, NULL, e);
	buf_fini(&path);
	return tree;
}

int
client_kind(const char *word, size_t n, enum kind *out)
{
	static const struct {
		const char *name;
		enum kind kind;
	} more[] = { { "tkc", KIND_CLUSTER }, { "pdg", KIND_PDGROUP }, { "kvg", KIND_TIKVGROUP },
		{ "kv", KIND_TIKV } };
	for (int k = KIND_CLUSTER; k <= KIND_TIKV; k++) {
		const struct kind_row *row = kind_row((enum kind)k);
		if ((strlen(row->kind) == n && strncasecmp(row->kind, word, n) == 0) ||
			(strlen(row->plural) == n && strncasecmp(row->plural, word, n) == 0)) {
			*out = (enum kind)k;
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof more / sizeof *more; i++)
		if (strlen(more[i].name) == n && strncasecmp(more[i].name, word, n) == 0) {
			*out = more[i].kind;
			return 0;
		}
	return -1;
}
