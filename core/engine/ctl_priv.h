#ifndef ENGINE_CTL_PRIV_H
#define ENGINE_CTL_PRIV_H
/*
 * ctl_priv: what routing (ctl.c), passes (ctl_pass.c) and verdicts (ctl_end.c) share.
 */
#include "engine/ctl.h"

struct ctl_key { /* what is remembered of one object between passes */
	enum kind kind;
	char *ns, *name;
	cJSON *last;        /* outcome for the next world, NULL: all went well */
	char *status;       /* digest of the status last written by us */
	int64_t status_due; /* when a delayed status write is due, -1: none */
	int faults;         /* of the script, in a row */
	bool held;          /* popped while its own writes were unseen */
	int quiet;          /* passes in a row that did nothing */
	char *pd_cluster; /* the Cluster whose PD it wrote to, until PD was asked again, or NULL */
	int64_t pd_wrote;
	char *busy;  /* the Cluster whose PD it wants polled quickly, or NULL */
	char text[]; /* "TiKV/ns/name" */
};

struct pass {
	struct ctl *c;
	struct pass *next, **prev;
	struct ctl_key *key;
	struct obj *object;
	char *cluster;
	struct exec_run *run;
	int actions;
	enum action_kind *action;
	char *status; /* canonical, when this pass writes it */
	enum verdict verdict;
	double after;
	bool cut;
};

struct ctl {
	struct ctl_conf conf;
	struct map *keys; /* text -> struct ctl_key */
	struct pass *passes;
	int active;
	struct timer *timer, *expect_timer;
	int64_t timer_at, relist_next;
	bool running, draining;
	struct timer *drained_timer;
	void (*drained)(void *arg);
	void *drained_arg;
};

/* ctl.c */
struct ctl_key *ctl_key_get(struct ctl *c, const char *text); /* makes it; NULL: no key of ours */
void ctl_key_forget(struct ctl *c, struct ctl_key *k);
char *ctl_cluster_of(const struct obj *o, const cJSON *tree); /* name of its Cluster, malloc'ed */
void ctl_arm(struct ctl *c);
void ctl_pass_over(struct ctl *c); /* one pass fewer */
int64_t ctl_now(const struct ctl *c);
char *ctl_digest(const cJSON *tree); /* of its canonical text, malloc'ed */

/* ctl_pass.c: run a popped key; it ends in queue_done(), now or later. */
void ctl_pass_start(struct ctl *c, struct ctl_key *k, const char *reason);
/* Carry the plan out (it is taken), or end the pass at once when there is nothing to send. */
void ctl_pass_perform(struct ctl *c, struct ctl_key *k, const struct obj *o, struct plan *own_plan,
	bool status, exec_done_fn *done);
char **ctl_policies(struct ctl *c, const struct obj *o, const cJSON *tree); /* NULL ends */
void ctl_policies_free(char **refs);

/* ctl_end.c */
void ctl_end_script(struct ctl *c, struct ctl_key *k, const struct obj *o, const struct err *e,
	const char *what);
void ctl_end_exec(void *arg, const struct exec_result *r); /* arg: struct pass */
void ctl_end_verdict(struct pass *p);
void ctl_pass_free(struct pass *p);
void ctl_count(struct ctl *c, enum kind k, const char *result);

#endif
