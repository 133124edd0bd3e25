#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/child.h"
#include "app/verbs.h"
#include "base/embed.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/script.h"
#include "format/yaml.h"
#include "kube/ref.h"
#include "sim/admit.h"
#include "wire/loop_event.h"

#define SCRIPT_MS 300 /* longer than scripts wait for more of the same change */

const struct opt check_opts[] = {
	{ "quiet", 'q', OPT_FLAG, NULL, NULL, "print problems only" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

struct check {
	struct admit *admit;
	struct map *schema; /* "Kind" -> openAPIV3Schema inside crds */
	cJSON *crds;
	bool quiet;
	int objects, problems;
};

static int
load_crds(struct check *c, struct err *e)
{
	c->crds = json_array();
	for (const struct embed_file *f = embed_files; f->path != NULL; f++) {
		if (strncmp(f->path, "crds/", 5) != 0)
			continue;
		cJSON *docs = yaml_parse(f->path, f->text, f->len, NULL, e);
		if (docs == NULL)
			return -1;
		json_add(c->crds, docs);
		const cJSON *crd = docs->child;
		map_put(c->schema, json_str(crd, "spec.names.kind", ""),
			(void *)json_path(crd, "spec.versions[0].schema.openAPIV3Schema"));
	}
	return 0;
}

static void
problem(struct check *c, const char *file, int line, const char *what, const char *text)
{
	c->problems++;
	printf("%s:%d: %s: %s\n", file, line, what, text);
}

struct refusal {
	struct check *c;
	const char *file, *what;
	int line;
};

static void
on_state(void *arg, const struct obj *configmap, const char *state, const char *name,
	const char *reason)
{
	const struct refusal *r = arg;
	(void)configmap;
	(void)name;
	if (strcmp(state, "rejected") == 0)
		problem(r->c, r->file, r->line, r->what, reason);
}

static void
on_swap(void *arg)
{
	(void)arg;
}

/* What a live operator does with the ConfigMap: compile it and run its self-tests in a child. */
static void
check_scripts(struct check *c, const char *file, int line, const char *what, const cJSON *doc)
{
	struct err e = { 0 };
	struct refusal r = { c, file, what, line };
	struct script_conf conf = { .loop = loop_event_new(),
		.ns = "here",
		.configmaps = store_new(KIND_CONFIGMAP),
		.log = log_new(clock_system(), LOG_ERROR, false, NULL, NULL),
		.metrics = metrics_new(),
		.in_child = child_run,
		.on_state = on_state,
		.on_swap = on_swap,
		.arg = &r };
	cJSON *tree = json_clone(doc);
	cJSON *meta = cJSON_GetObjectItemCaseSensitive(tree, "metadata");
	json_put_str(meta, "namespace", "here");
	json_put_str(meta, "uid", "check");
	json_put_str(meta, "resourceVersion", "1");
	char *text = json_string(tree);
	struct obj *o = obj_new(KIND_CONFIGMAP, text, strlen(text), &e);
	struct script *s = o != NULL ? script_new(&conf, &e) : NULL;
	if (s == NULL) {
		problem(c, file, line, what, e.msg);
	} else {
		script_configmap(s, NULL, o);
		loop_event_run_for(conf.loop, SCRIPT_MS);
		script_free(s);
	}
	if (o != NULL)
		obj_unref(o);
	free(text);
	json_free(tree);
	store_free(conf.configmaps);
	metrics_free(conf.metrics);
	log_free(conf.log);
	loop_event_free(conf.loop);
}

static void
check_object(struct check *c, const char *file, int line, const cJSON *doc)
{
	struct err e = { 0 };
	const char *kind = json_str(doc, "kind", NULL),
		   *version = json_str(doc, "apiVersion", NULL);
	const char *name = json_str(doc, "metadata.name", NULL);
	char what[128];
	c->objects++;
	snprintf(what, sizeof what, "%s %s", kind != NULL ? kind : "?", name != NULL ? name : "?");
	if (kind == NULL || version == NULL || name == NULL) {
		problem(c, file, line, what, "apiVersion, kind and metadata.name are required");
		return;
	}
	if (strcmp(version, "core.pingcap.com/v1alpha1") == 0 && map_has(c->schema, kind)) {
		problem(c, file, line, what,
			"apiVersion is the peer's: write core.tikv.org/v1alpha1");
		return;
	}
	if (strcmp(kind, "ConfigMap") == 0)
		check_scripts(c, file, line, what, doc);
	if (strncmp(version, "core.tikv.org/", 14) != 0)
		return;
	const cJSON *schema = map_get(c->schema, kind);
	if (schema == NULL || strcmp(version, "core.tikv.org/v1alpha1") != 0) {
		problem(c, file, line, what, "no such kind in core.tikv.org/v1alpha1");
		return;
	}
	cJSON *object = json_clone(doc), *causes = json_array(), *unknown = json_array();
	if (admit_judge(c->admit, kind, schema, &object, NULL, false, causes, unknown, &e) < 0)
		problem(c, file, line, what, e.msg);
	for (const cJSON *u = unknown->child; u != NULL; u = u->next) {
		char *text = xasprintf("unknown field \"%s\"", u->valuestring);
		problem(c, file, line, what, text);
		free(text);
	}
	for (const cJSON *x = causes->child; x != NULL; x = x->next) {
		char *text =
			xasprintf("%s: %s", json_str(x, "field", ""), json_str(x, "message", ""));
		problem(c, file, line, what, text);
		free(text);
	}
	json_free(object);
	json_free(causes);
	json_free(unknown);
}

static int
check_file(struct check *c, const char *path, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (f == NULL)
		return err_set(
			e, ERR_NOT_FOUND, "%s: %s: name a file or a folder", path, strerror(errno));
	struct buf text;
	buf_init(&text, 16u << 20);
	char chunk[8192];
	size_t n;
	int *line = NULL, i = 0;
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		if (buf_put(&text, chunk, n) < 0)
			break;
	if (f != stdin)
		fclose(f);
	cJSON *docs = yaml_parse(path, text.at, text.len, &line, e);
	if (docs == NULL) {
		c->problems++;
		printf("%s\n", e->msg);
		err_clear(e);
		buf_fini(&text);
		return 0;
	}
	for (const cJSON *d = docs->child; d != NULL; d = d->next, i++)
		check_object(c, path, line[i], d);
	free(line);
	json_free(docs);
	buf_fini(&text);
	return 0;
}

static int
is_manifest(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');
	if (d->d_type == DT_DIR)
		return d->d_name[0] != '.';
	return d->d_name[0] != '.' && strcmp(d->d_name, "kustomization.yaml") != 0 && dot != NULL &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

static int
check_path(struct check *c, const char *path, struct err *e)
{
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return check_file(c, path, e);
	struct dirent **list;
	int n = scandir(path, &list, is_manifest, alphasort), r = 0;
	if (n < 0)
		return err_set(
			e, ERR_NOT_FOUND, "%s: %s: name a file or a folder", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		char *file = xasprintf("%s/%s", path, list[i]->d_name);
		if (r == 0)
			r = check_path(c, file, e);
		free(file);
		free(list[i]);
	}
	free(list);
	return r;
}

int
check_main(struct args *a)
{
	struct err e = { 0 };
	struct check c = { .quiet = args_flag(a, "quiet"), .schema = map_new(NULL) };
	int r = 0;
	if (args_count(a) == 0)
		return verb_usage_error(a, "name files or folders (- is standard input)");
	c.admit = admit_new(&e);
	if (c.admit == NULL || load_crds(&c, &e) < 0)
		r = -1;
	for (int i = 0; i < args_count(a) && r == 0; i++)
		r = check_path(&c, args_at(a, i), &e);
	if (r < 0)
		r = verb_fail(a, &e);
	else
		r = c.problems > 0 ? 1 : 0;
	if (r == 0 && c.objects == 0) {
		fprintf(stderr,
			"no objects there: name *.yaml, *.yml or *.json, or their folder\n");
		r = 1;
	} else if (r != 1 && !c.quiet)
		printf("%d object%s, no problems\n", c.objects, c.objects == 1 ? "" : "s");
	else if (c.problems > 0)
		fprintf(stderr, "%d problem%s in %d object%s\n", c.problems,
			c.problems == 1 ? "" : "s", c.objects, c.objects == 1 ? "" : "s");
	if (c.admit != NULL)
		admit_free(c.admit);
	map_free(c.schema);
	json_free(c.crds);
	return r;
}
