#ifndef WIRE_HTTP_CURL_PRIV_H
#define WIRE_HTTP_CURL_PRIV_H
/*
 * http_curl_priv: what the two halves of http_curl share.
 *
 * http_curl.c owns pools, sockets and the life of requests; http_curl_call.c turns an http_call
 * into curl options and an answer into an http_head or an error.
 *
 * A request is in exactly one list of its pool: QUEUED (http_send returned, curl does not know it
 * yet), ACTIVE (curl works on it), DEAD (cancelled while curl was on the stack; freed at the next
 * turn), or in none while it ENDS.
 */
#include <sys/queue.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "wire/http.h"
#include "wire/loop.h"

enum call_state { CALL_QUEUED, CALL_ACTIVE, CALL_DEAD, CALL_ENDING };

struct pool;

/* One "HOST:PORT:ADDR:PORT" rule; an empty host or port 0 matches any, an empty addr or to_port 0
 * keeps what the URL says. */
struct connect_rule {
	char *host, *addr;
	int port, to_port;
};

struct http_req {
	TAILQ_ENTRY(http_req) link;
	struct pool *pool;
	enum call_state state;
	uint64_t seq;

	CURL *easy;
	struct curl_slist *headers, *connect_to;
	char *what; /* "GET https://host/path", for messages */
	char *request_body;
	size_t request_len, request_at;
	char error_text[CURL_ERROR_SIZE];

	const struct cred *cred;
	struct loop *loop;
	bool stream;
	int64_t total_ms, idle_ms, last_byte;
	struct timer *deadline; /* total, and after the headers of a stream: silence */
	size_t max_body, received;
	void (*on_head)(void *arg, const struct http_head *h);
	int (*on_body)(void *arg, const char *chunk, size_t n, struct err *e);
	void (*on_end)(void *arg, const struct http_head *h, const char *body, size_t n,
		const struct err *e);
	void *arg;

	struct err fail; /* set by us or by a callback; wins over curl's own reason */
	bool have_head;
	struct http_head head;
	struct http_header *fields;
	struct buf field_text; /* name NUL value NUL ... */
	int field_count;
	struct buf body;
};

/* Does it carry a body over TLS? Those go over HTTP/1.1, on connections of their own: when a server
 * answers over HTTP/2 before it read the body, as a kube-apiserver does with 401, 403 and 429,
 * libcurl (7.88) loses the answer. */
bool call_uploads(const struct http_call *c);
/* The easy handle with everything set. r->fail is filled when the call can not be made. */
void call_prepare(struct http_req *r, const struct http_call *c, const struct connect_rule *rules,
	size_t rule_count, const struct cred *cred);
void call_forget(struct http_req *r); /* free all that belongs to the request */
/* Turn curl's result into r->fail, which stays ERR_NONE on success. */
void call_result(struct http_req *r, CURLcode code);
/* The time is over: fills r->fail with the code that fits how far it came. */
void call_timed_out(struct http_req *r);

/* In http_curl.c. */
bool req_is_dead(const struct http_req *r); /* cancelled from inside a callback */
void req_deadline(void *req);               /* the timer function of r->deadline */

#endif
