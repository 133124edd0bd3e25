/*
 * find, match, gmatch and gsub with Lua's patterns, written anew because LuaJIT's own can run for
 * hours inside one C call, where no hook sees them. Here each look at a character of the subject
 * is paid for with one instruction of the call's budget.
 */
#include <ctype.h>
#include <string.h>

#include <lauxlib.h>

#include "vm/vmcage.h"

#define CAPTURES_MAX 32
#define DEPTH_MAX 200
#define PAY_EVERY 256

#define OPEN (-1)     /* a capture whose end has not been seen */
#define POSITION (-2) /* "()" */

struct match {
	lua_State *L;
	const char *subject, *end, *pattern_end;
	int steps, depth, captures;
	struct {
		const char *at;
		ptrdiff_t len;
	} capture[CAPTURES_MAX];
};

static void
pay(struct match *m)
{
	if (++m->steps < PAY_EVERY)
		return;
	m->steps = 0;
	vm_charge(m->L, PAY_EVERY);
}

/* Past one single-character item: x, %x, ., [set]. */
static const char *
item_end(struct match *m, const char *p)
{
	const char *end = m->pattern_end;

	if (*p == '%') {
		if (p + 1 == end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 2;
	}
	if (*p != '[')
		return p + 1;
	p++;
	if (p < end && *p == '^')
		p++;
	/* A ']' in the first place is an ordinary member. */
	for (bool first = true; first || p >= end || *p != ']'; first = false) {
		if (p >= end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		p += *p == '%' ? 2 : 1;
	}
	return p + 1;
}

static bool
in_class(unsigned char c, char class)
{
	bool in;

	switch (class | 0x20) {
	case 'a':
		in = isalpha(c);
		break;
	case 'c':
		in = iscntrl(c);
		break;
	case 'd':
		in = isdigit(c);
		break;
	case 'g':
		in = isgraph(c);
		break;
	case 'l':
		in = islower(c);
		break;
	case 'p':
		in = ispunct(c);
		break;
	case 's':
		in = isspace(c);
		break;
	case 'u':
		in = isupper(c);
		break;
	case 'w':
		in = isalnum(c);
		break;
	case 'x':
		in = isxdigit(c);
		break;
	case 'z':
		in = c == 0;
		break;
	default:
		return class == (char)c;
	}
	if (!isalpha((unsigned char)class))
		return class == (char)c;
	return in != (isupper((unsigned char)class) != 0);
}

/* p is at '[', last at its ']'. */
static bool
in_set(unsigned char c, const char *p, const char *last)
{
	bool inside = true;

	p++;
	if (*p == '^') {
		inside = false;
		p++;
	}
	for (; p < last; p++) {
		if (*p == '%') {
			p++;
			if (in_class(c, *p))
				return inside;
		} else if (p + 2 < last && p[1] == '-') {
			if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
				return inside;
			p += 2;
		} else if ((unsigned char)*p == c) {
			return inside;
		}
	}
	return !inside;
}

static bool
single(struct match *m, const char *s, const char *p, const char *p_end)
{
	pay(m);
	if (s >= m->end)
		return false;
	unsigned char c = (unsigned char)*s;
	switch (*p) {
	case '.':
		return true;
	case '%':
		return in_class(c, p[1]);
	case '[':
		return in_set(c, p, p_end - 1);
	default:
		return (unsigned char)*p == c;
	}
}

static const char *
balanced(struct match *m, const char *s, const char *p)
{
	int open = 1;

	if (m->pattern_end - p < 2)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (s >= m->end || *s != p[0])
		return NULL;
	while (++s < m->end) {
		pay(m);
		if (*s == p[1]) {
			if (--open == 0)
				return s + 1;
		} else if (*s == p[0]) {
			open++;
		}
	}
	return NULL;
}

static const char *
frontier(struct match *m, const char *s, const char *p, const char **p_next)
{
	if (p >= m->pattern_end || *p != '[')
		luaL_error(m->L, "missing '[' after '%%f' in pattern");
	const char *end = item_end(m, p);
	unsigned char before = s == m->subject ? 0 : (unsigned char)s[-1];
	unsigned char here = s < m->end ? (unsigned char)*s : 0;
	pay(m);
	*p_next = end;
	return !in_set(before, p, end - 1) && in_set(here, p, end - 1) ? s : NULL;
}

static const char *
again(struct match *m, const char *s, char digit)
{
	int i = digit - '1';

	if (i < 0 || i >= m->captures || m->capture[i].len == OPEN)
		luaL_error(m->L, "invalid capture index");
	if (m->capture[i].len == POSITION)
		return NULL;
	size_t n = (size_t)m->capture[i].len;
	vm_charge(m->L, (int64_t)n / 16);
	if ((size_t)(m->end - s) < n || memcmp(m->capture[i].at, s, n) != 0)
		return NULL;
	return s + n;
}

static const char *follow(struct match *m, const char *s, const char *p);

static const char *
capture_open(struct match *m, const char *s, const char *p, ptrdiff_t kind)
{
	if (m->captures >= CAPTURES_MAX)
		luaL_error(m->L, "too many captures");
	m->capture[m->captures].at = s;
	m->capture[m->captures].len = kind;
	m->captures++;
	const char *r = follow(m, s, p);
	if (r == NULL)
		m->captures--;
	return r;
}

static const char *
capture_close(struct match *m, const char *s, const char *p)
{
	int i = m->captures - 1;

	while (i >= 0 && m->capture[i].len != OPEN)
		i--;
	if (i < 0)
		luaL_error(m->L, "invalid pattern capture");
	m->capture[i].len = s - m->capture[i].at;
	const char *r = follow(m, s, p);
	if (r == NULL)
		m->capture[i].len = OPEN;
	return r;
}

/* item* and item+ : as many as there are, then fewer. */
static const char *
greedy(struct match *m, const char *s, const char *p, const char *p_end, ptrdiff_t least)
{
	ptrdiff_t n = 0;

	while (single(m, s + n, p, p_end))
		n++;
	for (; n >= least; n--) {
		const char *r = follow(m, s + n, p_end + 1);
		if (r != NULL)
			return r;
	}
	return NULL;
}

static const char *
lazy(struct match *m, const char *s, const char *p, const char *p_end)
{
	for (;; s++) {
		const char *r = follow(m, s, p_end + 1);
		if (r != NULL)
			return r;
		if (!single(m, s, p, p_end))
			return NULL;
	}
}

/* Match the rest of the pattern from p at s: the end of the match, or NULL. */
static const char *
follow(struct match *m, const char *s, const char *p)
{
	if (++m->depth > DEPTH_MAX)
		luaL_error(m->L, "pattern too complex");
	while (s != NULL && p < m->pattern_end) {
		pay(m);
		if (*p == '(') {
			bool here = p + 1 < m->pattern_end && p[1] == ')';
			s = capture_open(m, s, p + (here ? 2 : 1), here ? POSITION : OPEN);
			break;
		}
		if (*p == ')') {
			s = capture_close(m, s, p + 1);
			break;
		}
		if (*p == '$' && p + 1 == m->pattern_end) {
			s = s == m->end ? s : NULL;
			break;
		}
		if (*p == '%' && p + 1 < m->pattern_end) {
			if (p[1] == 'b') {
				s = balanced(m, s, p + 2);
				p += 4;
				continue;
			}
			if (p[1] == 'f') {
				s = frontier(m, s, p + 2, &p);
				continue;
			}
			if (isdigit((unsigned char)p[1])) {
				s = again(m, s, p[1]);
				p += 2;
				continue;
			}
		}
		const char *p_end = item_end(m, p);
		char how = p_end < m->pattern_end ? *p_end : '\0';
		if (how == '*' || how == '+') {
			s = greedy(m, s, p, p_end, how == '+');
			break;
		}
		if (how == '-') {
			s = lazy(m, s, p, p_end);
			break;
		}
		if (how == '?') {
			const char *r = single(m, s, p, p_end) ? follow(m, s + 1, p_end + 1) : NULL;
			if (r != NULL) {
				s = r;
				break;
			}
			p = p_end + 1;
			continue;
		}
		s = single(m, s, p, p_end) ? s + 1 : NULL;
		p = p_end;
	}
	m->depth--;
	return s;
}

static void
match_init(struct match *m, lua_State *L, const char *s, size_t len, const char *p, size_t plen)
{
	m->L = L;
	m->subject = s;
	m->end = s + len;
	m->pattern_end = p + plen;
	m->steps = 0;
	m->depth = 0;
	m->captures = 0;
}

static const char *
match_at(struct match *m, const char *s, const char *p)
{
	m->captures = 0;
	m->depth = 0;
	return follow(m, s, p);
}

static void
push_capture(struct match *m, int i, const char *from, const char *to)
{
	if (i >= m->captures) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index");
		lua_pushlstring(m->L, from, (size_t)(to - from));
		return;
	}
	ptrdiff_t n = m->capture[i].len;
	if (n == OPEN)
		luaL_error(m->L, "unfinished capture");
	if (n == POSITION)
		lua_pushinteger(m->L, m->capture[i].at - m->subject + 1);
	else
		lua_pushlstring(m->L, m->capture[i].at, (size_t)n);
}

/* All captures; the whole match when there is none and from is given. */
static int
push_captures(struct match *m, const char *from, const char *to)
{
	int n = m->captures == 0 && from != NULL ? 1 : m->captures;

	luaL_checkstack(m->L, n, "too many captures");
	for (int i = 0; i < n; i++)
		push_capture(m, i, from, to);
	return n;
}

static size_t
place(lua_State *L, int idx, size_t len)
{
	ptrdiff_t at = luaL_optinteger(L, idx, 1);

	if (at < 0)
		at += (ptrdiff_t)len + 1;
	if (at < 1)
		at = 1;
	return at - 1 > (ptrdiff_t)len ? len : (size_t)(at - 1);
}

static int
search(lua_State *L, bool find)
{
	struct match m;
	size_t len, plen;
	const char *s = luaL_checklstring(L, 1, &len);
	const char *p = luaL_checklstring(L, 2, &plen);
	const char *at = s + place(L, 3, len);

	if (find && (lua_toboolean(L, 4) || strcspn(p, "^$*+?.([%-") == plen)) {
		vm_charge(L, (s + len - at) / 16);
		const char *r = plen == 0 ? at : memmem(at, (size_t)(s + len - at), p, plen);
		if (r == NULL) {
			lua_pushnil(L);
			return 1;
		}
		lua_pushinteger(L, r - s + 1);
		lua_pushinteger(L, r - s + (ptrdiff_t)plen);
		return 2;
	}
	bool anchored = plen > 0 && *p == '^';
	match_init(&m, L, s, len, p, plen);
	p += anchored;
	do {
		const char *r = match_at(&m, at, p);
		if (r == NULL)
			continue;
		vm_charge(L, m.steps);
		if (!find)
			return push_captures(&m, at, r);
		lua_pushinteger(L, at - s + 1);
		lua_pushinteger(L, r - s);
		return push_captures(&m, NULL, NULL) + 2;
	} while (at++ < m.end && !anchored);
	vm_charge(L, m.steps);
	lua_pushnil(L);
	return 1;
}

static int
pattern_find(lua_State *L)
{
	return search(L, true);
}

static int
pattern_match(lua_State *L)
{
	return search(L, false);
}

/* Upvalues: subject, pattern, place. */
static int
gmatch_step(lua_State *L)
{
	struct match m;
	size_t len, plen;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &len);
	const char *p = lua_tolstring(L, lua_upvalueindex(2), &plen);

	match_init(&m, L, s, len, p, plen);
	for (const char *at = s + lua_tointeger(L, lua_upvalueindex(3)); at <= m.end; at++) {
		const char *r = match_at(&m, at, p);
		if (r == NULL)
			continue;
		vm_charge(L, m.steps);
		lua_pushinteger(L, r - s + (r == at));
		lua_replace(L, lua_upvalueindex(3));
		return push_captures(&m, at, r);
	}
	vm_charge(L, m.steps);
	return 0;
}

static int
pattern_gmatch(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checkstring(L, 2);
	lua_settop(L, 2);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, gmatch_step, 3);
	return 1;
}

static void
add_template(struct match *m, luaL_Buffer *b, const char *from, const char *to)
{
	size_t n;
	const char *t = lua_tolstring(m->L, 3, &n);

	vm_charge(m->L, (int64_t)n);
	for (size_t i = 0; i < n; i++) {
		if (t[i] != '%') {
			luaL_addchar(b, t[i]);
			continue;
		}
		i++;
		if (i < n && t[i] == '0') {
			luaL_addlstring(b, from, (size_t)(to - from));
		} else if (i < n && isdigit((unsigned char)t[i])) {
			push_capture(m, t[i] - '1', from, to);
			luaL_addvalue(b);
		} else {
			luaL_addchar(b, i < n ? t[i] : '\0');
		}
	}
}

static void
add_replacement(struct match *m, luaL_Buffer *b, const char *from, const char *to)
{
	lua_State *L = m->L;

	vm_deeper(L);
	switch (lua_type(L, 3)) {
	case LUA_TNUMBER:
	case LUA_TSTRING:
		add_template(m, b, from, to);
		return;
	case LUA_TFUNCTION:
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(m, from, to), 1);
		break;
	default:
		push_capture(m, 0, from, to);
		lua_gettable(L, 3);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		lua_pushlstring(L, from, (size_t)(to - from));
	} else if (!lua_isstring(L, -1)) {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	}
	luaL_addvalue(b);
}

static int
pattern_gsub(lua_State *L)
{
	struct match m;
	luaL_Buffer b;
	size_t len, plen;
	const char *s = luaL_checklstring(L, 1, &len);
	const char *p = luaL_checklstring(L, 2, &plen);
	int kind = lua_type(L, 3);
	double most = luaL_optnumber(L, 4, (double)len + 1);
	bool anchored = plen > 0 && *p == '^';
	int count = 0;

	if (kind != LUA_TNUMBER && kind != LUA_TSTRING && kind != LUA_TFUNCTION &&
		kind != LUA_TTABLE)
		return luaL_error(
			L, "bad argument #3 to 'gsub' (string, function or table expected)");
	match_init(&m, L, s, len, p, plen);
	p += anchored;
	luaL_buffinit(L, &b);
	const char *at = s;
	while (count < most) {
		const char *r = match_at(&m, at, p);
		if (r != NULL) {
			count++;
			add_replacement(&m, &b, at, r);
		}
		if (r != NULL && r > at)
			at = r;
		else if (at < m.end)
			luaL_addchar(&b, *at++);
		else
			break;
		if (anchored)
			break;
	}
	luaL_addlstring(&b, at, (size_t)(m.end - at));
	vm_charge(L, m.steps);
	luaL_pushresult(&b);
	lua_pushinteger(L, count);
	return 2;
}

void
vmpattern_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "find", pattern_find },
		{ "match", pattern_match },
		{ "gmatch", pattern_gmatch },
		{ "gsub", pattern_gsub },
		{ NULL, NULL },
	};

	luaL_register(L, NULL, functions);
}
