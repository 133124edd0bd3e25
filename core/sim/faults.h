#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H
/*
 * faults: what may go wrong in a schedule, as switches in one list.
 *
 * A swarm: each schedule turns on a random part of the list, so that faults do not always drown
 * each other. faults_verdict() is the network's fault callback; the other kinds are carried out by
 * schedule.c. After faults_stop() everything works.
 */
#include "base/rng.h"
#include "sim/net.h"

#define FAULTS(_)                                                                             \
	_(API_ERROR, "a request is answered 500")                                             \
	_(API_BUSY, "a request is answered 429 with Retry-After")                             \
	_(API_CONFLICT, "a write is answered 409 and not carried out")                        \
	_(API_DENIED, "a webhook or quota refuses writes of one kind for a while (403, 422)") \
	_(API_REFUSED, "the API server refuses connections for a request")                    \
	_(ANSWER_LOST, "a write is carried out, its answer is lost")                          \
	_(WRITE_LATE, "a write is carried out up to a minute late")                           \
	_(ANSWER_LATE, "a request or answer takes seconds")                                   \
	_(WATCH_CUT, "a watch breaks at any byte")                                            \
	_(WATCH_SLOW, "a watch delivers seconds late")                                        \
	_(WATCH_GONE, "history is compacted: watches answer 410")                             \
	_(PIECES, "bodies arrive in small pieces")                                            \
	_(PD_ERROR, "PD answers 500 or HTML")                                                 \
	_(PD_AWAY, "PD does not answer")                                                      \
	_(OPERATOR_CRASH, "the operator dies and comes back")                                 \
	_(OPERATOR_PAIR, "a second operator runs beside it")                                  \
	_(POD_KILLED, "the program of a pod dies")                                            \
	_(POD_DELETED, "somebody deletes a pod")                                              \
	_(NODE_CRASH, "a node loses power for a while")                                       \
	_(LOSS, "a disk or node is lost for good, a node or zone for minutes")                \
	_(MEDDLING, "a person edits and deletes what the operator made")

#define FAULT_NAME(name, text) FAULT_##name,
enum fault { FAULTS(FAULT_NAME) FAULT_COUNT };
#undef FAULT_NAME

struct faults {
	struct rng rng[FAULT_COUNT]; /* one each: leaving a kind out does not move the others */
	uint64_t on;                 /* bit per enum fault */
	bool stopped;                /* nothing goes wrong any more, but a dead PD stays dead */
	bool pd_dead;
	uint64_t hits[FAULT_COUNT];
	const uint64_t *skip; /* per kind, bit n: its hit n does not happen; may be NULL */
	struct loop *loop;
	char denied[64]; /* plural whose writes are refused */
	int64_t denied_until;
};

void faults_init(struct faults *f, struct loop *loop, struct rng rng);
bool faults_roll(struct faults *f, enum fault kind, int one_in); /* on, and this time */
struct net_verdict faults_verdict(void *faults, const struct net_point *p);
const char *fault_name(enum fault kind);

#endif
