#include "vm/vmtext.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#define HELD_MAX 32 /* members on the stack before their table is made: then its size is known */

struct reader {
	lua_State *L;
	const char *at;
	int mark;
};

static void push(struct reader *r);

static int
hex(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* json_print() writes \u for control characters only. */
static char *
unescape(const char *p, char *to)
{
	switch (p[1]) {
	case 'b':
		*to++ = '\b';
		break;
	case 'f':
		*to++ = '\f';
		break;
	case 'n':
		*to++ = '\n';
		break;
	case 'r':
		*to++ = '\r';
		break;
	case 't':
		*to++ = '\t';
		break;
	case 'u':
		*to++ = (char)(hex(p[4]) << 4 | hex(p[5]));
		break;
	default:
		*to++ = p[1];
	}
	return to;
}

/* r->at is after the opening quote. */
static void
push_escaped(struct reader *r, const char *end)
{
	char *made = lua_newuserdata(r->L, (size_t)(end - r->at)), *to = made;

	for (const char *p = r->at; p < end;) {
		if (*p != '\\') {
			*to++ = *p++;
			continue;
		}
		to = unescape(p, to);
		p += p[1] == 'u' ? 6 : 2;
	}
	lua_pushlstring(r->L, made, (size_t)(to - made));
	lua_remove(r->L, -2);
}

static void
push_string(struct reader *r)
{
	const char *start = ++r->at, *p = start;
	bool escaped = false;

	for (; *p != '"'; p++)
		if (*p == '\\') {
			escaped = true;
			p++;
		}
	if (escaped)
		push_escaped(r, p);
	else
		lua_pushlstring(r->L, start, (size_t)(p - start));
	r->at = p + 1;
}

static void
push_number(struct reader *r)
{
	const char *start = r->at, *p = start + (*start == '-');
	int64_t v = 0;
	char *end;

	while (*p >= '0' && *p <= '9' && p - start < 18)
		v = v * 10 + (*p++ - '0');
	if (*p == '.' || *p == 'e' || *p == 'E') {
		lua_pushnumber(r->L, strtod(start, &end));
		r->at = end;
		return;
	}
	while (*p >= '0' && *p <= '9')
		p++;
	r->at = p;
	if (p - start - (*start == '-') > 15)
		lua_pushlstring(r->L, start, (size_t)(p - start));
	else
		lua_pushnumber(r->L, *start == '-' ? -(double)v : (double)v);
}

static bool
at_null(const struct reader *r)
{
	return *r->at == 'n';
}

/* Members that were kept back, into a table below them. */
static void
settle(lua_State *L, int table, int held)
{
	for (; held > 0; held--)
		lua_rawset(L, table);
}

static void
push_object(struct reader *r)
{
	lua_State *L = r->L;
	int base = lua_gettop(L) + 1, held = 0;
	bool made = false;

	luaL_checkstack(L, 2 * HELD_MAX + 8, "a value is too large");
	r->at++;
	for (; *r->at != '}'; r->at += *r->at == ',') {
		push_string(r);
		r->at++;
		if (at_null(r)) {
			r->at += 4;
			lua_pop(L, 1);
			continue;
		}
		push(r);
		if (made) {
			lua_rawset(L, base);
		} else if (++held == HELD_MAX) {
			lua_createtable(L, 0, 2 * HELD_MAX);
			lua_insert(L, base);
			settle(L, base, held);
			made = true;
		}
	}
	r->at++;
	if (made)
		return;
	lua_createtable(L, 0, held);
	lua_insert(L, base);
	settle(L, base, held);
}

static void
push_list(struct reader *r)
{
	lua_State *L = r->L;
	int n = 0;

	luaL_checkstack(L, 8, "a value is too large");
	lua_createtable(L, 4, 0);
	r->at++;
	for (; *r->at != ']'; r->at += *r->at == ',') {
		if (at_null(r)) {
			r->at += 4;
			continue;
		}
		push(r);
		lua_rawseti(L, -2, ++n);
	}
	r->at++;
	lua_pushvalue(L, r->mark);
	lua_setmetatable(L, -2);
}

static void
push(struct reader *r)
{
	switch (*r->at) {
	case '{':
		push_object(r);
		return;
	case '[':
		push_list(r);
		return;
	case '"':
		push_string(r);
		return;
	case 't':
		lua_pushboolean(r->L, true);
		r->at += 4;
		return;
	case 'f':
		lua_pushboolean(r->L, false);
		r->at += 5;
		return;
	default:
		push_number(r);
	}
}

void
vmtext_push(lua_State *L, const char *text, int mark)
{
	struct reader r = { L, text, mark };

	push(&r);
}
