#include <stdlib.h>
#include <string.h>

#include "app/playground.h"
#include "app/screen.h"
#include "base/embed.h"
#include "base/mem.h"

#define TICK_MS 200
#define LIMIT_MS 150000 /* it takes half of that; longer, and it has failed */
#define BASE "/apis/core.tikv.org/v1alpha1/namespaces/default/"
#define MERGE "application/merge-patch+json"
#define VICTIM "basic-1"  /* leaves by name */
#define UNLUCKY "basic-2" /* loses its node */
#define VERSION_AFTER "v8.5.3"
#define ACTS 5

struct demo {
	struct playground *p;
	struct timer *timer;
	struct screen *screen;
	size_t act;
	int64_t began, act_began;
	bool mine;  /* a write of the tour itself */
	char *node; /* where the unlucky store was */
	double took[ACTS];
	int writes, looks, dark_looks,
		dark_regions; /* regions without a majority of their copies */
};

/* ---- what is done ---- */

static int
request(struct demo *d, const char *method, const char *path, const char *body, struct err *e)
{
	char *answer = NULL;

	d->mine = true;
	int status = apisim_do(d->p->world.api, method, path, body, MERGE, "system:admin", &answer);
	d->mine = false;
	if (status >= 300)
		err_set(e, ERR_INVALID, "%.300s", answer);
	free(answer);
	return status < 300 ? 0 : -1;
}

static int
up(struct demo *d, const struct tree *t, struct err *e)
{
	const struct embed_file *f = embed_find("examples/demo/cluster.yaml");

	(void)t;
	screen_act(d->screen,
		"kubectl apply -f examples/demo   # three PD members, three TiKV stores");
	d->mine = true;
	int r = outside_apply(&d->p->world, "default", f->path, f->text, f->len, e);
	d->mine = false;
	return r;
}

static int
out(struct demo *d, const struct tree *t, struct err *e)
{
	(void)t;
	screen_act(d->screen, "kubectl scale tikvgroup basic --replicas=5");
	return request(d, "PATCH", BASE "tikvgroups/basic/scale", "{\"spec\":{\"replicas\":5}}", e);
}

static int
in(struct demo *d, const struct tree *t, struct err *e)
{
	(void)t;
	screen_act(d->screen, "kubectl tikv scale-in basic --instance " VICTIM
			      "   # leaders away, regions drain, then pod, disk and object");
	return request(d, "PATCH", BASE "tikvgroups/basic",
		"{\"spec\":{\"replicas\":4,\"scalePolicy\":{\"removeFirst\":[\"" VICTIM "\"]}}}",
		e);
}

static int
upgrade(struct demo *d, const struct tree *t, struct err *e)
{
	static const char version[] =
		"{\"spec\":{\"template\":{\"spec\":{\"version\":\"" VERSION_AFTER "\"}}}}";

	(void)t;
	screen_act(d->screen,
		"kubectl patch pdgroup/basic tikvgroup/basic   # version " VERSION_AFTER
		": PD first, one pod after the other");
	return request(d, "PATCH", BASE "pdgroups/basic", version, e) == 0
		       ? request(d, "PATCH", BASE "tikvgroups/basic", version, e)
		       : -1;
}

static const cJSON *
object(const struct tree *t, enum kind k, const char *name)
{
	const cJSON *o;

	cJSON_ArrayForEach(o, json_get(t->list[k], "items"))
	{
		if (strcmp(json_str(o, "metadata.name", ""), name) == 0)
			return o;
	}
	return NULL;
}

static int
lose_node(struct demo *d, const struct tree *t, struct err *e)
{
	const cJSON *o = object(t, KIND_TIKV, UNLUCKY);
	cJSON *name;
	int r;

	d->node = xstrdup(json_str(o, "status.node", ""));
	char *title = xasprintf("# %s burns down with store %s on it; the cloud deletes the Node",
		d->node, json_str(o, "status.id", "?"));
	char *path = xasprintf("/api/v1/nodes/%s", d->node);
	screen_act(d->screen, title);
	name = cJSON_CreateString(d->node);
	r = actors_call(d->p->world.actors, "kubelet", "crash_node", name, NULL, e);
	json_free(name);
	if (r == 0)
		r = request(d, "DELETE", path, NULL, e);
	free(path);
	free(title);
	return r;
}

/* ---- what must be seen before it goes on ---- */

static bool
serving(const struct tree *t, int tikv)
{
	const cJSON *c = object(t, KIND_CLUSTER, "basic"), *pd = object(t, KIND_PDGROUP, "basic"),
		    *kv = object(t, KIND_TIKVGROUP, "basic");
	char want[32];

	snprintf(want, sizeof want, "%d/%d", tikv, tikv);
	return strcmp(json_str(c, "status.tikvReady", ""), want) == 0 &&
	       strcmp(json_str(c, "status.pdReady", ""), "3/3") == 0 &&
	       strcmp(json_str(pd, "status.phase", ""), "Ready") == 0 &&
	       strcmp(json_str(kv, "status.phase", ""), "Ready") == 0 &&
	       json_int(kv, "status.observedGeneration", 0) ==
		       json_int(kv, "metadata.generation", 1) &&
	       json_int(pd, "status.observedGeneration", 0) ==
		       json_int(pd, "metadata.generation", 1);
}

static bool
three(const struct demo *d, const struct tree *t)
{
	(void)d;
	return serving(t, 3);
}

static bool
five(const struct demo *d, const struct tree *t)
{
	(void)d;
	return serving(t, 5);
}

static bool
gone(const struct demo *d, const struct tree *t)
{
	(void)d;
	return serving(t, 4) && object(t, KIND_TIKV, VICTIM) == NULL;
}

static bool
upgraded(const struct demo *d, const struct tree *t)
{
	(void)d;
	return serving(t, 4) &&
	       strcmp(json_str(object(t, KIND_CLUSTER, "basic"), "status.version", ""),
		       VERSION_AFTER) == 0;
}

static bool
healed(const struct demo *d, const struct tree *t)
{
	const char *node = json_str(object(t, KIND_TIKV, UNLUCKY), "status.node", "");

	return serving(t, 4) && *node != '\0' && strcmp(node, d->node) != 0;
}

static const struct act {
	const char *what;
	int (*begin)(struct demo *d, const struct tree *t, struct err *e);
	bool (*over)(const struct demo *d, const struct tree *t);
} acts[ACTS] = {
	{ "from a manifest to three PD members and three stores", up, three },
	{ "two more stores", out, five },
	{ "store " VICTIM " drained and removed, by name", in, gone },
	{ "all seven pods on " VERSION_AFTER ", one after the other", upgrade, upgraded },
	{ "the store of a lost node serves elsewhere, on its old disk", lose_node, healed },
};

/* ---- looking ---- */

static double
seconds(const struct demo *d, int64_t since)
{
	return (double)(loop_now(d->p->loop) - since) / 1000;
}

/* The figures of the tree are those of the simulated PD itself, as of now. */
static void
look_into_pd(struct demo *d, struct tree *t)
{
	struct err e = { 0 };
	cJSON *ns = cJSON_CreateString("default"), *figures = NULL, *page;
	int dark;

	if (actors_call(d->p->world.actors, "truth", "figures", ns, &figures, &e) != 0) {
		json_free(ns);
		return;
	}
	json_free(ns);
	dark = (int)(json_int(figures, "regions", 0) - json_int(figures, "served", 0));
	d->looks++;
	d->dark_looks += dark > 0;
	if (dark > d->dark_regions)
		d->dark_regions = dark;
	page = json_object();
	json_put(page, "snapshot", figures);
	t->pd = json_object();
	json_put(t->pd, "basic", page);
}

static int
read_tree(struct demo *d, struct tree *t)
{
	memset(t, 0, sizeof *t);
	for (int k = KIND_CLUSTER; k <= KIND_TIKV; k++) {
		struct buf path;
		char *answer = NULL;
		buf_init(&path, 0);
		(void)ref_path(&path, (enum kind)k, "default", NULL, NULL);
		apisim_do(d->p->world.api, "GET", path.at, NULL, NULL, NULL, &answer);
		t->list[k] = json_parse(answer, strlen(answer), NULL);
		free(answer);
		buf_fini(&path);
		if (t->list[k] == NULL)
			return -1;
	}
	look_into_pd(d, t);
	return 0;
}

/* Writes of the operator: not those of the tour, nor of simulated nodes and disks. */
static void
on_write(void *arg, const struct apisim_commit *c)
{
	struct demo *d = arg;

	d->writes += !d->mine && strcmp(c->user, "actors") != 0;
}

/* ---- the end ---- */

static int
by_time(const void *a, const void *b)
{
	const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;

	return rv_compare(json_str(x, "metadata.resourceVersion", "0"),
		json_str(y, "metadata.resourceVersion", "0"));
}

static void
print_story(struct demo *d)
{
	char *answer = NULL;
	const cJSON **list = NULL, *o;
	size_t n = 0;

	apisim_do(d->p->world.api, "GET", "/api/v1/namespaces/default/events", NULL, NULL, NULL,
		&answer);
	cJSON *events = json_parse(answer, strlen(answer), NULL);
	const cJSON *items = json_get(events, "items");
	list = xcalloc((size_t)cJSON_GetArraySize(items) + 1, sizeof *list);
	cJSON_ArrayForEach(o, items) list[n++] = o;
	qsort(list, n, sizeof *list, by_time);
	printf("\nThe story, as `kubectl get events` tells it:\n");
	for (size_t i = 0; i < n; i++)
		printf("  %-18s %-14s %.90s\n", json_str(list[i], "reason", ""),
			json_str(list[i], "involvedObject.name", ""),
			json_str(list[i], "message", ""));
	free(list);
	json_free(events);
	free(answer);
}

static void
finish(struct demo *d)
{
	print_story(d);
	printf("\nDone in %.1f s:\n", seconds(d, d->began));
	for (int i = 0; i < ACTS; i++)
		printf("  %5.1f s  %s\n", d->took[i], acts[i].what);
	if (d->dark_looks == 0)
		printf("  Looked %d times: each time every region had a majority of its copies.\n",
			d->looks);
	else
		printf("  Looked %d times: %d times up to %d regions lacked a majority.\n",
			d->looks, d->dark_looks, d->dark_regions);
	printf("  The operator wrote %d times to the API server.\n", d->writes);
	printf("\nGo on by hand:\n"
	       "  build/tikv-operator playground --write-kubeconfig /tmp/playground &\n"
	       "  export KUBECONFIG=/tmp/playground\n"
	       "  kubectl get tikv-all\n"
	       "  build/tikv-operator scale-in --help\n"
	       "  build/tikv-operator status basic -w\n"
	       "  build/tikv-operator explain tikv/basic-0\n");
	playground_end(d->p, 0);
}

static void
failed(struct demo *d, const char *why)
{
	fprintf(stderr, "demo: %s\n", why);
	playground_end(d->p, 1);
}

static void
begin(struct demo *d, const struct tree *t)
{
	struct err e = { 0 };

	d->act_began = loop_now(d->p->loop);
	if (acts[d->act].begin(d, t, &e) < 0)
		failed(d, e.msg);
}

static void
on_tick(void *arg)
{
	struct demo *d = arg;
	struct tree t;

	d->timer = loop_after(d->p->loop, TICK_MS, on_tick, d);
	if (read_tree(d, &t) == 0) {
		screen_show(d->screen, &t, loop_wall(d->p->loop), seconds(d, d->began));
		if (acts[d->act].over(d, &t)) {
			d->took[d->act] = seconds(d, d->act_began);
			if (++d->act == ACTS) {
				loop_cancel(d->p->loop, d->timer);
				d->timer = NULL;
				finish(d);
			} else {
				begin(d, &t);
			}
		}
	}
	tree_free(&t);
	fflush(stdout);
	if (d->timer != NULL && loop_now(d->p->loop) - d->began > LIMIT_MS)
		failed(d, "not there after 150 s: run it with --log-level=info");
}

struct demo *
demo_new(struct playground *p, bool terminal)
{
	struct demo *d = xcalloc(1, sizeof *d);

	d->p = p;
	d->screen = screen_new(terminal);
	d->began = loop_now(p->loop);
	p->world.committed = on_write;
	p->world.arg = d;
	printf("A Kubernetes API with simulated nodes, PD and TiKV, and the operator against "
	       "it.\n\n");
	begin(d, NULL);
	d->timer = loop_after(p->loop, TICK_MS, on_tick, d);
	return d;
}

void
demo_free(struct demo *d)
{
	d->p->world.committed = NULL;
	loop_cancel(d->p->loop, d->timer);
	screen_free(d->screen);
	free(d->node);
	free(d);
}
