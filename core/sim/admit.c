#include "sim/admit.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/map.h"
#include "base/mem.h"
#include "vm/vm.h"

static const char *const modules[] = { "cel", "schema", "admission" };

struct admit {
	struct vm *vm;
	struct map *defined; /* id -> itself */
	struct map *regex;   /* pattern -> regex_t */
};

static void
free_regex(void *value)
{
	regfree(value);
	free(value);
}

static int
on_ask(void *arg, const char *name, const cJSON *value, cJSON **answer, struct err *e)
{
	struct admit *a = arg;
	const char *pattern = json_str(value, "pattern", ""), *text = json_str(value, "text", "");
	if (strcmp(name, "regex") != 0)
		return err_set(e, ERR_INVALID, "admission asks for %s", name);
	regex_t *re = map_get(a->regex, pattern);
	if (re == NULL) {
		re = xcalloc(1, sizeof *re);
		if (regcomp(re, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
			free(re);
			return err_set(e, ERR_INVALID,
				"pattern %s: not a POSIX extended expression", pattern);
		}
		map_put(a->regex, pattern, re);
	}
	*answer = json_object();
	json_put_bool(*answer, "match", regexec(re, text, 0, NULL, 0) == 0);
	return 0;
}

struct admit *
admit_new(struct err *e)
{
	enum { N = sizeof modules / sizeof *modules };
	struct vm_source src[N];
	char name[N][64], path[N][64];
	struct admit *a = xcalloc(1, sizeof *a);
	a->defined = map_new(NULL);
	a->regex = map_new(free_regex);
	for (size_t i = 0; i < N; i++) {
		snprintf(name[i], sizeof name[i], "lib.%s", modules[i]);
		snprintf(path[i], sizeof path[i], "lua/lib/%s.lua", modules[i]);
		const struct embed_file *f = embed_find(path[i]);
		must(f != NULL);
		src[i] = (struct vm_source){ name[i], path[i], f->text, f->len };
	}
	a->vm = vm_new(&(struct vm_conf){ .tag = "admission" }, e);
	if (a->vm != NULL)
		vm_on_ask(a->vm, on_ask, a);
	if (a->vm == NULL || vm_load(a->vm, src, N, e) < 0 ||
		vm_require(a->vm, "lib.admission", e) < 0) {
		admit_free(a);
		return NULL;
	}
	return a;
}

void
admit_free(struct admit *a)
{
	if (a->vm != NULL)
		vm_free(a->vm);
	map_free(a->defined);
	map_free(a->regex);
	free(a);
}

void
admit_forget(struct admit *a, const char *id)
{
	map_del(a->defined, id);
}

static int
define(struct admit *a, const char *id, const cJSON *schema, struct err *e)
{
	cJSON *name = cJSON_CreateString(id), *out = NULL;
	const cJSON *args[] = { name, schema };
	int r = vm_call(a->vm, "lib.admission", "define", args, 2, &out, e) == VM_OK ? 0 : -1;
	if (r == 0 && json_get(out, "error") != NULL)
		r = err_set(e, ERR_INVALID, "%s: %s", id, json_str(out, "error", ""));
	if (r == 0)
		map_put(a->defined, id, a);
	json_free(name);
	json_free(out);
	return r;
}

static void
move_items(cJSON *from, const char *key, cJSON *into)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(from, key);
	while (list != NULL && list->child != NULL)
		json_add(into, cJSON_DetachItemViaPointer(list, list->child));
}

/* An object without the metadata that no schema looks at; its members are lent. */
static cJSON *
seen_by_rules(const cJSON *object)
{
	static const char *const names[] = { "name", "generateName" };
	cJSON *out = json_object(), *meta = json_object();
	for (cJSON *at = object->child; at != NULL; at = at->next)
		if (strcmp(at->string, "metadata") != 0)
			cJSON_AddItemReferenceToObject(out, at->string, at);
	for (int i = 0; i < 2; i++)
		if (*json_str(json_get(object, "metadata"), names[i], "") != '\0')
			json_put_str(meta, names[i],
				json_str(json_get(object, "metadata"), names[i], ""));
	json_put(out, "metadata", meta);
	return out;
}

/* Nulls mean nothing to a schema: they go as if they had never been there. */
static void
drop_nulls(cJSON *tree)
{
	for (cJSON *next, *at = tree->child; at != NULL; at = next) {
		next = at->next;
		if (cJSON_IsNull(at))
			json_free(cJSON_DetachItemViaPointer(tree, at));
		else
			drop_nulls(at);
	}
}

/* What was judged takes the place of what was given; metadata stays. */
static void
replace(cJSON **object, cJSON *own_now)
{
	cJSON *meta = cJSON_DetachItemFromObjectCaseSensitive(*object, "metadata");
	json_free(cJSON_DetachItemFromObjectCaseSensitive(own_now, "metadata"));
	json_free(*object);
	*object = own_now;
	if (meta != NULL)
		json_put(own_now, "metadata", meta);
}

int
admit_judge(struct admit *a, const char *id, const cJSON *schema, cJSON **object, const cJSON *old,
	bool prune_only, cJSON *causes, cJSON *unknown, struct err *e)
{
	if (!map_has(a->defined, id) && define(a, id, schema, e) < 0)
		return -1;
	cJSON *name = cJSON_CreateString(id), *none = cJSON_CreateBool(0), *out = NULL;
	cJSON *prune = cJSON_CreateBool(prune_only);
	drop_nulls(*object);
	cJSON *now = seen_by_rules(*object), *before = old != NULL ? seen_by_rules(old) : NULL;
	const cJSON *args[] = { name, now, before != NULL ? before : none, prune };
	enum vm_end end = vm_call(a->vm, "lib.admission", "admit", args, 4, &out, e);
	json_free(now);
	json_free(before);
	json_free(name);
	json_free(none);
	json_free(prune);
	if (end != VM_OK) {
		json_free(out);
		return -1;
	}
	cJSON *changed = cJSON_DetachItemFromObjectCaseSensitive(out, "object");
	if (changed != NULL)
		replace(object, changed);
	move_items(out, "causes", causes);
	move_items(out, "unknown", unknown);
	json_free(out);
	return 0;
}
