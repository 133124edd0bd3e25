#ifndef WIRE_HTTP_CURL_H
#define WIRE_HTTP_CURL_H
/*
 * http_curl: the real transport: libcurl's multi interface driven by libevent.
 *
 * HTTP/2 over TLS when the server offers it, else HTTP/1.1 keep-alive; gzip; at most 32 connections
 * per pool and host. Requests with a body use HTTP/1.1, on connections of their own, because
 * libcurl loses answers that come over HTTP/2 before the body was read (401, 403, 429). TCP
 * keep-alive and TCP_USER_TIMEOUT of 30 s notice a dead peer within a minute (libcurl sends no
 * HTTP/2 pings for a multi handle); a peer that only hangs is idle_ms's business. Pools are
 * separate multi handles, so the lease never queues behind a LIST. Requests of one pool with
 * different TLS material do not share connections either. Idle pools are closed after 90 s.
 *
 * Needs the real loop. Each http_send() reads its cred, which may read files and, with an exec
 * plug-in, take up to 10 s. Proxies come from the cred or the environment (HTTPS_PROXY, NO_PROXY),
 * never for the loopback. A POST with a body is sent once only; other methods may be sent again
 * when a kept connection turns out to be dead and no byte of an answer came.
 */
#include "wire/http.h"
#include "wire/loop.h"

/* connect_to: NULL-terminated list of curl's "HOST:PORT:ADDR:PORT" rules, applied to requests of
 * pools whose name starts with "pd" only. Checked here; NULL on error. */
struct http *http_curl_new(struct loop *event_loop, const char *const *connect_to, struct err *e);
/* Cancels what is under way. Not from a callback of a request. */
void http_curl_free(struct http *h);
/* Close idle connections and use new credentials for new ones (certificate or CA rotation). */
void http_curl_refresh(struct http *h);
size_t http_curl_open(const struct http *h); /* requests under way */

#endif
