#include "engine/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ACTIONS_MAX 100
#define TEXT_MAX (32 << 10)

enum field_type {
	FIELD_NAME,    /* non-empty text */
	FIELD_TEXT,    /* text, may be empty */
	FIELD_ID,      /* decimal text of 1 to 20 digits */
	FIELD_RV,      /* a resourceVersion */
	FIELD_KIND,    /* a known kind */
	FIELD_OBJECT,  /* a Kubernetes object */
	FIELD_TEXTS,   /* object of texts */
	FIELD_SCALARS, /* object of texts, numbers and booleans */
	FIELD_LIST,    /* list of non-empty texts */
	FIELD_SECONDS, /* whole number >= 0 */
	FIELD_RATE,    /* whole number from 1 to 1,000,000 */
	FIELD_BOOL,
};

struct field {
	const char *name;
	enum field_type type;
	bool required;
};

#define TARGET                                                                                   \
	{ "kind", FIELD_KIND, true }, { "name", FIELD_NAME, true }, { "uid", FIELD_NAME, true }, \
	{                                                                                        \
		"rv", FIELD_RV, true                                                             \
	}

#define FIELDS_MAX 11
static const struct action_row {
	const char *name;
	struct field field[FIELDS_MAX + 1];
} rows[ACTION_COUNT] = {
	[ACTION_APPLY] = { "apply", { { "object", FIELD_OBJECT, true } } },
	[ACTION_DELETE] = { "delete",
		{ TARGET, { "grace", FIELD_SECONDS, false }, { "why", FIELD_NAME, true } } },
	[ACTION_PATCH_META] = { "patch_meta",
		{ TARGET, { "labels", FIELD_TEXTS, false }, { "annotations", FIELD_TEXTS, false },
			{ "remove_labels", FIELD_LIST, false },
			{ "remove_annotations", FIELD_LIST, false },
			{ "add_finalizers", FIELD_LIST, false },
			{ "remove_finalizers", FIELD_LIST, false },
			{ "images", FIELD_TEXTS, false } } },
	[ACTION_MARK] = { "mark", { TARGET, { "key", FIELD_NAME, true } } },
	[ACTION_STATUS] = { "status", { { NULL, FIELD_NAME, false } } },
	[ACTION_PD_OFFLINE] = { "pd_offline",
		{ { "store_id", FIELD_ID, true }, { "expect", FIELD_NAME, true },
			{ "force", FIELD_BOOL, false } } },
	[ACTION_PD_ONLINE] = { "pd_online",
		{ { "store_id", FIELD_ID, true }, { "expect", FIELD_NAME, true } } },
	[ACTION_PD_EVICT_LEADERS] = { "pd_evict_leaders", { { "store_id", FIELD_ID, true } } },
	[ACTION_PD_RESTORE_LEADERS] = { "pd_restore_leaders", { { "store_id", FIELD_ID, true } } },
	[ACTION_PD_TRANSFER_LEADER] = { "pd_transfer_leader", { { "member", FIELD_NAME, true } } },
	[ACTION_PD_REMOVE_MEMBER] = { "pd_remove_member",
		{ { "member_id", FIELD_ID, true }, { "name", FIELD_TEXT, false } } },
	[ACTION_PD_LABELS] = { "pd_labels",
		{ { "store_id", FIELD_ID, true }, { "labels", FIELD_TEXTS, true } } },
	[ACTION_PD_CONFIG] = { "pd_config", { { "items", FIELD_SCALARS, true } } },
	[ACTION_PD_STORE_LIMIT] = { "pd_store_limit",
		{ { "type", FIELD_NAME, true }, { "rate", FIELD_RATE, true },
			{ "store_id", FIELD_ID, false } } },
	[ACTION_PD_PURGE] = { "pd_purge", { { "stores", FIELD_LIST, true } } },
	[ACTION_TIKV_CONFIG] = { "tikv_config",
		{ { "instance", FIELD_NAME, true }, { "items", FIELD_SCALARS, true } } },
	[ACTION_JOB] = { "job", { { "object", FIELD_OBJECT, true } } },
	[ACTION_EVENT] = { "event",
		{ { "type", FIELD_NAME, true }, { "reason", FIELD_NAME, true },
			{ "message", FIELD_TEXT, true }, { "kind", FIELD_KIND, false },
			{ "name", FIELD_NAME, false }, { "uid", FIELD_NAME, false } } },
};

const char *
action_name(enum action_kind k)
{
	return (unsigned)k < ACTION_COUNT ? rows[k].name : "?";
}

static bool
is_number(const cJSON *n, double *out)
{
	if (!cJSON_IsNumber(n) || !isfinite(n->valuedouble) || n->valuedouble < 0 ||
		n->valuedouble > 1e12)
		return false;
	*out = n->valuedouble;
	return true;
}

/* An empty table of Lua is an object unless it is marked: an empty list may come as one. */
static bool
is_list(const cJSON *n)
{
	return cJSON_IsArray(n) || (cJSON_IsObject(n) && n->child == NULL);
}

static bool
is_decimal(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n <= 20 && s[n] == '\0' && s[0] != '0';
}

static const char *
texts_fault(const cJSON *tree, bool scalars)
{
	const cJSON *m;

	if (!cJSON_IsObject(tree))
		return "is no object";
	cJSON_ArrayForEach(m, tree)
	{
		if (m->string == NULL || m->string[0] == '\0')
			return "has an empty key";
		if (!cJSON_IsString(m) &&
			!(scalars && (cJSON_IsNumber(m) || cJSON_IsBool(m) || cJSON_IsRaw(m))))
			return scalars ? "has a value that is no text, number or boolean"
				       : "has a value that is no text";
	}
	return NULL;
}

static const char *
list_fault(const cJSON *tree)
{
	const cJSON *m;

	if (!is_list(tree))
		return "is no list";
	cJSON_ArrayForEach(m, tree)
	{
		if (!cJSON_IsString(m) || m->valuestring[0] == '\0')
			return "has an item that is no text";
	}
	return NULL;
}

/* What is wrong with a value, or NULL. */
static const char *
field_fault(const cJSON *v, enum field_type type)
{
	enum kind k;
	double d;

	switch (type) {
	case FIELD_NAME:
		return cJSON_IsString(v) && v->valuestring[0] != '\0' ? NULL : "is no text";
	case FIELD_TEXT:
		return cJSON_IsString(v) ? NULL : "is no text";
	case FIELD_ID:
		return cJSON_IsString(v) && is_decimal(v->valuestring) ? NULL : "is no decimal id";
	case FIELD_RV:
		return cJSON_IsString(v) && rv_valid(v->valuestring) ? NULL
								     : "is no resourceVersion";
	case FIELD_KIND:
		return cJSON_IsString(v) && kind_of(v->valuestring, &k) == 0 ? NULL
									     : "is no known kind";
	case FIELD_OBJECT:
		return cJSON_IsObject(v) ? NULL : "is no object";
	case FIELD_TEXTS:
		return texts_fault(v, false);
	case FIELD_SCALARS:
		return texts_fault(v, true);
	case FIELD_LIST:
		return list_fault(v);
	case FIELD_SECONDS:
		return is_number(v, &d) && d == floor(d) && d <= 1e6 ? NULL
								     : "is no number of seconds";
	case FIELD_RATE:
		return is_number(v, &d) && d == floor(d) && d >= 1 && d <= 1e6
			       ? NULL
			       : "is no whole number from 1 to 1000000";
	case FIELD_BOOL:
		return cJSON_IsBool(v) ? NULL : "is no boolean";
	}
	return "has an unknown type";
}

static int
check_fields(const struct action_row *row, const cJSON *tree, int at, struct err *e)
{
	const struct field *f;
	const cJSON *m;
	const char *fault;

	cJSON_ArrayForEach(m, tree)
	{
		if (strcmp(m->string, "action") == 0)
			continue;
		for (f = row->field; f->name != NULL && strcmp(f->name, m->string) != 0; f++)
			;
		if (f->name == NULL)
			return err_set(e, ERR_INVALID, "actions[%d].%.100s: %s has no such field",
				at, m->string, row->name);
		fault = field_fault(m, f->type);
		if (fault != NULL)
			return err_set(e, ERR_INVALID, "actions[%d].%s: %s", at, f->name, fault);
	}
	for (f = row->field; f->name != NULL; f++) {
		if (f->required && json_get(tree, f->name) == NULL)
			return err_set(e, ERR_INVALID, "actions[%d].%s: missing: %s needs it", at,
				f->name, row->name);
	}
	return 0;
}

static int
read_object(struct action *a, const char *ns, int at, struct err *e)
{
	const cJSON *o = a->object, *meta = json_get(o, "metadata"), *m;
	const char *object_ns;

	if (kind_of_object(o, &a->of) != 0)
		return err_set(e, ERR_INVALID,
			"actions[%d].object: apiVersion and kind name no known kind", at);
	if (!cJSON_IsObject(meta))
		return err_set(e, ERR_INVALID, "actions[%d].object.metadata: missing", at);
	cJSON_ArrayForEach(m, meta)
	{
		static const char *const texts[] = { "name", "namespace", "uid",
			"resourceVersion" };
		static const char *const refused[] = { "generateName", "managedFields",
			"deletionTimestamp", "selfLink", "generation", "creationTimestamp" };
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
			if (strcmp(m->string, texts[i]) == 0 &&
				(!cJSON_IsString(m) || m->valuestring[0] == '\0'))
				return err_set(e, ERR_INVALID,
					"actions[%d].object.metadata.%s: is no text", at, texts[i]);
		}
		for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
			if (strcmp(m->string, refused[i]) == 0)
				return err_set(e, ERR_INVALID,
					"actions[%d].object.metadata.%s: not for a plan", at,
					refused[i]);
		}
	}
	a->name = json_str(o, "metadata.name", "");
	a->uid = json_str(o, "metadata.uid", "");
	a->rv = json_str(o, "metadata.resourceVersion", "");
	object_ns = json_str(o, "metadata.namespace", NULL);
	if (a->name[0] == '\0')
		return err_set(e, ERR_INVALID, "actions[%d].object.metadata.name: missing", at);
	if (a->rv[0] != '\0' && !rv_valid(a->rv))
		return err_set(
			e, ERR_INVALID, "actions[%d].object.metadata.resourceVersion: is none", at);
	if (!kind_row(a->of)->namespaced) {
		if (object_ns != NULL)
			return err_set(e, ERR_INVALID,
				"actions[%d].object.metadata.namespace: %s has none", at,
				kind_row(a->of)->kind);
	} else {
		a->ns = ns;
		if (object_ns != NULL && strcmp(object_ns, ns) != 0)
			return err_set(e, ERR_INVALID,
				"actions[%d].object.metadata.namespace: \"%.63s\" is not this "
				"pass's \"%s\"",
				at, object_ns, ns);
	}
	a->creates = a->uid[0] == '\0';
	if (a->creates && a->rv[0] != '\0')
		return err_set(e, ERR_INVALID,
			"actions[%d].object.metadata.resourceVersion: without uid", at);
	return 0;
}

static int
read_action(struct action *a, const cJSON *tree, const char *ns, int at, struct err *e)
{
	const char *name = json_text(json_get(tree, "action")), *kind;
	int k;

	memset(a, 0, sizeof *a);
	a->tree = tree;
	a->of = KIND_COUNT;
	a->ns = "";
	if (!cJSON_IsObject(tree))
		return err_set(e, ERR_INVALID, "actions[%d]: is no object", at);
	if (name == NULL)
		return err_set(e, ERR_INVALID, "actions[%d].action: missing", at);
	for (k = 0; k < ACTION_COUNT && strcmp(rows[k].name, name) != 0; k++)
		;
	if (k == ACTION_COUNT || k == ACTION_STATUS)
		return err_set(
			e, ERR_INVALID, "actions[%d].action: \"%.60s\" is no action", at, name);
	a->kind = (enum action_kind)k;
	if (check_fields(&rows[k], tree, at, e) != 0)
		return -1;
	a->object = json_get(tree, "object");
	a->store_id = json_text(json_get(tree, "store_id"));
	a->member_id = json_text(json_get(tree, "member_id"));
	if (a->object != NULL) {
		if (read_object(a, ns, at, e) != 0)
			return -1;
		if (a->kind == ACTION_JOB && (a->of != KIND_JOB || !a->creates))
			return err_set(
				e, ERR_INVALID, "actions[%d].object: is no Job to be created", at);
		return 0;
	}
	a->name = json_str(tree, "name", "");
	a->uid = json_str(tree, "uid", "");
	a->rv = json_str(tree, "rv", "");
	kind = json_text(json_get(tree, "kind"));
	if (kind != NULL) {
		if (kind_of(kind, &a->of) != 0)
			return err_set(e, ERR_INVALID, "actions[%d].kind: unknown", at);
		a->ns = kind_row(a->of)->namespaced ? ns : "";
	}
	if (a->kind == ACTION_EVENT) {
		const char *type = json_str(tree, "type", "");
		if (strcmp(type, "Normal") != 0 && strcmp(type, "Warning") != 0)
			return err_set(
				e, ERR_INVALID, "actions[%d].type: is not Normal or Warning", at);
		if (kind != NULL && a->name[0] == '\0')
			return err_set(e, ERR_INVALID, "actions[%d].name: missing beside kind", at);
	}
	return 0;
}

static int
read_actions(struct plan *p, const cJSON *list, const char *ns, struct err *e)
{
	struct action beyond;
	const cJSON *m;
	int at = 0, n;

	if (list == NULL)
		return 0;
	if (!is_list(list))
		return err_set(e, ERR_INVALID, "actions: is no list");
	n = cJSON_GetArraySize(list);
	p->action = xcalloc((size_t)(n < ACTIONS_MAX ? n : ACTIONS_MAX) + 1, sizeof *p->action);
	cJSON_ArrayForEach(m, list)
	{
		/* Those beyond the limit are checked too: a broken plan is broken as a whole. */
		if (read_action(at < ACTIONS_MAX ? &p->action[at] : &beyond, m, ns, at, e) != 0)
			return -1;
		at++;
	}
	p->actions = n < ACTIONS_MAX ? n : ACTIONS_MAX;
	p->cut = n > ACTIONS_MAX;
	return 0;
}

static int
read_text(const cJSON *object, const char *where, const char *key, const char **out, struct err *e)
{
	const cJSON *v = json_get(object, key);

	*out = "";
	if (v == NULL)
		return 0;
	if (!cJSON_IsString(v))
		return err_set(e, ERR_INVALID, "%s.%s: is no text", where, key);
	if (strlen(v->valuestring) > TEXT_MAX)
		return err_set(e, ERR_INVALID, "%s.%s: longer than %d bytes", where, key, TEXT_MAX);
	*out = v->valuestring;
	return 0;
}

static int
known_keys(const cJSON *object, const char *where, const char *const *keys, struct err *e)
{
	const cJSON *m;
	size_t i;

	if (!cJSON_IsObject(object))
		return err_set(e, ERR_INVALID, "%s: is no object", where);
	cJSON_ArrayForEach(m, object)
	{
		for (i = 0; keys[i] != NULL && strcmp(keys[i], m->string) != 0; i++)
			;
		if (keys[i] == NULL)
			return err_set(e, ERR_INVALID, "%s.%.100s: unknown key", where, m->string);
	}
	return 0;
}

static int
read_verdict(struct plan *p, const cJSON *v, struct err *e)
{
	static const char *const keys[] = { "kind", "step", "reason", "message", "hint", "progress",
		"after", NULL };
	static const char *const names[] = { "settled", "wait", "retry" };
	const char *kind;
	const cJSON *after = json_get(v, "after"), *progress = json_get(v, "progress");
	size_t i;

	if (v == NULL)
		return err_set(e, ERR_INVALID, "verdict: missing");
	if (known_keys(v, "verdict", keys, e) != 0 ||
		read_text(v, "verdict", "kind", &kind, e) != 0 ||
		read_text(v, "verdict", "step", &p->step, e) != 0 ||
		read_text(v, "verdict", "reason", &p->reason, e) != 0 ||
		read_text(v, "verdict", "message", &p->message, e) != 0 ||
		read_text(v, "verdict", "hint", &p->hint, e) != 0)
		return -1;
	for (i = 0; i < 3 && strcmp(names[i], kind) != 0; i++)
		;
	if (i == 3)
		return err_set(e, ERR_INVALID, "verdict.kind: \"%.60s\" is none", kind);
	p->verdict = (enum verdict)i;
	if (after != NULL && !is_number(after, &p->after))
		return err_set(e, ERR_INVALID, "verdict.after: is no number of seconds");
	if (p->verdict == VERDICT_RETRY && after == NULL)
		return err_set(e, ERR_INVALID, "verdict.after: missing: retry needs it");
	if (p->verdict != VERDICT_SETTLED && p->reason[0] == '\0')
		return err_set(e, ERR_INVALID, "verdict.reason: missing");
	if (progress != NULL && !cJSON_IsObject(progress))
		return err_set(e, ERR_INVALID, "verdict.progress: is no object");
	return 0;
}

static int
check_trace(const cJSON *trace, struct err *e)
{
	static const char *const keys[] = { "step", "verdict", "reason", "message", NULL };
	const cJSON *m, *v;
	char where[32];
	int at = 0;

	if (trace == NULL)
		return 0;
	if (!is_list(trace))
		return err_set(e, ERR_INVALID, "trace: is no list");
	cJSON_ArrayForEach(m, trace)
	{
		snprintf(where, sizeof where, "trace[%d]", at++);
		if (known_keys(m, where, keys, e) != 0)
			return -1;
		cJSON_ArrayForEach(v, m)
		{
			if (!cJSON_IsString(v))
				return err_set(
					e, ERR_INVALID, "%s.%s: is no text", where, v->string);
		}
	}
	return 0;
}

static int
read_plan(struct plan *p, const char *ns, struct err *e)
{
	static const char *const keys[] = { "actions", "verdict", "trace", "status", "status_after",
		"pd_busy", NULL };
	const cJSON *after = json_get(p->tree, "status_after"),
		    *busy = json_get(p->tree, "pd_busy");

	if (known_keys(p->tree, "plan", keys, e) != 0)
		return -1;
	p->status = json_get(p->tree, "status");
	if (p->status != NULL && !cJSON_IsObject(p->status))
		return err_set(e, ERR_INVALID, "status: is no object");
	if (after != NULL && !is_number(after, &p->status_after))
		return err_set(e, ERR_INVALID, "status_after: is no number of seconds");
	if (busy != NULL && !cJSON_IsBool(busy))
		return err_set(e, ERR_INVALID, "pd_busy: is no boolean");
	p->pd_busy = cJSON_IsTrue(busy);
	if (read_actions(p, json_get(p->tree, "actions"), ns, e) != 0 ||
		read_verdict(p, json_get(p->tree, "verdict"), e) != 0)
		return -1;
	return check_trace(json_get(p->tree, "trace"), e);
}

struct plan *
plan_decode(cJSON *own_tree, const char *ns, struct err *e)
{
	struct plan *p = xcalloc(1, sizeof *p);

	p->tree = own_tree;
	p->step = p->reason = p->message = p->hint = "";
	if (own_tree == NULL) {
		err_set(e, ERR_INVALID, "plan: the pass returned nothing");
		goto fail;
	}
	if (read_plan(p, ns, e) != 0)
		goto fail;
	return p;
fail:
	plan_free(p);
	return NULL;
}

void
plan_free(struct plan *p)
{
	if (p == NULL)
		return;
	free(p->action);
	json_free(p->tree);
	free(p);
}
