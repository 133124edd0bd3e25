#include "vm/vmlib.h"

#include <math.h>
#include <string.h>

#include <lauxlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "format/json.h"
#include "vm/vm.h"
#include "vm/vmcage.h"
#include "vm/vmjson.h"

#define DECODE_MAX (1 << 20)
#define SECONDS_MAX 253402300799.0 /* the end of the year 9999 */

static int
json_lib_encode(lua_State *L)
{
	struct vm *v = vm_of(L);
	struct err e;

	luaL_checkany(L, 1);
	cJSON *tree = vmjson_take(L, 1, &e);
	if (tree == NULL)
		return luaL_error(L, "json.encode: %s", e.msg);
	struct buf *text = vm_text(v);
	int rc = lua_toboolean(L, 2) ? json_print_canonical(tree, text) : json_print(tree, text);
	json_free(tree);
	if (rc != 0)
		return luaL_error(L, "json.encode: the text is too large");
	vm_charge(L, (int64_t)text->len / 4);
	lua_pushlstring(L, text->at, text->len);
	return 1;
}

static int
json_lib_decode(lua_State *L)
{
	struct vm *v = vm_of(L);
	struct err e;
	size_t n;

	const char *text = luaL_checklstring(L, 1, &n);
	vm_charge(L, (int64_t)n / 2);
	if (n > DECODE_MAX) {
		lua_pushnil(L);
		lua_pushfstring(L, "more than %d bytes", DECODE_MAX);
		return 2;
	}
	cJSON *tree = json_parse(text, n, &e);
	vm_hold(v, tree);
	if (tree == NULL) {
		lua_pushnil(L);
		lua_pushstring(L, e.msg);
		return 2;
	}
	vmjson_push(L, tree);
	vm_hold(v, NULL);
	return 1;
}

static int
json_lib_array(lua_State *L)
{
	lua_settop(L, 1);
	if (lua_isnil(L, 1)) {
		lua_newtable(L);
		lua_replace(L, 1);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	vmjson_mark(L);
	if (lua_getmetatable(L, 1)) {
		if (lua_rawequal(L, -1, -2)) {
			lua_settop(L, 1);
			return 1;
		}
		return luaL_error(L, "json.array: the table has a metatable already");
	}
	lua_setmetatable(L, 1);
	return 1;
}

static int
hash_lib_sha256(lua_State *L)
{
	char hex[65];
	size_t n;

	const char *text = luaL_checklstring(L, 1, &n);
	vm_charge(L, (int64_t)n);
	hash_sha256_hex(text, n, hex);
	lua_pushstring(L, hex);
	return 1;
}

static int
hash_lib_safe(lua_State *L)
{
	char name[11];
	size_t n;

	const char *text = luaL_checklstring(L, 1, &n);
	vm_charge(L, (int64_t)n);
	hash_safe_name(text, n, name);
	lua_pushstring(L, name);
	return 1;
}

static int
time_lib_parse(lua_State *L)
{
	int64_t ms;
	size_t n;

	const char *text = luaL_checklstring(L, 1, &n);
	if (n > 64 || strlen(text) != n || clock_parse(text, &ms) != 0)
		lua_pushnil(L);
	else
		lua_pushnumber(L, (double)ms / 1000);
	return 1;
}

static double
seconds_arg(lua_State *L)
{
	double s = luaL_checknumber(L, 1);

	if (!(s >= -SECONDS_MAX && s <= SECONDS_MAX))
		luaL_error(L, "not a time: %f", s);
	return s;
}

static int
time_lib_format(lua_State *L)
{
	char text[40];

	clock_format((int64_t)floor(seconds_arg(L)) * 1000, 0, text, sizeof text);
	lua_pushstring(L, text);
	return 1;
}

static int
time_lib_age(lua_State *L)
{
	char text[40];

	clock_age((int64_t)(seconds_arg(L) * 1000), text, sizeof text);
	lua_pushstring(L, text);
	return 1;
}

static const struct {
	const char *name;
	double seconds;
} UNITS[] = {
	{ "ms", 1e-3 },
	{ "us", 1e-6 },
	{ "\xc2\xb5s", 1e-6 }, /* micro sign */
	{ "\xce\xbcs", 1e-6 }, /* Greek mu */
	{ "ns", 1e-9 },
	{ "h", 3600 },
	{ "m", 60 },
	{ "s", 1 },
};

/* "2.5h": moves *s past it, -1 when it is none. */
static int
duration_part(const char **s, double *sum)
{
	double value = 0, scale = 1;
	int digits = 0;
	const char *p = *s;

	for (; *p >= '0' && *p <= '9'; p++, digits++)
		value = value * 10 + (*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
			value = value * 10 + (*p - '0');
			scale *= 10;
		}
	if (digits == 0 || digits > 15)
		return -1;
	for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++) {
		size_t n = strlen(UNITS[i].name);
		if (strncmp(p, UNITS[i].name, n) != 0)
			continue;
		/* Small units are divided, not multiplied: 100ms is the nearest double to 0.1. */
		*sum += UNITS[i].seconds < 1 ? value / scale / round(1 / UNITS[i].seconds)
					     : value * UNITS[i].seconds / scale;
		*s = p + n;
		return 0;
	}
	return -1;
}

/* As Go writes durations: "1h5m", "1.5s", "300ms", "-2m", "0". */
static int
time_lib_duration(lua_State *L)
{
	size_t n;
	double sum = 0;

	const char *text = luaL_checklstring(L, 1, &n), *s = text;
	bool minus = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	bool good = n > 0 && n <= 64 && strlen(text) == n && *s != '\0';
	if (good && strcmp(s, "0") == 0)
		s++;
	while (good && *s != '\0')
		good = duration_part(&s, &sum) == 0;
	if (good)
		lua_pushnumber(L, minus ? -sum : sum);
	else
		lua_pushnil(L);
	return 1;
}

static int
text_lib_split(lua_State *L)
{
	size_t n, sep_n;
	int i = 0;

	const char *s = luaL_checklstring(L, 1, &n);
	const char *sep = luaL_checklstring(L, 2, &sep_n);
	if (sep_n == 0)
		return luaL_error(L, "text.split: the separator is empty");
	vm_charge(L, (int64_t)n / 4);
	lua_newtable(L);
	for (const char *end = s + n;;) {
		const char *at = memmem(s, (size_t)(end - s), sep, sep_n);
		lua_pushlstring(L, s, (size_t)((at != NULL ? at : end) - s));
		lua_rawseti(L, 3, ++i);
		vm_charge(L, 2);
		if (at == NULL)
			break;
		s = at + sep_n;
	}
	lua_settop(L, 3);
	vmjson_mark(L);
	lua_setmetatable(L, 3);
	return 1;
}

/* `*` any run, `?` one byte. Only the last star can have to grow, so there is no backtracking
 * further than that. */
static int
text_lib_glob(lua_State *L)
{
	size_t pn, n, p = 0, i = 0, star = SIZE_MAX, from = 0;
	int64_t steps = 0;

	const char *pattern = luaL_checklstring(L, 1, &pn);
	const char *s = luaL_checklstring(L, 2, &n);
	while (i < n) {
		if (++steps % 1024 == 0)
			vm_charge(L, 1024);
		if (p < pn && pattern[p] == '*') {
			star = p++;
			from = i;
		} else if (p < pn && (pattern[p] == '?' || pattern[p] == s[i])) {
			p++;
			i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++from;
		} else {
			break;
		}
	}
	while (p < pn && pattern[p] == '*')
		p++;
	lua_pushboolean(L, i == n && p == pn);
	return 1;
}

static int
text_lib_starts(lua_State *L)
{
	size_t n, pn;

	const char *s = luaL_checklstring(L, 1, &n);
	const char *p = luaL_checklstring(L, 2, &pn);
	lua_pushboolean(L, n >= pn && memcmp(s, p, pn) == 0);
	return 1;
}

static int
text_lib_ends(lua_State *L)
{
	size_t n, pn;

	const char *s = luaL_checklstring(L, 1, &n);
	const char *p = luaL_checklstring(L, 2, &pn);
	lua_pushboolean(L, n >= pn && memcmp(s + n - pn, p, pn) == 0);
	return 1;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int
text_lib_trim(lua_State *L)
{
	size_t n;

	const char *s = luaL_checklstring(L, 1, &n);
	vm_charge(L, (int64_t)n / 16);
	while (n > 0 && is_space(s[n - 1]))
		n--;
	while (n > 0 && is_space(*s)) {
		s++;
		n--;
	}
	lua_pushlstring(L, s, n);
	return 1;
}

/* Upvalues: the caged string.format, the level. */
static int
log_lib_write(lua_State *L)
{
	int n = lua_gettop(L);

	luaL_checkstring(L, 1);
	if (n > 1) {
		lua_pushvalue(L, lua_upvalueindex(1));
		lua_insert(L, 1);
		lua_call(L, n, 1);
	}
	vm_note(vm_of(L), (enum log_level)lua_tointeger(L, lua_upvalueindex(2)),
		lua_tostring(L, 1));
	return 0;
}

static void
open(lua_State *L, const char *name, const luaL_Reg *functions)
{
	lua_newtable(L);
	luaL_register(L, NULL, functions);
	lua_setglobal(L, name);
}

static void
open_log(lua_State *L)
{
	static const char *const names[] = { "debug", "info", "warn" };
	static const enum log_level levels[] = { LOG_DEBUG, LOG_INFO, LOG_WARN };

	lua_newtable(L);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		lua_getglobal(L, "string");
		lua_getfield(L, -1, "format");
		lua_remove(L, -2);
		lua_pushinteger(L, (lua_Integer)levels[i]);
		lua_pushcclosure(L, log_lib_write, 2);
		lua_setfield(L, -2, names[i]);
	}
	lua_setglobal(L, "log");
}

void
vmlib_open(lua_State *L, struct vm *v)
{
	static const luaL_Reg json[] = { { "encode", json_lib_encode },
		{ "decode", json_lib_decode }, { "array", json_lib_array }, { NULL, NULL } };
	static const luaL_Reg hash[] = { { "sha256", hash_lib_sha256 }, { "safe", hash_lib_safe },
		{ NULL, NULL } };
	static const luaL_Reg time[] = { { "parse", time_lib_parse }, { "format", time_lib_format },
		{ "duration", time_lib_duration }, { "age", time_lib_age }, { NULL, NULL } };
	static const luaL_Reg text[] = { { "split", text_lib_split }, { "glob", text_lib_glob },
		{ "starts", text_lib_starts }, { "ends", text_lib_ends }, { "trim", text_lib_trim },
		{ NULL, NULL } };

	must(v == vm_of(L));
	open(L, "json", json);
	open(L, "hash", hash);
	open(L, "time", time);
	open(L, "text", text);
	vmquantity_open(L);
	vmsemver_open(L);
	open_log(L);
}
