#ifndef WIRE_HTTPD_H
#define WIRE_HTTPD_H
/*
 * httpd: an HTTP or HTTPS server on evhttp.
 *
 * For health and metrics, and for the playground's API server. A handler answers at once with
 * httpd_reply(), or keeps the request and streams: httpd_start, httpd_chunk ..., httpd_finish.
 * When the peer goes away, or httpd_free() ends it, on_gone runs once and the request is dead. A
 * stream whose reader leaves more than 64 MiB unread is dropped; on_gone runs at the next turn.
 * Bodies above max_body are answered 413 before the handler runs. gzip is not used.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/http.h"
#include "wire/loop.h"

struct httpd;
struct httpd_req;

struct httpd_in { /* borrowed during the handler */
	const char *method, *path,
		*query;   /* path decoded by nobody; query without '?', "" if none */
	const char *host; /* the Host header, "" if none */
	const char *body;
	size_t body_len;
	const char *peer_cn; /* common name of the client certificate, or NULL */
	const char *(*header)(const struct httpd_in *in, const char *lower_name); /* or NULL */
	void *impl;
};
typedef void httpd_fn(void *arg, struct httpd_req *r, const struct httpd_in *in);

struct httpd_tls { /* PEM texts, copied */
	const char *cert, *key,
		*client_ca; /* client_ca NULL: client certificates are not asked for */
};

/* addr "127.0.0.1", port 0 = any. NULL on error ("127.0.0.1:8080: address already in use"). */
struct httpd *httpd_new(struct loop *event_loop, const char *addr, int port,
	const struct httpd_tls *tls, size_t max_body, httpd_fn *fn, void *arg, struct err *e);
void httpd_free(struct httpd *d); /* closes the listener and every connection */
int httpd_port(const struct httpd *d);
size_t httpd_held(const struct httpd *d); /* requests not answered completely yet */

void httpd_reply(struct httpd_req *r, int status, const struct http_header *header, int headers,
	const char *content_type, const char *body, size_t n);
void httpd_start(struct httpd_req *r, int status, const char *content_type);
void httpd_chunk(struct httpd_req *r, const char *bytes, size_t n);
void httpd_finish(struct httpd_req *r);
void httpd_on_gone(struct httpd_req *r, void (*on_gone)(void *arg), void *arg);

/* A self-signed CA and a certificate for the given names and addresses (NULL-terminated), PEM,
 * malloc'ed. It serves for servers and for clients; its common name is the first name. */
int httpd_make_certs(const char *const *names, char **ca, char **cert, char **key, struct err *e);

#endif
