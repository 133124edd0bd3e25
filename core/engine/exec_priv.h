#ifndef ENGINE_EXEC_PRIV_H
#define ENGINE_EXEC_PRIV_H
/*
 * exec_priv: one run of exec, shared by its sources.
 *
 * exec.c walks the plan; exec_kube.c sends what goes to the API server; exec_pd.c what goes to PD
 * and TiKV. Exactly one request of a run is under way. Each sender either starts a request that
 * ends in exec_step_done(), or returns -1 with *e filled and nothing started.
 */
#include "engine/exec.h"

struct exec_run {
	struct exec *x;
	struct exec_run *next, **prev;
	char *key, *cluster, *ns;
	struct obj *subject;
	char *subject_rv; /* of its version that status was computed from, our own writes since
			     included */
	struct plan *plan;
	int at;
	bool write_status, owner_seen, subject_gone;
	char **made; /* claims, proven ours by the answer */
	size_t made_n;
	struct exec_result result;
	exec_done_fn *done;
	void *arg;

	/* What is under way. */
	struct timer *timer;
	struct api_call *api;
	struct pd *pd;
	struct pd_call *pd_call;
	struct http_req *http;
	struct tikv_target tikv; /* of http */
};

struct exec {
	struct exec_conf conf;
	struct exec_run *runs;
	int active;
};

struct guard_subject exec_subject(const struct exec_run *r);
const struct action *exec_action(const struct exec_run *r);
/* The current action ended. Any later step happens in a turn of its own. */
void exec_step_done(struct exec_run *r, const struct err *e);

int exec_kube_send(struct exec_run *r, const struct action *a, struct err *e);
void exec_kube_status(struct exec_run *r);
void exec_kube_owner(struct exec_run *r); /* R4: the owner, from a quorum */
void exec_owner_done(struct exec_run *r, const struct err *e);
void exec_status_done(struct exec_run *r, const struct err *e);

int exec_pd_send(struct exec_run *r, const struct action *a, struct err *e);
int exec_tikv_send(struct exec_run *r, const struct action *a, struct err *e);

#endif
