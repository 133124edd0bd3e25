#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static cJSON *
meta_of(cJSON *object)
{
	cJSON *m = (cJSON *)json_get(object, "metadata");

	if (!cJSON_IsObject(m)) {
		m = json_object();
		json_put(object, "metadata", m);
	}
	return m;
}

/* As the typed metadata of a real server prints: empty lists and maps are left out. */
static void
tidy_meta(cJSON *object)
{
	static const char *const names[] = { "labels", "annotations", "finalizers",
		"ownerReferences" };
	cJSON *m = meta_of(object);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const cJSON *v = json_get(m, names[i]);
		if (v && !v->child)
			json_drop(m, names[i]);
	}
}

static bool
is_custom_definition(const struct res *res)
{
	return !strcmp(res->id, "customresourcedefinitions.apiextensions.k8s.io");
}

static bool
has_generation(const struct res *res)
{
	static const char *const ids[] = { "pods", "deployments.apps", "statefulsets.apps",
		"replicasets.apps", "daemonsets.apps", "jobs.batch", "poddisruptionbudgets.policy",
		"customresourcedefinitions.apiextensions.k8s.io" };

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		if (!strcmp(res->id, ids[i]))
			return true;
	return res->custom;
}

/* apiVersion, kind and namespace against the path. */
int
check_type(struct call *c, cJSON *object)
{
	const struct res *res = c->res;
	char want[256];
	const char *kind = json_str(object, "kind", NULL),
		   *api = json_str(object, "apiVersion", NULL);

	snprintf(want, sizeof(want), "%s%s%s", res->group, *res->group ? "/" : "", res->version);
	if (!cJSON_IsObject(object))
		return fail(c, 400, "BadRequest",
			"the object provided is unrecognized (must be of type %s)", res->kind);
	if (res->custom && (!kind || !api))
		return fail(c, 400, "BadRequest", "Object '%s' is missing in the request body",
			kind ? "apiVersion" : "Kind");
	if (api && strcmp(api, want))
		return fail(c, 400, "BadRequest",
			"the API version in the data (%s) does not match the expected API version "
			"(%s)",
			api, want);
	if (kind && strcmp(kind, res->kind))
		return fail(c, 400, "BadRequest",
			"%s in version \"%s\" cannot be handled as a %s: no kind \"%s\" is "
			"registered for this resource",
			kind, res->version, res->kind, kind);
	if (!kind)
		json_put_str(object, "kind", res->kind);
	if (!api)
		json_put_str(object, "apiVersion", want);
	cJSON *m = meta_of(object);
	const char *ns = json_str(m, "namespace", "");
	if (res->namespaced && *ns && strcmp(ns, c->ns))
		return fail(c, 400, "BadRequest",
			"the namespace of the provided object does not match the namespace sent on "
			"the request");
	if (res->namespaced && !*ns)
		json_put_str(m, "namespace", c->ns);
	if (!res->namespaced)
		json_drop(m, "namespace");
	return 0;
}

static int
check_namespace(struct call *c, const char *name)
{
	struct res *spaces = res_by_id(c->a, "namespaces");
	struct ver *v = live_find(spaces, "", c->ns);
	char title[256];

	if (!c->res->namespaced)
		return 0;
	if (!*c->ns)
		return fail(
			c, 400, "BadRequest", "an empty namespace may not be set during creation");
	if (!v)
		return fail_not_found(c, spaces, c->ns);
	if (!json_path(ver_tree(v), "metadata.deletionTimestamp"))
		return 0;
	fail(c, 403, "Forbidden",
		"%s \"%s\" is forbidden: unable to create new content in namespace %s because it "
		"is being terminated",
		res_title(c->res, title, sizeof(title)), name, c->ns);
	char *why = xasprintf("namespace %s is being terminated", c->ns);
	fail_cause(c, "metadata.namespace", "NamespaceTerminating", why);
	free(why);
	return -1;
}

static void
drop_nulls(cJSON *tree)
{
	for (cJSON *next, *at = tree->child; at; at = next) {
		next = at->next;
		if (cJSON_IsNull(at) && cJSON_IsObject(tree))
			cJSON_Delete(cJSON_DetachItemViaPointer(tree, at));
		else if (at->child)
			drop_nulls(at);
	}
}

static int
admit(struct call *c, cJSON **object, const cJSON *old, const char *name)
{
	const struct res *res = c->res;
	const struct apisim_hooks *h = &c->a->conf.hooks;
	cJSON *causes = json_array(), *unknown = json_array();
	struct err e;
	int rc = 0;

	if (!res->custom)
		drop_nulls(*object);
	if (res->custom && h->admit) {
		struct apisim_admit in = {
			.kind = res->kind,
			.group = res->group,
			.version = res->version,
			.operation = old ? "UPDATE" : "CREATE",
			.subresource = c->sub,
			.schema = json_path(res->crd_version, "schema.openAPIV3Schema"),
			.old = old,
		};
		err_clear(&e);
		if (h->admit(h->arg, &in, object, causes, unknown, &e))
			rc = fail(c, 500, "InternalError", "Internal error occurred: %s", e.msg);
	}
	const char *how = param_get(c, "fieldValidation");
	const cJSON *one;
	struct buf all;
	buf_init(&all, 2000);
	cJSON_ArrayForEach(one, unknown)
	{
		if (!*how || !strcmp(how, "Warn"))
			warn(c, "unknown field \"%s\"", json_text(one));
		else if (!strcmp(how, "Strict"))
			buf_printf(&all, "%sunknown field \"%s\"", all.len ? ", " : "",
				json_text(one));
	}
	if (!rc && all.len)
		rc = fail(c, 400, "BadRequest",
			"%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
			res->kind, res->version, res->kind, all.at);
	buf_fini(&all);
	json_free(unknown);
	if (rc) {
		json_free(causes);
		return rc;
	}
	rules_check_meta(res, *object, old, causes);
	rules_check(c, *object, old, causes);
	return fail_invalid(c, name, causes);
}

static void
random_name(struct call *c, cJSON *m)
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
	char tail[6] = "";

	for (int i = 0; i < 5; i++)
		tail[i] = letters[rng_below(&c->a->conf.rng, sizeof(letters) - 1)];
	char *name = xasprintf("%.58s%s", json_str(m, "generateName", ""), tail);
	json_put_str(m, "name", name);
	free(name);
}

static void
finish(struct call *c, struct ver *old, cJSON *own_now, const char *key, bool removed,
	struct ver **out)
{
	if (c->dry) {
		*out = ver_new(key, old ? old->rv : 0, own_now);
		return;
	}
	bool definition = is_custom_definition(c->res);
	*out = ver_ref(commit(c, c->res, old, key, own_now, removed));
	if (definition && removed)
		crd_remove(c, ver_tree(*out));
	else if (definition)
		crd_install(c->a, ver_tree(*out));
}

int
create_object(struct call *c, cJSON *own, bool apply, struct ver **out)
{
	const struct res *res = c->res;
	cJSON *object = own, *m = meta_of(object);
	char uid[37], time[40], title[256];
	struct buf key;
	int rc = -1;

	*out = NULL;
	buf_init(&key, 0);
	if (!json_str(m, "name", NULL) && json_str(m, "generateName", NULL))
		random_name(c, m);
	char *name = xstrdup(json_str(m, "name", ""));
	if (*json_str(m, "resourceVersion", "") && !apply) {
		fail(c, 500, NULL, "resourceVersion should not be set on objects to be created");
		goto end;
	}
	if (check_namespace(c, name))
		goto end;
	key_of(&key, res, c->ns, name);
	if (live_key(res, key.at)) {
		fail(c, 409, "AlreadyExists", "%s \"%s\" already exists",
			res_title(res, title, sizeof(title)), name);
		cJSON *d = fail_details(c);
		json_put_str(d, "name", name);
		if (*res->group)
			json_put_str(d, "group", res->group);
		json_put_str(d, "kind", res->plural);
		goto end;
	}
	json_drop(m, "deletionTimestamp");
	json_drop(m, "deletionGracePeriodSeconds");
	json_drop(m, "selfLink");
	json_drop(m, "resourceVersion");
	rng_uuid(&c->a->conf.rng, uid);
	now_text(c->a, time);
	json_put_str(m, "uid", uid);
	json_put_str(m, "creationTimestamp", time);
	json_drop(m, "generation");
	if (has_generation(res))
		json_put_int(m, "generation", 1);
	if (res->has_status)
		json_drop(object, "status");
	if (!apply)
		json_drop(m, "managedFields");
	tidy_meta(object);
	rules_default(c, object, NULL);
	if (is_custom_definition(res) && crd_prepare(c, object))
		goto end;
	if (admit(c, &object, NULL, name))
		goto end;
	if (!apply)
		manage_update(c, NULL, object);
	finish(c, NULL, object, key.at, false, out);
	object = NULL;
	rc = 0;
end:
	json_free(object);
	free(name);
	buf_fini(&key);
	return rc;
}

static void
keep(cJSON *to, const cJSON *from, const char *field)
{
	const cJSON *v = json_get(from, field);

	if (v)
		json_put(to, field, json_clone(v));
	else
		json_drop(to, field);
}

/* What this endpoint may not change comes from the old object. */
static void
keep_rest(struct call *c, const cJSON *old, cJSON **now)
{
	const struct res *res = c->res;
	const cJSON *old_meta = json_get(old, "metadata");

	if (!strcmp(c->sub, "status")) {
		cJSON *next = json_clone(old), *m = (cJSON *)json_get(next, "metadata");
		const cJSON *given = json_get(*now, "metadata");
		if (!res->custom) {
			keep(m, given, "labels");
			keep(m, given, "annotations");
			keep(m, given, "finalizers");
		}
		keep(m, given, "managedFields");
		keep(m, given, "resourceVersion");
		keep(m, given, "uid");
		keep(next, *now, "status");
		json_free(*now);
		*now = next;
	} else if (res->has_status && strcmp(c->sub, "finalize")) {
		keep(*now, old, "status");
	}
	cJSON *m = meta_of(*now);
	static const char *const system[] = { "name", "namespace", "creationTimestamp",
		"deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink" };
	for (size_t i = 0; i < sizeof(system) / sizeof(*system); i++)
		keep(m, old_meta, system[i]);
	/* A PUT that says nothing about managedFields keeps them; an empty list resets them. */
	if (!json_get(m, "managedFields"))
		keep(m, old_meta, "managedFields");
}

static bool
content_changed(const struct res *res, const cJSON *old, const cJSON *now)
{
	const cJSON *one;

	if (!res->custom)
		return !json_equal(json_get(old, "spec"), json_get(now, "spec"));
	for (int turn = 0; turn < 2; turn++) {
		cJSON_ArrayForEach(one, (turn ? old : now))
		{
			const cJSON *other = json_get(turn ? now : old, one->string);
			if (!strcmp(one->string, "metadata") ||
				(res->has_status && !strcmp(one->string, "status")))
				continue;
			if (!other || !json_equal(one, other))
				return true;
		}
	}
	return false;
}

static int
check_versions(struct call *c, const cJSON *old, const cJSON *now)
{
	const char *rv = json_str(now, "metadata.resourceVersion", "");
	const char *uid = json_str(now, "metadata.uid", ""),
		   *is = json_str(old, "metadata.uid", "");

	if (*uid && strcmp(uid, is) && !strcmp(c->r->method, "PUT")) {
		char *why = xasprintf(
			"Precondition failed: UID in precondition: %s, UID in object meta: %s", uid,
			is);
		fail_conflict(c, why);
		free(why);
		return -1;
	}
	/* A patch of a custom object's status does not look at its metadata, not even at its uid.
	 */
	if (*uid && strcmp(uid, is) && !(c->res->custom && !strcmp(c->sub, "status"))) {
		cJSON *causes = json_array();
		for (int i = 0; i < 2; i++)
			cause_add(causes, "metadata.uid", "FieldValueInvalid",
				"Invalid value: \"%s\": field is immutable", uid);
		return fail_invalid(c, c->name, causes);
	}
	if (*rv && strcmp(rv, "0") && strcmp(rv, json_str(old, "metadata.resourceVersion", "")))
		return fail_modified(c);
	return 0;
}

int
update_object(struct call *c, struct ver *old_ver, cJSON *own_now, bool apply, struct ver **out)
{
	const cJSON *old = ver_tree(old_ver);
	cJSON *now = own_now;
	const char *name = c->name;
	int rc = -1;

	*out = NULL;
	meta_of(now);
	if (strcmp(json_str(now, "metadata.name", name), name)) {
		fail(c, 400, "BadRequest",
			"the name of the object (%s) does not match the name on the URL (%s)",
			json_str(now, "metadata.name", ""), name);
		goto end;
	}
	if (check_versions(c, old, now))
		goto end;
	keep_rest(c, old, &now);
	json_put_str(meta_of(now), "uid", json_str(old, "metadata.uid", ""));
	tidy_meta(now);
	rules_default(c, now, old);
	if (is_custom_definition(c->res) && !*c->sub && crd_prepare(c, now))
		goto end;
	if (admit(c, &now, old, name))
		goto end;
	if (has_generation(c->res) && content_changed(c->res, old, now))
		json_put_int(
			meta_of(now), "generation", json_int(old, "metadata.generation", 0) + 1);
	json_put_str(
		meta_of(now), "resourceVersion", json_str(old, "metadata.resourceVersion", ""));
	if (!apply)
		manage_update(c, old, now);
	if (json_equal(old, now)) {
		*out = ver_ref(old_ver);
	} else {
		finish(c, old_ver, now, old_ver->key, delete_due(now), out);
		now = NULL;
	}
	rc = 0;
end:
	json_free(now);
	return rc;
}

void
write_answer(struct call *c, int status, struct ver *own_v)
{
	struct buf out;

	buf_init(&out, 0);
	if (c->r->on_chunk)
		render(c, own_v, &out);
	reply_text(c, status, "application/json", out.at, out.len);
	buf_fini(&out);
	ver_unref(own_v);
}

static int
bind_pod(struct call *c, const cJSON *binding)
{
	struct ver *old = live_find(c->res, c->ns, c->name), *v;

	if (!old)
		return fail_not_found(c, c->res, c->name);
	const cJSON *tree = ver_tree(old);
	const char *node = json_str(binding, "target.name", "");
	if (*json_str(tree, "spec.nodeName", "")) {
		char *why = xasprintf("pod %s is already assigned to node \"%s\"", c->name,
			json_str(tree, "spec.nodeName", ""));
		fail_conflict(c, why);
		free(why);
		return -1;
	}
	if (json_path(tree, "metadata.deletionTimestamp")) {
		char *why =
			xasprintf("pod %s is being deleted, cannot be assigned to a host", c->name);
		fail_conflict(c, why);
		free(why);
		return -1;
	}
	cJSON *now = json_clone(tree);
	char time[40];
	now_text(c->a, time);
	json_put_str((cJSON *)json_get(now, "spec"), "nodeName", node);
	cJSON *status = (cJSON *)json_get(now, "status"), *cond = json_object(),
	      *list = json_array();
	json_put_str(cond, "type", "PodScheduled");
	json_put_str(cond, "status", "True");
	json_put_str(cond, "lastTransitionTime", time);
	json_add(list, cond);
	if (!status) {
		status = json_object();
		json_put(now, "status", status);
	}
	json_put(status, "conditions", list);
	c->sub = "binding";
	manage_update(c, tree, now);
	finish(c, old, now, old->key, false, &v);
	ver_unref(v);
	cJSON *s = json_object();
	json_put_str(s, "kind", "Status");
	json_put_str(s, "apiVersion", "v1");
	json_put(s, "metadata", json_object());
	json_put_str(s, "status", "Success");
	json_put_int(s, "code", 201);
	reply_tree(c, 201, s);
	return 0;
}

void
write_create(struct call *c)
{
	cJSON *body = call_body(c);
	struct ver *v;

	if (!body)
		return;
	if (!strcmp(c->sub, "binding")) {
		bind_pod(c, body);
		json_free(body);
		return;
	}
	if (check_type(c, body)) {
		json_free(body);
		return;
	}
	if (!create_object(c, body, false, &v))
		write_answer(c, 201, v);
}

static bool
needs_version(const struct res *res)
{
	return res->custom || !strcmp(res->kind, "Lease") || is_custom_definition(res) ||
	       !strcmp(res->kind, "PodDisruptionBudget");
}

static void
fail_unversioned(struct call *c)
{
	static const char text[] = "Invalid value: 0: must be specified for an update";
	char title[256];

	res_title(c->res, title, sizeof(title));
	fail(c, 422, "Invalid", "%s \"%s\" is invalid: metadata.resourceVersion: %s", title,
		c->name, text);
	cJSON *d = fail_details(c);
	json_put_str(d, "name", c->name);
	if (*c->res->group)
		json_put_str(d, "group", c->res->group);
	json_put_str(d, "kind", c->res->plural);
	fail_cause(c, "metadata.resourceVersion", "FieldValueInvalid", text);
}

void
write_update(struct call *c)
{
	cJSON *body = call_body(c);
	struct ver *old = live_find(c->res, c->ns, c->name), *v;

	if (!body)
		return;
	if (check_type(c, body)) {
		json_free(body);
		return;
	}
	if (!old) {
		json_free(body);
		fail_not_found(c, c->res, c->name);
		return;
	}
	if (!*json_str(body, "metadata.resourceVersion", "") && needs_version(c->res)) {
		json_free(body);
		fail_unversioned(c);
		return;
	}
	if (!update_object(c, old, body, false, &v))
		write_answer(c, 200, v);
}
