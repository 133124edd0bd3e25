#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H
/*
 * schedule: one simulated life of a cluster: operations under faults, then quiet, then judgement.
 *
 * A world is a whole outside in virtual time with examples/basic applied, and the shipped operator
 * against it. It is made without a seed, and each seed then goes its own way from it: people and
 * fate change the cluster (sim/operations.h) while faults happen (sim/faults.h); then faults stop,
 * and everything must converge (L1), stay quiet (S20), and be taken over when the leader dies (L8).
 * Every request is judged (sim/judge.h), and after every committed write lua/sim/oracle.lua judges
 * the true state. Same seed, same hash.
 *
 * A world lives through one schedule. Who wants many makes one world and forks (app/fleet.h).
 */
#include "sim/faults.h"
#include "vm/vm.h"

struct schedule;

enum schedule_start { SCHEDULE_EMPTY, SCHEDULE_FOUNDED, SCHEDULE_STARTS };

struct schedule_world {
	enum schedule_start start; /* before the operator's first pass, or with everything up */
	const struct vm_source *scripts; /* NULL: the embedded ones */
	size_t script_count;
	bool trace; /* the operator's log is wanted */
};

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

struct schedule *schedule_new(const struct schedule_world *w, struct err *e);
/* Once. A world that did not come up is red, whatever the seed. */
void schedule_run(struct schedule *s, const struct schedule_conf *c, struct schedule_result *r);
void schedule_free(struct schedule *s);
/* Where a seed begins: most in a founded world, some in an empty one, so that founding meets every
 * fault. */
enum schedule_start schedule_start_of(uint64_t seed);

#endif
