#ifndef APP_WORLD_SIM_H
#define APP_WORLD_SIM_H
/*
 * world_sim: a whole simulated outside: API server, nodes, kubelet, volumes, PD and TiKV.
 *
 * The playground runs it on the real loop, `simulate` on a virtual one. The CRDs of this binary are
 * installed and their rules enforced.
 */
#include "sim/actors.h"
#include "sim/admit.h"
#include "sim/apisim.h"
#include "sim/net.h"

struct world_sim {
	struct loop *loop;
	struct admit *admit;
	struct apisim *api;
	struct net *net;
	struct actors *actors;
};

struct world_sim_conf {
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

int world_sim_init(struct world_sim *w, const struct world_sim_conf *c, struct err *e);
void world_sim_fini(struct world_sim *w);
/* Create every document of a YAML text, in a namespace. */
int world_sim_apply(struct world_sim *w, const char *ns, const char *name, const char *yaml,
	size_t n, struct err *e);

#endif
