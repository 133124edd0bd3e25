/* apiscale: autoscaling/v1 Scale of whatever has replicas. */
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static const cJSON *
at(const cJSON *object, const char *dotted)
{
	return dotted && *dotted ? json_path(object, dotted + 1) : NULL;
}

/* Sets spec.replicas through a path like ".spec.replicas". */
static void
set_at(cJSON *object, const char *dotted, cJSON *own_value)
{
	char *path = xstrdup(dotted + 1), *rest = path, *word;

	while ((word = strsep(&rest, "."))) {
		if (!rest) {
			json_put(object, word, own_value);
			break;
		}
		cJSON *next = (cJSON *)json_get(object, word);
		if (!next) {
			next = json_object();
			json_put(object, word, next);
		}
		object = next;
	}
	free(path);
}

static void
selector_text(const cJSON *selector, struct buf *out)
{
	const cJSON *one;

	if (cJSON_IsString(selector)) {
		buf_puts(out, selector->valuestring);
		return;
	}
	cJSON_ArrayForEach(one, json_get(selector, "matchLabels"))
		buf_printf(out, "%s%s=%s", out->len ? "," : "", one->string, json_text(one));
}

cJSON *
scale_of(const struct res *res, const cJSON *object)
{
	static const char *const copied[] = { "name", "namespace", "uid", "resourceVersion",
		"creationTimestamp" };
	const cJSON *m = json_get(object, "metadata");
	cJSON *s = json_object(), *sm = json_object(), *spec = json_object(),
	      *status = json_object();
	struct buf text;

	buf_init(&text, 0);
	json_put_str(s, "kind", "Scale");
	json_put_str(s, "apiVersion", "autoscaling/v1");
	for (size_t i = 0; i < sizeof(copied) / sizeof(*copied); i++)
		json_put_str(sm, copied[i], json_str(m, copied[i], NULL));
	json_put(s, "metadata", sm);
	const cJSON *want = at(object, res->replicas_path),
		    *have = at(object, res->status_replicas_path);
	if (cJSON_IsNumber(want))
		json_put_int(spec, "replicas", (int64_t)want->valuedouble);
	json_put_int(status, "replicas", cJSON_IsNumber(have) ? (int64_t)have->valuedouble : 0);
	selector_text(
		res->custom ? at(object, res->selector_path) : json_path(object, "spec.selector"),
		&text);
	if (text.len)
		json_put_str(status, "selector", text.at);
	json_put(s, "spec", spec);
	json_put(s, "status", status);
	buf_fini(&text);
	return s;
}

static int
change(struct call *c, cJSON **scale)
{
	const char *type = c->r->content_type ? c->r->content_type : "";
	cJSON *body = call_body(c);
	struct err e;

	if (!body)
		return -1;
	if (!strcmp(c->r->method, "PUT")) {
		json_free(*scale);
		*scale = body;
		return 0;
	}
	int rc = 0;
	if (!strncmp(type, "application/json-patch+json", 27)) {
		if (json_patch(scale, body, &e))
			rc = fail(c, 422, "Invalid", "%s", e.msg);
	} else {
		json_merge_patch(scale, body);
	}
	json_free(body);
	return rc;
}

void
write_scale(struct call *c)
{
	struct ver *old = live_find(c->res, c->ns, c->name), *v;

	if (!old) {
		fail_not_found(c, c->res, c->name);
		return;
	}
	cJSON *scale = scale_of(c->res, ver_tree(old));
	if (!strcmp(c->r->method, "GET")) {
		reply_tree(c, 200, scale);
		return;
	}
	if (change(c, &scale)) {
		json_free(scale);
		return;
	}
	int64_t n = json_int(scale, "spec.replicas", 0);
	if (n < 0) {
		cJSON *causes = json_array();
		cause_add(causes, "spec.replicas", "FieldValueInvalid",
			"Invalid value: %lld: must be greater than or equal to 0", (long long)n);
		fail_invalid(c, c->name, causes);
		json_free(scale);
		return;
	}
	cJSON *now = json_clone(ver_tree(old));
	cJSON *m = (cJSON *)json_get(now, "metadata");
	const char *rv = json_str(scale, "metadata.resourceVersion", "");
	json_put_str(m, "resourceVersion",
		*rv ? rv : json_str(ver_tree(old), "metadata.resourceVersion", ""));
	const char *uid = json_str(scale, "metadata.uid", NULL);
	if (uid)
		json_put_str(m, "uid", uid);
	set_at(now, c->res->replicas_path, cJSON_CreateNumber((double)n));
	json_free(scale);
	if (update_object(c, old, now, false, &v))
		return;
	reply_tree(c, 200, scale_of(c->res, ver_tree(v)));
	ver_unref(v);
}
