/*
 * openapi: schemas for `kubectl explain` and for clients that ask what the server supports.
 *
 * Custom kinds come from their CRDs, complete. Built-in kinds are open objects with their usual
 * members: enough to be known, not to be explained field by field.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim/apisim_priv.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

static cJSON *
gvk(const struct res *r)
{
	cJSON *o = json_object();

	json_put_str(o, "group", r->group);
	json_put_str(o, "kind", r->kind);
	json_put_str(o, "version", r->version);
	return o;
}

/* "core.tikv.org" + v1alpha1 + TiKV -> "org.tikv.core.v1alpha1.TiKV" */
static char *
schema_name(const struct res *r)
{
	struct buf out;
	char *group = xstrdup(r->group), *dot;

	buf_init(&out, 0);
	if (!*group)
		buf_puts(&out, "io.k8s.api.core.");
	while (*group && (dot = strrchr(group, '.'))) {
		buf_printf(&out, "%s.", dot + 1);
		*dot = 0;
	}
	if (*group)
		buf_printf(&out, "%s.", group);
	buf_printf(&out, "%s.%s", r->version, r->kind);
	free(group);
	return buf_take(&out);
}

static cJSON *
typed(const char *type, const char *about)
{
	cJSON *o = json_object();

	json_put_str(o, "description", about);
	json_put_str(o, "type", type);
	return o;
}

static cJSON *
open_object(const char *about)
{
	cJSON *o = typed("object", about);

	json_put_bool(o, "x-kubernetes-preserve-unknown-fields", true);
	return o;
}

static cJSON *
schema_of(const struct res *r, const char *ref)
{
	const cJSON *own = json_path(r->crd_version, "schema.openAPIV3Schema");
	cJSON *s = own ? json_clone(own) : typed("object", r->kind), *kinds = json_array();
	cJSON *props = (cJSON *)json_get(s, "properties"), *meta = json_object(),
	      *all = json_array();
	char *to = xasprintf("%s%s", ref, META);

	if (!props) {
		props = json_object();
		json_put(props, "spec", open_object("What is wanted."));
		json_put(props, "status", open_object("What is there."));
		json_put(props, "data", open_object("Content."));
		json_put(s, "properties", props);
		json_put_bool(s, "x-kubernetes-preserve-unknown-fields", true);
	}
	json_put(props, "apiVersion",
		typed("string",
			"APIVersion defines the versioned schema of this representation of an "
			"object. Servers should convert recognized schemas to the latest internal "
			"value, and may reject unrecognized values. More info: "
			"https://git.k8s.io/community/contributors/devel/sig-architecture/"
			"api-conventions.md#resources"));
	json_put(props, "kind",
		typed("string", "Kind is a string value representing the REST resource this object "
				"represents. Servers may infer this from the endpoint the client "
				"submits requests to. Cannot be updated. In CamelCase. More info: "
				"https://git.k8s.io/community/contributors/devel/sig-architecture/"
				"api-conventions.md#types-kinds"));
	json_put_str(meta, "$ref", to);
	json_add(all, meta);
	cJSON *wrap = json_object();
	json_put_str(wrap, "description",
		"Standard object's metadata. More info: "
		"https://git.k8s.io/community/contributors/devel/sig-architecture/"
		"api-conventions.md#metadata");
	json_put(wrap, "allOf", all);
	json_put(props, "metadata", wrap);
	json_add(kinds, gvk(r));
	json_put(s, "x-kubernetes-group-version-kind", kinds);
	free(to);
	return s;
}

static cJSON *
meta_schema(void)
{
	cJSON *s = typed(
		      "object", "ObjectMeta is metadata that all persisted resources must have."),
	      *p = json_object();
	static const char *const texts[][2] = {
		{ "name", "Name must be unique within a namespace. Cannot be updated." },
		{ "namespace", "Namespace defines the space within which each name must be unique. "
			       "Cannot be updated." },
		{ "generateName",
			"GenerateName is a prefix used by the server to generate a unique name." },
		{ "uid", "UID is the unique in time and space value for this object. Read-only." },
		{ "resourceVersion", "An opaque value that represents the internal version of this "
				     "object. Read-only." },
		{ "creationTimestamp", "When this object was created. Read-only." },
		{ "deletionTimestamp", "When this object will be deleted. Read-only." },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		json_put(p, texts[i][0], typed("string", texts[i][1]));
	static const char *const maps[][2] = {
		{ "labels", "Map of string keys and values that can be used to organize and "
			    "categorize objects." },
		{ "annotations", "Unstructured key value map for arbitrary metadata." },
	};
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
		cJSON *m = typed("object", maps[i][1]);
		json_put(m, "additionalProperties", typed("string", ""));
		json_put(p, maps[i][0], m);
	}
	json_put(p, "generation",
		typed("integer", "A sequence number representing a specific generation of the "
				 "desired state. Read-only."));
	cJSON *finalizers =
		typed("array", "Must be empty before the object is deleted from the registry.");
	json_put(finalizers, "items", typed("string", ""));
	json_put(p, "finalizers", finalizers);
	cJSON *owners = typed("array", "Objects depended on by this object.");
	json_put(owners, "items", open_object(""));
	json_put(p, "ownerReferences", owners);
	cJSON *managed = typed("array", "Which manager owns which fields.");
	json_put(managed, "items", open_object(""));
	json_put(p, "managedFields", managed);
	json_put(s, "properties", p);
	return s;
}

static cJSON *
operation(const struct res *r, const char *action)
{
	static const char *const params[] = { "dryRun", "fieldManager", "fieldValidation",
		"force" };
	cJSON *o = json_object(), *list = json_array();

	for (int i = 0; !strcmp(action, "patch") && i < 4; i++) {
		cJSON *p = json_object();
		json_put_str(p, "name", params[i]);
		json_put_str(p, "in", "query");
		json_put(p, "schema", typed(i == 3 ? "boolean" : "string", ""));
		json_add(list, p);
	}
	json_put(o, "parameters", list);
	json_put(o, "responses", json_object());
	json_put_str(o, "x-kubernetes-action", action);
	json_put(o, "x-kubernetes-group-version-kind", gvk(r));
	return o;
}

static void
add_paths(const struct res *r, cJSON *paths)
{
	char *prefix =
		*r->group ? xasprintf("/apis/%s/%s", r->group, r->version) : xstrdup("/api/v1");
	char *list = xasprintf(
		"%s%s/%s", prefix, r->namespaced ? "/namespaces/{namespace}" : "", r->plural);
	char *one = xasprintf("%s/{name}", list);
	cJSON *all = json_object(), *single = json_object();

	json_put(all, "get", operation(r, "list"));
	json_put(all, "post", operation(r, "post"));
	json_put(paths, list, all);
	json_put(single, "get", operation(r, "get"));
	json_put(single, "put", operation(r, "put"));
	json_put(single, "patch", operation(r, "patch"));
	json_put(single, "delete", operation(r, "delete"));
	json_put(paths, one, single);
	free(prefix);
	free(list);
	free(one);
}

/* group NULL: everything, as version 2 has it in one document. */
static cJSON *
document(const struct apisim *a, const char *group, const char *version)
{
	bool two = !group;
	cJSON *doc = json_object(), *info = json_object(), *paths = json_object(),
	      *schemas = json_object();

	json_put_str(doc, two ? "swagger" : "openapi", two ? "2.0" : "3.0.0");
	json_put_str(info, "title", "Kubernetes");
	json_put_str(info, "version", a->conf.version);
	json_put(doc, "info", info);
	for (const struct res *r = a->resources; r; r = r->next) {
		if (!two && (strcmp(r->group, group) || strcmp(r->version, version)))
			continue;
		char *name = schema_name(r);
		json_put(schemas, name,
			schema_of(r, two ? "#/definitions/" : "#/components/schemas/"));
		free(name);
		add_paths(r, paths);
	}
	json_put(schemas, META, meta_schema());
	json_put(doc, "paths", paths);
	if (two) {
		json_put(doc, "definitions", schemas);
		return doc;
	}
	cJSON *components = json_object();
	json_put(components, "schemas", schemas);
	json_put(doc, "components", components);
	return doc;
}

static cJSON *
index_of(const struct apisim *a)
{
	cJSON *out = json_object(), *paths = json_object();

	for (const struct res *r = a->resources; r; r = r->next) {
		char *name = *r->group ? xasprintf("apis/%s/%s", r->group, r->version)
				       : xasprintf("api/%s", r->version);
		if (!json_get(paths, name)) {
			cJSON *one = json_object(), *doc = document(a, r->group, r->version);
			char *text = json_string(doc);
			char *url = xasprintf("/openapi/v3/%s?hash=%016llX", name,
				(unsigned long long)hash_fnv(text, strlen(text), 0));
			json_put_str(one, "serverRelativeURL", url);
			json_put(paths, name, one);
			free(url);
			free(text);
			json_free(doc);
		}
		free(name);
	}
	json_put(out, "paths", paths);
	return out;
}

bool
serve_openapi(struct call *c, const char *path)
{
	if (strncmp(path, "/openapi/v", 10) || strcmp(c->r->method, "GET"))
		return false;
	if (!strcmp(path, "/openapi/v2")) {
		const char *accept = c->r->accept ? c->r->accept : "";
		if (*accept && !strstr(accept, "json") && !strstr(accept, "*/*"))
			fail(c, 406, "NotAcceptable",
				"only the following media types are accepted: application/json");
		else
			reply_tree(c, 200, document(c->a, NULL, NULL));
		return true;
	}
	if (!strcmp(path, "/openapi/v3") || !strcmp(path, "/openapi/v3/")) {
		reply_tree(c, 200, index_of(c->a));
		return true;
	}
	for (const struct res *r = c->a->resources; r; r = r->next) {
		char *name = *r->group ? xasprintf("/openapi/v3/apis/%s/%s", r->group, r->version)
				       : xasprintf("/openapi/v3/api/%s", r->version);
		bool same = !strcmp(name, path);
		free(name);
		if (same) {
			reply_tree(c, 200, document(c->a, r->group, r->version));
			return true;
		}
	}
	return false;
}
