#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "app/figures.h"
#include "app/verbs.h"
#include "app/whose.h"
#include "base/clock.h"
#include "base/embed.h"
#include "base/mem.h"
#include "format/yaml.h"
#include "vm/vm.h"

const struct opt explain_opts[] = {
	{ "output", 'o', OPT_TEXT, "json|yaml", NULL, "print the object's status as JSON or YAML" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

/* What lua/lib/reasons.lua says about a code: {text, hint}; the caller frees; NULL: nothing. */
static cJSON *
reason_text(const char *reason)
{
	struct err e = { 0 };
	struct vm *vm = vm_new(&(struct vm_conf){ .tag = "explain" }, &e);
	const struct embed_file *f = embed_find("lua/lib/reasons.lua");
	cJSON *out = NULL, *arg = cJSON_CreateString(reason);
	const cJSON *args[] = { arg };
	if (vm != NULL && f != NULL) {
		struct vm_source s = { "lib.reasons", f->path, f->text, f->len };
		if (vm_load(vm, &s, 1, &e) == 0 && vm_require(vm, "lib.reasons", &e) == 0)
			(void)vm_call(vm, "lib.reasons", "get", args, 1, &out, &e);
	}
	json_free(arg);
	if (vm != NULL)
		vm_free(vm);
	return out;
}

static void
row(const char *label, const char *text)
{
	if (text != NULL && *text != '\0')
		printf("%-10s %s\n", label, text);
}

static void
print_since(const cJSON *o)
{
	int64_t since;
	const char *text = json_str(o, "status.since", NULL);
	if (text == NULL || clock_parse(text, &since) < 0)
		return;
	char age[32];
	clock_age(clock_wall(clock_system()) - since, age, sizeof age);
	printf("%-10s %s (%s)\n", "Since:", text, age);
}

static void
print_conditions(const cJSON *o)
{
	const cJSON *list = json_path(o, "status.conditions");
	if (list == NULL || list->child == NULL)
		return;
	printf("Conditions:\n");
	for (const cJSON *c = list->child; c != NULL; c = c->next)
		printf("  %-14s %-8s %-24s %s\n", json_str(c, "type", ""),
			json_str(c, "status", ""), json_str(c, "reason", ""),
			json_str(c, "message", ""));
}

static void
print_events(struct client *c, const char *uid)
{
	struct err e = { 0 };
	char *path = xasprintf(
		"/api/v1/namespaces/%s/events?fieldSelector=involvedObject.uid%%3D%s", c->ns, uid);
	cJSON *list = client_do(c, "GET", path, NULL, NULL, &e);
	const cJSON *items = list != NULL ? json_get(list, "items") : NULL;
	free(path);
	if (items != NULL && items->child != NULL)
		printf("Events:\n");
	for (const cJSON *ev = items != NULL ? items->child : NULL; ev != NULL; ev = ev->next)
		printf("  %-20s %-8s x%-3d %-20s %s\n", json_str(ev, "lastTimestamp", ""),
			json_str(ev, "type", ""), (int)json_int(ev, "count", 1),
			json_str(ev, "reason", ""), json_str(ev, "message", ""));
	json_free(list);
}

static void
print_text(struct client *c, enum kind k, const cJSON *o)
{
	const char *reason = json_str(o, "status.reason", "");
	cJSON *about = *reason != '\0' ? reason_text(reason) : NULL;
	printf("%s %s/%s\n", kind_row(k)->kind, c->ns, json_str(o, "metadata.name", ""));
	row("Phase:", json_str(o, "status.phase", "New: the operator has not looked at it yet"));
	if (*reason == '\0') {
		row("Waits for:", "nothing");
	} else {
		row("Reason:", reason);
		if (about != NULL)
			row("", json_str(about, "text", NULL));
		row("Message:", json_str(o, "status.message", NULL));
		print_since(o);
		const char *hint = json_str(o, "status.hint", NULL);
		row("Unblock:", hint != NULL    ? hint
				: about != NULL ? json_str(about, "hint", NULL)
						: NULL);
	}
	const cJSON *progress = json_path(o, "status.progress");
	if (progress != NULL && json_get(progress, "total") != NULL)
		printf("%-10s %d of %d\n", "Progress:", (int)json_int(progress, "done", 0),
			(int)json_int(progress, "total", 0));
	figures_print(c, k, o);
	print_conditions(o);
	print_events(c, json_str(o, "metadata.uid", ""));
	json_free(about);
}

/* What belongs to another object is told in a few lines, then its owner is explained. */
static int
print_all(struct client *c, const struct args *a, enum kind k, const cJSON *o)
{
	struct err e = { 0 };
	enum kind of = k;
	cJSON *owner = whose(c, k, o, &of, &e);
	if (of != k)
		whose_print(k, o, stdout);
	if (owner == NULL) {
		if (of == k)
			whose_print(k, o, stdout);
		if (e.code == ERR_NONE)
			err_set(&e, ERR_NOT_FOUND,
				"%s %s: it belongs to nothing of tikv-operator: kubectl describe "
				"tells more",
				kind_row(k)->kind, json_str(o, "metadata.name", ""));
		return verb_fail(a, &e);
	}
	if (of != k)
		printf("Belongs to:\n\n");
	print_text(c, of, owner);
	json_free(owner);
	return 0;
}

int
explain_main(struct args *a)
{
	struct err e = { 0 };
	struct client c;
	enum kind k;
	const char *word = args_at(a, 0), *slash = word != NULL ? strchr(word, '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : args_at(a, 1);
	if (word == NULL || name == NULL)
		return verb_usage_error(a, "name one object: KIND/NAME, for example tikv/basic-0");
	if (whose_kind(word, slash != NULL ? (size_t)(slash - word) : strlen(word), &k) < 0)
		return verb_usage_error(a,
			"%s: the kind is one of cluster, pdgroup, pd, tikvgroup, tikv, or pod, "
			"pvc, "
			"pv, cm, svc, pdb, job",
			word);
	if (args_count(a) > (slash != NULL ? 1 : 2))
		return verb_usage_error(
			a, "%s: one object at a time", args_at(a, args_count(a) - 1));
	const char *format = args_text(a, "output");
	if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "yaml") != 0)
		return verb_usage_error(a, "--output %s: json or yaml", format);
	if (client_open(&c, a, &e) < 0)
		return verb_fail(a, &e);
	cJSON *o = client_get(&c, k, name, &e);
	if (o == NULL) {
		if (e.status == 404)
			err_set(&e, ERR_NOT_FOUND,
				"%s %s: not in namespace %s: kubectl get %s -A lists them",
				kind_row(k)->kind, name, c.ns, kind_row(k)->plural);
		client_close(&c);
		return verb_fail(a, &e);
	}
	int r = 0;
	if (format != NULL) {
		bool yaml = strcmp(format, "yaml") == 0;
		struct buf out;
		buf_init(&out, 0);
		const cJSON *status = json_get(o, "status");
		if (status == NULL)
			(void)buf_puts(&out, "{}");
		else
			(void)(yaml ? yaml_print(status, &out) : json_print_pretty(status, &out));
		printf("%s%s", out.at, yaml && status != NULL ? "" : "\n");
		buf_fini(&out);
	} else {
		r = print_all(&c, a, k, o);
	}
	json_free(o);
	client_close(&c);
	return r;
}
