/* crd: custom resource definitions become resources as soon as they are written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static void
condition(cJSON *list, const char *type, const char *reason, const char *message, const char *time)
{
	cJSON *k = json_object();

	json_put_str(k, "type", type);
	json_put_str(k, "status", "True");
	json_put_str(k, "lastTransitionTime", time);
	json_put_str(k, "reason", reason);
	json_put_str(k, "message", message);
	json_add(list, k);
}

static void
default_names(cJSON *spec)
{
	cJSON *names = (cJSON *)json_get(spec, "names");
	const char *kind = json_str(names, "kind", "");

	if (!names)
		return;
	if (!json_get(names, "singular")) {
		char *s = xstrdup(kind);
		for (char *p = s; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p += 'a' - 'A';
		json_put_str(names, "singular", s);
		free(s);
	}
	if (!json_get(names, "listKind")) {
		char *s = xasprintf("%sList", kind);
		json_put_str(names, "listKind", s);
		free(s);
	}
	if (!json_get(spec, "conversion")) {
		cJSON *none = json_object();
		json_put_str(none, "strategy", "None");
		json_put(spec, "conversion", none);
	}
}

int
crd_prepare(struct call *c, cJSON *crd)
{
	cJSON *spec = (cJSON *)json_get(crd, "spec"), *v, *causes = json_array();
	const char *plural = json_str(spec, "names.plural", ""),
		   *group = json_str(spec, "group", "");
	const char *name = json_str(crd, "metadata.name", ""), *stored = NULL;
	char *want = xasprintf("%s.%s", plural, group), time[40];

	if (strcmp(name, want))
		cause_add(causes, "metadata.name", "FieldValueInvalid",
			"Invalid value: \"%s\": must be spec.names.plural+\".\"+spec.group", name);
	free(want);
	cJSON_ArrayForEach(v, json_get(spec, "versions")) if (json_bool(v, "storage", false))
		stored = json_str(v, "name", NULL);
	if (!stored)
		cause_add(causes, "spec.versions", "FieldValueInvalid",
			"Invalid value: must have exactly one version marked as storage version");
	if (fail_invalid(c, name, causes))
		return -1;
	default_names(spec);
	if (json_path(crd, "status.conditions"))
		return 0;
	now_text(c->a, time);
	cJSON *status = json_object(), *list = json_array(), *versions = json_array();
	condition(list, "NamesAccepted", "NoConflicts", "no conflicts found", time);
	condition(list, "Established", "InitialNamesAccepted",
		"the initial names have been accepted", time);
	json_put(status, "conditions", list);
	json_put(status, "acceptedNames", json_clone(json_get(spec, "names")));
	json_add(versions, cJSON_CreateString(stored));
	json_put(status, "storedVersions", versions);
	json_put(crd, "status", status);
	return 0;
}

static char *
comma_list(const cJSON *list)
{
	struct buf out;
	const cJSON *at;

	buf_init(&out, 0);
	cJSON_ArrayForEach(at, list) if (cJSON_IsString(at))
		buf_printf(&out, "%s%s", out.len ? "," : "", at->valuestring);
	return buf_take(&out);
}

static void
set_text(char **to, char *own)
{
	free(*to);
	*to = own;
}

static char *
copy_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

/* The storage version is the one that is served; others of the same kind are not distinguished. */
void
crd_install(struct apisim *a, const cJSON *crd)
{
	const cJSON *spec = json_get(crd, "spec"), *v, *chosen = NULL;
	const char *group = json_str(spec, "group", ""),
		   *plural = json_str(spec, "names.plural", "");
	char *id = xasprintf("%s.%s", plural, group);
	struct res *r = res_by_id(a, id);

	free(id);
	cJSON_ArrayForEach(v, json_get(spec, "versions")) if (json_bool(v, "storage", false))
		chosen = v;
	if (!r)
		r = res_add(a, group, json_str(chosen, "name", "v1"), plural,
			json_str(spec, "names.kind", ""));
	r->custom = true;
	r->namespaced = !strcmp(json_str(spec, "scope", ""), "Namespaced");
	set_text(&r->version, xstrdup(json_str(chosen, "name", "v1")));
	set_text(&r->singular, xstrdup(json_str(spec, "names.singular", r->singular)));
	set_text(&r->list_kind, xstrdup(json_str(spec, "names.listKind", r->list_kind)));
	set_text(&r->shorts, comma_list(json_path(spec, "names.shortNames")));
	set_text(&r->categories, comma_list(json_path(spec, "names.categories")));
	json_free(r->crd_version);
	r->crd_version = json_clone(chosen);
	const cJSON *scale = json_path(chosen, "subresources.scale");
	r->has_status = json_path(chosen, "subresources.status");
	r->has_scale = scale;
	set_text(&r->replicas_path, copy_or_null(json_str(scale, "specReplicasPath", NULL)));
	set_text(&r->status_replicas_path,
		copy_or_null(json_str(scale, "statusReplicasPath", NULL)));
	set_text(&r->selector_path, copy_or_null(json_str(scale, "labelSelectorPath", NULL)));
}

void
crd_remove(struct call *c, const cJSON *crd)
{
	const char *id = json_str(crd, "metadata.name", "");
	struct apisim *a = c->a;
	struct res **at = &a->resources, *gone;

	while (*at && strcmp((*at)->id, id))
		at = &(*at)->next;
	gone = *at;
	if (!gone || !gone->custom)
		return;
	while (gone->watches)
		watch_end(gone->watches, 0);
	*at = gone->next;
	a->resources_end = NULL;
	for (struct res *r = a->resources; r; r = r->next)
		a->resources_end = r;
	res_free(gone);
}
