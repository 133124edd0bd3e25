#ifndef KUBE_API_H
#define KUBE_API_H
/*
 * api: the verbs of one Kubernetes API server.
 *
 * Every call is asynchronous: `done` runs exactly once, never before the call returned, unless
 * api_cancel() came first. Errors carry codes from the server's Status (err.h) and its message.
 * Reads that answer 429 or 5xx with Retry-After are tried at most 10 times within the deadline
 * (T2); a read that answers 401 is repeated once with fresh credentials. Writes are never repeated
 * here: after ERR_TIMEOUT the outcome is unknown, and the caller decides anew from a newer world
 * (T4, T5).
 *
 * A write asks the gate at the moment of sending (E5): a lost lease refuses it with ERR_CANCELLED.
 * At most `max_writes` writes are on the wire; further ones queue, in order, and ask the gate when
 * they leave. One that did not leave within the deadline fails with ERR_UNAVAILABLE.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/rng.h"
#include "kube/ref.h"
#include "wire/cred.h"
#include "wire/http.h"
#include "wire/loop.h"

struct api;
struct api_call;

struct api_conf {
	struct loop *loop;
	struct http *http;
	const struct cred *cred;
	const char *server;        /* copied */
	const char *user_agent;    /* copied */
	const char *field_manager; /* "tikv-operator" */
	struct log *log;
	struct metrics *metrics;
	struct rng rng;
	const char *pool;   /* of the transport, copied; NULL: "" */
	int max_writes;     /* 0: 8 */
	int64_t timeout_ms; /* 0: 30000 */
	/* NULL, or asked before each write: 0, or -1 with *e (code ERR_CANCELLED if left empty). */
	int (*gate)(void *arg, struct err *e);
	void *gate_arg;
};

struct api *api_new(const struct api_conf *c);
void api_free(struct api *a); /* cancels everything silently */

/* body: the answer's tree, lent; NULL on error and for an empty answer. An answer that is not JSON
 * (a log, a health page) comes as one string. e is never NULL. `done` may free the api. */
typedef void api_done_fn(void *arg, const cJSON *body, const struct err *e);

struct api_call *api_get(
	struct api *a, enum kind k, const char *ns, const char *name, api_done_fn *done, void *arg);
struct api_call *api_create(struct api *a, enum kind k, const char *ns, const cJSON *object,
	api_done_fn *done, void *arg);
/* Server-side apply. sub NULL or "status". force takes fields over from other managers. The object
 * carries metadata.uid when it must not create (A3). */
struct api_call *api_apply(struct api *a, enum kind k, const char *ns, const char *name,
	const char *sub, const cJSON *object, bool force, api_done_fn *done, void *arg);
/* RFC 7386 merge patch. Put metadata.uid and metadata.resourceVersion into it as preconditions. */
struct api_call *api_merge(struct api *a, enum kind k, const char *ns, const char *name,
	const char *sub, const cJSON *patch, api_done_fn *done, void *arg);
/* PUT; refused (ERR_INVALID) when the object does not carry its resourceVersion (R6). */
struct api_call *api_update(struct api *a, enum kind k, const char *ns, const char *name,
	const char *sub, const cJSON *object, api_done_fn *done, void *arg);
/* Both preconditions are required (R5), else ERR_INVALID. grace < 0: the object's own. Dependents
 * are deleted in the background. */
struct api_call *api_delete(struct api *a, enum kind k, const char *ns, const char *name,
	const char *uid, const char *rv, int grace, api_done_fn *done, void *arg);
/* Any path, for discovery and verbs of the command line. body may be NULL. Writes ask the gate. */
struct api_call *api_raw(struct api *a, const char *method, const char *path,
	const char *content_type, const char *body, api_done_fn *done, void *arg);
void api_cancel(struct api *a, struct api_call *c); /* NULL is fine */
/* The lease is lost: end every write, queued or on the wire, with ERR_CANCELLED (E5). */
void api_drop_writes(struct api *a);

/* For the reflector: a GET whose body is streamed. Same endings as http.h. Not counted as a write.
 */
struct http_req *api_stream(struct api *a, const char *path_and_query, const char *pool,
	int64_t idle_ms, void (*on_head)(void *, const struct http_head *),
	int (*on_body)(void *, const char *, size_t, struct err *),
	void (*on_end)(void *, const struct http_head *, const char *, size_t, const struct err *),
	void *arg);
void api_stream_cancel(struct api *a, struct http_req *r);

/* Turn an HTTP status and a Status body (may be NULL or not JSON) into *e; 0 for 2xx. */
int api_status_error(int http_status, const char *body, size_t n, int retry_after_s, struct err *e);
void api_unauthorized(struct api *a); /* a stream answered 401: read the credentials again */
struct rng *api_rng(struct api *a);
struct loop *api_loop(struct api *a);
int api_open_calls(const struct api *a);

#endif
