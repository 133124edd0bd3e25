#include <stdlib.h>
#include <string.h>

#include "app/playground.h"
#include "app/tree.h"
#include "base/embed.h"
#include "base/map.h"
#include "base/mem.h"

#define TICK_MS 200
#define LIMIT_MS 90000 /* a tour that takes longer has failed */
#define BASE "/apis/core.tikv.org/v1alpha1/namespaces/default/"

/* The tour: what is done, and what must be seen before the next step. */
static const struct step {
	const char *title;
	const char *method, *path, *body; /* NULL: nothing is done */
	int tikv;                         /* stores that must serve */
} steps[] = {
	{ "kubectl apply -f examples/basic   # three PD members, three TiKV stores", NULL, NULL,
		NULL, 3 },
	{ "kubectl scale tikvgroup basic --replicas=5", "PATCH", BASE "tikvgroups/basic/scale",
		"{\"spec\":{\"replicas\":5}}", 5 },
};
#define STEPS (sizeof steps / sizeof *steps)

struct demo {
	struct playground *p;
	struct timer *timer;
	bool terminal;
	size_t step;
	int64_t began, step_began;
	int lines;          /* drawn last time, on a terminal */
	struct map *phases; /* "Kind/name" -> last phase, when piped */
	double took[STEPS];
};

static double
seconds(const struct demo *d, int64_t since)
{
	return (double)(loop_now(d->p->loop) - since) / 1000;
}

static int
read_tree(struct demo *d, struct tree *t)
{
	static const enum kind kinds[] = { KIND_CLUSTER, KIND_PDGROUP, KIND_TIKVGROUP, KIND_PD,
		KIND_TIKV };
	memset(t, 0, sizeof *t);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct buf path;
		char *answer = NULL;
		buf_init(&path, 0);
		(void)ref_path(&path, kinds[i], "default", NULL, NULL);
		apisim_do(d->p->world.api, "GET", path.at, NULL, NULL, NULL, &answer);
		t->list[kinds[i]] = json_parse(answer, strlen(answer), NULL);
		free(answer);
		buf_fini(&path);
		if (t->list[kinds[i]] == NULL)
			return -1;
	}
	return 0;
}

/* On a terminal the tree is drawn over the last one. */
static void
draw(struct demo *d, const struct tree *t)
{
	char *text;
	size_t n;
	int height = tree_height();
	FILE *f = open_memstream(&text, &n);
	must(f != NULL);
	tree_print(t, NULL, loop_wall(d->p->loop), true, tree_width(), f);
	fclose(f);
	if (d->lines > 0)
		printf("\033[%dA", d->lines);
	/* Line by line over the old ones: no flicker; what does not fit is left out, not scrolled.
	 */
	d->lines = 0;
	for (char *c = text, *end; *c != '\0'; c = end + 1, d->lines++) {
		end = strchr(c, '\n');
		if (height > 0 && d->lines + 2 >= height)
			break;
		printf("%.*s\033[K\n", (int)(end - c), c);
	}
	printf("%.1f s\033[K\n\033[J", seconds(d, d->began));
	d->lines++;
	free(text);
}

/* Piped: one line for each object that changed its phase. */
static void
tell(struct demo *d, const struct tree *t)
{
	for (int k = KIND_CLUSTER; k <= KIND_TIKV; k++) {
		const cJSON *items = t->list[k] != NULL ? json_get(t->list[k], "items") : NULL;
		for (const cJSON *o = items != NULL ? items->child : NULL; o != NULL; o = o->next) {
			const char *phase = json_str(o, "status.phase", ""), *was;
			char *key = xasprintf("%s %s", kind_row((enum kind)k)->kind,
				json_str(o, "metadata.name", ""));
			was = map_get(d->phases, key);
			if (*phase != '\0' && (was == NULL || strcmp(was, phase) != 0)) {
				printf("%6.1f s  %-18s %s%s%s\n", seconds(d, d->began), key, phase,
					json_path(o, "status.id") != NULL ? "  id " : "",
					json_str(o, "status.id", ""));
				map_put(d->phases, key, xstrdup(phase));
			}
			free(key);
		}
	}
}

static bool
reached(const struct tree *t, int tikv)
{
	const cJSON *cluster = json_get(t->list[KIND_CLUSTER], "items");
	char want[32];
	snprintf(want, sizeof want, "%d/%d", tikv, tikv);
	return cluster != NULL && cluster->child != NULL &&
	       strcmp(json_str(cluster->child, "status.tikvReady", ""), want) == 0 &&
	       strcmp(json_str(cluster->child, "status.pdReady", ""), "3/3") == 0;
}

static void
begin(struct demo *d)
{
	struct err e = { 0 };
	const struct step *s = &steps[d->step];
	int r = 0;
	printf("%s$ %s\n", d->step > 0 ? "\n" : "", s->title);
	d->lines = 0;
	d->step_began = loop_now(d->p->loop);
	if (s->method == NULL) {
		const struct embed_file *f = embed_find("examples/basic/cluster.yaml");
		r = outside_apply(&d->p->world, "default", f->path, f->text, f->len, &e);
	} else {
		char *answer = NULL;
		if (apisim_do(d->p->world.api, s->method, s->path, s->body,
			    "application/merge-patch+json", "system:admin", &answer) >= 300)
			r = err_set(&e, ERR_INVALID, "%.300s", answer);
		free(answer);
	}
	if (r < 0) {
		fprintf(stderr, "demo: %s\n", e.msg);
		playground_end(d->p, 1);
	}
}

static void
finish(struct demo *d)
{
	printf("\nDone in %.1f s: the cluster came up in %.1f s, two more stores served after %.1f "
	       "s.\n",
		seconds(d, d->began), d->took[0], d->took[1]);
	printf("\nGo on by hand:\n"
	       "  build/tikv-operator playground --write-kubeconfig /tmp/playground &\n"
	       "  export KUBECONFIG=/tmp/playground\n"
	       "  kubectl get tikv-all\n"
	       "  kubectl scale tikvgroup basic --replicas=7\n"
	       "  build/tikv-operator status basic -w\n"
	       "  build/tikv-operator explain tikv/basic-0\n");
	playground_end(d->p, 0);
}

static void
on_tick(void *arg)
{
	struct demo *d = arg;
	struct tree t;
	d->timer = loop_after(d->p->loop, TICK_MS, on_tick, d);
	if (read_tree(d, &t) == 0) {
		if (d->terminal)
			draw(d, &t);
		else
			tell(d, &t);
		if (reached(&t, steps[d->step].tikv)) {
			d->took[d->step] = seconds(d, d->step_began);
			if (++d->step == STEPS) {
				loop_cancel(d->p->loop, d->timer);
				d->timer = NULL;
				finish(d);
			} else {
				begin(d);
			}
		}
	}
	tree_free(&t);
	fflush(stdout);
	if (d->timer != NULL && loop_now(d->p->loop) - d->began > LIMIT_MS) {
		fprintf(stderr, "demo: not there after %d s: run it with --log-level=info\n",
			LIMIT_MS / 1000);
		playground_end(d->p, 1);
	}
}

struct demo *
demo_new(struct playground *p, bool terminal)
{
	struct demo *d = xcalloc(1, sizeof *d);
	d->p = p;
	d->terminal = terminal;
	d->began = loop_now(p->loop);
	d->phases = map_new(free);
	printf("A Kubernetes API with simulated nodes, PD and TiKV, and the operator against "
	       "it.\n\n");
	begin(d);
	d->timer = loop_after(p->loop, TICK_MS, on_tick, d);
	return d;
}

void
demo_free(struct demo *d)
{
	loop_cancel(d->p->loop, d->timer);
	map_free(d->phases);
	free(d);
}
