#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H
/*
 * http: asynchronous requests over a replaceable transport.
 *
 * http_send() never calls back before it returned. Afterwards: on_head at most once, on_body any
 * number of times with chunks of any size, then on_end exactly once, unless http_cancel() came
 * first, after which nothing is called. on_end with e->code ERR_NONE means that the whole body
 * arrived; any HTTP status is a success at this layer. Without on_body the body is collected, up
 * to max_body, and handed to on_end.
 *
 * Every request has a deadline: total_ms for ordinary ones; for streams total_ms bounds the time
 * until the headers and idle_ms the silence between bytes. Failures: ERR_UNAVAILABLE (nothing was
 * sent, or the connection was refused or reset), ERR_TIMEOUT (outcome unknown), ERR_TOO_LARGE,
 * ERR_PROTOCOL, ERR_UNAUTHORIZED (TLS trust). The text names the URL without its query.
 *
 * Transports: http_curl.h (libcurl multi on libevent) and the simulator's (sim/net.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct http_req; /* a request under way */
struct cred;

struct http_header {
	const char *name, *value;
};

struct http_head {
	int status;
	const char *content_type; /* "" when absent */
	const char *etag;
	int retry_after_s;                /* 0 when absent */
	int64_t date_wall_ms;             /* the Date header, -1 when absent or unreadable */
	const struct http_header *header; /* all of them, names in lower case */
	int headers;
};

struct http_call {
	const char *method; /* "GET" */
	const char *url;    /* absolute: https://host:port/path?query */
	const char *body;   /* NULL: none. Copied. */
	size_t body_len;
	const char *content_type;
	const char *accept;               /* NULL: application/json */
	const struct http_header *header; /* extra headers, copied */
	int headers;
	const struct cred *cred; /* NULL: none, system trust. Lent until the request ended */
	const char *pool; /* requests of different pools never share a connection; NULL: "" */
	int64_t total_ms; /* required, > 0 */
	int64_t idle_ms;  /* > 0 makes it a stream */
	size_t max_body;  /* collected or streamed bytes in all; 0: 64 MiB, streams unlimited */
	void (*on_head)(void *arg, const struct http_head *h);
	/* Return non-zero with *e filled to end the request with that error. */
	int (*on_body)(void *arg, const char *chunk, size_t n, struct err *e);
	void (*on_end)(void *arg, const struct http_head *h, const char *body, size_t n,
		const struct err *e); /* h is NULL when no answer came; e is never NULL */
	void *arg;
};

struct http;
struct http_ops {
	struct http_req *(*send)(struct http *h, const struct http_call *c);
	void (*cancel)(struct http *h, struct http_req *r);
};

/* Implementations embed this as their first member. */
struct http {
	const struct http_ops *ops;
};

struct http_req *http_send(struct http *h, const struct http_call *c);
void http_cancel(struct http *h, struct http_req *r); /* NULL is fine */

/* Percent-encode one path segment or query value. */
struct buf;
int http_escape(struct buf *out, const char *s);

#endif
