#include "sim/judge.h"

#include <stdlib.h>
#include <string.h>

#include "format/json.h"

static bool
names(const cJSON *body, const char *path)
{
	return *json_str(body, path, "") != '\0';
}

static const char *
preconditions(const struct net_point *p, const cJSON *body)
{
	if (strcmp(p->method, "DELETE") == 0) {
		if (!names(body, "preconditions.uid"))
			return "S9: a deletion without uid";
		if (!names(body, "preconditions.resourceVersion"))
			return "S9: a deletion without resourceVersion";
	}
	if (strcmp(p->method, "PUT") == 0 && !names(body, "metadata.resourceVersion"))
		return "S9: an update without resourceVersion";
	if (strcmp(p->method, "PATCH") != 0 ||
		strcmp(p->content_type, "application/merge-patch+json") != 0)
		return NULL;
	if (!names(body, "metadata.uid"))
		return "S9: a patch without uid";
	if (json_path(body, "metadata.finalizers") != NULL &&
		!names(body, "metadata.resourceVersion"))
		return "S9: finalizers written without resourceVersion";
	return NULL;
}

static const char *
lease(const struct life *sender, const struct apisim *api)
{
	size_t n = 0;
	const char *text = apisim_object(
		api, "leases.coordination.k8s.io", "tikv-system", "tikv-operator", &n);
	cJSON *tree = text != NULL ? json_parse(text, n, NULL) : NULL;
	const char *holder = json_str(tree, "spec.holderIdentity", "");
	bool held = strcmp(holder, sender->identity) == 0;
	json_free(tree);
	return held ? NULL : "S10: a write is sent by who does not hold the lease";
}

static bool
is_free(const struct net_point *p)
{
	return strcmp(p->method, "GET") == 0 || strstr(p->path, "/leases") != NULL ||
	       strstr(p->path, "/events") != NULL;
}

const char *
judge_request(const struct net_point *p, const struct life *sender, const struct apisim *api)
{
	if (is_free(p))
		return NULL;
	const char *why = lease(sender, api);
	if (why != NULL)
		return why;
	if (sender->op != NULL && !operator_synced(sender->op))
		return "S11: a write before all caches are synced";
	cJSON *body = p->body != NULL ? json_parse(p->body, p->body_len, NULL) : NULL;
	why = preconditions(p, body);
	json_free(body);
	return why;
}

static bool
same_but_managed(const cJSON *old, const cJSON *now)
{
	cJSON *a = json_clone(old), *b = json_clone(now);
	const char *const noise[] = { "managedFields", "resourceVersion" };
	for (int i = 0; i < 2; i++) {
		json_drop((cJSON *)json_get(a, "metadata"), noise[i]);
		json_drop((cJSON *)json_get(b, "metadata"), noise[i]);
	}
	bool same = json_equal(a, b);
	json_free(a);
	json_free(b);
	return same;
}

const char *
judge_commit(const struct net_point *p, const struct apisim_commit *c)
{
	if (is_free(p) || strcmp(p->method, "PATCH") != 0 || c->old == NULL || c->now == NULL ||
		p->body == NULL)
		return NULL;
	cJSON *body = json_parse(p->body, p->body_len, NULL);
	bool unnamed = !names(body, "metadata.uid");
	json_free(body);
	if (unnamed && !same_but_managed(c->old, c->now))
		return "S9: an apply that was to create changed an object that was there";
	return NULL;
}
