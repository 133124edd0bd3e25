#ifndef SIM_OUTSIDE_H
#define SIM_OUTSIDE_H
/*
 * outside: everything that is not the operator: API server, nodes, kubelet, volumes, PD, TiKV.
 *
 * The playground runs it on the real loop, `simulate` on a virtual one. The CRDs of this binary are
 * installed and their rules enforced.
 */
#include "sim/actors.h"
#include "sim/admit.h"
#include "sim/apisim.h"
#include "sim/net.h"

struct outside {
	struct loop *loop;
	struct admit *admit;
	struct apisim *api;
	struct net *net;
	struct actors *actors;
	void (*committed)(void *arg, const struct apisim_commit *c);
	void *arg;
};

struct outside_conf {
	struct loop *loop;
	uint64_t seed;
	int nodes;
	bool attached; /* only PD and TiKV, for the pods of another API server */
	int64_t latency_min_ms, latency_max_ms;
	net_fault_fn *fault;
	int (*choose)(void *arg, int n, const char *site);
	void (*committed)(void *arg, const struct apisim_commit *c);
	void (*log)(void *arg, const char *line);
	void *arg;
};

int outside_init(struct outside *w, const struct outside_conf *c, struct err *e);
void outside_fini(struct outside *w);
void outside_reseed(struct outside *w, uint64_t seed); /* from now on another chance */
/* Create every document of a YAML text, in a namespace. */
int outside_apply(struct outside *w, const char *ns, const char *name, const char *yaml, size_t n,
	struct err *e);

#endif
