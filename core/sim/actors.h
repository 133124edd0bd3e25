#ifndef SIM_ACTORS_H
#define SIM_ACTORS_H
/*
 * actors: the simulated outside in Lua: kubelet, scheduler, volumes, garbage collector, PD, TiKV.
 *
 * One trusted LuaJIT state (all libraries but io, os and package.loadlib; JIT on) with the global
 * `sim`, documented in lua/types/sim.lua. Module sim.NAME (lua/sim/NAME.lua) returns a table with
 * start(conf). Callbacks come from the loop only. A Lua error in a callback is a defect of the
 * simulator: it goes to on_error, or aborts when there is none.
 *
 * All randomness comes through `choose`, all time through the loop: same answers, same run.
 */
#include "sim/apisim.h"
#include "sim/net.h"

struct actors;

struct actors_conf {
	struct loop *loop;
	struct apisim *api;
	struct net *net; /* may be NULL: sim.serve() raises */
	struct rng rng;  /* sim.uuid() */
	/* 1..n. site names the decision ("kubelet.start_delay"). NULL: from rng. */
	int (*choose)(void *arg, int n, const char *site);
	/* Source of "sim.kubelet" as text; NULL: the embedded lua/ files. */
	const char *(*source)(void *arg, const char *module, size_t *len);
	void (*log)(void *arg, const char *line); /* NULL: dropped */
	void (*on_error)(void *arg, const char *text);
	void *arg;
};

struct actors *actors_new(const struct actors_conf *c, struct err *e);
void actors_reseed(struct actors *a, struct rng rng);
void actors_free(struct actors *a); /* before apisim and net */
/* require("sim.NAME").start(conf); conf may be NULL. */
int actors_start(struct actors *a, const char *name, const cJSON *conf, struct err *e);
/* require("sim.NAME")[function](value), for faults and oracles ("kubelet", "crash_node", "n1").
 * *out may be NULL, else the first result (the caller frees). */
int actors_call(struct actors *a, const char *name, const char *function, const cJSON *value,
	cJSON **out, struct err *e);
/* The same with objects as further members of the value, shared like those of sim.request(). */
struct actors_member {
	const char *name;
	int64_t rv;
	const cJSON *object; /* NULL: left out */
};
int actors_call_with(struct actors *a, const char *name, const char *function, const cJSON *value,
	const struct actors_member *members, int n, cJSON **out, struct err *e);
/* Run a piece of Lua with the globals of the actors, for specs. */
int actors_eval(struct actors *a, const char *chunk, cJSON **out, struct err *e);

#endif
