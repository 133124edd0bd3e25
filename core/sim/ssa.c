/* ssa: server-side apply, and who owns which field after any write. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static cJSON *
entry_find(cJSON *list, const char *manager, const char *operation, const char *sub)
{
	cJSON *at;

	cJSON_ArrayForEach(at, list) if (!strcmp(json_str(at, "manager", ""), manager) &&
					 !strcmp(json_str(at, "operation", ""), operation) &&
					 !strcmp(json_str(at, "subresource", ""), sub)) return at;
	return NULL;
}

/* Sub-resources other than status write the main part under their own name. */
static cJSON *
entry_new(struct call *c, const char *operation)
{
	cJSON *e = json_object();
	char api[256];

	snprintf(api, sizeof(api), "%s%s%s", c->res->group, *c->res->group ? "/" : "",
		c->res->version);
	json_put_str(e, "manager", c->manager);
	json_put_str(e, "operation", operation);
	json_put_str(e, "apiVersion", api);
	json_put_str(e, "time", "");
	json_put_str(e, "fieldsType", "FieldsV1");
	json_put(e, "fieldsV1", json_object());
	if (*c->sub)
		json_put_str(e, "subresource", c->sub);
	return e;
}

static void
touch(struct call *c, cJSON *entry)
{
	char time[40];

	now_text(c->a, time);
	json_put_str(entry, "time", time);
}

static int
entry_order(const cJSON *a, const cJSON *b)
{
	static const char *const by[] = { "operation", "time", "manager", "apiVersion",
		"subresource" };

	for (size_t i = 0; i < sizeof(by) / sizeof(*by); i++) {
		int order = strcmp(json_str(a, by[i], ""), json_str(b, by[i], ""));
		if (order)
			return order;
	}
	return 0;
}

/* Empty entries go, the rest is sorted; the list is attached to the object. */
static void
entries_put(cJSON *object, cJSON *own_list)
{
	cJSON *m = (cJSON *)json_get(object, "metadata"), *sorted = json_array();

	while (own_list->child) {
		cJSON *least = NULL, *at;
		cJSON_ArrayForEach(at, own_list) if (!least || entry_order(at, least) < 0) least =
			at;
		cJSON_DetachItemViaPointer(own_list, least);
		if (fields_empty(json_get(least, "fieldsV1")))
			json_free(least);
		else
			json_add(sorted, least);
	}
	json_free(own_list);
	if (sorted->child) {
		json_put(m, "managedFields", sorted);
	} else {
		json_free(sorted);
		json_drop(m, "managedFields");
	}
}

static cJSON *
entries_take(const cJSON *object)
{
	const cJSON *list = json_path(object, "metadata.managedFields");
	cJSON *out;

	if (!cJSON_IsArray(list) || (list->child && !json_get(list->child, "manager")))
		return json_array();
	out = json_clone(list);
	return out;
}

void
manage_update(struct call *c, const cJSON *old, cJSON *now)
{
	struct shape root = shape_root(c->res);
	cJSON *none = json_object(), *changed = json_object(), *removed = json_object();
	cJSON *list = entries_take(now), *at;

	fields_diff(&root, old ? old : none, now, changed, removed);
	fields_system(changed, c->res, c->sub);
	fields_system(removed, c->res, c->sub);
	if (fields_empty(changed) && fields_empty(removed))
		goto end;
	cJSON *mine = entry_find(list, c->manager, "Update", c->sub);
	if (!mine && !fields_empty(changed)) {
		mine = entry_new(c, "Update");
		json_add(list, mine);
	}
	cJSON_ArrayForEach(at, list)
	{
		cJSON *f = (cJSON *)json_get(at, "fieldsV1");
		if (at == mine) {
			fields_join(f, changed);
			fields_cut(f, removed);
			touch(c, at);
			continue;
		}
		fields_cut(f, changed);
		fields_cut(f, removed);
	}
end:
	entries_put(now, list);
	json_free(none);
	json_free(changed);
	json_free(removed);
}

static void merge_list(
	const struct shape *s, enum shape_kind kind, cJSON *list, const cJSON *config);

/* Put what the configuration says over the live value. Returns the new value when it must be
 * replaced, else NULL. */
static cJSON *
merge(const struct shape *s, cJSON *live, const cJSON *config)
{
	enum shape_kind kind = shape_kind(s, config);
	const cJSON *at;

	if (!live || kind == SHAPE_LEAF || kind == SHAPE_ATOMIC || kind != shape_kind(s, live))
		return json_clone(config);
	if (kind == SHAPE_SET || kind == SHAPE_KEYED) {
		merge_list(s, kind, live, config);
		return NULL;
	}
	cJSON_ArrayForEach(at, config)
	{
		struct shape f = shape_field(s, at->string);
		cJSON *fresh = merge(&f, (cJSON *)json_get(live, at->string), at);
		if (fresh)
			json_put(live, at->string, fresh);
	}
	return NULL;
}

static void
merge_list(const struct shape *s, enum shape_kind kind, cJSON *list, const cJSON *config)
{
	struct shape item = shape_item(s);
	const cJSON *want;

	cJSON_ArrayForEach(want, config)
	{
		int at = kind == SHAPE_KEYED ? shape_same(s, list, want, false) : -1;
		bool there = at >= 0;
		const cJSON *have;
		if (kind == SHAPE_SET)
			cJSON_ArrayForEach(have, list) there = there || json_equal(have, want);
		if (!there) {
			json_add(list, json_clone(want));
		} else if (at >= 0) {
			cJSON *fresh = merge(&item, cJSON_GetArrayItem(list, at), want);
			if (fresh)
				cJSON_ReplaceItemInArray(list, at, fresh);
		}
	}
}

static bool
is_member(const cJSON *node)
{
	return !node->child || json_get(node, ".");
}

static bool
is_key(const struct shape *list, const char *field)
{
	const char *keys[4];
	int n = list ? shape_keys(list, false, keys) : 0;

	for (int i = 0; i < n; i++)
		if (!strcmp(keys[i], field))
			return true;
	return false;
}

static int
item_of(const cJSON *list, const char *name)
{
	cJSON *want = json_parse(name + 2, strlen(name + 2), NULL);
	const cJSON *item, *k;
	int i = 0, found = -1;

	cJSON_ArrayForEach(item, list)
	{
		bool same = *name == 'v' ? json_equal(item, want) : true;
		if (*name == 'k')
			cJSON_ArrayForEach(k, want)
			{
				const cJSON *v = json_get(item, k->string);
				same = same &&
				       (v ? json_equal(v, k) : !strcmp(k->string, "protocol"));
			}
		if (same && found < 0)
			found = i;
		i++;
	}
	json_free(want);
	return found;
}

/* Remove what nobody wants any more: the members of `gone`, unless others own something inside. */
static void
prune(const struct shape *s, const struct shape *list, cJSON *value, const cJSON *gone,
	const cJSON *others)
{
	const cJSON *g;

	cJSON_ArrayForEach(g, gone)
	{
		const cJSON *kept = json_get(others, g->string);
		if (!strcmp(g->string, "."))
			continue;
		if (*g->string == 'f') {
			const char *field = g->string + 2;
			cJSON *v = (cJSON *)json_get(value, field);
			struct shape f = shape_field(s, field);
			if (!v || (list && is_key(list, field)))
				continue;
			if (is_member(g) && !kept) {
				json_drop(value, field);
				continue;
			}
			prune(&f, NULL, v, g, kept);
			if (g->child && !v->child && !kept)
				json_drop(value, field);
			continue;
		}
		int at = item_of(value, g->string);
		struct shape item = shape_item(s);
		if (at < 0)
			continue;
		if (is_member(g) && !kept)
			cJSON_DeleteItemFromArray(value, at);
		else
			prune(&item, s, cJSON_GetArrayItem(value, at), g, kept);
	}
}

struct clash {
	struct call *c;
	const cJSON *entry;
	char who[400];
	struct buf text; /* of all conflicts, by manager */
	char *first_path, *first_who;
	cJSON *causes;
	bool new_manager;
};

static void
clash_path(void *arg, const char *path)
{
	struct clash *cl = arg;
	char message[512];

	if (cl->new_manager) {
		buf_printf(&cl->text, "%sconflicts with %s:", cl->text.len ? "\n" : "", cl->who);
		cl->new_manager = false;
	}
	buf_printf(&cl->text, "\n- %s", path);
	if (!cl->first_path) {
		cl->first_path = xstrdup(path);
		cl->first_who = xstrdup(cl->who);
	}
	snprintf(message, sizeof(message), "conflict with %s", cl->who);
	cause_add(cl->causes, path, "FieldManagerConflict", "%s", message);
}

static void
clash_who(struct clash *cl)
{
	const char *sub = json_str(cl->entry, "subresource", NULL);
	bool update = !strcmp(json_str(cl->entry, "operation", ""), "Update");

	snprintf(cl->who, sizeof(cl->who), "\"%s\"%s%s%s%s%s", json_str(cl->entry, "manager", ""),
		sub ? " with subresource \"" : "", sub ? sub : "", sub ? "\"" : "",
		update ? " using " : "", update ? json_str(cl->entry, "apiVersion", "") : "");
}

/* Fields that change and that others own: -1 with the conflict, or taken over when forced. */
static int
settle(struct call *c, cJSON *list, const cJSON *mine, const cJSON *changed, const cJSON *removed)
{
	struct clash cl = { .c = c, .causes = json_array() };
	bool force = param_true(c, "force");
	cJSON *at;

	buf_init(&cl.text, 3500);
	cJSON_ArrayForEach(at, list)
	{
		cJSON *f = (cJSON *)json_get(at, "fieldsV1");
		if (at == mine)
			continue;
		cJSON *both = fields_common(f, changed);
		if (both->child && !force) {
			cl.entry = at;
			cl.new_manager = true;
			clash_who(&cl);
			fields_each(both, clash_path, &cl);
		}
		fields_cut(f, both);
		fields_cut(f, removed);
		json_free(both);
	}
	int n = cJSON_GetArraySize(cl.causes), rc = 0;
	if (n == 1)
		rc = fail(c, 409, "Conflict", "Apply failed with 1 conflict: conflict with %s: %s",
			cl.first_who, cl.first_path);
	else if (n)
		rc = fail(c, 409, "Conflict", "Apply failed with %d conflicts: %s", n, cl.text.at);
	if (n)
		json_put(fail_details(c), "causes", cl.causes);
	else
		json_free(cl.causes);
	free(cl.first_path);
	free(cl.first_who);
	buf_fini(&cl.text);
	return rc;
}

/* A field that the schema of a custom kind does not have, as ".spec.foo". */
static bool
undeclared(const cJSON *schema, const cJSON *value, struct buf *path, bool root)
{
	const cJSON *at, *props = json_get(schema, "properties");
	size_t before = path->len;
	int i = 0;

	if (!schema || json_bool(schema, "x-kubernetes-preserve-unknown-fields", false))
		return false;
	cJSON_ArrayForEach(at, value)
	{
		const cJSON *sub;
		if (cJSON_IsArray(value)) {
			sub = json_get(schema, "items");
			buf_printf(path, "[%d]", i++);
		} else {
			if (root &&
				(!strcmp(at->string, "metadata") || !strcmp(at->string, "kind") ||
					!strcmp(at->string, "apiVersion")))
				continue;
			sub = json_get(props, at->string);
			if (!sub)
				sub = json_get(schema, "additionalProperties");
			buf_printf(path, ".%s", at->string);
			if (!sub && props)
				return true;
		}
		if (cJSON_IsObject(sub) && at->child && undeclared(sub, at, path, false))
			return true;
		path->len = before;
		path->at[before] = 0;
	}
	return false;
}

static int
check_config(struct call *c, struct ver *old, const cJSON *config)
{
	const char *name = json_str(config, "metadata.name", c->name);
	const char *uid = json_str(config, "metadata.uid", "");
	char api[256];
	struct buf path;

	if (!*param_get(c, "fieldManager")) {
		fail(c, 422, "Invalid",
			"PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: "
			"is required for apply patch");
		fail_cause(c, "fieldManager", "FieldValueRequired",
			"Required value: is required for apply patch");
		return -1;
	}
	if (cJSON_GetArraySize(json_path(config, "metadata.managedFields")))
		return fail(c, 400, "BadRequest", "metadata.managedFields must be nil");
	if (strcmp(name, c->name))
		return fail(c, 400, "BadRequest",
			"the name of the object (%s) does not match the name on the URL (%s)", name,
			c->name);
	if (!old && *c->sub)
		return fail_not_found(c, c->res, c->name);
	if (!old && *uid) {
		char *why = xasprintf("uid mismatch: the provided object specified uid %s, and no "
				      "existing object was found",
			uid);
		fail_conflict(c, why);
		free(why);
		return -1;
	}
	buf_init(&path, 1000);
	buf_putc(&path, '.');
	buf_reset(&path);
	const cJSON *schema = json_path(c->res->crd_version, "schema.openAPIV3Schema");
	bool bad = c->res->custom && undeclared(schema, config, &path, true);
	if (bad) {
		snprintf(api, sizeof(api), "%s/%s", c->res->group, c->res->version);
		fail(c, 500, NULL,
			"failed to create typed patch object (%s%s%s; %s, Kind=%s): %s: field not "
			"declared in schema",
			c->ns, *c->ns ? "/" : "", name, api, c->res->kind, path.at);
	}
	buf_fini(&path);
	return bad ? -1 : 0;
}

/* What of the configuration this endpoint looks at. */
static cJSON *
own_part(struct call *c, const cJSON *config)
{
	cJSON *out = json_clone(config), *m = (cJSON *)json_get(out, "metadata");

	if (!strcmp(c->sub, "status")) {
		json_drop(out, "spec");
		if (c->res->custom)
			for (cJSON *next, *at = out->child; at; at = next) {
				next = at->next;
				if (strcmp(at->string, "status") &&
					strcmp(at->string, "metadata") &&
					strcmp(at->string, "kind") &&
					strcmp(at->string, "apiVersion"))
					json_drop(out, at->string);
			}
		if (c->res->custom && m) {
			json_drop(m, "labels");
			json_drop(m, "annotations");
			json_drop(m, "finalizers");
			json_drop(m, "ownerReferences");
		}
	} else if (c->res->has_status) {
		json_drop(out, "status");
	}
	json_put_str(m, "name", c->name);
	return out;
}

/* A real server leaves null where it removed everything from a field that is applied empty; the
 * schema of a custom kind then refuses it. */
static int
check_emptied(struct call *c, const cJSON *config, const cJSON *now)
{
	const cJSON *at;
	cJSON *causes = json_array();

	cJSON_ArrayForEach(at, config) if (cJSON_IsObject(at) && !at->child &&
					   !json_get(now, at->string)) cause_add(causes, at->string,
		"FieldValueTypeInvalid",
		"Invalid value: \"null\": %s in body must be of type object: \"null\"", at->string);
	return fail_invalid(c, c->name, causes);
}

int
apply_object(struct call *c, struct ver *old, const cJSON *config_given, struct ver **out)
{
	struct shape root = shape_root(c->res);

	if (check_config(c, old, config_given))
		return -1;
	cJSON *config = own_part(c, config_given);
	cJSON *live = old ? json_clone(ver_tree(old)) : json_object();
	cJSON *now = json_clone(live), *list = entries_take(live), *at;
	cJSON *set = fields_of(&root, config);
	fields_system(set, c->res, c->sub);
	cJSON *mine = entry_find(list, c->manager, "Apply", c->sub), *others = json_object();
	if (!mine) {
		mine = entry_new(c, "Apply");
		json_add(list, mine);
	}
	cJSON_ArrayForEach(at, list) if (at != mine) fields_join(others, json_get(at, "fieldsV1"));
	cJSON *gone = json_clone(json_get(mine, "fieldsV1"));
	fields_cut_named(gone, set);
	merge(&root, now, config);
	prune(&root, NULL, now, gone, others);
	if (!json_path(config, "metadata.resourceVersion") && old)
		json_put_str((cJSON *)json_get(now, "metadata"), "resourceVersion",
			json_str(live, "metadata.resourceVersion", ""));
	cJSON *changed = json_object(), *removed = json_object();
	fields_diff(&root, live, now, changed, removed);
	fields_system(changed, c->res, c->sub);
	fields_system(removed, c->res, c->sub);
	int rc = settle(c, list, mine, changed, removed);
	if (!rc && c->res->custom)
		rc = check_emptied(c, config, now);
	json_free(live);
	json_free(gone);
	json_free(others);
	json_free(changed);
	json_free(removed);
	json_free(config);
	if (rc) {
		json_free(set);
		json_free(now);
		json_free(list);
		return -1;
	}
	if (json_equal(json_get(mine, "fieldsV1"), set) && *json_str(mine, "time", "")) {
		json_free(set);
	} else {
		json_put(mine, "fieldsV1", set);
		touch(c, mine);
	}
	entries_put(now, list);
	return old ? update_object(c, old, now, true, out) : create_object(c, now, true, out);
}
