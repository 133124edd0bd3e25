#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H
/*
 * schedule: one simulated life of a cluster: operations under faults, then quiet, then judgement.
 *
 * From a seed: a whole outside in virtual time and the shipped operator against it. The cluster of
 * examples/basic is applied; people and fate change it (sim/operations.h) while faults happen
 * (sim/faults.h); then faults stop, and everything must converge (L1), stay quiet (S20), and be
 * taken over when the leader dies (L8). Every request is judged (sim/judge.h), and after every
 * committed write lua/sim/oracle.lua judges the true state. Same seed, same hash.
 */
#include "sim/faults.h"
#include "vm/vm.h"

struct schedule_conf {
	uint64_t seed;
	bool no_faults;
	/* Leave these out, to find what a failure really needs; all zero: everything happens. */
	struct schedule_without {
		uint64_t kinds;             /* bit per enum fault */
		uint64_t operations;        /* bit n: operation n */
		uint64_t hits[FAULT_COUNT]; /* bit n: hit n of that kind */
	} without;
	/* > 0: the operator dies right after its n-th committed write, before the answer. */
	int crash_after_write;
	const struct vm_source *scripts; /* NULL: the embedded ones */
	size_t script_count;
	void (*log)(void *arg, const char *line); /* NULL: silent */
	void *arg;
};

struct schedule_result {
	bool ok;
	char why[600];      /* "S1: ..." when not ok */
	uint64_t hash;      /* of all committed writes, in order */
	int writes;         /* committed by operators */
	double virtual_s;   /* until it converged */
	double takeover_s;  /* until somebody acted after the leader's death; 0: not tried */
	int operations;     /* drawn */
	uint64_t faults_on; /* which kinds were in the swarm */
	uint64_t hits[FAULT_COUNT];
};

int schedule_run(const struct schedule_conf *c, struct schedule_result *r, struct err *e);

#endif
