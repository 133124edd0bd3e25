#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/change.h"
#include "app/verbs.h"
#include "base/clock.h"
#include "base/embed.h"
#include "base/mem.h"
#include "format/yaml.h"
#include "vm/vm.h"

#define PAUSED "core.tikv.org/rollout-paused"

const struct opt rollout_opts[] = {
	{ "revision", 0, OPT_INT, "NUMBER", "0", "history: what this revision was made from" },
	{ "to-revision", 0, OPT_INT, "NUMBER", "0",
		"undo: lead back to this one; 0: the one before" },
	{ "timeout", 0, OPT_INT, "SECONDS", "0", "status: wait no longer; 0: no limit" },
	{ "no-wait", 0, OPT_FLAG, NULL, NULL, "status: say how it is, and end" },
	{ "dry-run", 0, OPT_FLAG, NULL, NULL, "let the server check it, and write nothing" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

static const enum kind groups[] = { KIND_TIKVGROUP, KIND_PDGROUP, KIND_COUNT };

/* ---- status ---- */

static bool
done(const cJSON *g)
{
	int64_t replicas = json_int(g, "spec.replicas", 1);

	return json_int(g, "status.observedGeneration", -1) ==
		       json_int(g, "metadata.generation", 0) &&
	       json_int(g, "status.updatedReplicas", -1) == replicas &&
	       json_int(g, "status.readyReplicas", -1) == replicas &&
	       strcmp(json_str(g, "status.currentRevision", ""),
		       json_str(g, "status.updateRevision", "?")) == 0;
}

/* Nothing goes on until somebody does something: not even waiting helps. */
static bool
resting(const cJSON *g)
{
	const char *p = json_str(g, "status.conditions[type=Progressing].status", "");

	return json_int(g, "status.observedGeneration", -1) ==
		       json_int(g, "metadata.generation", 0) &&
	       strcmp(p, "False") == 0 && json_str(g, "status.reason", "")[0] != '\0';
}

static void
say_status(const struct change *ch, const cJSON *g, char **last)
{
	char *line = xasprintf("%s %s: %d of %d are up to date%s%s", kind_row(ch->kind)->kind,
		json_str(g, "metadata.name", ""), (int)json_int(g, "status.updatedReplicas", 0),
		(int)json_int(g, "spec.replicas", 1), done(g) ? "" : ": ",
		done(g) ? "" : json_str(g, "status.message", "not looked at yet"));

	if (*last == NULL || strcmp(*last, line) != 0) {
		printf("%s\n", line);
		fflush(stdout);
	}
	free(*last);
	*last = line;
}

static int
status(struct change *ch, const struct args *a)
{
	int64_t limit = args_int(a, "timeout"), began = clock_mono(clock_system());
	const struct timespec second = { 1, 0 };
	char *last = NULL, *name = xstrdup(change_name(ch));
	struct err e = { 0 };
	int r = 1;

	for (;;) {
		say_status(ch, ch->object, &last);
		if (done(ch->object)) {
			r = 0;
			break;
		}
		if (resting(ch->object) || args_flag(a, "no-wait"))
			break;
		if (limit > 0 && clock_mono(clock_system()) - began > limit * 1000) {
			err_set(&e, ERR_TIMEOUT, "%s: not done after %d seconds", name, (int)limit);
			break;
		}
		nanosleep(&second, NULL);
		json_free(ch->object);
		ch->object = client_get(&ch->c, ch->kind, name, &e);
		if (ch->object == NULL)
			break;
	}
	free(last);
	free(name);
	return e.code != ERR_NONE ? verb_fail(a, &e) : r;
}

/* ---- history ---- */

static int
by_number(const void *x, const void *y)
{
	int64_t a = json_int(*(cJSON *const *)x, "revision", 0);
	int64_t b = json_int(*(cJSON *const *)y, "revision", 0);

	return a < b ? -1 : a > b;
}

/* The group's revisions, oldest first; they stay in *tree. The caller frees both. */
static cJSON **
revisions(struct change *ch, cJSON **tree, int *n, struct err *e)
{
	char *label = xasprintf("core.tikv.org/group=%s", change_name(ch));
	const char *uid = json_str(ch->object, "metadata.uid", "");
	cJSON **list, *o;

	*n = 0;
	*tree = client_list(&ch->c, KIND_REVISION, label, e);
	free(label);
	if (*tree == NULL)
		return NULL;
	list = xcalloc((size_t)cJSON_GetArraySize(json_get(*tree, "items")) + 1, sizeof *list);
	cJSON_ArrayForEach(o, json_get(*tree, "items"))
	{
		if (strcmp(json_str(ref_controller(o), "uid", ""), uid) == 0)
			list[(*n)++] = o;
	}
	qsort(list, (size_t)*n, sizeof(cJSON *), by_number);
	return list;
}

static int
print_one(struct change *ch, cJSON *const *list, int n, int64_t number)
{
	struct buf out;

	for (int i = 0; i < n; i++) {
		if (json_int(list[i], "revision", 0) != number)
			continue;
		buf_init(&out, 0);
		(void)yaml_print(json_get(list[i], "data"), &out);
		printf("%s", out.at);
		buf_fini(&out);
		return 0;
	}
	return change_refused(ch,
		"there is no revision %d: kubectl tikv rollout history lists them", (int)number);
}

static int
history(struct change *ch, const struct args *a)
{
	struct err e = { 0 };
	int64_t number = args_int(a, "revision"), made;
	cJSON *tree;
	int n, r = 0;
	cJSON **list = revisions(ch, &tree, &n, &e);

	if (list == NULL)
		return verb_fail(a, &e);
	if (number != 0)
		r = print_one(ch, list, n, number);
	else
		printf("%-10s %-40s %-6s %s\n", "REVISION", "NAME", "AGE", "");
	for (int i = 0; number == 0 && i < n; i++) {
		const char *name = json_str(list[i], "metadata.name", "");
		bool update = strcmp(name, json_str(ch->object, "status.updateRevision", "")) == 0;
		bool current =
			strcmp(name, json_str(ch->object, "status.currentRevision", "")) == 0;
		char age[32] = "";
		if (clock_parse(json_str(list[i], "metadata.creationTimestamp", ""), &made) == 0)
			clock_age(clock_wall(clock_system()) - made, age, sizeof age);
		printf("%-10d %-40s %-6s %s\n", (int)json_int(list[i], "revision", 0), name, age,
			update && current ? "in use"
			: update          ? "wanted"
			: current         ? "before"
					  : "");
	}
	free(list);
	json_free(tree);
	return r;
}

/* ---- undo ---- */

/* What lua/lib/undo.lua makes of it: {template} or {why}; the caller frees. */
static cJSON *
old_template(const struct change *ch, const cJSON *revision, struct err *e)
{
	struct vm *vm = vm_new(&(struct vm_conf){ .tag = "undo" }, e);
	const struct embed_file *f = embed_find("lua/lib/undo.lua");
	cJSON *main = cJSON_CreateString(ch->kind == KIND_PDGROUP ? "pd" : "tikv"), *out = NULL;
	const cJSON *args[] = { json_path(ch->object, "spec.template"), json_get(revision, "data"),
		main };

	if (vm != NULL && f != NULL) {
		struct vm_source s = { "lib.undo", f->path, f->text, f->len };
		if (vm_load(vm, &s, 1, e) == 0 && vm_require(vm, "lib.undo", e) == 0)
			(void)vm_call(vm, "lib.undo", "template", args, 3, &out, e);
	}
	json_free(main);
	if (vm != NULL)
		vm_free(vm);
	return out;
}

/* The one asked for, or the newest that is not the wanted one. */
static const cJSON *
chosen(const struct change *ch, cJSON *const *list, int n, int64_t number)
{
	const char *now = json_str(ch->object, "status.updateRevision", "");

	for (int i = n - 1; i >= 0; i--) {
		bool is_now = strcmp(json_str(list[i], "metadata.name", ""), now) == 0;
		if (number != 0 ? json_int(list[i], "revision", 0) == number : !is_now)
			return list[i];
	}
	return NULL;
}

static int
undo_to(struct change *ch, const struct args *a, const cJSON *revision)
{
	struct err e = { 0 };
	cJSON *got, *template;
	const char *why;
	int r;

	if (strcmp(json_str(revision, "metadata.name", ""),
		    json_str(ch->object, "status.updateRevision", "")) == 0)
		return change_none(
			ch, "revision %d is what it has", (int)json_int(revision, "revision", 0));
	got = old_template(ch, revision, &e);
	if (got == NULL)
		return verb_fail(a, &e);
	why = json_str(got, "why", NULL);
	template = cJSON_DetachItemFromObjectCaseSensitive(got, "template");
	if (why != NULL || template == NULL)
		r = change_refused(ch, "%s", why != NULL ? why : "no template came out");
	else
		r = change_replace(ch, "/spec/template", template,
			"it goes back to revision %d, %s", (int)json_int(revision, "revision", 0),
			json_str(revision, "metadata.name", ""));
	json_free(got);
	return r;
}

static int
undo(struct change *ch, const struct args *a)
{
	struct err e = { 0 };
	int64_t number = args_int(a, "to-revision");
	const cJSON *revision;
	cJSON *tree;
	int n, r;
	cJSON **list = revisions(ch, &tree, &n, &e);

	if (list == NULL)
		return verb_fail(a, &e);
	revision = chosen(ch, list, n, number);
	if (revision != NULL)
		r = undo_to(ch, a, revision);
	else if (number != 0)
		r = change_refused(ch,
			"there is no revision %d: kubectl tikv rollout history lists them",
			(int)number);
	else
		r = change_refused(ch, "there is no revision before this one");
	free(list);
	json_free(tree);
	return r;
}

/* ---- pause, resume ---- */

static int
pause_rollout(struct change *ch, const struct args *a)
{
	char now[40];

	(void)a;
	if (json_get(json_path(ch->object, "metadata.annotations"), PAUSED) != NULL)
		return change_none(ch, "its changes are paused already");
	clock_format(clock_wall(clock_system()), 0, now, sizeof now);
	return change_patch(ch, change_annotation(PAUSED, now),
		"who restarts now is finished, nobody else gets the template until resume");
}

static int
resume_rollout(struct change *ch, const struct args *a)
{
	(void)a;
	if (json_get(json_path(ch->object, "metadata.annotations"), PAUSED) == NULL)
		return change_none(ch, "its changes are not paused");
	return change_patch(ch, change_annotation(PAUSED, NULL), "its changes go on");
}

static const struct action_row {
	const char *name;
	int (*run)(struct change *ch, const struct args *a);
} actions[] = { { "status", status }, { "history", history }, { "undo", undo },
	{ "pause", pause_rollout }, { "resume", resume_rollout }, { "restart", change_restart } };

int
rollout_main(struct args *a)
{
	const char *word = args_at(a, 0);
	struct change ch;
	int r;

	for (size_t i = 0; word != NULL && i < sizeof actions / sizeof *actions; i++) {
		if (strcmp(actions[i].name, word) != 0)
			continue;
		r = change_open_at(&ch, a, 1, groups);
		if (r != 0)
			return r;
		r = actions[i].run(&ch, a);
		change_close(&ch);
		return r;
	}
	return verb_usage_error(a, "%s: status, history, undo, pause, resume or restart",
		word != NULL ? word : "say what to do");
}
