#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	struct err made = { .code = code };
	va_list ap;

	if (e == NULL)
		return -1;
	/* Made aside: an argument may be the old message. */
	va_start(ap, fmt);
	vsnprintf(made.msg, sizeof(made.msg), fmt, ap);
	va_end(ap);
	*e = made;
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char made[2 * sizeof(e->msg) + 4];
	size_t n;
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(made, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(made);
	snprintf(made + n, sizeof(made) - n, ": %s", e->msg);
	made[sizeof(e->msg) - 1] = '\0';
	memcpy(e->msg, made, sizeof(e->msg));
	return -1;
}

void
err_clear(struct err *e)
{
	if (e == NULL)
		return;
	e->code = ERR_NONE;
	e->retry_after_s = 0;
	e->status = 0;
	e->msg[0] = '\0';
}

const char *
err_name(enum err_code code)
{
	switch (code) {
	case ERR_NONE:
		return "none";
	case ERR_INVALID:
		return "invalid";
	case ERR_NOT_FOUND:
		return "not_found";
	case ERR_EXISTS:
		return "exists";
	case ERR_CONFLICT:
		return "conflict";
	case ERR_EXPIRED:
		return "expired";
	case ERR_TOO_NEW:
		return "too_new";
	case ERR_UNAUTHORIZED:
		return "unauthorized";
	case ERR_FORBIDDEN:
		return "forbidden";
	case ERR_THROTTLED:
		return "throttled";
	case ERR_UNAVAILABLE:
		return "unavailable";
	case ERR_TIMEOUT:
		return "timeout";
	case ERR_PROTOCOL:
		return "protocol";
	case ERR_TOO_LARGE:
		return "too_large";
	case ERR_CANCELLED:
		return "cancelled";
	case ERR_REFUSED:
		return "refused";
	case ERR_UNSUPPORTED:
		return "unsupported";
	case ERR_INTERNAL:
		return "internal";
	}
	return "unknown";
}

void
err_must(const char *cond, const char *file, int line)
{
	fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, cond);
	abort();
}
