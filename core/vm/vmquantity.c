/*
 * quantity: Kubernetes quantities, compared exactly.
 *
 * A quantity is an integer times 10^e times 2^b. Two of them are brought to the same powers and
 * compared as whole numbers of any size that the accepted texts can reach.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "vm/vmcage.h"

#define TEXT_MAX 48  /* characters of a quantity */
#define POWER_MAX 48 /* of ten, either way */
#define LIMBS 24     /* 768 bits: 48 digits, 10^(2 * 48 + 48) and 2^60 need 701 */

struct quantity {
	bool minus;
	char digits[TEXT_MAX + 1];  /* no point */
	int ten;                    /* power of ten */
	int two;                    /* power of two */
	char decimal[TEXT_MAX + 1]; /* the number as written, without its suffix */
	int suffix_ten;             /* the part of `ten` that the suffix gave */
};

static int
suffix(const char *s, struct quantity *q)
{
	static const char BIG[] = "kMGTPE", SMALL[] = "mun";
	const char *at;

	if (*s == '\0')
		return 0;
	if ((*s == 'e' || *s == 'E') && s[1] != '\0' && s[1] != 'i') {
		char *end;
		const char *digits = s + 1 + (s[1] == '+' || s[1] == '-');
		if (*digits < '0' || *digits > '9')
			return -1;
		long power = strtol(s + 1, &end, 10);
		if (*end != '\0' || power < -POWER_MAX || power > POWER_MAX)
			return -1;
		q->suffix_ten = (int)power;
		return 0;
	}
	if (s[1] == 'i' && s[2] == '\0' && (at = strchr("KMGTPE", *s)) != NULL) {
		q->two = 10 * (int)(at - "KMGTPE" + 1);
		return 0;
	}
	if (s[1] != '\0')
		return -1;
	if ((at = strchr(BIG, *s)) != NULL)
		q->suffix_ten = 3 * (int)(at - BIG + 1);
	else if ((at = strchr(SMALL, *s)) != NULL)
		q->suffix_ten = -3 * (int)(at - SMALL + 1);
	else
		return -1;
	return 0;
}

static int
quantity_read(const char *s, size_t n, struct quantity *q)
{
	size_t digits = 0, fraction = 0;
	const char *start;

	memset(q, 0, sizeof *q);
	if (n == 0 || n > TEXT_MAX || strlen(s) != n)
		return -1;
	q->minus = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	start = s;
	for (bool point = false; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		q->digits[digits++] = *s;
		fraction += point;
	}
	if (digits == 0)
		return -1;
	memcpy(q->decimal, start, (size_t)(s - start));
	if (suffix(s, q) != 0)
		return -1;
	q->ten = q->suffix_ten - (int)fraction;
	return 0;
}

/* A text or a number at idx. */
static int
quantity_arg(lua_State *L, int idx, struct quantity *q)
{
	char text[40];
	size_t n;

	if (lua_type(L, idx) == LUA_TNUMBER) {
		double d = lua_tonumber(L, idx);
		if (!isfinite(d))
			return -1;
		/* The shortest text that reads back: 0.1 means a tenth here. */
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(text, sizeof text, "%.*g", digits, d);
			if (strtod(text, NULL) == d)
				break;
		}
		return quantity_read(text, strlen(text), q);
	}
	const char *s = luaL_checklstring(L, idx, &n);
	return quantity_read(s, n, q);
}

static int
quantity_parse(lua_State *L)
{
	struct quantity q;
	char text[TEXT_MAX + 16];

	if (quantity_arg(L, 1, &q) != 0) {
		lua_pushnil(L);
		return 1;
	}
	/* One rounding by strtod, none by the power of two. */
	snprintf(text, sizeof text, "%se%d", q.decimal, q.suffix_ten);
	double d = ldexp(strtod(text, NULL), q.two);
	lua_pushnumber(L, q.minus && d != 0 ? -d : d);
	return 1;
}

struct whole {
	uint32_t limb[LIMBS];
};

static void
whole_mul_add(struct whole *w, uint32_t factor, uint32_t add)
{
	uint64_t carry = add;

	for (int i = 0; i < LIMBS; i++) {
		carry += (uint64_t)w->limb[i] * factor;
		w->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	must(carry == 0);
}

/* The digits of q times 10^ten and 2^two. */
static void
whole_make(struct whole *w, const struct quantity *q, int ten, int two)
{
	memset(w, 0, sizeof *w);
	for (const char *d = q->digits; *d != '\0'; d++)
		whole_mul_add(w, 10, (uint32_t)(*d - '0'));
	for (; ten > 0; ten--)
		whole_mul_add(w, 10, 0);
	for (; two > 0; two--)
		whole_mul_add(w, 2, 0);
}

static int
whole_compare(const struct whole *a, const struct whole *b)
{
	for (int i = LIMBS - 1; i >= 0; i--)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	return 0;
}

static bool
is_zero(const struct quantity *q)
{
	return strspn(q->digits, "0") == strlen(q->digits);
}

static int
quantity_compare(lua_State *L)
{
	struct quantity a, b;
	struct whole wa, wb;

	if (quantity_arg(L, 1, &a) != 0 || quantity_arg(L, 2, &b) != 0) {
		lua_pushnil(L);
		return 1;
	}
	a.minus = a.minus && !is_zero(&a);
	b.minus = b.minus && !is_zero(&b);
	if (a.minus != b.minus) {
		lua_pushinteger(L, a.minus ? -1 : 1);
		return 1;
	}
	int ten = a.ten < b.ten ? a.ten : b.ten;
	whole_make(&wa, &a, a.ten - ten, a.two);
	whole_make(&wb, &b, b.ten - ten, b.two);
	int c = whole_compare(&wa, &wb);
	lua_pushinteger(L, a.minus ? -c : c);
	return 1;
}

void
vmquantity_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "parse", quantity_parse },
		{ "compare", quantity_compare }, { NULL, NULL } };

	lua_newtable(L);
	luaL_register(L, NULL, functions);
	lua_setglobal(L, "quantity");
}
