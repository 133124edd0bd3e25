#include "format/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "format/json_node.h"

static int
type_of(const cJSON *node)
{
	return node != NULL ? node->type & 0xff : cJSON_Invalid;
}

cJSON *
json_node(int type)
{
	cJSON *n = xcalloc(1, sizeof(*n));

	n->type = type;
	return n;
}

void
json_link(cJSON *parent, cJSON *child)
{
	cJSON *first = parent->child;

	child->next = NULL;
	if (first == NULL) {
		parent->child = child;
		child->prev = child;
		return;
	}
	child->prev = first->prev;
	first->prev->next = child;
	first->prev = child;
}

void
json_link_before(cJSON *parent, cJSON *next, cJSON *child)
{
	child->next = next;
	child->prev = next->prev;
	if (parent->child == next)
		parent->child = child;
	else
		next->prev->next = child;
	next->prev = child;
}

/* Comparing. */

static int
by_key(const void *a, const void *b)
{
	const cJSON *const *m = a, *const *n = b;

	return strcmp((*m)->string, (*n)->string);
}

const cJSON **
json_sorted(const cJSON *object, size_t *n)
{
	const cJSON **member;
	size_t count = 0;

	for (const cJSON *c = object->child; c != NULL; c = c->next)
		count++;
	member = xmalloc(count * sizeof(*member));
	*n = 0;
	for (const cJSON *c = object->child; c != NULL; c = c->next)
		member[(*n)++] = c;
	/* Members are few and often in order already. */
	if (count > 16) {
		qsort(member, count, sizeof(*member), by_key);
		return member;
	}
	for (size_t i = 1; i < count; i++) {
		const cJSON *moved = member[i];
		size_t at = i;

		for (; at > 0 && strcmp(member[at - 1]->string, moved->string) > 0; at--)
			member[at] = member[at - 1];
		member[at] = moved;
	}
	return member;
}

static bool
equal_members(const cJSON *a, const cJSON *b)
{
	const cJSON *x = a->child, *y = b->child;
	const cJSON **xs, **ys;
	size_t n, m;
	bool same;

	/* Two versions of one object have their members in the same order nearly always. */
	while (x != NULL && y != NULL && strcmp(x->string, y->string) == 0) {
		if (!json_equal(x, y))
			return false;
		x = x->next;
		y = y->next;
	}
	if (x == NULL || y == NULL)
		return x == y;
	xs = json_sorted(a, &n);
	ys = json_sorted(b, &m);
	same = n == m;
	for (size_t i = 0; i < n && same; i++)
		same = strcmp(xs[i]->string, ys[i]->string) == 0 && json_equal(xs[i], ys[i]);
	free(xs);
	free(ys);
	return same;
}

bool
json_equal(const cJSON *a, const cJSON *b)
{
	if (a == b)
		return true;
	if (a == NULL || b == NULL || type_of(a) != type_of(b))
		return false;
	switch (type_of(a)) {
	case cJSON_Object:
		return equal_members(a, b);
	case cJSON_Array: {
		const cJSON *x = a->child, *y = b->child;

		for (; x != NULL && y != NULL; x = x->next, y = y->next)
			if (!json_equal(x, y))
				return false;
		return x == y;
	}
	case cJSON_String:
	case cJSON_Raw:
		return strcmp(a->valuestring, b->valuestring) == 0;
	case cJSON_Number:
		return a->valuedouble == b->valuedouble;
	default: /* true, false and null have nothing more */
		return true;
	}
}

cJSON *
json_clone(const cJSON *tree)
{
	cJSON *copy;

	if (tree == NULL)
		return NULL;
	copy = json_node(tree->type & 0xff);
	copy->valueint = tree->valueint;
	copy->valuedouble = tree->valuedouble;
	if (tree->valuestring != NULL)
		copy->valuestring = xstrdup(tree->valuestring);
	for (const cJSON *c = tree->child; c != NULL; c = c->next) {
		cJSON *made = json_clone(c);

		if (c->string != NULL)
			made->string = xstrdup(c->string);
		json_link(copy, made);
	}
	return copy;
}

/* Reading. */

static cJSON *
member(const cJSON *object, const char *key)
{
	if (type_of(object) != cJSON_Object)
		return NULL;
	for (cJSON *c = object->child; c != NULL; c = c->next)
		if (c->string[0] == key[0] && strcmp(c->string, key) == 0)
			return c;
	return NULL;
}

const cJSON *
json_get(const cJSON *object, const char *key)
{
	return member(object, key);
}

/* Does the escaped piece of a path stand for this text? */
static bool
piece_is(const char *piece, const char *end, const char *text)
{
	for (; piece < end; piece++, text++) {
		if (*piece == '\\' && piece + 1 < end)
			piece++;
		if (*text != *piece)
			return false;
	}
	return *text == '\0';
}

/* Where an escaped piece ends: at one of the stop characters or at the end. */
static const char *
piece_end(const char *p, const char *stop)
{
	for (; *p != '\0' && strchr(stop, *p) == NULL; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return p;
}

static bool
matches(const cJSON *element, const char *key, const char *key_end, const char *want,
	const char *want_end)
{
	for (const cJSON *c = type_of(element) == cJSON_Object ? element->child : NULL; c != NULL;
		c = c->next) {
		char number[32];

		if (!piece_is(key, key_end, c->string))
			continue;
		switch (type_of(c)) {
		case cJSON_String:
		case cJSON_Raw:
			return piece_is(want, want_end, c->valuestring);
		case cJSON_True:
			return piece_is(want, want_end, "true");
		case cJSON_False:
			return piece_is(want, want_end, "false");
		case cJSON_Number:
			if (!isfinite(c->valuedouble))
				return false;
			text_double(c->valuedouble, number);
			return piece_is(want, want_end, number);
		default:
			return false;
		}
	}
	return false;
}

/* "[3]" or "[type=Ready]"; *path is after the bracket and moves past the closing one. */
static const cJSON *
select_element(const cJSON *array, const char **path)
{
	const char *start = *path, *equals = piece_end(start, "=]"), *close;
	const cJSON *c = type_of(array) == cJSON_Array ? array->child : NULL;
	long at = 0;

	close = *equals == '=' ? piece_end(equals + 1, "]") : equals;
	if (*close != ']')
		return NULL;
	*path = close + 1;
	if (*equals == '=') {
		while (c != NULL && !matches(c, start, equals, equals + 1, close))
			c = c->next;
		return c;
	}
	if (start == close || close - start > 9)
		return NULL;
	for (; start < close; start++) {
		if (*start < '0' || *start > '9')
			return NULL;
		at = at * 10 + (*start - '0');
	}
	for (; at > 0 && c != NULL; at--)
		c = c->next;
	return c;
}

const cJSON *
json_path(const cJSON *tree, const char *path)
{
	const char *p = path;

	while (tree != NULL && *p != '\0') {
		const char *end;
		const cJSON *c;

		if (*p == '[') {
			p++;
			tree = select_element(tree, &p);
			continue;
		}
		if (*p == '.' && p > path)
			p++;
		end = piece_end(p, ".[");
		c = type_of(tree) == cJSON_Object ? tree->child : NULL;
		while (c != NULL && !piece_is(p, end, c->string))
			c = c->next;
		tree = c;
		p = end;
	}
	return tree;
}

const char *
json_text(const cJSON *node)
{
	int type = type_of(node);

	return type == cJSON_String || type == cJSON_Raw ? node->valuestring : NULL;
}

const char *
json_str(const cJSON *tree, const char *path, const char *fallback)
{
	const char *text = json_text(json_path(tree, path));

	return text != NULL ? text : fallback;
}

int64_t
json_int(const cJSON *tree, const char *path, int64_t fallback)
{
	const cJSON *node = json_path(tree, path);
	char *end;
	long long v;

	if (type_of(node) == cJSON_Number) {
		double d = node->valuedouble;

		return d == floor(d) && fabs(d) < 0x1p63 ? (int64_t)d : fallback;
	}
	if (type_of(node) != cJSON_Raw)
		return fallback;
	errno = 0;
	v = strtoll(node->valuestring, &end, 10);
	return errno == 0 && *end == '\0' && end != node->valuestring ? v : fallback;
}

bool
json_bool(const cJSON *tree, const char *path, bool fallback)
{
	int type = type_of(json_path(tree, path));

	return type == cJSON_True || (type != cJSON_False && fallback);
}

/* Building. */

cJSON *
json_lent(const char *text)
{
	cJSON *n = json_node(cJSON_Raw | cJSON_IsReference);

	n->valuestring = (char *)text;
	return n;
}

bool
json_is_lent(const cJSON *node)
{
	return type_of(node) == cJSON_Raw &&
	       (node->valuestring[0] == '{' || node->valuestring[0] == '[');
}

cJSON *
json_object(void)
{
	return json_node(cJSON_Object);
}

cJSON *
json_array(void)
{
	return json_node(cJSON_Array);
}

/* The key of a node that is in no tree. */
static void
name(cJSON *node, const char *key)
{
	char *copy = key != NULL ? xstrdup(key) : NULL;

	if ((node->type & cJSON_StringIsConst) == 0)
		free(node->string);
	node->type &= ~cJSON_StringIsConst;
	node->string = copy;
}

cJSON *
json_put(cJSON *object, const char *key, cJSON *own_value)
{
	cJSON *old;

	must(type_of(object) == cJSON_Object);
	if (own_value == NULL)
		return NULL;
	old = member(object, key);
	if (old == own_value)
		return old;
	name(own_value, key);
	if (old != NULL)
		must(cJSON_ReplaceItemViaPointer(object, old, own_value));
	else
		json_link(object, own_value);
	return own_value;
}

cJSON *
json_put_str(cJSON *object, const char *key, const char *value)
{
	cJSON *made;

	if (value == NULL)
		return NULL;
	made = json_node(cJSON_String);
	made->valuestring = xstrdup(value);
	return json_put(object, key, made);
}

cJSON *
json_put_int(cJSON *object, const char *key, int64_t value)
{
	const int64_t exact = INT64_C(999999999999999);
	char text[24];
	cJSON *made;

	if (value > exact || value < -exact) {
		made = json_node(cJSON_Raw);
		text_int(value, text);
		made->valuestring = xstrdup(text);
		return json_put(object, key, made);
	}
	made = cJSON_CreateNumber((double)value);
	must(made != NULL);
	return json_put(object, key, made);
}

cJSON *
json_put_bool(cJSON *object, const char *key, bool value)
{
	cJSON *made = json_node(value ? cJSON_True : cJSON_False);

	made->valueint = value;
	return json_put(object, key, made);
}

cJSON *
json_add(cJSON *array, cJSON *own_value)
{
	must(type_of(array) == cJSON_Array);
	if (own_value == NULL)
		return NULL;
	name(own_value, NULL);
	json_link(array, own_value);
	return own_value;
}

bool
json_drop(cJSON *object, const char *key)
{
	cJSON *old = member(object, key);

	if (old == NULL)
		return false;
	json_free(cJSON_DetachItemViaPointer(object, old));
	return true;
}
