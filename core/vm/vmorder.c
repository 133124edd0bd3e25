/*
 * pairs and next in a fixed order: numbers ascending, then strings by their bytes, then false and
 * true. LuaJIT's own order depends on addresses, and the same world must give the same plan.
 * Other keys have no order, so walking them is an error; looking them up is fine.
 */
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "vm/vmcage.h"

struct key {
	int type;
	double number; /* or the boolean */
	const char *text;
	size_t len;
};

static int
compare(const void *va, const void *vb)
{
	const struct key *a = va, *b = vb;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->text == NULL)
		return a->number < b->number ? -1 : a->number > b->number;
	int c = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
	return c != 0 ? c : (a->len < b->len ? -1 : a->len > b->len);
}

static void
key_read(lua_State *L, int idx, struct key *k)
{
	k->text = NULL;
	k->number = 0;
	switch (lua_type(L, idx)) {
	case LUA_TNUMBER:
		k->type = 0;
		k->number = lua_tonumber(L, idx);
		return;
	case LUA_TSTRING:
		k->type = 1;
		k->text = lua_tolstring(L, idx, &k->len);
		return;
	case LUA_TBOOLEAN:
		k->type = 2;
		k->number = lua_toboolean(L, idx);
		return;
	}
	luaL_error(L, "a table with a key of type %s has no order", luaL_typename(L, idx));
}

static void
key_push(lua_State *L, const struct key *k)
{
	if (k->type == 0)
		lua_pushnumber(L, k->number);
	else if (k->type == 1)
		lua_pushlstring(L, k->text, k->len);
	else
		lua_pushboolean(L, k->number != 0);
}

/* Upvalues: the table, its keys in order (the length for a plain list), the place, the count. */
static int
step(lua_State *L)
{
	int i = (int)lua_tointeger(L, lua_upvalueindex(3));
	int n = (int)lua_tointeger(L, lua_upvalueindex(4));
	bool list = lua_type(L, lua_upvalueindex(2)) == LUA_TNUMBER;

	for (;;) {
		if (++i > n) {
			lua_pushnil(L);
			return 1;
		}
		if (list)
			lua_pushinteger(L, i);
		else
			lua_rawgeti(L, lua_upvalueindex(2), i);
		lua_pushvalue(L, -1);
		lua_rawget(L, lua_upvalueindex(1));
		if (!lua_isnil(L, -1))
			break;
		lua_pop(L, 2); /* removed since pairs() was called */
	}
	lua_pushinteger(L, i);
	lua_replace(L, lua_upvalueindex(3));
	return 2;
}

/* True when the keys are 1..n and nothing else. */
static bool
is_list(lua_State *L, size_t *count)
{
	size_t n = 0, whole = lua_objlen(L, 1);
	bool list = true;

	for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
		n++;
		if (lua_type(L, -2) != LUA_TNUMBER)
			list = false;
		else {
			double d = lua_tonumber(L, -2);
			if (!(d >= 1 && d <= (double)whole) || d != (double)(size_t)d)
				list = false;
		}
	}
	*count = n;
	return list && n == whole;
}

static int
ordered_pairs(lua_State *L)
{
	size_t n, i = 0;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	bool list = is_list(L, &n);
	vm_charge(L, (int64_t)n);
	lua_pushvalue(L, 1);
	if (list) {
		lua_pushinteger(L, (lua_Integer)n);
	} else {
		vm_charge(L, (int64_t)n * 4);
		struct key *keys = lua_newuserdata(L, (n + 1) * sizeof *keys);
		for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
			key_read(L, -2, &keys[i++]);
		qsort(keys, n, sizeof *keys, compare);
		lua_createtable(L, (int)n, 0);
		for (i = 0; i < n; i++) {
			key_push(L, &keys[i]);
			lua_rawseti(L, -2, (int)i + 1);
		}
		lua_remove(L, -2);
	}
	lua_pushinteger(L, 0);
	lua_pushinteger(L, (lua_Integer)n);
	lua_pushcclosure(L, step, 4);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

/* The smallest key above the one given. A whole walk this way is quadratic: pairs is the way. */
static int
ordered_next(lua_State *L)
{
	struct key after, best, k;
	bool first, found = false;
	int64_t n = 0;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	first = lua_isnil(L, 2);
	if (!first)
		key_read(L, 2, &after);
	for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
		n++;
		key_read(L, -2, &k);
		if (!first && compare(&k, &after) <= 0)
			continue;
		if (!found || compare(&k, &best) < 0)
			best = k;
		found = true;
	}
	vm_charge(L, n);
	if (!found) {
		lua_pushnil(L);
		return 1;
	}
	key_push(L, &best);
	lua_pushvalue(L, -1);
	lua_rawget(L, 1);
	return 2;
}

void
vmorder_open(lua_State *L)
{
	lua_pushcfunction(L, ordered_pairs);
	lua_setglobal(L, "pairs");
	lua_pushcfunction(L, ordered_next);
	lua_setglobal(L, "next");
}
