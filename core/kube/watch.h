#ifndef KUBE_WATCH_H
#define KUBE_WATCH_H
/*
 * watch: the reflector: keeps one store equal to what the API server has.
 *
 * WatchList first (S1-S3), paged LIST where it is not offered (L1-L8), then a WATCH that is resumed
 * from the last resourceVersion (W1-W14), back-off with jitter (B1, B2), at most two LISTs of all
 * reflectors in flight (B3). The rules are the checklist in core/README.md, one spec each.
 *
 * Two kinds of failure: what only the stream suffers from is resumed from the last
 * resourceVersion, the rest leads to a list (verdict.h). The first list of a process and the ones
 * of watch_relist() and the audit are quorum reads; the others are not older than what was seen
 * (L1). A stream that ends at once three times leads to a list; a streaming list that does not come
 * to its end three times leads to a paged one.
 *
 * The store outlives its reflector, and so do the api and the limit. Callbacks and listeners of the
 * store must not free the reflector.
 *
 * A complete list replaces the store atomically; a partial one is thrown away. A 404 or 403 on the
 * collection never empties a store: the reflector says why and retries slowly (T6).
 */
#include "kube/api.h"
#include "kube/store.h"

enum watch_state {
	WATCH_IDLE,      /* not started, or stopped */
	WATCH_LISTING,   /* collecting a complete list; readers still see the old one */
	WATCH_STREAMING, /* applying events */
	WATCH_BACKOFF,   /* the stream broke: waiting to resume from the same resourceVersion */
	WATCH_EXPIRED,   /* 410: waiting to list again */
	WATCH_DENIED,    /* 403 or 404 on the collection: slow retry, store untouched */
};

struct watch;
struct watch_lists; /* the shared limit on LISTs in flight */

struct watch_conf {
	struct api *api;
	struct store *store;
	struct watch_lists *lists;
	const char *ns;             /* "" or NULL: all */
	const char *label_selector; /* or NULL */
	const char *field_selector; /* or NULL */
	bool no_watchlist;          /* tests: paged LIST only */
	int64_t relist_ms;          /* audit by a fresh list each so often (Q4); 0: 8 h */
	struct log *log;
	struct metrics *metrics;
	void (*on_synced)(void *arg); /* first complete list is in the store; may be NULL */
	void *arg;
};

struct watch_lists *watch_lists_new(int in_flight);
void watch_lists_free(struct watch_lists *l);
struct watch *watch_new(const struct watch_conf *c);
void watch_free(struct watch *w);
void watch_start(struct watch *w);
void watch_relist(struct watch *w); /* quorum list now, e.g. when an own write stays unseen (R1) */
enum watch_state watch_state(const struct watch *w);
const char *watch_trouble(const struct watch *w); /* last error text, "" when fine */

#endif
