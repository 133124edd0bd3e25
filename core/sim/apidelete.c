#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

struct how {
	char *uid, *rv, *propagation;
	int64_t grace; /* -1: the object's own */
};

static int
take_options(struct call *c, struct how *h)
{
	cJSON *body = NULL;

	memset(h, 0, sizeof(*h));
	if ((c->r->body_len || c->r->tree) && !(body = call_body(c)))
		return -1;
	const char *grace = param_get(c, "gracePeriodSeconds");
	const char *policy = param_get(c, "propagationPolicy");
	h->grace = json_int(body, "gracePeriodSeconds", *grace ? strtoll(grace, NULL, 10) : -1);
	h->propagation = xstrdup(json_str(body, "propagationPolicy", policy));
	h->uid = xstrdup(json_str(body, "preconditions.uid", ""));
	h->rv = xstrdup(json_str(body, "preconditions.resourceVersion", ""));
	const cJSON *dry;
	cJSON_ArrayForEach(dry, json_get(body, "dryRun")) if (cJSON_IsString(dry) &&
							      !strcmp(dry->valuestring, "All"))
		c->dry = true;
	if (json_bool(body, "orphanDependents", false)) {
		free(h->propagation);
		h->propagation = xstrdup("Orphan");
	}
	json_free(body);
	return 0;
}

static void
how_fini(struct how *h)
{
	free(h->uid);
	free(h->rv);
	free(h->propagation);
}

static int
check_preconditions(struct call *c, const struct how *h, const cJSON *object)
{
	const char *uid = json_str(object, "metadata.uid", "");
	const char *rv = json_str(object, "metadata.resourceVersion", "");
	char *why = NULL;

	if (*h->uid && strcmp(h->uid, uid))
		why = xasprintf("the UID in the precondition (%s) does not match the UID in record "
				"(%s). The object might have been deleted and then recreated",
			h->uid, uid);
	else if (*h->rv && strcmp(h->rv, rv))
		why = xasprintf(
			"the ResourceVersion in the precondition (%s) does not match the "
			"ResourceVersion in record (%s). The object might have been modified",
			h->rv, rv);
	if (!why)
		return 0;
	fail_conflict(c, why);
	free(why);
	return -1;
}

static int64_t
grace_of(const struct res *res, const struct how *h, const cJSON *object)
{
	if (strcmp(res->id, "pods"))
		return 0;
	const char *phase = json_str(object, "status.phase", "");
	if (!*json_str(object, "spec.nodeName", "") || !strcmp(phase, "Succeeded") ||
		!strcmp(phase, "Failed"))
		return 0;
	if (h->grace >= 0)
		return h->grace;
	return json_int(object, "spec.terminationGracePeriodSeconds", 30);
}

bool
delete_due(const cJSON *object)
{
	return json_path(object, "metadata.deletionTimestamp") &&
	       !cJSON_GetArraySize(json_path(object, "metadata.finalizers")) &&
	       !cJSON_GetArraySize(json_path(object, "spec.finalizers")) &&
	       json_int(object, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

static void
set_finalizer(cJSON *meta, const char *name, bool wanted)
{
	cJSON *list = (cJSON *)json_get(meta, "finalizers"), *at;
	bool there = false;

	cJSON_ArrayForEach(at, list) if (cJSON_IsString(at) && !strcmp(at->valuestring, name))
	{
		there = true;
		if (!wanted) {
			cJSON_Delete(cJSON_DetachItemViaPointer(list, at));
			break;
		}
	}
	if (wanted && !there) {
		if (!list) {
			list = json_array();
			json_put(meta, "finalizers", list);
		}
		json_add(list, cJSON_CreateString(name));
	}
	if (list && !list->child)
		json_drop(meta, "finalizers");
}

static int64_t
deleted_at(struct call *c, int64_t grace, char out[40])
{
	int64_t when = loop_wall(c->a->conf.loop) + grace * 1000;

	clock_format(when, 0, out, 40);
	return when;
}

/* Put the marks of a deletion on the object. Returns whether anything changed. */
static bool
mark(struct call *c, const struct how *h, cJSON *now)
{
	cJSON *m = (cJSON *)json_get(now, "metadata");
	cJSON *before = json_clone(now);
	int64_t grace = grace_of(c->res, h, now);
	bool already = json_get(m, "deletionTimestamp");
	char when[40];

	if (*h->propagation) {
		set_finalizer(m, "orphan", !strcmp(h->propagation, "Orphan"));
		set_finalizer(m, "foregroundDeletion", !strcmp(h->propagation, "Foreground"));
	}
	bool space = !strcmp(c->res->id, "namespaces");
	if (!already) {
		deleted_at(c, grace, when);
		json_put_str(m, "deletionTimestamp", when);
		if (!space)
			json_put_int(m, "deletionGracePeriodSeconds", grace);
		if (json_get(m, "generation"))
			json_put_int(m, "generation", json_int(m, "generation", 0) + 1);
		if (space) {
			cJSON *status = (cJSON *)json_get(now, "status");
			if (status)
				json_put_str(status, "phase", "Terminating");
		}
	} else if (h->grace >= 0 && grace < json_int(m, "deletionGracePeriodSeconds", 0)) {
		/* A shorter grace counts from the first deletion. */
		int64_t first = 0;
		clock_parse(json_str(m, "deletionTimestamp", ""), &first);
		first += (grace - json_int(m, "deletionGracePeriodSeconds", 0)) * 1000;
		clock_format(first, 0, when, sizeof(when));
		json_put_str(m, "deletionTimestamp", when);
		json_put_int(m, "deletionGracePeriodSeconds", grace);
		if (json_get(m, "generation"))
			json_put_int(m, "generation", json_int(m, "generation", 0) + 1);
	}
	bool changed = !json_equal(before, now);
	json_free(before);
	return changed;
}

/* Kinds whose storage answers a deletion with the object. */
static bool
answers_object(const struct res *res)
{
	static const char *const ids[] = { "pods", "services", "serviceaccounts", "resourcequotas",
		"persistentvolumeclaims", "persistentvolumes",
		"customresourcedefinitions.apiextensions.k8s.io" };

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		if (!strcmp(ids[i], res->id))
			return i < 6;
	return false;
}

/* *gone is the object's last state. Returns 0 marked, 1 removed, -1 failed. */
static int
delete_one(struct call *c, const struct how *h, struct ver *v, struct ver **last)
{
	const cJSON *old = ver_tree(v);

	*last = NULL;
	if (check_preconditions(c, h, old))
		return -1;
	cJSON *now = json_clone(old);
	bool changed = mark(c, h, now), removed = delete_due(now);
	if (!removed && !changed) {
		json_free(now);
		*last = ver_ref(v);
		return 0;
	}
	if (c->dry) {
		*last = ver_new(v->key, v->rv, now);
		return removed;
	}
	if (removed && !json_path(old, "metadata.deletionTimestamp")) {
		/* It was never seen as being deleted; its last state does not say so either. */
		json_free(now);
		now = json_clone(old);
		if (!strcmp(c->res->id, "pods")) {
			char when[40];
			cJSON *m = (cJSON *)json_get(now, "metadata");
			deleted_at(c, 0, when);
			json_put_str(m, "deletionTimestamp", when);
			json_put_int(m, "deletionGracePeriodSeconds", 0);
		}
	}
	*last = ver_ref(commit(c, c->res, v, v->key, now, removed));
	if (removed && !strcmp(c->res->id, "customresourcedefinitions.apiextensions.k8s.io"))
		crd_remove(c, ver_tree(*last));
	return removed;
}

void
write_delete(struct call *c)
{
	struct ver *v = live_find(c->res, c->ns, c->name), *last;
	struct how h;

	if (!v) {
		fail_not_found(c, c->res, c->name);
		return;
	}
	if (take_options(c, &h))
		return;
	int rc = delete_one(c, &h, v, &last);
	how_fini(&h);
	if (rc < 0)
		return;
	if (rc == 0 || answers_object(c->res)) {
		reply_text(c, 200, "application/json", last->text, last->len);
	} else {
		cJSON *s = json_object(), *d = json_object();
		json_put_str(s, "kind", "Status");
		json_put_str(s, "apiVersion", "v1");
		json_put(s, "metadata", json_object());
		json_put_str(s, "status", "Success");
		json_put_str(d, "name", c->name);
		if (*c->res->group)
			json_put_str(d, "group", c->res->group);
		json_put_str(d, "kind", c->res->plural);
		json_put_str(d, "uid", json_str(ver_tree(last), "metadata.uid", ""));
		json_put(s, "details", d);
		reply_tree(c, 200, s);
	}
	ver_unref(last);
}

void
write_delete_collection(struct call *c)
{
	struct match m;
	struct how h;
	struct ver **all, *last;
	size_t n;
	struct buf items;

	if (match_make(c, &m)) {
		match_fini(&m);
		return;
	}
	if (take_options(c, &h)) {
		match_fini(&m);
		return;
	}
	live_at(c->res, 0, &all, &n);
	for (size_t i = 0; i < n; i++)
		ver_ref(all[i]);
	buf_init(&items, 0);
	for (size_t i = 0; i < n; i++) {
		if (!c->fail && match_ver(&m, all[i]) && delete_one(c, &h, all[i], &last) >= 0) {
			buf_printf(&items, "%s%s", items.len ? "," : "", last->text);
			ver_unref(last);
		}
		ver_unref(all[i]);
	}
	free(all);
	if (!c->fail) {
		char *text = xasprintf("{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",\"metadata\":"
				       "{\"resourceVersion\":\"%lld\"},\"items\":[%s]}",
			c->res->list_kind, c->res->group, *c->res->group ? "/" : "",
			c->res->version, (long long)c->a->rv, items.len ? items.at : "");
		reply_text(c, 200, "application/json", text, strlen(text));
		free(text);
	}
	buf_fini(&items);
	how_fini(&h);
	match_fini(&m);
}

/* The budget that covers the pod and has nothing left, or NULL. */
static const cJSON *
shut_budget(struct call *c, const cJSON *pod)
{
	struct res *budgets = res_by_id(c->a, "poddisruptionbudgets.policy");

	for (size_t i = 0; i < budgets->count; i++) {
		const cJSON *b = ver_tree(budgets->live[i]);
		if (strcmp(json_str(b, "metadata.namespace", ""), c->ns))
			continue;
		struct selector *s = selector_of(json_path(b, "spec.selector"), NULL);
		bool covers = s && selector_match(s, json_path(pod, "metadata.labels"));
		selector_free(s);
		if (covers && json_int(b, "status.disruptionsAllowed", 0) <= 0)
			return b;
	}
	return NULL;
}

void
write_evict(struct call *c)
{
	struct ver *v = live_find(c->res, c->ns, c->name), *last;
	cJSON *body = call_body(c);
	struct how h = { .grace = -1 };

	if (!body)
		return;
	if (!v) {
		fail_not_found(c, c->res, c->name);
		json_free(body);
		return;
	}
	const cJSON *b = shut_budget(c, ver_tree(v));
	if (b) {
		fail(c, 429, "TooManyRequests",
			"Cannot evict pod as it would violate the pod's disruption budget.");
		char *why = xasprintf(
			"The disruption budget %s needs %lld healthy pods and has %lld currently",
			json_str(b, "metadata.name", ""),
			(long long)json_int(b, "status.desiredHealthy", 0),
			(long long)json_int(b, "status.currentHealthy", 0));
		fail_cause(c, "", "DisruptionBudget", why);
		free(why);
		json_free(body);
		return;
	}
	h.grace = json_int(body, "deleteOptions.gracePeriodSeconds", -1);
	h.uid = xstrdup(json_str(body, "deleteOptions.preconditions.uid", ""));
	h.rv = xstrdup(json_str(body, "deleteOptions.preconditions.resourceVersion", ""));
	h.propagation = xstrdup("");
	json_free(body);
	if (delete_one(c, &h, v, &last) >= 0) {
		ver_unref(last);
		cJSON *s = json_object();
		json_put_str(s, "kind", "Status");
		json_put_str(s, "apiVersion", "v1");
		json_put(s, "metadata", json_object());
		json_put_str(s, "status", "Success");
		json_put_int(s, "code", 201);
		reply_tree(c, 201, s);
	}
	how_fini(&h);
}
