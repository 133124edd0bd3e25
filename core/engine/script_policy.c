#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/mem.h"
#include "engine/script_priv.h"

/* Runs beside the files of a policy: opens them, asks them, runs their self-tests. */
#define MODULE "engine.policy"
#define MODULE_FILE "lua/engine/policy.lua"

void
policy_free(void *value)
{
	struct policy *p = value;

	origin_fini(&p->origin);
	vm_free(p->vm);
	json_free(p->questions);
	free(p);
}

static int
collect(const struct obj *o, struct sources *out, cJSON *files, struct err *e)
{
	const cJSON *tree = obj_tree(o);
	const cJSON *m;

	cJSON_ArrayForEach(m, json_get(tree, "data"))
	{
		size_t n = strlen(m->string);
		if (n < 5 || strcmp(m->string + n - 4, ".lua") != 0 || !cJSON_IsString(m))
			continue;
		char *name = xstrndup(m->string, n - 4);
		char *path = xasprintf("%s/%s", o->name, m->string);
		sources_put(out, name, path, m->valuestring, strlen(m->valuestring));
		free(name);
		free(path);
	}
	json_free(tree);
	for (size_t i = 0; i < out->n; i++)
		json_add(files, cJSON_CreateString(out->at[i].name));
	if (out->n == 0)
		return err_set(e, ERR_INVALID, "%s: data holds no *.lua", o->name);
	return 0;
}

struct trial {
	struct vm *vm;
	const cJSON *files, *known;
	cJSON *questions;
};

static int
open_policy(struct trial *t, struct err *e)
{
	const cJSON *args[2] = { t->files, t->known };

	if (vm_require(t->vm, MODULE, e) != 0)
		return -1;
	return vm_call(t->vm, MODULE, "open", args, 2, &t->questions, e) == VM_OK ? 0 : -1;
}

static int
try_policy(void *arg, struct buf *out)
{
	struct trial *t = arg;
	struct err e = { 0 };
	cJSON *answer = NULL;

	if (open_policy(t, &e) != 0 ||
		vm_call(t->vm, MODULE, "selftest", NULL, 0, &answer, &e) != VM_OK) {
		buf_puts(out, e.msg);
		return -1;
	}
	json_free(answer);
	return 0;
}

void
policy_look(struct script *s, struct policy *p)
{
	struct sources src = { 0 };
	const struct embed_file *engine = embed_find(MODULE_FILE);
	struct trial t = { .files = json_array(), .known = s->known };
	struct err e = { 0 };
	char hash[65];
	int rc;

	assert(engine != NULL);
	p->dirty = false;
	rc = collect(p->origin.object, &src, (cJSON *)t.files, &e);
	sources_hash(&src, hash);
	if (strcmp(hash, p->origin.tried) == 0)
		goto over; /* only our own annotations changed */
	memcpy(p->origin.tried, hash, sizeof hash);
	sources_put(&src, MODULE, "(engine)", engine->text, engine->len);
	if (rc == 0)
		t.vm = script_vm(s, p->origin.object->key, &src, true, &e);
	rc = t.vm != NULL ? script_child(s, try_policy, &t, &e) : -1;
	if (rc == 0) { /* the child's state is not ours: once more in a fresh one, without tests */
		vm_free(t.vm);
		json_free(t.questions);
		t.questions = NULL;
		t.vm = script_vm(s, p->origin.object->key, &src, true, &e);
		rc = t.vm != NULL ? open_policy(&t, &e) : -1;
	}
	if (rc != 0) {
		vm_free(t.vm);
		json_free(t.questions);
		origin_state(s, &p->origin, "rejected", e.msg);
		goto over;
	}
	vm_free(p->vm);
	json_free(p->questions);
	free(p->origin.name);
	p->vm = t.vm;
	p->questions = t.questions;
	p->origin.name = xstrdup(hash);
	origin_state(s, &p->origin, "active", "");
over:
	json_free((cJSON *)t.files);
	sources_fini(&src);
}

static void
failed(struct script *s, const char *ref)
{
	struct buf label;

	if (s->conf.metrics == NULL)
		return;
	buf_init(&label, 0);
	metric_label(&label, "configmap", ref);
	metric_add(s->conf.metrics, "tikv_operator_policy_errors_total", label.at, 1);
	buf_fini(&label);
}

static cJSON *
ask_one(struct script *s, struct policy *p, const char *ref, const char *question,
	const cJSON *list, struct err *e)
{
	cJSON *q = cJSON_CreateString(question);
	cJSON *n = cJSON_CreateNumber(cJSON_GetArraySize(list)), *answer = NULL;
	const cJSON *args[4] = { q, s->glimpse, list, n };
	enum vm_end end = vm_call(p->vm, MODULE, "ask", args, 4, &answer, e);

	json_free(q);
	json_free(n);
	if (end == VM_OK)
		return answer;
	char *why = script_line(e->msg);
	err_set(e, e->code, "policy %s: %s", ref, why);
	free(why);
	failed(s, ref);
	return NULL;
}

/* Named, but nothing of it runs: the step waits for a person. */
static void
silent_policy(const char *ref, const struct policy *p, struct err *e)
{
	if (p == NULL)
		err_set(e, ERR_UNAVAILABLE,
			"policy %s: there is no such ConfigMap with the label tikv.org/policy",
			ref);
	else if (p->origin.reason == NULL)
		err_set(e, ERR_UNAVAILABLE, "policy %s: it is not active yet", ref);
	else
		err_set(e, ERR_UNAVAILABLE, "policy %s: rejected: %s", ref, p->origin.reason);
}

static void
note_asked(struct script *s, const cJSON *value, const cJSON *answers, const struct err *e)
{
	cJSON *row = json_object();

	json_put_str(row, "question", json_str(value, "question", ""));
	json_put(row, "args",
		json_get(value, "args") != NULL ? json_clone(json_get(value, "args"))
						: json_array());
	if (answers != NULL)
		json_put(row, "answers", json_clone(answers));
	else
		json_put_str(row, "error", e->msg);
	json_add(s->asked, row);
}

int
policy_recall(void *arg, const char *name, const cJSON *value, cJSON **answer, struct err *e)
{
	struct script *s = arg;
	const char *question = json_str(value, "question", "");
	cJSON *none = json_array();
	const cJSON *args = json_get(value, "args") != NULL ? json_get(value, "args") : none, *row;

	(void)name;
	*answer = NULL;
	cJSON_ArrayForEach(row, s->answers)
	{
		if (strcmp(json_str(row, "question", ""), question) == 0 &&
			json_equal(json_get(row, "args"), args))
			break;
	}
	json_free(none);
	if (row == NULL)
		return err_set(e, ERR_UNAVAILABLE,
			"policy (of the record): %s was not asked with these arguments", question);
	if (json_get(row, "answers") == NULL)
		return err_set(e, ERR_UNAVAILABLE, "%s", json_str(row, "error", ""));
	*answer = json_clone(json_get(row, "answers"));
	return 0;
}

/* Policies in their order; an error holds the step, it never falls back. */
int
policy_ask(void *arg, const char *name, const cJSON *value, cJSON **answer, struct err *e)
{
	struct script *s = arg;
	const char *question = json_str(value, "question", "");
	bool chained = strncmp(question, "render_", 7) == 0;
	cJSON *list, *out;

	if (strcmp(name, "policy") != 0)
		return err_set(e, ERR_INVALID, "ask: %s is not known", name);
	list = json_get(value, "args") != NULL ? json_clone(json_get(value, "args")) : json_array();
	out = json_array();
	for (size_t i = 0; s->refs != NULL && s->refs[i] != NULL; i++) {
		struct policy *p = map_get(s->policies, s->refs[i]);
		cJSON *said, *row;
		if (p == NULL || p->vm == NULL) {
			silent_policy(s->refs[i], p, e);
			failed(s, s->refs[i]);
			goto fail;
		}
		said = ask_one(s, p, s->refs[i], question, list, e);
		if (said == NULL)
			goto fail;
		row = json_object();
		json_put_str(row, "policy", s->refs[i]);
		if (json_get(said, "answer") != NULL) {
			json_put(row, "answer", json_clone(json_get(said, "answer")));
			json_put_str(row, "reason", json_str(said, "reason", NULL));
			if (chained && cJSON_GetArraySize(list) > 0)
				cJSON_ReplaceItemInArray(
					list, 0, json_clone(json_get(said, "answer")));
		}
		json_add(out, row);
		json_free(said);
	}
	json_free(list);
	note_asked(s, value, out, e);
	*answer = out;
	return 0;
fail:
	note_asked(s, value, NULL, e);
	json_free(list);
	json_free(out);
	return -1;
}
