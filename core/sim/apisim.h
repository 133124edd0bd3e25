#ifndef SIM_APISIM_H
#define SIM_APISIM_H
/*
 * apisim: a Kubernetes API server in memory.
 *
 * The same code serves the simulator (through sim/net.h, in virtual time), specs and the playground
 * (through sim/apiserve.h, where kubectl talks to it). It aims to answer as kube-apiserver does:
 * spec/conformance holds both to one table of cases.
 *
 * Every request but a watch is carried out and answered before apisim_request() returns; it returns
 * NULL then. A watch answers its head and returns a handle; its events come later, from the loop,
 * so that a writer is never called back in the middle of its write. The handle is dead after
 * on_end, or after apisim_cancel(). Callers that want latency or faults put sim/net.h in between.
 *
 * Objects are immutable versions with one global resourceVersion. Each resource keeps a ring of its
 * last events for watches; what fell out of it, or was compacted, answers 410.
 *
 * What it does not do: authentication and authorization (every user may do everything), webhooks,
 * API conversion (each kind has one stored version, served versions of a CRD are the same object),
 * garbage collection and namespace emptying (those are actors, lua/sim/gc.lua).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "format/json.h"
#include "wire/loop.h"

struct apisim;
struct apisim_call;

/* What is asked of the admit hook: validate, default and prune one custom resource. */
struct apisim_admit {
	const char *kind, *group, *version;
	const char *operation;   /* "CREATE" or "UPDATE" */
	const char *subresource; /* "" or "status" */
	const cJSON *schema;     /* openAPIV3Schema of the version */
	const cJSON *old;        /* NULL when creating */
	bool prune_only;         /* default and prune, do not judge (apply's configuration) */
};

/* One committed write, for oracles. Trees are lent. old NULL: created; now NULL: removed. */
struct apisim_commit {
	const char *resource; /* "pods", "tikvs.core.tikv.org" */
	const char *ns, *name, *user, *manager, *subresource;
	const cJSON *old, *now;
	int64_t rv, old_rv;
	const char *text; /* of now, or of what was removed */
	size_t len;
};

struct apisim_hooks {
	/* Change *object in place (or replace it). Add {field, reason, message} objects to causes
	 * for each violation (reason as FieldValueInvalid), and texts of unknown fields that were
	 * pruned to unknown ("spec.foo"). Returns 0, or -1 with *e when it could not judge:
	 * answered 500. */
	int (*admit)(void *arg, const struct apisim_admit *in, cJSON **object, cJSON *causes,
		cJSON *unknown, struct err *e);
	/* After each write, before anybody else learns of it. Must not make requests. */
	void (*committed)(void *arg, const struct apisim_commit *c);
	void *arg;
};

struct apisim_conf {
	struct loop *loop;
	struct rng rng; /* uids, generated names */
	struct apisim_hooks hooks;
	size_t history;      /* events kept per resource; 0: 1000 */
	int64_t bookmark_ms; /* between bookmarks; 0: 60000 */
	const char *version; /* gitVersion; NULL: "v1.36.3" */
};

struct apisim_req {
	const char *method, *path;         /* path may be percent-encoded */
	const char *query;                 /* without '?'; NULL or "": none */
	const char *content_type, *accept; /* may be NULL */
	const char *body;
	size_t body_len;
	const cJSON *tree;      /* the body by reference, instead */
	const char *user;       /* NULL: "sim" */
	const char *user_agent; /* default field manager is its part before '/' */
	/* All may be NULL. warning: text of a Warning header, or NULL. */
	void (*on_head)(void *arg, int status, const char *content_type, const char *warning);
	void (*on_chunk)(void *arg, const char *bytes, size_t n);
	void (*on_end)(void *arg);
	/* A watch by reference, instead of on_chunk. type as in the stream; object is lent, NULL
	 * for a BOOKMARK, for ERROR, and for SYNCED, which ends the initial events. */
	void (*on_event)(void *arg, const char *type, int64_t rv, const cJSON *object);
	void *arg;
};

struct apisim *apisim_new(const struct apisim_conf *c);
void apisim_reseed(struct apisim *a, struct rng rng);
void apisim_free(struct apisim *a); /* open watches are dropped without on_end */
/* A copy of all objects, sharing their texts, without watches: a snapshot to start runs from. */
struct apisim *apisim_clone(const struct apisim *from, const struct apisim_conf *c);

struct apisim_call *apisim_request(struct apisim *a, const struct apisim_req *r);
void apisim_cancel(struct apisim *a, struct apisim_call *c); /* NULL is fine */

/* The same at once, for actors and specs: *answer is a malloc'ed text. Returns the HTTP status. A
 * watch is answered with 400. */
int apisim_do(struct apisim *a, const char *method, const char *path_and_query, const char *body,
	const char *content_type, const char *user, char **answer);

/* Store an object of another server as it is, uid included, or remove it; no rule is applied. -1:
 * unknown resource. For mirrors (`playground --attach`). */
int apisim_mirror(struct apisim *a, const char *resource, const cJSON *object, bool removed);

int64_t apisim_rv(const struct apisim *a); /* of the newest write */
/* Forget history up to rv (0: all of it): older watches and continue tokens answer 410. */
void apisim_compact(struct apisim *a, int64_t rv);
/* End every open watch, as a server that restarts: cleanly, or with an ERROR event of that status.
 */
void apisim_drop_watches(struct apisim *a, int error_status);
size_t apisim_watches(const struct apisim *a);
/* Live object as JSON text, lent until the next write; NULL when absent. resource as in
 * apisim_commit. */
const char *apisim_object(const struct apisim *a, const char *resource, const char *ns,
	const char *name, size_t *len);
/* Every live object of a resource in key order. */
void apisim_each(const struct apisim *a, const char *resource,
	void (*fn)(void *arg, const cJSON *object), void *arg);
/* What GET of a path without query answers, by reference: the object, or all of a collection in key
 * order, each with its resourceVersion; lent until the next write. Returns the status. */
int apisim_look(struct apisim *a, const char *path, bool *collection,
	void (*fn)(void *arg, int64_t rv, const cJSON *object), void *arg);
/* Hash of all live objects, for determinism checks. */
uint64_t apisim_hash(const struct apisim *a);

#endif
