#include "vm/vmjson.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "vm/vmcage.h"
#include "vm/vmtext.h"

#define MARK "vm.list"    /* the metatable of lists */
#define NODES_MAX 1000000 /* shared tables are copied: sixty levels of {t, t} are 2^60 nodes */
#define BYTES_MAX JSON_SIZE_MAX
#define PATH_MAX_TEXT 300

void
vmjson_mark(lua_State *L)
{
	if (luaL_newmetatable(L, MARK)) {
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
	}
}

static void
push(lua_State *L, const cJSON *node, int mark)
{
	switch (node->type & 0xff) {
	case cJSON_True:
	case cJSON_False:
		lua_pushboolean(L, (node->type & 0xff) == cJSON_True);
		return;
	case cJSON_Number:
		lua_pushnumber(L, node->valuedouble);
		return;
	case cJSON_Raw:
		if (json_is_lent(node)) {
			vmtext_push(L, node->valuestring, mark);
			return;
		}
		/* fall through */
	case cJSON_String:
		lua_pushstring(L, node->valuestring);
		return;
	case cJSON_Array:
	case cJSON_Object:
		break;
	default:
		lua_pushnil(L);
		return;
	}
	bool list = (node->type & 0xff) == cJSON_Array;
	int n = 0;
	for (const cJSON *c = node->child; c != NULL; c = c->next)
		n++;
	luaL_checkstack(L, 4, "a value is too deep");
	lua_createtable(L, list ? n : 0, list ? 0 : n);
	n = 0;
	for (const cJSON *c = node->child; c != NULL; c = c->next) {
		if ((c->type & 0xff) == cJSON_NULL)
			continue;
		if (list) {
			push(L, c, mark);
			lua_rawseti(L, -2, ++n);
		} else {
			lua_pushstring(L, c->string);
			push(L, c, mark);
			lua_rawset(L, -3);
		}
	}
	if (list) {
		lua_pushvalue(L, mark);
		lua_setmetatable(L, -2);
	}
}

void
vmjson_push(lua_State *L, const cJSON *tree)
{
	vmjson_mark(L);
	push(L, tree, lua_gettop(L));
	lua_remove(L, -2);
}

/* One level of the way from the outermost value to the one being read. */
struct level {
	const void *table;
	const char *key; /* NULL in a list */
	int index;       /* 0 until an element is read */
};

struct take {
	lua_State *L;
	struct err *e;
	int mark;
	int depth;
	size_t nodes, bytes;
	struct level level[JSON_DEPTH_MAX + 1];
};

struct member {
	const char *key; /* lent by the table */
	size_t len;
	cJSON *value;
};

static cJSON *take(struct take *t, int idx);

static cJSON *
refuse(struct take *t, enum err_code code, const char *why)
{
	struct buf path;

	buf_init(&path, PATH_MAX_TEXT);
	for (int i = 0; i < t->depth; i++) {
		const struct level *l = &t->level[i];
		if (l->key != NULL)
			buf_printf(&path, "%s%.60s", path.len ? "." : "", l->key);
		else if (l->index > 0)
			buf_printf(&path, "[%d]", l->index);
	}
	err_set(t->e, code, "%s%s%s", path.len ? path.at : "", path.len ? ": " : "", why);
	buf_fini(&path);
	return NULL;
}

static bool
is_text(const char *s, size_t n)
{
	for (size_t i = 0, len; i < n; i += len) {
		len = (unsigned char)s[i] < 0x80 ? s[i] != '\0' : text_utf8(s + i, n - i);
		if (len == 0)
			return false;
	}
	return true;
}

static bool
count(struct take *t, size_t bytes)
{
	t->bytes += bytes;
	return ++t->nodes <= NODES_MAX && t->bytes <= BYTES_MAX;
}

static cJSON *
take_text(struct take *t, int idx)
{
	size_t n;
	const char *s = lua_tolstring(t->L, idx, &n);

	if (!is_text(s, n))
		return refuse(t, ERR_INVALID, "a text that is not UTF-8, or has a NUL byte");
	if (!count(t, n))
		return refuse(t, ERR_TOO_LARGE, "the value is too large");
	return cJSON_CreateString(s);
}

static int
member_compare(const void *va, const void *vb)
{
	const struct member *a = va, *b = vb;

	int c = memcmp(a->key, b->key, a->len < b->len ? a->len : b->len);
	return c != 0 ? c : (a->len < b->len ? -1 : a->len > b->len);
}

/* Members in the order of their keys, for LuaJIT's own order differs from run to run. */
static cJSON *
take_object(struct take *t, int idx)
{
	lua_State *L = t->L;
	struct level *l = &t->level[t->depth - 1];
	struct member first[16], *all = first;
	size_t n = 0, cap = sizeof first / sizeof *first;
	int top = lua_gettop(L);
	bool good = true;

	for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING) {
			l->key = NULL;
			refuse(t, ERR_INVALID,
				lua_type(L, -2) == LUA_TNUMBER
					? "numbers and names are mixed as keys, or a list has a "
					  "hole"
					: "a key is neither a text nor a number");
			good = false;
			break;
		}
		if (n == cap) {
			cap *= 2;
			struct member *more =
				xrealloc(all == first ? NULL : all, cap * sizeof *all);
			if (all == first)
				memcpy(more, first, sizeof first);
			all = more;
		}
		struct member *m = &all[n];
		m->key = l->key = lua_tolstring(L, -2, &m->len);
		if (!is_text(m->key, m->len)) {
			l->key = "?";
			refuse(t, ERR_INVALID, "a key that is not UTF-8, or has a NUL byte");
			good = false;
			break;
		}
		t->bytes += m->len;
		m->value = take(t, lua_gettop(L));
		if (m->value == NULL) {
			good = false;
			break;
		}
		n++;
	}
	cJSON *object = NULL;
	if (good) {
		object = cJSON_CreateObject();
		qsort(all, n, sizeof *all, member_compare);
		for (size_t i = 0; i < n; i++)
			cJSON_AddItemToObject(object, all[i].key, all[i].value);
	} else {
		lua_settop(L, top);
		for (size_t i = 0; i < n; i++)
			json_free(all[i].value);
	}
	if (all != first)
		free(all);
	return object;
}

static cJSON *
take_list(struct take *t, int idx, size_t n)
{
	struct level *l = &t->level[t->depth - 1];
	cJSON *list = cJSON_CreateArray();

	l->key = NULL;
	for (size_t i = 1; i <= n; i++) {
		l->index = (int)i;
		lua_rawgeti(t->L, idx, (int)i);
		cJSON *item = take(t, lua_gettop(t->L));
		lua_pop(t->L, 1);
		if (item == NULL) {
			json_free(list);
			return NULL;
		}
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

/* The number of elements when the keys are 1..n, else -1. */
static ptrdiff_t
list_length(lua_State *L, int idx)
{
	size_t whole = lua_objlen(L, idx), n = 0;

	for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
		double d = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
		if (!(d >= 1 && d <= (double)whole) || d != floor(d)) {
			lua_pop(L, 2);
			return -1;
		}
		n++;
	}
	return n == whole ? (ptrdiff_t)n : -1;
}

static cJSON *
take_table(struct take *t, int idx)
{
	const void *self = lua_topointer(t->L, idx);
	bool marked = false;

	for (int i = 0; i < t->depth; i++)
		if (t->level[i].table == self)
			return refuse(t, ERR_INVALID, "a table that contains itself");
	if (t->depth == JSON_DEPTH_MAX)
		return refuse(t, ERR_TOO_LARGE, "more than 100 levels");
	if (!count(t, 0))
		return refuse(t, ERR_TOO_LARGE, "the value is too large");
	if (lua_getmetatable(t->L, idx)) {
		marked = lua_rawequal(t->L, -1, t->mark);
		lua_pop(t->L, 1);
	}
	ptrdiff_t n = list_length(t->L, idx);
	if (marked && n < 0)
		return refuse(t, ERR_INVALID, "a list with a hole, or with a key that is no place");
	t->level[t->depth++] = (struct level){ .table = self };
	cJSON *tree = marked || n > 0 ? take_list(t, idx, (size_t)n) : take_object(t, idx);
	t->depth--;
	return tree;
}

static cJSON *
take(struct take *t, int idx)
{
	lua_State *L = t->L;
	char why[64];
	double d;

	switch (lua_type(L, idx)) {
	case LUA_TBOOLEAN:
		if (!count(t, 0))
			return refuse(t, ERR_TOO_LARGE, "the value is too large");
		return cJSON_CreateBool(lua_toboolean(L, idx));
	case LUA_TNUMBER:
		d = lua_tonumber(L, idx);
		if (!isfinite(d))
			return refuse(t, ERR_INVALID, isnan(d) ? "not a number (0/0)" : "infinite");
		if (!count(t, 0))
			return refuse(t, ERR_TOO_LARGE, "the value is too large");
		return cJSON_CreateNumber(d == 0 ? 0 : d); /* no -0 */
	case LUA_TSTRING:
		return take_text(t, idx);
	case LUA_TTABLE:
		return take_table(t, idx);
	}
	snprintf(why, sizeof why, "a %s can not be a value", luaL_typename(L, idx));
	return refuse(t, ERR_INVALID, why);
}

cJSON *
vmjson_take(lua_State *L, int idx, struct err *e)
{
	struct take t = { .L = L, .e = e };

	if (idx < 0 && idx > LUA_REGISTRYINDEX)
		idx = lua_gettop(L) + idx + 1;
	/* All that can raise happens before the first node is made: then nothing can leak. */
	luaL_checkstack(L, 3 * JSON_DEPTH_MAX + LUA_MINSTACK, "a value is too deep");
	vmjson_mark(L);
	t.mark = lua_gettop(L);
	cJSON *tree = take(&t, idx);
	lua_settop(L, t.mark - 1);
	if (!vm_spend(L, (int64_t)(t.nodes + t.bytes / 64))) {
		json_free(tree);
		luaL_error(L, "too many instructions");
	}
	return tree;
}
