/* smp: strategic merge patch, as kubectl sends it for built-in kinds. */
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static int merge(struct call *c, const struct shape *s, cJSON *target, const cJSON *patch);

static bool
directive(const char *key)
{
	return *key == '$';
}

static bool
joined(const struct shape *s, const cJSON *list)
{
	return shape_kind(s, list) == SHAPE_SET;
}

static void
drop_values(cJSON *list, const cJSON *values)
{
	const cJSON *gone;

	cJSON_ArrayForEach(gone, values) for (cJSON *next, *at = list ? list->child : NULL; at;
					      at = next)
	{
		next = at->next;
		if (json_equal(at, gone))
			cJSON_Delete(cJSON_DetachItemViaPointer(list, at));
	}
}

static int
merge_list(
	struct call *c, const struct shape *s, cJSON *target, const char *key, const cJSON *patch)
{
	cJSON *list = (cJSON *)json_get(target, key);
	struct shape item_shape = shape_item(s);
	const char *keys[4];
	const cJSON *item;

	if (!cJSON_IsArray(list)) {
		list = json_array();
		json_put(target, key, list);
	}
	cJSON_ArrayForEach(item, patch) if (!strcmp(json_str(item, "$patch", ""), "replace"))
	{
		/* The directive is an item of its own: all others are the new list. */
		cJSON *fresh = json_array();
		cJSON_ArrayForEach(item, patch) if (!json_get(item, "$patch"))
			json_add(fresh, json_clone(item));
		json_put(target, key, fresh);
		return 0;
	}
	if (joined(s, patch)) {
		cJSON_ArrayForEach(item, patch)
		{
			const cJSON *have;
			bool there = false;
			cJSON_ArrayForEach(have, list) there = there || json_equal(have, item);
			if (!there)
				json_add(list, json_clone(item));
		}
		return 0;
	}
	if (!shape_keys(s, true, keys)) {
		json_put(target, key, json_clone(patch));
		return 0;
	}
	cJSON_ArrayForEach(item, patch)
	{
		if (!json_get(item, keys[0]))
			return fail(c, 500, "InternalError",
				"map: %s does not contain declared merge key: %s", key, keys[0]);
		int at = shape_same(s, list, item, true);
		if (!strcmp(json_str(item, "$patch", ""), "delete")) {
			if (at >= 0)
				cJSON_DeleteItemFromArray(list, at);
		} else if (at < 0) {
			cJSON *fresh = json_object();
			if (merge(c, &item_shape, fresh, item)) {
				json_free(fresh);
				return -1;
			}
			json_add(list, fresh);
		} else if (merge(c, &item_shape, cJSON_GetArrayItem(list, at), item)) {
			return -1;
		}
	}
	return 0;
}

/* "$setElementOrder/x": the items of x follow the given order; others keep their places after. */
static void
order_list(const struct shape *s, cJSON *list, const cJSON *order)
{
	cJSON *fresh = json_array();
	const cJSON *want;

	cJSON_ArrayForEach(want, order)
	{
		int at = -1, i = 0;
		if (cJSON_IsObject(want)) {
			at = shape_same(s, list, want, true);
		} else {
			const cJSON *have;
			cJSON_ArrayForEach(have, list)
			{
				if (at < 0 && json_equal(have, want))
					at = i;
				i++;
			}
		}
		if (at >= 0)
			json_add(fresh, cJSON_DetachItemFromArray(list, at));
	}
	while (list->child)
		json_add(fresh, cJSON_DetachItemFromArray(list, 0));
	list->child = fresh->child;
	fresh->child = NULL;
	json_free(fresh);
}

static void
retain(cJSON *target, const cJSON *keys)
{
	for (cJSON *next, *at = target->child; at; at = next) {
		const cJSON *k;
		bool there = false;
		next = at->next;
		cJSON_ArrayForEach(k, keys) there =
			there || (cJSON_IsString(k) && !strcmp(k->valuestring, at->string));
		if (!there)
			cJSON_Delete(cJSON_DetachItemViaPointer(target, at));
	}
}

static int
merge(struct call *c, const struct shape *s, cJSON *target, const cJSON *patch)
{
	const cJSON *p;
	const char *what = json_str(patch, "$patch", "");

	if (!strcmp(what, "replace") || !strcmp(what, "delete"))
		while (target->child)
			cJSON_Delete(cJSON_DetachItemViaPointer(target, target->child));
	if (!strcmp(what, "delete"))
		return 0;
	cJSON_ArrayForEach(p, patch)
	{
		if (!strncmp(p->string, "$deleteFromPrimitiveList/", 25))
			drop_values((cJSON *)json_get(target, p->string + 25), p);
		if (directive(p->string))
			continue;
		struct shape field = shape_field(s, p->string);
		cJSON *have = (cJSON *)json_get(target, p->string);
		if (cJSON_IsNull(p)) {
			json_drop(target, p->string);
		} else if (cJSON_IsArray(p)) {
			if (merge_list(c, &field, target, p->string, p))
				return -1;
		} else if (cJSON_IsObject(p)) {
			if (!cJSON_IsObject(have)) {
				have = json_object();
				json_put(target, p->string, have);
			}
			if (merge(c, &field, have, p))
				return -1;
		} else {
			json_put(target, p->string, json_clone(p));
		}
	}
	cJSON_ArrayForEach(p, patch) if (!strncmp(p->string, "$setElementOrder/", 17))
	{
		struct shape field = shape_field(s, p->string + 17);
		cJSON *list = (cJSON *)json_get(target, p->string + 17);
		if (cJSON_IsArray(list))
			order_list(&field, list, p);
	}
	if (json_get(patch, "$retainKeys"))
		retain(target, json_get(patch, "$retainKeys"));
	return 0;
}

int
smp_apply(struct call *c, const struct res *res, cJSON **target, const cJSON *patch)
{
	struct shape root = shape_root(res);

	if (!cJSON_IsObject(patch))
		return fail(c, 400, "BadRequest", "a strategic merge patch must be an object");
	return merge(c, &root, *target, patch);
}
