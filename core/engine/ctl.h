#ifndef ENGINE_CTL_H
#define ENGINE_CTL_H
/*
 * ctl: routes events to keys, runs passes, maps verdicts to the queue.
 *
 * A pass: object -> needs -> world -> Lua -> plan -> exec. One pass per key at a time, at most
 * `max_active` on the wire in all. A pass begins only when caches are synced, the lease is held and
 * the key's own writes have been seen; after a write to PD that is the next answer, for 10 s at
 * most. It ends with a queue_end. Wake-ups of a key coalesce: at least 250 ms for groups and
 * clusters, up to 1.6 s for instances after passes in a row that did nothing, and 20 times the last
 * pass's cost, apart.
 */
#include "engine/exec.h"
#include "engine/queue.h"
#include "engine/record.h"
#include "engine/script.h"
#include "engine/world.h"

struct ctl;

struct ctl_conf {
	struct loop *loop;
	struct queue *queue;
	struct world *world;
	struct expect *expect;
	struct script *script;
	struct exec *exec;
	struct guard *guard; /* for dry runs */
	struct events *events;
	struct record *record;
	struct log *log;
	struct metrics *metrics;
	int max_active; /* 0: 8 */
	void *arg;
	struct store *(*store)(void *arg, enum kind k);
	bool (*may_run)(void *arg); /* lease held and all synced */
	void (*relist)(void *arg, enum kind k);
	void (*pd_busy)(void *arg, const char *ns, const char *cluster, const char *key, bool busy);
	/* Whether what is known of PD was asked at `mono_ms` or later; NULL: nothing waits for it.
	 */
	bool (*pd_since)(void *arg, const char *ns, const char *cluster, int64_t mono_ms);
	/* Monotonic microseconds a pass took; the simulator gives a constant. */
	int64_t (*cost_us)(void *arg);
};

struct ctl *ctl_new(const struct ctl_conf *c);
void ctl_free(struct ctl *c);                                                /* silently: a crash */
void ctl_event(struct ctl *c, const struct obj *old, const struct obj *now); /* store listener */
void ctl_pd_event(
	struct ctl *c, const char *ns, const char *cluster, const char *const *changed, size_t n);
void ctl_secret_event(struct ctl *c, const char *ns, const char *name);
void ctl_tikv_event(struct ctl *c, const char *ns, const char *instance); /* its settings */
void ctl_kick(struct ctl *c); /* may_run may have turned true, or time has come */
void ctl_everything(struct ctl *c, const char *reason); /* queue every object of ours */
/* Stop starting passes; call done when the running ones have ended (shutdown drains, K7). */
void ctl_drain(struct ctl *c, void (*done)(void *arg), void *arg);
bool ctl_idle(const struct ctl *c); /* no pass active and none due now */

/* Dry run of one object: world, plan and guard verdicts, nothing sent. The caller frees. */
cJSON *ctl_dry_run(struct ctl *c, enum kind k, const char *ns, const char *name, struct err *e);

#endif
