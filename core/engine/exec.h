#ifndef ENGINE_EXEC_H
#define ENGINE_EXEC_H
/*
 * exec: performs a plan in order, re-checking before each action, stopping at the first failure.
 *
 * Before the first write of a pass that creates or destroys, the owning CR is read from the API
 * server (quorum): same uid, not older than the world's (R4). Then for each action: guard, send,
 * note the returned resourceVersion in `expect`. The status is written last, also when an action
 * failed; not when the lease is lost.
 *
 * exec_run() calls done exactly once, never before it returned, unless exec_cancel() came first.
 */
#include "base/log.h"
#include "engine/expect.h"
#include "engine/guard.h"
#include "engine/plan.h"
#include "kube/api.h"
#include "kube/event.h"
#include "pd/tikvview.h"

struct exec;
struct exec_run;

struct exec_conf {
	struct loop *loop;
	struct api *api;
	struct events *events;
	struct guard *guard;
	struct expect *expect;
	struct log *log;
	struct metrics *metrics;
	void *arg;
	struct pdview *(*pdview)(void *arg, const char *ns, const char *cluster);
	/* TiKV's own config API (tikv_config): where an instance answers, and who hears what came
	 * of a change. */
	void (*tikv_target)(
		void *arg, const char *ns, const char *instance, struct tikv_target *out);
	struct tikvview *(*tikvview)(void *arg);
	struct http *http;
};

struct exec_result {
	int done;       /* actions carried out */
	int failed;     /* index of the one that failed, -1: none */
	struct err err; /* why */
	bool refused;   /* by the guard */
	bool status_written;
	bool status_failed;
	int64_t pd_wrote; /* monotonic, when PD's last answer to a write came; 0: none was written
			   */
};

struct exec *exec_new(const struct exec_conf *c);
void exec_free(struct exec *x); /* cancels everything silently: a crash */
typedef void exec_done_fn(void *arg, const struct exec_result *r);
/* Takes the plan. write_status: send plan->status (the caller found that it differs and is due). */
struct exec_run *exec_start(struct exec *x, const char *key, const struct guard_subject *s,
	struct plan *own_plan, bool write_status, exec_done_fn *done, void *arg);
void exec_cancel(struct exec *x, struct exec_run *r);
int exec_active(const struct exec *x);

#endif
