#ifndef SIM_NET_H
#define SIM_NET_H
/*
 * net: the in-process network: struct http_ops against apisim and virtual hosts.
 *
 * A request leaves at send, reaches its server after a latency, and its answer comes back after
 * another; all through the loop, so that nothing is called back before http_send() returned. The
 * server acts when the request arrives: a client that cancels or times out in between has an
 * unknown outcome, as in life. Answers keep their order within one request.
 *
 * At each point the fault callback may decide what goes wrong; without one everything works.
 */
#include "base/buf.h"
#include "base/rng.h"
#include "sim/apisim.h"
#include "wire/http.h"

struct net;

enum net_point_kind {
	NET_AT_REQUEST, /* about to leave the client */
	NET_AT_ANSWER,  /* the server answered; body_len is known unless it is a stream */
	NET_AT_CHUNK,   /* some bytes of a stream are about to travel */
};

struct net_point {
	enum net_point_kind kind;
	const char *who; /* the client's name, as given to net_http_new() */
	const char *method, *host, *path, *query; /* host with port when the URL has one */
	uint64_t seq;                             /* number of the request in this net */
	bool stream;
	const char *content_type, *body; /* of the request; body NULL: none */
	size_t body_len;
	int64_t sent_ms;
	int status; /* at ANSWER and CHUNK */
	size_t len; /* bytes of the answer or chunk */
};

enum net_fault {
	NET_PASS,
	NET_REFUSE, /* REQUEST: never reaches the server, ERR_UNAVAILABLE */
	NET_HANG,  /* nothing more arrives: the client's deadline ends it (at REQUEST it is lost, at
		      ANSWER and CHUNK the server has acted) */
	NET_RESET, /* ANSWER, CHUNK: cut_at bytes arrive, then ERR_UNAVAILABLE */
	NET_STATUS, /* REQUEST: `status` is answered and the server never sees it; ANSWER: instead
		       of the real answer */
	NET_DUPLICATE, /* REQUEST: arrives twice, the second answer is dropped */
	NET_EOF,       /* CHUNK: cut_at bytes arrive, then the stream ends as if it were complete */
};

struct net_verdict {
	enum net_fault fault;
	int64_t delay_ms; /* added to the latency, also for NET_PASS */
	size_t cut_at;    /* how many bytes still arrive */
	size_t piece;     /* > 0: bytes arrive in pieces of at most this size */
	int status;
	int retry_after_s;
};

typedef struct net_verdict net_fault_fn(void *arg, const struct net_point *p);

struct net_conf {
	struct loop *loop;
	struct rng rng;
	int64_t latency_min_ms, latency_max_ms; /* one way */
	net_fault_fn *fault;                    /* may be NULL */
	void *arg;
};

/* A virtual host's handler: fills *out before it returns. */
struct net_in {
	const char *who, *method, *host, *path, *query, *body, *content_type;
	size_t body_len;
};
struct net_out {
	int status;               /* 0: no such server, ERR_UNAVAILABLE; -1: never answers */
	const char *content_type; /* static or living until the handler is called again */
	struct buf body;
	int64_t delay_ms;
};
typedef void net_handler_fn(void *arg, const struct net_in *in, struct net_out *out);

struct net *net_new(const struct net_conf *c);
void net_reseed(struct net *n, struct rng rng);
void net_free(struct net *n); /* after all its clients */
/* `pattern` is "host" or "host:port", '*' matches any run of characters; the first match wins. */
void net_serve_api(struct net *n, const char *pattern, struct apisim *a);
void net_serve(struct net *n, const char *pattern, net_handler_fn *fn, void *arg);
void net_unserve(struct net *n, net_handler_fn *fn, void *arg); /* all hosts of that handler */
/* One client. Freeing it drops what is under way without a callback: a crash. */
struct http *net_http_new(struct net *n, const char *who);
void net_http_free(struct http *h);
/* The request that a server is carrying out right now, for judges of its writes; false: none. */
bool net_carrying(const struct net *n, struct net_point *out);
size_t net_in_flight(const struct net *n);
uint64_t net_requests(const struct net *n);
/* What happens at the next point of that kind (of request seq; 0: of any), before the callback is
 * asked. Once; any number may wait. */
void net_script(struct net *n, enum net_point_kind at, uint64_t seq, const struct net_verdict *v);
/* Break every stream of a client (NULL: of all) now, with ERR_UNAVAILABLE. */
void net_cut_streams(struct net *n, const char *who);
/* Ask a virtual host at once, without latency and faults; false when nobody serves it. */
bool net_ask(struct net *n, const struct net_in *in, struct net_out *out);

#endif
