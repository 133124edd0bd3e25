#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* What `at` points to while nothing is allocated (cap is 0, so it is never written). */
static const char nothing[1] = "";

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .at = (char *)nothing, .max = max };
}

void
buf_fini(struct buf *b)
{
	if (b->cap > 0)
		free(b->at);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->full = false;
	if (b->cap > 0)
		b->at[0] = '\0';
}

/* Room for n more bytes and the NUL. */
static int
reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap;

	if (n > SIZE_MAX / 4 || (b->max > 0 && (n > b->max || b->len > b->max - n))) {
		b->full = true;
		return -1;
	}
	if (b->len + n < cap)
		return 0;
	if (cap < 64)
		cap = 64;
	while (cap <= b->len + n)
		cap *= 2;
	b->at = xrealloc(b->cap > 0 ? b->at : NULL, cap);
	b->cap = cap;
	return 0;
}

char *
buf_room(struct buf *b, size_t n)
{
	return reserve(b, n) == 0 ? b->at + b->len : NULL;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
	if (reserve(b, n) != 0)
		return -1;
	if (n > 0)
		memcpy(b->at + b->len, p, n);
	b->len += n;
	b->at[b->len] = '\0';
	return 0;
}

int
buf_puts(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

int
buf_putc(struct buf *b, char c)
{
	if (reserve(b, 1) != 0)
		return -1;
	b->at[b->len++] = c;
	b->at[b->len] = '\0';
	return 0;
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap, again;
	int n, rc = -1;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n >= 0 && (size_t)n < sizeof(small)) {
		rc = buf_put(b, small, (size_t)n);
	} else if (n >= 0 && reserve(b, (size_t)n) == 0) {
		vsnprintf(b->at + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
		rc = 0;
	}
	va_end(again);
	va_end(ap);
	return rc;
}

void
buf_drop(struct buf *b, size_t n)
{
	if (b->cap == 0)
		return;
	if (n > b->len)
		n = b->len;
	memmove(b->at, b->at + n, b->len - n + 1);
	b->len -= n;
}

char *
buf_take(struct buf *b)
{
	char *taken = b->cap > 0 ? b->at : xstrdup("");

	buf_init(b, b->max);
	return taken;
}
