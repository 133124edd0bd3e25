/* jsonpath: the subset that printer columns use: .a.b, ['a'], [0], [*], [?(@.type=="Ready")]. */
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

typedef void found_fn(void *arg, const cJSON *value);

static void walk(const cJSON *at, const char *path, found_fn *fn, void *arg);

static void
walk_all(const cJSON *at, const char *rest, found_fn *fn, void *arg)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, at) walk(one, rest, fn, arg);
}

/* inner: ?(@.type=="Ready") */
static void
walk_filter(const cJSON *at, char *inner, const char *rest, found_fn *fn, void *arg)
{
	char *path = strchr(inner, '@'), *op = strstr(inner, "=="), *not = strstr(inner, "!=");
	const cJSON *one;

	op = op ? op : not ;
	if (!path || !op)
		return;
	char *value = op + 2;
	while (*value == ' ' || *value == '"' || *value == '\'')
		value++;
	value[strcspn(value, "\"')")] = 0;
	while (op > path && op[-1] == ' ')
		op--;
	*op = 0;
	cJSON_ArrayForEach(one, at)
	{
		const cJSON *v = jsonpath_first(one, path + 1);
		const char *text = cJSON_IsBool(v) ? (cJSON_IsTrue(v) ? "true" : "false")
				   : v             ? json_text(v)
						   : NULL;
		bool same = text && !strcmp(text, value);
		if (same == !not )
			walk(one, rest, fn, arg);
	}
}

static void
walk_bracket(const cJSON *at, const char *path, found_fn *fn, void *arg)
{
	const char *end = path + 1;
	char quote = 0;

	for (; *end && (quote || *end != ']'); end++) {
		if (quote && *end == quote)
			quote = 0;
		else if (!quote && (*end == '"' || *end == '\''))
			quote = *end;
	}
	if (!*end)
		return;
	char *inner = xstrndup(path + 1, (size_t)(end - path - 1));
	if (*inner == '*') {
		walk_all(at, end + 1, fn, arg);
	} else if (*inner == '?') {
		walk_filter(at, inner, end + 1, fn, arg);
	} else if (*inner == '\'' || *inner == '"') {
		inner[strlen(inner) - 1] = 0;
		walk(json_get(at, inner + 1), end + 1, fn, arg);
	} else if (cJSON_IsArray(at)) {
		int i = atoi(inner);
		walk(cJSON_GetArrayItem(at, i < 0 ? cJSON_GetArraySize(at) + i : i), end + 1, fn,
			arg);
	}
	free(inner);
}

static void
walk(const cJSON *at, const char *path, found_fn *fn, void *arg)
{
	if (!at)
		return;
	while (*path == '.')
		path++;
	if (!*path) {
		fn(arg, at);
		return;
	}
	if (*path == '[') {
		walk_bracket(at, path, fn, arg);
		return;
	}
	struct buf key;
	buf_init(&key, 0);
	for (; *path && *path != '.' && *path != '['; path++) {
		if (*path == '\\' && path[1])
			path++;
		buf_putc(&key, *path);
	}
	if (!strcmp(key.at, "*"))
		walk_all(at, path, fn, arg);
	else if (cJSON_IsObject(at))
		walk(json_get(at, key.at), path, fn, arg);
	buf_fini(&key);
}

static void
take_first(void *arg, const cJSON *value)
{
	const cJSON **out = arg;

	if (!*out)
		*out = value;
}

const cJSON *
jsonpath_first(const cJSON *tree, const char *path)
{
	const cJSON *out = NULL;

	walk(tree, path, take_first, &out);
	return out;
}

static void
take_text(void *arg, const cJSON *value)
{
	struct buf *out = arg;
	const char *s = json_text(value);

	if (out->len)
		buf_putc(out, ',');
	if (s)
		buf_puts(out, s);
	else
		json_print(value, out);
}

void
jsonpath_text(const cJSON *tree, const char *path, struct buf *out)
{
	walk(tree, path, take_text, out);
}
