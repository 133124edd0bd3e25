#include "base/text.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

size_t
text_utf8(const char *p, size_t n)
{
	const unsigned char *s = (const unsigned char *)p;
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (n == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	/* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

size_t
text_cut(const char *p, size_t n, size_t max)
{
	if (n <= max)
		return n;
	n = max;
	while (n > 0 && max - n < 3 && ((unsigned char)p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

#define EACH(byte) (~UINT64_C(0) / 255 * (byte))

/* Eight bytes at a time; zero when all of them are plain. */
static uint64_t
odd_bytes(uint64_t w)
{
	uint64_t quote = w ^ EACH('"'), slash = w ^ EACH('\\');

	return (w | ((w - EACH(0x20)) & ~w) | ((quote - EACH(1)) & ~quote) |
		       ((slash - EACH(1)) & ~slash)) &
	       EACH(0x80);
}

size_t
text_plain(const char *p, size_t n)
{
	size_t i = 0;
	uint64_t w;

	for (; n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, p + i, sizeof(w));
		if (odd_bytes(w) != 0)
			break;
	}
	while (i < n && is_plain((unsigned char)p[i]))
		i++;
	return i;
}

static int
quote_escape(struct buf *out, unsigned char c)
{
	switch (c) {
	case '"':
		return buf_put(out, "\\\"", 2);
	case '\\':
		return buf_put(out, "\\\\", 2);
	case '\b':
		return buf_put(out, "\\b", 2);
	case '\f':
		return buf_put(out, "\\f", 2);
	case '\n':
		return buf_put(out, "\\n", 2);
	case '\r':
		return buf_put(out, "\\r", 2);
	case '\t':
		return buf_put(out, "\\t", 2);
	default: {
		const char hex[] = "0123456789abcdef";
		char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		return buf_put(out, u, 6);
	}
	}
}

int
text_quote(struct buf *out, const char *p, size_t n)
{
	size_t plain = 0, i = text_plain(p, n); /* bytes from `plain` to `i` need no change */
	char *at;

	if (i == n) { /* nearly all texts of an API object */
		at = buf_room(out, n + 2);
		if (at == NULL)
			return -1;
		*at++ = '"';
		if (n > 0)
			memcpy(at, p, n);
		at[n] = '"';
		at[n + 1] = '\0';
		out->len += n + 2;
		return 0;
	}
	if (buf_putc(out, '"') != 0)
		return -1;
	while (i < n) {
		unsigned char c = (unsigned char)p[i];
		size_t len = 1;

		if (c >= 0x80 && (len = text_utf8(p + i, n - i)) > 0) {
			i += len;
			continue;
		}
		if (is_plain(c)) {
			i++;
			continue;
		}
		if (buf_put(out, p + plain, i - plain) != 0)
			return -1;
		if ((c >= 0x80 ? buf_put(out, "\xef\xbf\xbd", 3) : quote_escape(out, c)) != 0)
			return -1;
		plain = ++i;
	}
	if (buf_put(out, p + plain, n - plain) != 0)
		return -1;
	return buf_putc(out, '"');
}

size_t
text_int(long long v, char out[24])
{
	char digits[24];
	unsigned long long u = v < 0 ? 0ULL - (unsigned long long)v : (unsigned long long)v;
	size_t n = 0, len = 0;

	do {
		digits[n++] = (char)('0' + u % 10);
		u /= 10;
	} while (u > 0);
	if (v < 0)
		out[len++] = '-';
	while (n > 0)
		out[len++] = digits[--n];
	out[len] = '\0';
	return len;
}

/* "1.500e+07" becomes "1.5e7", "1e-07" becomes "1e-7". */
static size_t
tidy(char *s)
{
	char *exp = strchr(s, 'e'), *end = exp != NULL ? exp : s + strlen(s);
	char tail[8] = "";

	if (exp != NULL)
		snprintf(tail, sizeof(tail), "e%d", atoi(exp + 1));
	if (memchr(s, '.', (size_t)(end - s)) != NULL) {
		while (end[-1] == '0')
			end--;
		if (end[-1] == '.')
			end--;
	}
	strcpy(end, tail);
	return strlen(s);
}

size_t
text_double(double v, char out[32])
{
	must(isfinite(v));
	if (v == floor(v) && fabs(v) < 1e15 && !(v == 0 && signbit(v)))
		return text_int((long long)v, out);
	for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
		if (fabs(v) >= 1e15)
			snprintf(out, 32, "%.*e", digits - 1, v);
		else
			snprintf(out, 32, "%.*g", digits, v);
		if (digits == 17 || strtod(out, NULL) == v)
			break;
	}
	return tidy(out);
}
