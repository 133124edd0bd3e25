#ifndef SIM_LIFE_H
#define SIM_LIFE_H
/*
 * life: one operator's place in a schedule: a process that dies at any moment and comes back.
 *
 * A crash frees the operator and its transport; what it sent is still under way. Each process has
 * an identity of its own ("operator-a-3"). Crashes happen from the loop, never inside a call of
 * the operator.
 */
#include "base/log.h"
#include "base/metric.h"
#include "base/rng.h"
#include "engine/operator.h"
#include "sim/net.h"

struct life {
	struct loop *loop;
	struct net *net;
	struct log *log;
	const struct vm_source *scripts; /* NULL: the embedded ones */
	size_t script_count;
	struct rng rng;
	char who[16];      /* the name on the network: "operator-a" */
	char identity[32]; /* of the process that runs */
	int generation;
	int64_t died_ms;
	bool over; /* does not come back */
	struct http *http;
	struct tikv_operator *op; /* NULL: dead */
	struct metrics *metrics;
	struct timer *timer;
	/* A process could not start, or ended by itself when it should not. */
	void (*on_error)(void *arg, const char *why);
	void *arg;
};

void life_start(struct life *l);
void life_crash_soon(struct life *l); /* at the next turn; it comes back within 5 s */
void life_end(struct life *l);        /* now, for good; a zeroed life is fine */

#endif
