#include "app/tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static const enum kind kinds[] = { KIND_CLUSTER, KIND_PDGROUP, KIND_TIKVGROUP, KIND_PD, KIND_TIKV };

int
tree_read(struct tree *t, struct client *c, struct err *e)
{
	memset(t, 0, sizeof *t);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		t->list[kinds[i]] = client_list(c, kinds[i], NULL, e);
		if (t->list[kinds[i]] == NULL) {
			tree_free(t);
			if (e->status == 404)
				return err_set(e, ERR_NOT_FOUND,
					"%s: the server does not know this kind: kubectl apply "
					"--server-side -k crds",
					kind_row(kinds[i])->plural);
			return -1;
		}
	}
	return 0;
}

void
tree_live(struct tree *t, struct live *l)
{
	const cJSON *c;

	json_free(t->pd);
	t->pd = json_object();
	cJSON_ArrayForEach(c, json_get(t->list[KIND_CLUSTER], "items"))
	{
		const char *name = json_str(c, "metadata.name", "");
		cJSON *page = live_pd(l, name);
		if (page != NULL)
			json_put(t->pd, name, page);
	}
}

void
tree_free(struct tree *t)
{
	json_free(t->pd);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		json_free(t->list[kinds[i]]);
	memset(t, 0, sizeof *t);
}

static const cJSON *
first(const struct tree *t, enum kind k)
{
	const cJSON *items = json_get(t->list[k], "items");
	return items != NULL ? items->child : NULL;
}

static bool
belongs(const cJSON *o, const char *path, const char *value)
{
	return strcmp(json_str(o, path, ""), value) == 0;
}

static const char *
color_of(const char *phase)
{
	static const char *const good[] = { "Running", "Ready", "Serving" };
	static const char *const bad[] = { "Unavailable", "Degraded", "Lost" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (strcmp(phase, good[i]) == 0)
			return GREEN;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (strcmp(phase, bad[i]) == 0)
			return RED;
	return YELLOW;
}

int
tree_width(void)
{
	struct winsize w;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

int
tree_height(void)
{
	struct winsize w;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_row : 0;
}

/* Cut a line at `width` columns; colours take none. */
static void
put_cut(const char *text, int width, bool color, FILE *out)
{
	int column = 0;
	const char *c = text;
	while (*c != '\0' && (width <= 0 || column < width)) {
		const char *from = c;
		if (*c == '\033') {
			c += strcspn(c, "m");
			c += *c != '\0';
		} else {
			for (c++; ((unsigned char)*c & 0xc0) == 0x80;)
				c++;
			column++;
		}
		fwrite(from, 1, (size_t)(c - from), out);
	}
	fprintf(out, "%s\n", color ? PLAIN : "");
}

static void
store_figures(const struct tree *t, const cJSON *o, FILE *out)
{
	const char *id = json_str(o, "status.id", "");
	const cJSON *live = live_store(json_get(t->pd, json_str(o, "spec.cluster.name", "")), id);

	fprintf(out, "store %s  ", *id != '\0' ? id : "-");
	if (live != NULL)
		fprintf(out, "%d leaders  %d regions  ", (int)json_int(live, "leaders", 0),
			(int)json_int(live, "regions", 0));
	else if (json_path(o, "status.regions") != NULL)
		fprintf(out, "%d leaders  %d regions  ", (int)json_int(o, "status.leaders", 0),
			(int)json_int(o, "status.regions", 0));
	fprintf(out, "%s", json_str(o, "status.node", ""));
}

static void
figures(const struct tree *t, const cJSON *o, enum kind k, FILE *out)
{
	switch ((int)k) {
	case KIND_CLUSTER:
		fprintf(out, "PD %s  TiKV %s  %s", json_str(o, "status.pdReady", "-"),
			json_str(o, "status.tikvReady", "-"), json_str(o, "status.version", ""));
		break;
	case KIND_PDGROUP:
	case KIND_TIKVGROUP:
		fprintf(out, "%d/%d ready", (int)json_int(o, "status.readyReplicas", 0),
			(int)json_int(o, "spec.replicas", 0));
		break;
	case KIND_PD:
		fprintf(out, "%s%s", json_bool(o, "status.isLeader", false) ? "leader  " : "",
			json_str(o, "status.node", ""));
		break;
	case KIND_TIKV:
		store_figures(t, o, out);
		break;
	}
}

/* How the tree is drawn. */
struct pen {
	const struct tree *tree;
	int64_t now;
	bool color;
	int width;
	FILE *out;
};

static void
line(const cJSON *o, enum kind k, const char *lead, const struct pen *pen)
{
	char *text = NULL;
	size_t size;
	bool color = pen->color;
	FILE *out = open_memstream(&text, &size);
	must(out != NULL);
	const char *phase = json_str(o, "status.phase", "New"),
		   *reason = json_str(o, "status.reason", "");
	const char *name = json_str(o, "metadata.name", "?");
	char label[160];
	int64_t since;
	snprintf(label, sizeof label, "%s%s %s", lead, kind_row(k)->kind, name);
	int shown = 0; /* box drawing takes three bytes a column */
	for (const char *c = label; *c != '\0'; c++)
		shown += ((unsigned char)*c & 0xc0) != 0x80;
	fprintf(out, "%s%*s %s%-11s%s ", label, shown < 30 ? 30 - shown : 0, "",
		color ? color_of(phase) : "", phase, color ? PLAIN : "");
	figures(pen->tree, o, k, out);
	if (*reason != '\0') {
		fprintf(out, "  %s%s", color ? DIM : "", reason);
		if (clock_parse(json_str(o, "status.since", ""), &since) == 0) {
			char age[32];
			clock_age(pen->now - since, age, sizeof age);
			fprintf(out, " %s", age);
		}
		fprintf(out, ": %s", json_str(o, "status.message", ""));
	}
	fclose(out);
	put_cut(text, pen->width, color, pen->out);
	free(text);
}

static int
ordinal(const cJSON *o)
{
	const char *dash = strrchr(json_str(o, "metadata.name", ""), '-');
	return dash != NULL ? atoi(dash + 1) : 0;
}

static int
by_ordinal(const void *a, const void *b)
{
	int x = ordinal(*(const cJSON *const *)a), y = ordinal(*(const cJSON *const *)b);
	return x != y ? x - y
		      : strcmp(json_str(*(const cJSON *const *)a, "metadata.name", ""),
				json_str(*(const cJSON *const *)b, "metadata.name", ""));
}

/* Instances of a group, in order; the caller frees the array. */
static size_t
instances(const struct tree *t, enum kind k, const char *group, const cJSON ***out)
{
	size_t n = 0, cap = 0;
	*out = NULL;
	for (const cJSON *o = first(t, k); o != NULL; o = o->next) {
		if (!belongs(o, "metadata.labels.core\\.tikv\\.org/group", group))
			continue;
		if (n == cap)
			*out = realloc(*out, (cap = cap ? cap * 2 : 16) * sizeof **out);
		must(*out != NULL);
		(*out)[n++] = o;
	}
	if (n > 0)
		qsort(*out, n, sizeof **out, by_ordinal);
	return n;
}

static void
print_group(const struct tree *t, const cJSON *g, enum kind k, bool last, const struct pen *pen)
{
	const cJSON **member;
	enum kind of = k == KIND_PDGROUP ? KIND_PD : KIND_TIKV;
	size_t n = instances(t, of, json_str(g, "metadata.name", ""), &member);
	line(g, k, last ? "└─ " : "├─ ", pen);
	for (size_t i = 0; i < n; i++) {
		char lead[32];
		snprintf(lead, sizeof lead, "%s%s", last ? "   " : "│  ",
			i + 1 == n ? "└─ " : "├─ ");
		line(member[i], of, lead, pen);
	}
	free(member);
}

int
tree_print(const struct tree *t, const char *cluster, int64_t now, bool color, int width, FILE *out)
{
	const struct pen pen = { t, now, color, width, out };
	int printed = 0;
	for (const cJSON *c = first(t, KIND_CLUSTER); c != NULL; c = c->next) {
		const char *name = json_str(c, "metadata.name", "");
		const cJSON *group[256];
		enum kind kind[256];
		int n = 0;
		if (cluster != NULL && strcmp(cluster, name) != 0)
			continue;
		for (int i = 1; i <= 2; i++)
			for (const cJSON *g = first(t, kinds[i]); g != NULL && n < 256; g = g->next)
				if (belongs(g, "spec.cluster.name", name)) {
					group[n] = g;
					kind[n++] = kinds[i];
				}
		if (printed++ > 0)
			fputc('\n', out);
		line(c, KIND_CLUSTER, "", &pen);
		for (int i = 0; i < n; i++)
			print_group(t, group[i], kind[i], i + 1 == n, &pen);
	}
	return printed;
}

static cJSON *
shown(const cJSON *o)
{
	cJSON *copy = json_clone(o);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(copy, "metadata"), "managedFields");
	return copy;
}

cJSON *
tree_json(const struct tree *t, const char *cluster)
{
	cJSON *all = json_array();
	for (const cJSON *c = first(t, KIND_CLUSTER); c != NULL; c = c->next) {
		const char *name = json_str(c, "metadata.name", "");
		if (cluster != NULL && strcmp(cluster, name) != 0)
			continue;
		cJSON *groups = json_array();
		for (int i = 1; i <= 2; i++)
			for (const cJSON *g = first(t, kinds[i]); g != NULL; g = g->next) {
				if (!belongs(g, "spec.cluster.name", name))
					continue;
				cJSON *list = json_array();
				const cJSON **member;
				size_t n = instances(
					t, kinds[i + 2], json_str(g, "metadata.name", ""), &member);
				for (size_t m = 0; m < n; m++)
					json_add(list, shown(member[m]));
				free(member);
				cJSON *row = json_object();
				json_put(row, "group", shown(g));
				json_put(row, "instances", list);
				json_add(groups, row);
			}
		cJSON *row = json_object();
		json_put(row, "cluster", shown(c));
		json_put(row, "groups", groups);
		json_add(all, row);
	}
	return all;
}
