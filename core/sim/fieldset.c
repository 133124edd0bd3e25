#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

static bool
member(const cJSON *node)
{
	return !node->child || json_get(node, ".");
}

static void
set_member(cJSON *node, bool is)
{
	if (!is)
		json_drop(node, ".");
	else if (node->child && !json_get(node, "."))
		json_put(node, ".", json_object());
	else if (node->child && !node->child->next)
		json_drop(node, "."); /* nothing but ".": {} says the same */
}

static char *
key_name(const struct shape *s, const cJSON *item)
{
	const char *keys[4];
	int n = shape_keys(s, false, keys);
	cJSON *k = json_object();
	struct buf out;

	for (int i = 0; i < n; i++) {
		const cJSON *v = json_get(item, keys[i]);
		v = v ? v : shape_key_default(s, keys[i]);
		if (v)
			json_put(k, keys[i], json_clone(v));
	}
	buf_init(&out, 0);
	buf_puts(&out, "k:");
	json_print_canonical(k, &out);
	json_free(k);
	return buf_take(&out);
}

static char *
value_name(const cJSON *item)
{
	struct buf out;

	buf_init(&out, 0);
	buf_puts(&out, "v:");
	json_print_canonical(item, &out);
	return buf_take(&out);
}

static char *
field_name(const char *key)
{
	return xasprintf("f:%s", key);
}

/* dots: containers themselves are members too, as for fields that an update added. */
static bool
add_all(const struct shape *s, const cJSON *value, cJSON *node, bool dots)
{
	enum shape_kind kind = shape_kind(s, value);
	struct shape item = shape_item(s);
	const cJSON *at;

	switch (kind) {
	case SHAPE_LEAF:
	case SHAPE_ATOMIC:
		return true;
	case SHAPE_MAP:
	case SHAPE_STRUCT:
		cJSON_ArrayForEach(at, value)
		{
			struct shape f = shape_field(s, at->string);
			cJSON *sub = json_object();
			char *name = field_name(at->string);
			if (add_all(&f, at, sub, dots)) {
				if (sub->child && kind == SHAPE_MAP)
					set_member(sub, true);
				json_put(node, name, sub);
			} else {
				json_free(sub);
			}
			free(name);
		}
		if (dots && node->child && !s->root)
			set_member(node, true);
		return node->child || !value->child;
	case SHAPE_SET:
	case SHAPE_KEYED:
		cJSON_ArrayForEach(at, value)
		{
			cJSON *sub = json_object();
			char *name = kind == SHAPE_SET ? value_name(at) : key_name(s, at);
			if (kind == SHAPE_KEYED) {
				add_all(&item, at, sub, dots);
				set_member(sub, true);
			}
			json_put(node, name, sub);
			free(name);
		}
		if (dots && node->child)
			set_member(node, true);
		return node->child;
	}
	return true;
}

cJSON *
fields_of(const struct shape *s, const cJSON *object)
{
	cJSON *out = json_object();

	add_all(s, object, out, false);
	return out;
}

static bool diff(
	const struct shape *s, const cJSON *old, const cJSON *now, cJSON *changed, cJSON *removed);

/* One child of both sides; either may be NULL. */
static void
diff_child(const struct shape *s, const cJSON *old, const cJSON *now, const char *name, bool keyed,
	cJSON *changed, cJSON *removed)
{
	cJSON *c = json_object(), *r = json_object();
	bool add = false;

	if (!old) {
		add = add_all(s, now, c, true) || !now->child;
		if (keyed)
			set_member(c, true);
		if (add)
			json_put(changed, name, c);
	} else if (!now) {
		add_all(s, old, r, true);
		json_put(removed, name, r);
	} else {
		bool self = diff(s, old, now, c, r);
		add = self || c->child;
		if (self && c->child)
			set_member(c, true);
		if (add)
			json_put(changed, name, c);
		if (r->child) {
			json_put(removed, name, r);
			r = NULL;
		}
		if (add)
			c = NULL;
		json_free(c);
		json_free(r);
		return;
	}
	if (!add)
		json_free(c);
	if (old)
		return;
	json_free(r);
}

static const cJSON *
same_item(const struct shape *s, enum shape_kind kind, const cJSON *list, const cJSON *item)
{
	const cJSON *at;

	if (kind == SHAPE_KEYED) {
		int i = shape_same(s, list, item, false);
		return i < 0 ? NULL : cJSON_GetArrayItem(list, i);
	}
	cJSON_ArrayForEach(at, list) if (json_equal(at, item)) return at;
	return NULL;
}

/* Returns whether the value itself changed, as a leaf does. */
static bool
diff(const struct shape *s, const cJSON *old, const cJSON *now, cJSON *changed, cJSON *removed)
{
	enum shape_kind kind = shape_kind(s, now);
	struct shape item = shape_item(s);
	const cJSON *at;

	if (kind != shape_kind(s, old) || kind == SHAPE_LEAF || kind == SHAPE_ATOMIC)
		return !json_equal(old, now);
	bool fields = kind == SHAPE_MAP || kind == SHAPE_STRUCT;
	for (int turn = 0; turn < 2; turn++) {
		cJSON_ArrayForEach(at, (turn ? old : now))
		{
			const cJSON *other = fields ? json_get(turn ? now : old, at->string)
						    : same_item(s, kind, turn ? now : old, at);
			if (turn && other)
				continue;
			struct shape f = fields ? shape_field(s, at->string) : item;
			char *name = fields              ? field_name(at->string)
				     : kind == SHAPE_SET ? value_name(at)
							 : key_name(s, at);
			if (turn)
				diff_child(&f, at, NULL, name, false, changed, removed);
			else
				diff_child(
					&f, other, at, name, kind == SHAPE_KEYED, changed, removed);
			free(name);
		}
	}
	return false;
}

void
fields_diff(
	const struct shape *s, const cJSON *old, const cJSON *now, cJSON *changed, cJSON *removed)
{
	diff(s, old, now, changed, removed);
}

static void
join_node(cJSON *a, const cJSON *b)
{
	bool is = member(a) || member(b);

	if (!a->child && b->child)
		is = true;
	fields_join(a, b);
	set_member(a, is);
}

void
fields_join(cJSON *into, const cJSON *other)
{
	const cJSON *b;

	cJSON_ArrayForEach(b, other)
	{
		cJSON *a = (cJSON *)json_get(into, b->string);
		if (!strcmp(b->string, "."))
			continue;
		if (a)
			join_node(a, b);
		else
			json_put(into, b->string, json_clone(b));
	}
}

/* Returns true when nothing is left of a. */
static bool
cut_node(cJSON *a, const cJSON *b)
{
	bool is = member(a) && !member(b);

	json_drop(a, ".");
	fields_cut(a, b);
	if (!a->child)
		return !is;
	set_member(a, is);
	return false;
}

void
fields_cut(cJSON *from, const cJSON *other)
{
	const cJSON *b;

	cJSON_ArrayForEach(b, other)
	{
		cJSON *a = (cJSON *)json_get(from, b->string);
		if (!a || !strcmp(b->string, "."))
			continue;
		if (cut_node(a, b))
			json_drop(from, b->string);
	}
}

cJSON *
fields_common(const cJSON *x, const cJSON *y)
{
	cJSON *out = json_object();
	const cJSON *b;

	cJSON_ArrayForEach(b, y)
	{
		const cJSON *a = json_get(x, b->string);
		if (!a || !strcmp(b->string, "."))
			continue;
		bool is = member(a) && member(b);
		cJSON *sub = fields_common(a, b);
		if (sub->child)
			set_member(sub, is);
		if (is || sub->child)
			json_put(out, b->string, sub);
		else
			json_free(sub);
	}
	return out;
}

void
fields_cut_named(cJSON *from, const cJSON *other)
{
	const cJSON *b;

	cJSON_ArrayForEach(b, other)
	{
		cJSON *a = (cJSON *)json_get(from, b->string);
		if (!a || !strcmp(b->string, "."))
			continue;
		json_drop(a, ".");
		fields_cut_named(a, b);
		if (!a->child)
			json_drop(from, b->string);
	}
}

bool
fields_empty(const cJSON *f)
{
	return !f || !f->child;
}

void
fields_system(cJSON *f, const struct res *res, const char *sub)
{
	static const char *const ours[] = { ".", "f:name", "f:namespace", "f:uid",
		"f:resourceVersion", "f:generation", "f:creationTimestamp", "f:deletionTimestamp",
		"f:deletionGracePeriodSeconds", "f:selfLink", "f:managedFields" };
	cJSON *m = (cJSON *)json_get(f, "f:metadata");

	json_drop(f, "f:apiVersion");
	json_drop(f, "f:kind");
	for (size_t i = 0; m && i < sizeof(ours) / sizeof(*ours); i++)
		json_drop(m, ours[i]);
	if (m && !m->child)
		json_drop(f, "f:metadata");
	if (!*sub && res->has_status)
		json_drop(f, "f:status");
	if (res->custom)
		return;
	cJSON *containers = (cJSON *)json_get(json_get(f, "f:spec"), "f:containers");
	if (containers && containers->child && !strcmp(res->id, "pods"))
		set_member(containers, false); /* an empty pod has an empty list of them */
	/* Structs that a built-in object always has are never added. */
	const char *const always[] = { "f:spec", "f:status" };
	for (int i = 0; i < 2; i++) {
		cJSON *top = (cJSON *)json_get(f, always[i]);
		if (top && top->child)
			set_member(top, false);
		if (top && !top->child)
			json_drop(f, always[i]);
	}
}

static void
path_key(struct buf *out, const char *json, bool value)
{
	cJSON *k = json_parse(json, strlen(json), NULL);
	const cJSON *at;

	buf_putc(out, '[');
	if (value)
		buf_printf(out, "=%s", json);
	cJSON_ArrayForEach(at, (value ? NULL : k))
	{
		buf_printf(out, "%s%s=", at == k->child ? "" : ",", at->string);
		json_print(at, out);
	}
	buf_putc(out, ']');
	json_free(k);
}

static void
each(const cJSON *f, struct buf *path, void (*fn)(void *arg, const char *path), void *arg)
{
	const cJSON *at;
	size_t before = path->len;

	cJSON_ArrayForEach(at, f)
	{
		const char *s = at->string;
		if (!strcmp(s, "."))
			continue;
		if (!strncmp(s, "f:", 2))
			buf_printf(path, ".%s", s + 2);
		else
			path_key(path, s + 2, *s == 'v');
		if (member(at))
			fn(arg, path->at);
		each(at, path, fn, arg);
		path->len = before;
		path->at[before] = 0;
	}
}

void
fields_each(const cJSON *f, void (*fn)(void *arg, const char *path), void *arg)
{
	struct buf path;

	buf_init(&path, 0);
	buf_puts(&path, "");
	buf_putc(&path, ' ');
	buf_drop(&path, 1);
	each(f, &path, fn, arg);
	buf_fini(&path);
}
