/*
 * semver: versions by semver.org 2.0.0, with an optional "v" in front as TiKV writes them.
 */
#include <string.h>

#include <lauxlib.h>

#include "vm/vmcage.h"

#define TEXT_MAX 256

struct part {
	const char *at;
	size_t len;
};

struct version {
	struct part number[3], pre, build; /* pre and build: len 0 when absent */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static bool
all_digits(struct part p)
{
	for (size_t i = 0; i < p.len; i++)
		if (!is_digit(p.at[i]))
			return false;
	return p.len > 0;
}

/* The identifier at the front of *rest, up to a dot; *rest moves past it and the dot. */
static struct part
next_word(struct part *rest)
{
	const char *dot = memchr(rest->at, '.', rest->len);
	struct part word = { rest->at, dot != NULL ? (size_t)(dot - rest->at) : rest->len };
	size_t used = word.len + (dot != NULL);

	rest->at += used;
	rest->len -= used;
	return word;
}

static bool
words_are_good(struct part p, bool no_leading_zero)
{
	if (p.len == 0 || p.at[p.len - 1] == '.')
		return false;
	while (p.len > 0) {
		struct part w = next_word(&p);
		if (w.len == 0)
			return false;
		for (size_t i = 0; i < w.len; i++)
			if (!is_word(w.at[i]))
				return false;
		if (no_leading_zero && w.len > 1 && *w.at == '0' && all_digits(w))
			return false;
	}
	return true;
}

static int
version_read(const char *s, size_t n, struct version *v)
{
	memset(v, 0, sizeof *v);
	if (n > TEXT_MAX || strlen(s) != n)
		return -1;
	if (*s == 'v')
		s++;
	for (int i = 0; i < 3; i++) {
		struct part p = { s, 0 };
		while (is_digit(s[p.len]))
			p.len++;
		if (p.len == 0 || p.len > 15 || (p.len > 1 && *s == '0'))
			return -1;
		v->number[i] = p;
		s += p.len;
		if (i < 2 && *s++ != '.')
			return -1;
	}
	if (*s == '-') {
		v->pre = (struct part){ s + 1, strcspn(s + 1, "+") };
		s += 1 + v->pre.len;
		if (!words_are_good(v->pre, true))
			return -1;
	}
	if (*s == '+') {
		v->build = (struct part){ s + 1, strlen(s + 1) };
		s += 1 + v->build.len;
		if (!words_are_good(v->build, false))
			return -1;
	}
	return *s == '\0' ? 0 : -1;
}

static int
bytes_compare(struct part a, struct part b)
{
	int c = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

	return c != 0 ? (c < 0 ? -1 : 1) : (a.len < b.len ? -1 : a.len > b.len);
}

/* Without leading zeros the longer number is the larger one. */
static int
number_compare(struct part a, struct part b)
{
	return a.len != b.len ? (a.len < b.len ? -1 : 1) : bytes_compare(a, b);
}

static int
pre_compare(struct part a, struct part b)
{
	if (a.len == 0 || b.len == 0) /* a release comes after its prereleases */
		return (a.len == 0) - (b.len == 0);
	while (a.len > 0 && b.len > 0) {
		struct part wa = next_word(&a), wb = next_word(&b);
		bool na = all_digits(wa), nb = all_digits(wb);
		int c = na && nb   ? number_compare(wa, wb)
			: na != nb ? nb - na
				   : bytes_compare(wa, wb);
		if (c != 0)
			return c;
	}
	return (a.len > 0) - (b.len > 0);
}

static int
semver_parse(lua_State *L)
{
	static const char *const names[] = { "major", "minor", "patch" };
	struct version v;
	size_t n;

	const char *s = luaL_checklstring(L, 1, &n);
	if (version_read(s, n, &v) != 0) {
		lua_pushnil(L);
		return 1;
	}
	lua_createtable(L, 0, 5);
	for (int i = 0; i < 3; i++) {
		double d = 0;
		for (size_t k = 0; k < v.number[i].len; k++)
			d = d * 10 + (v.number[i].at[k] - '0');
		lua_pushnumber(L, d);
		lua_setfield(L, -2, names[i]);
	}
	if (v.pre.len > 0) {
		lua_pushlstring(L, v.pre.at, v.pre.len);
		lua_setfield(L, -2, "prerelease");
	}
	if (v.build.len > 0) {
		lua_pushlstring(L, v.build.at, v.build.len);
		lua_setfield(L, -2, "build");
	}
	return 1;
}

static int
semver_compare(lua_State *L)
{
	struct version a, b;
	size_t an, bn;
	int c = 0;

	const char *as = luaL_checklstring(L, 1, &an);
	const char *bs = luaL_checklstring(L, 2, &bn);
	if (version_read(as, an, &a) != 0 || version_read(bs, bn, &b) != 0) {
		lua_pushnil(L);
		return 1;
	}
	for (int i = 0; i < 3 && c == 0; i++)
		c = number_compare(a.number[i], b.number[i]);
	if (c == 0)
		c = pre_compare(a.pre, b.pre);
	lua_pushinteger(L, c);
	return 1;
}

void
vmsemver_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "parse", semver_parse },
		{ "compare", semver_compare }, { NULL, NULL } };

	lua_newtable(L);
	luaL_register(L, NULL, functions);
	lua_setglobal(L, "semver");
}
