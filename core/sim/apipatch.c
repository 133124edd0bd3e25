/* apipatch: PATCH in its four content types. */
#include <string.h>

#include "sim/apisim_priv.h"

static int
unsupported(struct call *c)
{
	return fail(c, 415, "UnsupportedMediaType",
		"the body of the request was in an unknown format - accepted media types include: "
		"application/json-patch+json, application/merge-patch+json, "
		"%sapplication/apply-patch+yaml",
		c->res->custom ? "" : "application/strategic-merge-patch+json, ");
}

static int
patch_tree(struct call *c, const char *type, const cJSON *body, cJSON **now)
{
	struct err e;

	if (!strncmp(type, "application/merge-patch+json", 28)) {
		json_merge_patch(now, body);
	} else if (!strncmp(type, "application/strategic-merge-patch+json", 38)) {
		if (c->res->custom)
			return unsupported(c);
		if (smp_apply(c, c->res, now, body))
			return -1;
	} else if (!strncmp(type, "application/json-patch+json", 27)) {
		if (!cJSON_IsArray(body))
			return fail(c, 400, "BadRequest",
				"error decoding patch: json: cannot unmarshal object into Go value "
				"of type jsonpatch.Patch");
		if (json_patch(now, body, &e)) {
			fail(c, 422, "Invalid",
				"the server rejected our request due to an error in our request");
			fail_cause(c, "", "UnexpectedServerResponse", e.msg);
			return -1;
		}
	} else {
		return unsupported(c);
	}
	if (!cJSON_IsObject(*now))
		return fail(c, 400, "BadRequest", "the patch leaves no object");
	return 0;
}

void
write_patch(struct call *c)
{
	const char *type = c->r->content_type ? c->r->content_type : "application/merge-patch+json";
	bool apply = !strncmp(type, "application/apply-patch+yaml", 28);
	struct ver *old = live_find(c->res, c->ns, c->name), *v = NULL;
	cJSON *body = call_body(c), *now = NULL;

	if (!body)
		return;
	if (apply) {
		if (!check_type(c, body) && !apply_object(c, old, body, &v))
			write_answer(c, old ? 200 : 201, v);
		json_free(body);
		return;
	}
	if (!old) {
		fail_not_found(c, c->res, c->name);
	} else {
		now = json_clone(ver_tree(old));
		if (patch_tree(c, type, body, &now) || check_type(c, now))
			json_free(now);
		else if (!update_object(c, old, now, false, &v))
			write_answer(c, 200, v);
	}
	json_free(body);
}
