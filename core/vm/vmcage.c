#include "vm/vmcage.h"

#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/buf.h"
#include "vm/vm.h"
#include "vm/vmjson.h"
#include "vm/vmlib.h"

/* What scripts keep of LuaJIT's own functions. Everything else is gone. */
static const char *const KEEP_BASE[] = { "assert", "error", "getmetatable", "ipairs", "pcall",
	"select", "setmetatable", "tonumber", "tostring", "type", "unpack", "xpcall", NULL };
static const char *const KEEP_STRING[] = { "byte", "char", "format", "len", "lower", "rep",
	"reverse", "sub", "upper", NULL };
static const char *const KEEP_TABLE[] = { "concat", "insert", "move", "remove", "sort", NULL };
static const char *const KEEP_MATH[] = { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos",
	"cosh", "deg", "exp", "floor", "fmod", "frexp", "huge", "ldexp", "log", "log10", "max",
	"min", "modf", "pi", "pow", "rad", "sin", "sinh", "sqrt", "tan", "tanh", NULL };

static const char *const SEALED[] = { "string", "table", "math", "bit", "json", "hash", "time",
	"quantity", "text", "semver", "log", NULL };

/* Call the function that was wrapped (upvalue 1) with the same arguments. */
static int
original(lua_State *L)
{
	int n = lua_gettop(L);

	vm_deeper(L);
	luaL_checkstack(L, 2, "call");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, n, LUA_MULTRET);
	return lua_gettop(L);
}

/* tostring of a table would show an address, which differs from run to run. */
static void
must_have_text(lua_State *L, int idx)
{
	switch (lua_type(L, idx)) {
	case LUA_TNIL:
	case LUA_TBOOLEAN:
	case LUA_TNUMBER:
	case LUA_TSTRING:
	case LUA_TNONE:
		return;
	}
	if (luaL_getmetafield(L, idx, "__tostring")) {
		lua_pop(L, 1);
		return;
	}
	luaL_error(L, "a %s has no text: json.encode shows tables", luaL_typename(L, idx));
}

static int
cage_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	must_have_text(L, 1);
	return original(L);
}

static int
cage_format(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	int top = lua_gettop(L);

	vm_charge(L, (int64_t)n / 4 + top);
	for (const char *p = s; (p = memchr(p, '%', n - (size_t)(p - s))) != NULL; p++) {
		p += 1 + strspn(p + 1, "-+ #0123456789.");
		if (*p == 'p')
			return luaL_error(L, "%%p shows an address: it differs from run to run");
	}
	for (int i = 2; i <= top; i++)
		must_have_text(L, i);
	return original(L);
}

static int
cage_rep(lua_State *L)
{
	size_t len, sep = 0;

	luaL_checklstring(L, 1, &len);
	double times = luaL_checknumber(L, 2);
	if (!lua_isnoneornil(L, 3))
		luaL_checklstring(L, 3, &sep);
	/* Even an empty text is put together as often as was asked. */
	if (!(times <= VM_REP_MAX && times * (double)(len + sep) <= VM_REP_MAX))
		return luaL_error(L, "string.rep would make more than %d bytes", VM_REP_MAX);
	vm_charge(L, times > 0 ? (int64_t)times : 0);
	return original(L);
}

/* upper, lower, reverse: read all of the text in C. */
static int
cage_linear(lua_State *L)
{
	size_t n;

	luaL_checklstring(L, 1, &n);
	vm_charge(L, (int64_t)n / 4);
	return original(L);
}

static int
cage_sort(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	int64_t n = (int64_t)lua_objlen(L, 1), log = 1;
	for (int64_t i = n; i > 1; i /= 2)
		log++;
	vm_charge(L, n * log * 2);
	return original(L);
}

/* concat, and insert in the middle: touch every element. */
static int
cage_whole_table(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	vm_charge(L, (int64_t)lua_objlen(L, 1));
	return original(L);
}

/* Weak tables lose entries when the collector runs, and nobody can say when. */
static int
cage_setmetatable(lua_State *L)
{
	if (lua_istable(L, 2)) {
		lua_pushliteral(L, "__mode");
		lua_rawget(L, 2);
		if (!lua_isnil(L, -1))
			return luaL_error(L, "weak tables are not available");
		lua_pop(L, 1);
	}
	return original(L);
}

static int
cage_print(lua_State *L)
{
	struct vm *v = vm_of(L);
	struct err e;
	int n = lua_gettop(L);

	if (v == NULL)
		return 0;
	struct buf *text = vm_text(v);
	for (int i = 1; i <= n; i++) {
		size_t len;
		const char *s = lua_type(L, i) == LUA_TSTRING ? lua_tolstring(L, i, &len) : NULL;
		if (i > 1)
			buf_putc(text, '\t');
		if (s != NULL) {
			buf_put(text, s, len);
		} else if (lua_isnil(L, i)) {
			buf_puts(text, "nil");
		} else {
			cJSON *tree = vmjson_take(L, i, &e);
			if (tree == NULL || json_print(tree, text) != 0)
				buf_puts(text, luaL_typename(L, i));
			json_free(tree);
		}
	}
	vm_charge(L, (int64_t)text->len);
	vm_note(v, LOG_INFO, text->at ? text->at : "");
	return 0;
}

static int
cage_require(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	lua_settop(L, 1);
	lua_getfield(L, LUA_REGISTRYINDEX, "vm.loaded");
	lua_pushvalue(L, 1);
	lua_rawget(L, 2);
	if (!lua_isnil(L, 3))
		return 1;
	lua_settop(L, 2);
	lua_getfield(L, LUA_REGISTRYINDEX, "vm.loading");
	lua_pushvalue(L, 1);
	lua_rawget(L, 3);
	if (!lua_isnil(L, 4))
		return luaL_error(L, "module '%s' requires itself", name);
	lua_pushvalue(L, 1);
	lua_pushboolean(L, 1);
	lua_rawset(L, 3);
	lua_getfield(L, LUA_REGISTRYINDEX, "vm.chunks");
	lua_pushvalue(L, 1);
	lua_rawget(L, -2);
	if (!lua_isfunction(L, -1))
		return luaL_error(L, "no module '%s'", name);
	vm_deeper(L);
	lua_call(L, 0, 1);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	lua_pushvalue(L, 1);
	lua_pushvalue(L, -2);
	lua_rawset(L, 2);
	/* A module that failed and was caught by pcall may be tried again; this one is done. */
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	lua_rawset(L, 3);
	return 1;
}

static int locked(lua_State *L);

/* The table library writes past metatables. */
static void
must_be_open(lua_State *L, int idx)
{
	if (lua_getmetatable(L, idx)) {
		lua_getfield(L, -1, "__newindex");
		if (lua_tocfunction(L, -1) == locked)
			luaL_error(L, "globals and libraries are locked");
		lua_pop(L, 2);
	}
}

static int
cage_insert(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	must_be_open(L, 1);
	if (lua_gettop(L) == 2) {
		lua_rawseti(L, 1, (int)lua_objlen(L, 1) + 1);
		return 0;
	}
	return cage_whole_table(L);
}

static int
cage_move(lua_State *L)
{
	int to = lua_isnoneornil(L, 5) ? 1 : 5;

	luaL_checktype(L, to, LUA_TTABLE);
	must_be_open(L, to);
	return original(L);
}

static int
locked(lua_State *L)
{
	if (lua_type(L, 2) == LUA_TSTRING)
		return luaL_error(L, "globals and libraries are locked: '%s' must be a local",
			lua_tostring(L, 2));
	return luaL_error(L, "globals and libraries are locked");
}

static int
unknown(lua_State *L)
{
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";

	if (strcmp(name, "ask") == 0)
		return 0; /* exists only where somebody answers */
	return luaL_error(L, "no global '%s'", name);
}

/* Replace the table on the top by an empty one that reads through to it and takes nothing. */
static void
seal(lua_State *L)
{
	lua_newtable(L);
	lua_createtable(L, 0, 3);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, locked);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_remove(L, -2);
}

/* A new table with the named fields of the one on the top, which it replaces. */
static void
keep(lua_State *L, const char *const *names)
{
	lua_newtable(L);
	for (; *names != NULL; names++) {
		lua_getfield(L, -2, *names);
		lua_setfield(L, -2, *names);
	}
	lua_remove(L, -2);
}

/* In the table on the top: the function stays reachable for its wrapper only. */
static void
wrap(lua_State *L, const char *name, lua_CFunction fn)
{
	lua_getfield(L, -1, name);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return;
	}
	lua_pushcclosure(L, fn, 1);
	lua_setfield(L, -2, name);
}

static void
open(lua_State *L, lua_CFunction library, const char *name)
{
	lua_pushcfunction(L, library);
	lua_pushstring(L, name);
	lua_call(L, 1, 0);
}

static void
open_string(lua_State *L)
{
	lua_getglobal(L, "string");
	keep(L, KEEP_STRING);
	wrap(L, "format", cage_format);
	wrap(L, "rep", cage_rep);
	wrap(L, "upper", cage_linear);
	wrap(L, "lower", cage_linear);
	wrap(L, "reverse", cage_linear);
	vmpattern_open(L);
	lua_pushliteral(L, "");
	lua_createtable(L, 0, 2);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}

static void
open_table(lua_State *L)
{
	lua_getglobal(L, "table");
	keep(L, KEEP_TABLE);
	wrap(L, "sort", cage_sort);
	wrap(L, "concat", cage_whole_table);
	wrap(L, "insert", cage_insert);
	wrap(L, "move", cage_move);
}

void
vmcage_open(lua_State *L, struct vm *v)
{
	open(L, luaopen_base, "");
	open(L, luaopen_string, LUA_STRLIBNAME);
	open(L, luaopen_table, LUA_TABLIBNAME);
	open(L, luaopen_math, LUA_MATHLIBNAME);
	open(L, luaopen_bit, LUA_BITLIBNAME);

	lua_pushvalue(L, LUA_GLOBALSINDEX);
	keep(L, KEEP_BASE);
	wrap(L, "tostring", cage_tostring);
	wrap(L, "setmetatable", cage_setmetatable);
	lua_getfield(L, -1, "xpcall");
	lua_setfield(L, LUA_REGISTRYINDEX, "vm.xpcall");
	open_string(L);
	lua_setfield(L, -2, "string");
	open_table(L);
	lua_setfield(L, -2, "table");
	lua_getglobal(L, "math");
	keep(L, KEEP_MATH);
	lua_setfield(L, -2, "math");
	lua_getglobal(L, "bit");
	lua_setfield(L, -2, "bit");

	lua_pushvalue(L, -1);
	lua_replace(L, LUA_GLOBALSINDEX);
	lua_pushcfunction(L, cage_print);
	lua_setglobal(L, "print");
	lua_pushcfunction(L, cage_require);
	lua_setglobal(L, "require");
	vmorder_open(L);
	vmlib_open(L, v);
	for (const char *const *name = SEALED; *name != NULL; name++) {
		lua_getglobal(L, *name);
		if (lua_istable(L, -1)) {
			seal(L);
			lua_setglobal(L, *name);
		} else {
			lua_pop(L, 1);
		}
	}
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, unknown);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, "vm.globals");
	seal(L);
	lua_replace(L, LUA_GLOBALSINDEX);
	lua_gc(L, LUA_GCCOLLECT, 0);
}

void
vmcage_ask(lua_State *L, lua_CFunction fn)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "vm.globals");
	lua_pushliteral(L, "ask");
	if (fn != NULL)
		lua_pushcfunction(L, fn);
	else
		lua_pushnil(L);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}
