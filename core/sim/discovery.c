/* discovery: what there is, in the old form and the aggregated one; versions, health, reviews. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static void
put_list(cJSON *o, const char *key, const char *commas)
{
	char *text = xstrdup(commas), *rest = text, *word;
	cJSON *list = json_array();

	while ((word = strsep(&rest, ",")))
		if (*word)
			json_add(list, cJSON_CreateString(word));
	if (list->child)
		json_put(o, key, list);
	else
		json_free(list);
	free(text);
}

static const char all_verbs[] = "create,delete,deletecollection,get,list,patch,update,watch";

static cJSON *
legacy_row(const struct res *r, const char *sub, const char *verbs, const char *kind)
{
	cJSON *o = json_object();
	char *name = *sub ? xasprintf("%s/%s", r->plural, sub) : xstrdup(r->plural);

	json_put_str(o, "name", name);
	json_put_str(o, "singularName", *sub ? "" : r->singular);
	json_put_bool(o, "namespaced", r->namespaced);
	if (!strcmp(sub, "scale")) {
		json_put_str(o, "group", "autoscaling");
		json_put_str(o, "version", "v1");
	} else if (!strcmp(sub, "eviction")) {
		json_put_str(o, "group", "policy");
		json_put_str(o, "version", "v1");
	}
	json_put_str(o, "kind", kind);
	put_list(o, "verbs", verbs);
	if (!*sub) {
		put_list(o, "shortNames", r->shorts);
		put_list(o, "categories", r->categories);
	}
	free(name);
	return o;
}

static void
legacy_rows(const struct res *r, cJSON *list)
{
	json_add(list, legacy_row(r, "", all_verbs, r->kind));
	if (r->has_status)
		json_add(list, legacy_row(r, "status", "get,patch,update", r->kind));
	if (r->has_scale)
		json_add(list, legacy_row(r, "scale", "get,patch,update", "Scale"));
	if (!strcmp(r->id, "pods")) {
		json_add(list, legacy_row(r, "eviction", "create", "Eviction"));
		json_add(list, legacy_row(r, "binding", "create", "Binding"));
	}
}

static cJSON *
response_kind(const char *group, const char *version, const char *kind)
{
	cJSON *o = json_object();

	json_put_str(o, "group", group);
	json_put_str(o, "version", version);
	json_put_str(o, "kind", kind);
	return o;
}

static cJSON *
new_sub(const char *name, cJSON *own_kind, const char *verbs)
{
	cJSON *o = json_object();

	json_put_str(o, "subresource", name);
	json_put(o, "responseKind", own_kind);
	put_list(o, "verbs", verbs);
	return o;
}

static cJSON *
new_row(const struct res *r)
{
	cJSON *o = json_object(), *subs = json_array();

	json_put_str(o, "resource", r->plural);
	json_put(o, "responseKind", response_kind(r->group, r->version, r->kind));
	json_put_str(o, "scope", r->namespaced ? "Namespaced" : "Cluster");
	json_put_str(o, "singularResource", r->singular);
	put_list(o, "verbs", all_verbs);
	put_list(o, "shortNames", r->shorts);
	put_list(o, "categories", r->categories);
	if (r->has_status)
		json_add(subs, new_sub("status", response_kind(r->group, r->version, r->kind),
				       "get,patch,update"));
	if (r->has_scale)
		json_add(subs, new_sub("scale", response_kind("autoscaling", "v1", "Scale"),
				       "get,patch,update"));
	if (!strcmp(r->id, "pods"))
		json_add(subs,
			new_sub("eviction", response_kind("policy", "v1", "Eviction"), "create"));
	if (subs->child)
		json_put(o, "subresources", subs);
	else
		json_free(subs);
	return o;
}

/* The next group/version after `at` that was not seen before it in the table. */
static bool
first_of(const struct apisim *a, const struct res *r, bool version_too)
{
	for (const struct res *o = a->resources; o != r; o = o->next)
		if (!strcmp(o->group, r->group) &&
			(!version_too || !strcmp(o->version, r->version)))
			return false;
	return true;
}

static cJSON *
new_groups(const struct apisim *a, bool core)
{
	cJSON *out = json_object(), *items = json_array();

	json_put_str(out, "kind", "APIGroupDiscoveryList");
	json_put_str(out, "apiVersion", "apidiscovery.k8s.io/v2");
	json_put(out, "metadata", json_object());
	for (const struct res *g = a->resources; g; g = g->next) {
		if (!*g->group != core || !first_of(a, g, false))
			continue;
		cJSON *group = json_object(), *m = json_object(), *versions = json_array();
		if (*g->group)
			json_put_str(m, "name", g->group);
		for (const struct res *v = g; v; v = v->next) {
			if (strcmp(v->group, g->group) || !first_of(a, v, true))
				continue;
			cJSON *version = json_object(), *rows = json_array();
			json_put_str(version, "version", v->version);
			for (const struct res *r = v; r; r = r->next)
				if (!strcmp(r->group, v->group) && !strcmp(r->version, v->version))
					json_add(rows, new_row(r));
			json_put(version, "resources", rows);
			json_put_str(version, "freshness", "Current");
			json_add(versions, version);
		}
		json_put(group, "metadata", m);
		json_put(group, "versions", versions);
		json_add(items, group);
	}
	json_put(out, "items", items);
	return out;
}

static cJSON *
group_version(const struct res *r)
{
	cJSON *o = json_object();
	char *gv = xasprintf("%s/%s", r->group, r->version);

	json_put_str(o, "groupVersion", gv);
	json_put_str(o, "version", r->version);
	free(gv);
	return o;
}

static cJSON *
legacy_group(const struct apisim *a, const struct res *g, bool alone)
{
	cJSON *o = json_object(), *versions = json_array();

	if (alone) {
		json_put_str(o, "kind", "APIGroup");
		json_put_str(o, "apiVersion", "v1");
	}
	json_put_str(o, "name", g->group);
	for (const struct res *v = g; v; v = v->next)
		if (!strcmp(v->group, g->group) && first_of(a, v, true))
			json_add(versions, group_version(v));
	json_put(o, "versions", versions);
	json_put(o, "preferredVersion", group_version(g));
	return o;
}

static cJSON *
legacy_groups(const struct apisim *a)
{
	cJSON *o = json_object(), *list = json_array();

	json_put_str(o, "kind", "APIGroupList");
	json_put_str(o, "apiVersion", "v1");
	for (const struct res *g = a->resources; g; g = g->next)
		if (*g->group && first_of(a, g, false))
			json_add(list, legacy_group(a, g, false));
	json_put(o, "groups", list);
	return o;
}

static cJSON *
legacy_resources(const struct apisim *a, const char *group, const char *version)
{
	cJSON *o = json_object(), *list = json_array();
	char *gv = xasprintf("%s%s%s", group, *group ? "/" : "", version);

	json_put_str(o, "kind", "APIResourceList");
	json_put_str(o, "apiVersion", "v1");
	json_put_str(o, "groupVersion", gv);
	free(gv);
	for (const struct res *r = a->resources; r; r = r->next)
		if (!strcmp(r->group, group) && !strcmp(r->version, version))
			legacy_rows(r, list);
	json_put(o, "resources", list);
	if (list->child)
		return o;
	json_free(o);
	return NULL;
}

static cJSON *
version_info(const struct apisim *a)
{
	cJSON *o = json_object();
	char major[8] = "1", minor[8] = "36";

	sscanf(a->conf.version, "v%7[0-9].%7[0-9]", major, minor);
	json_put_str(o, "major", major);
	json_put_str(o, "minor", minor);
	json_put_str(o, "gitVersion", a->conf.version);
	json_put_str(o, "gitCommit", "");
	json_put_str(o, "gitTreeState", "clean");
	json_put_str(o, "buildDate", "2026-01-01T00:00:00Z");
	json_put_str(o, "goVersion", "");
	json_put_str(o, "compiler", "");
	json_put_str(o, "platform", "linux/amd64");
	return o;
}

static void
reply_new(struct call *c, cJSON *own_tree)
{
	char *text = json_string(own_tree);

	json_free(own_tree);
	reply_text(c, 200, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
		text, strlen(text));
	free(text);
}

/* "/apis/g" or "/apis/g/v": split into words; more words are not discovery. */
static bool
serve_group(struct call *c, const char *path)
{
	const char *group = path + 6, *slash = strchr(group, '/');
	char *name = xstrndup(group, slash ? (size_t)(slash - group) : strlen(group));
	cJSON *out = NULL;

	if (slash && strchr(slash + 1, '/')) {
		free(name);
		return false;
	}
	if (slash) {
		out = legacy_resources(c->a, name, slash + 1);
	} else {
		for (const struct res *r = c->a->resources; r && !out; r = r->next)
			if (!strcmp(r->group, name))
				out = legacy_group(c->a, r, true);
	}
	free(name);
	if (!out)
		return false;
	reply_tree(c, 200, out);
	return true;
}

bool
serve_discovery(struct call *c, const char *path)
{
	const char *accept = c->r->accept ? c->r->accept : "";
	bool aggregated = strstr(accept, "as=APIGroupDiscoveryList") && strstr(accept, "v=v2");

	if (strcmp(c->r->method, "GET"))
		return false;
	if (!strcmp(path, "/healthz") || !strcmp(path, "/readyz") || !strcmp(path, "/livez")) {
		reply_text(c, 200, "text/plain; charset=utf-8", "ok", 2);
	} else if (!strcmp(path, "/version") || !strcmp(path, "/version/")) {
		reply_tree(c, 200, version_info(c->a));
	} else if (!strcmp(path, "/api") || !strcmp(path, "/api/")) {
		static const char legacy[] = "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"]}";
		if (aggregated)
			reply_new(c, new_groups(c->a, true));
		else
			reply_text(c, 200, "application/json", legacy, sizeof(legacy) - 1);
	} else if (!strcmp(path, "/apis") || !strcmp(path, "/apis/")) {
		if (aggregated)
			reply_new(c, new_groups(c->a, false));
		else
			reply_tree(c, 200, legacy_groups(c->a));
	} else if (!strcmp(path, "/api/v1") || !strcmp(path, "/api/v1/")) {
		reply_tree(c, 200, legacy_resources(c->a, "", "v1"));
	} else if (!strncmp(path, "/apis/", 6)) {
		return serve_group(c, path);
	} else {
		return false;
	}
	return true;
}

/* Everybody may do everything here. */
void
serve_review(struct call *c)
{
	cJSON *body = call_body(c);

	if (!body)
		return;
	cJSON *status = json_object();
	if (!strcmp(json_str(body, "kind", ""), "SelfSubjectReview")) {
		cJSON *user = json_object();
		json_put_str(user, "username", c->r->user ? c->r->user : "sim");
		json_put(status, "userInfo", user);
	} else if (!strcmp(json_str(body, "kind", ""), "SelfSubjectRulesReview")) {
		json_put(status, "resourceRules", json_array());
		json_put(status, "nonResourceRules", json_array());
		json_put_bool(status, "incomplete", false);
	} else {
		json_put_bool(status, "allowed", true);
		json_put_str(status, "reason", "the simulated server allows everything");
	}
	json_put(body, "status", status);
	reply_tree(c, 201, body);
}
