#ifndef SIM_NET_PRIV_H
#define SIM_NET_PRIV_H
/*
 * net_priv: a request on its way through the simulated network.
 *
 * net.c is the way there: hosts, latency, faults, the server's turn. net_back.c is the way back:
 * parcels (head, bytes, end) that arrive in order, deadlines, and the client's callbacks. A client
 * that cancels or is freed is only detached: what it sent still arrives.
 */
#include "base/mem.h"
#include "sim/net.h"

enum parcel_kind { PARCEL_HEAD, PARCEL_BYTES, PARCEL_END, PARCEL_FAIL };

struct parcel {
	struct parcel *next;
	struct http_req *r;
	struct timer *timer;
	enum parcel_kind kind;
	char *bytes;
	size_t len;
	struct err e;
};

struct server {
	struct server *next;
	char *pattern;
	struct apisim *api;
	net_handler_fn *fn;
	void *arg;
};

struct script {
	struct script *next;
	enum net_point_kind at;
	uint64_t seq;
	struct net_verdict verdict;
};

struct net {
	struct script *scripts; /* oldest first */
	struct net_conf conf;
	struct server *servers, *servers_end;
	struct http_req *first; /* all requests */
	struct http_req *carried;
	uint64_t seq;
};

struct net_http {
	struct http http; /* first: struct http * points here */
	struct net *net;
	char *who;
};

struct http_req {
	struct http_req *next;
	struct net *net;
	struct net_http *client; /* NULL once detached */
	char *who;
	uint64_t seq;
	int64_t sent_ms;
	char *method, *url, *host, *path, *query, *body, *content_type, *accept, *agent;
	size_t body_len;
	struct timer *leave, *deadline;
	struct parcel *parcels;
	int64_t last_due; /* later parcels never overtake earlier ones */
	int64_t total_ms, idle_ms;
	size_t max_body, received;
	bool mute;  /* nothing more arrives */
	bool ended; /* on_end was called, or never will be */
	int busy;   /* a callback of the client is on the stack */
	struct apisim *api;
	struct apisim_call *stream;
	struct net_verdict request_verdict;

	struct http_head head;
	bool have_head;
	struct http_header header[4];
	char *head_type, *head_warning;
	struct buf collected;
	void (*on_head)(void *arg, const struct http_head *h);
	int (*on_body)(void *arg, const char *chunk, size_t n, struct err *e);
	void (*on_end)(void *arg, const struct http_head *h, const char *body, size_t n,
		const struct err *e);
	void *arg;
};

int64_t net_latency(struct net *n);
struct net_verdict net_judge(struct http_req *r, enum net_point_kind kind, size_t len);

/* The way back. Each takes effect after `ms`, never before what was sent earlier. */
void back_head(struct http_req *r, int status, const char *type, const char *warning,
	int retry_after_s, int64_t ms);
void back_bytes(struct http_req *r, const char *bytes, size_t n, size_t piece, int64_t ms);
void back_end(struct http_req *r, int64_t ms);
void back_fail(struct http_req *r, enum err_code code, const char *why, int64_t ms);
void back_deadline(struct http_req *r, int64_t ms); /* counts from now */
void req_detach(struct http_req *r);                /* the client will hear nothing more */
void req_settle(struct http_req *r);                /* free it when nobody needs it */

#endif
