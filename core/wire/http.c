#include "wire/http.h"

#include <string.h>

#include "base/buf.h"

struct http_req *
http_send(struct http *h, const struct http_call *c)
{
	return h->ops->send(h, c);
}

void
http_cancel(struct http *h, struct http_req *r)
{
	if (r)
		h->ops->cancel(h, r);
}

int
http_escape(struct buf *out, const char *s)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *s; s++) {
		int failed = strchr(plain, *s) ? buf_putc(out, *s)
					       : buf_printf(out, "%%%02X", (unsigned char)*s);
		if (failed)
			return -1;
	}
	return 0;
}
