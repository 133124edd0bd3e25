#include "app/attach.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kube/watch.h"
#include "wire/http_curl.h"

static const struct {
	enum kind kind;
	const char *resource, *selector;
} mirrored[] = {
	{ KIND_NODE, "nodes", NULL },
	{ KIND_CONFIGMAP, "configmaps", "app.kubernetes.io/managed-by=tikv-operator" },
	{ KIND_CLAIM, "persistentvolumeclaims", "app.kubernetes.io/managed-by=tikv-operator" },
	{ KIND_POD, "pods", "app.kubernetes.io/managed-by=tikv-operator" },
};
#define MIRRORED (sizeof mirrored / sizeof *mirrored)

struct mirror {
	struct playground *p;
	const char *resource;
	struct store *store;
	struct watch *watch;
};

struct attach {
	struct http *http;
	struct cred *cred;
	struct cred_cluster at;
	struct api *api;
	struct watch_lists *lists;
	struct mirror mirror[MIRRORED];
};

static void
on_event(void *arg, const struct obj *old, const struct obj *now)
{
	struct mirror *m = arg;
	const cJSON *tree = obj_tree(now != NULL ? now : old);
	(void)apisim_mirror(m->p->world.api, m->resource, tree, now == NULL);
	json_free(tree);
}

int
attach_start(struct playground *p, const char *kubeconfig, struct err *e)
{
	struct attach *t = p->attach = xcalloc(1, sizeof *t);
	t->cred = cred_kubeconfig(kubeconfig, NULL, clock_system(), &t->at, e);
	if (t->cred == NULL)
		return -1;
	t->http = http_curl_new(p->loop, NULL, e);
	if (t->http == NULL)
		return -1;
	struct api_conf c = { .loop = p->loop,
		.http = t->http,
		.cred = t->cred,
		.server = t->at.server,
		.user_agent = "tikv-playground/" VERSION,
		.field_manager = "tikv-playground" };
	rng_seed(&c.rng, rng_entropy());
	t->api = api_new(&c);
	t->lists = watch_lists_new(2);
	for (size_t i = 0; i < MIRRORED; i++) {
		struct mirror *m = &t->mirror[i];
		m->p = p;
		m->resource = mirrored[i].resource;
		m->store = store_new(mirrored[i].kind);
		store_listen(m->store, on_event, m);
		struct watch_conf w = { .api = t->api,
			.store = m->store,
			.lists = t->lists,
			.label_selector = mirrored[i].selector };
		m->watch = watch_new(&w);
		watch_start(m->watch);
	}
	return 0;
}

void
attach_stop(struct playground *p)
{
	struct attach *t = p->attach;
	if (t == NULL)
		return;
	for (size_t i = 0; i < MIRRORED; i++) {
		if (t->mirror[i].watch != NULL)
			watch_free(t->mirror[i].watch);
		if (t->mirror[i].store != NULL)
			store_free(t->mirror[i].store);
	}
	if (t->lists != NULL)
		watch_lists_free(t->lists);
	if (t->api != NULL)
		api_free(t->api);
	if (t->http != NULL)
		http_curl_free(t->http);
	if (t->cred != NULL)
		cred_free(t->cred);
	cred_cluster_fini(&t->at);
	free(t);
	p->attach = NULL;
}
