#ifndef KUBE_LEASE_H
#define KUBE_LEASE_H
/*
 * lease: leader election on one coordination.k8s.io/v1 Lease (E1-E11).
 *
 * lease_valid_ms() tells how much longer writing is safe: counted from before the last successful
 * renewal was sent, by the monotonic clock that includes suspend. It is the write gate. Another
 * holder is believed dead only when its record has not changed, as seen here, for its own duration.
 * lease_release() gives the lease back (a successor leads at once); call it after all writes ended.
 *
 * A lost lease is never taken again by the same process: on_lose runs once (it may free the lease),
 * and the process stops writing and exits. This is no fence: a request on the wire may still commit
 * under the next leader (E6), which only preconditions make harmless. The identity must be unique
 * per process (E8): pod name and a random part.
 */
#include "kube/api.h"

struct lease;

struct lease_conf {
	struct loop *loop;
	struct http *http; /* requests use the pool "lease" (C8) */
	const struct cred *cred;
	const char *server, *ns, *name, *identity; /* copied */
	int64_t duration_ms, renew_ms, retry_ms;   /* 0: 15 s, 10 s, 2 s */
	struct rng rng;
	struct log *log;
	void (*on_gain)(void *arg);
	void (*on_lose)(void *arg, const char *why);
	void *arg;
};

struct lease *lease_new(const struct lease_conf *c, struct err *e); /* refuses impossible times */
void lease_free(struct lease *l);
void lease_start(struct lease *l);
bool lease_held(const struct lease *l);
int64_t lease_valid_ms(const struct lease *l);   /* > 0: safe to write for that long */
const char *lease_holder(const struct lease *l); /* as last observed, "" unknown */
/* How long ago the last renewal ran out by its full duration; 0 for a follower. Unhealthy above
 * 20 s (E10). */
int64_t lease_overdue_ms(const struct lease *l);
/* done runs once, at most renew_ms later, whether the server heard of it or not. No on_lose. */
void lease_release(struct lease *l, loop_fn *done, void *arg);

#endif
