#include "sim/outside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/mem.h"
#include "format/yaml.h"
#include "kube/ref.h"

/* Who acts in a whole world; a later one may rely on the earlier ones. */
static const char *const all[] = { "nodes", "volumes", "scheduler", "gc", "jobs", "pd", "tikv",
	"kubelet" };
static const char *const attached[] = { "audit", "pd", "tikv", "attach" };

static int
on_admit(void *arg, const struct apisim_admit *in, cJSON **object, cJSON *causes, cJSON *unknown,
	struct err *e)
{
	struct outside *w = arg;
	char id[256];
	if (in->schema == NULL)
		return 0;
	snprintf(id, sizeof id, "%s/%s/%s", in->group, in->version, in->kind);
	return admit_judge(
		w->admit, id, in->schema, object, in->old, in->prune_only, causes, unknown, e);
}

static void
on_commit(void *arg, const struct apisim_commit *c)
{
	struct outside *w = arg;
	if (w->committed != NULL)
		w->committed(w->arg, c);
}

static int
create(struct outside *w, const cJSON *o, const char *ns, struct err *e)
{
	enum kind k;
	struct buf path;
	char *answer = NULL;
	buf_init(&path, 0);
	if (strcmp(json_str(o, "kind", ""), "Namespace") == 0)
		(void)buf_puts(&path, "/api/v1/namespaces");
	else if (kind_of_object(o, &k) < 0)
		return err_set(e, ERR_INVALID, "%s: unknown kind", json_str(o, "kind", "?"));
	else
		(void)ref_path(&path, k,
			kind_row(k)->namespaced ? json_str(o, "metadata.namespace", ns) : NULL,
			NULL, NULL);
	char *body = json_string(o);
	int status = apisim_do(
		w->api, "POST", path.at, body, "application/json", "system:admin", &answer);
	int r = status < 300 ? 0
			     : err_set(e, ERR_INVALID, "%s %s: %.300s", json_str(o, "kind", "?"),
				       json_str(o, "metadata.name", "?"), answer);
	free(answer);
	free(body);
	buf_fini(&path);
	return r;
}

int
outside_apply(struct outside *w, const char *ns, const char *name, const char *yaml, size_t n,
	struct err *e)
{
	cJSON *docs = yaml_parse(name, yaml, n, NULL, e);
	int r = docs != NULL ? 0 : -1;
	for (const cJSON *d = docs != NULL ? docs->child : NULL; d != NULL && r == 0; d = d->next)
		r = create(w, d, ns, e);
	json_free(docs);
	return r;
}

static int
install(struct outside *w, struct err *e)
{
	for (const struct embed_file *f = embed_files; f->path != NULL; f++)
		if (strncmp(f->path, "crds/", 5) == 0 &&
			outside_apply(w, "", f->path, f->text, f->len, e) < 0)
			return -1;
	return 0;
}

int
outside_init(struct outside *w, const struct outside_conf *c, struct err *e)
{
	struct rng rng;
	memset(w, 0, sizeof *w);
	rng_seed(&rng, c->seed);
	w->loop = c->loop;
	w->committed = c->committed;
	w->arg = c->arg;
	w->admit = admit_new(e);
	if (w->admit == NULL)
		return -1;
	struct apisim_conf api = { .loop = c->loop,
		.rng = rng_fork(&rng, "api"),
		.hooks = { .admit = on_admit, .committed = on_commit, .arg = w } };
	w->api = apisim_new(&api);
	struct net_conf net = { .loop = c->loop,
		.rng = rng_fork(&rng, "net"),
		.latency_min_ms = c->latency_min_ms,
		.latency_max_ms = c->latency_max_ms,
		.fault = c->fault,
		.arg = c->arg };
	w->net = net_new(&net);
	net_serve_api(w->net, "apisim", w->api);
	struct actors_conf actors = { .loop = c->loop,
		.api = w->api,
		.net = w->net,
		.rng = rng_fork(&rng, "actors"),
		.choose = c->choose,
		.log = c->log,
		.arg = c->arg };
	w->actors = actors_new(&actors, e);
	int r = w->actors != NULL && install(w, e) == 0 ? 0 : -1;
	const char *const *who = c->attached ? attached : all;
	size_t n = c->attached ? sizeof attached / sizeof *attached : sizeof all / sizeof *all;
	for (size_t i = 0; i < n && r == 0; i++) {
		cJSON *conf = json_object();
		json_put_int(conf, "count", c->nodes);
		r = actors_start(w->actors, who[i], conf, e);
		json_free(conf);
	}
	if (r < 0)
		outside_fini(w);
	return r;
}

void
outside_reseed(struct outside *w, uint64_t seed)
{
	struct rng rng;
	rng_seed(&rng, seed);
	apisim_reseed(w->api, rng_fork(&rng, "api"));
	net_reseed(w->net, rng_fork(&rng, "net"));
	actors_reseed(w->actors, rng_fork(&rng, "actors"));
}

void
outside_fini(struct outside *w)
{
	if (w->actors != NULL)
		actors_free(w->actors);
	if (w->net != NULL)
		net_free(w->net);
	if (w->api != NULL)
		apisim_free(w->api);
	if (w->admit != NULL)
		admit_free(w->admit);
	memset(w, 0, sizeof *w);
}
