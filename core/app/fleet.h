#ifndef APP_FLEET_H
#define APP_FLEET_H
/*
 * fleet: many schedules, each in a child process that starts from one world made here.
 *
 * Making a world and founding a cluster in it costs more than a schedule; fork() copies both for
 * next to nothing. Answers come through pipes, in no order. A child that dies is a red schedule.
 */
#include "sim/schedule.h"

struct fleet;

struct fleet_conf {
	int jobs; /* children at a time; 0: none, every schedule makes its own world here */
	const struct vm_source *scripts; /* NULL: the embedded ones */
	size_t script_count;
	bool trace;
	void (*done)(void *arg, const struct schedule_conf *c, const struct schedule_result *r);
	void *arg;
};

struct fleet *fleet_new(const struct fleet_conf *c);
void fleet_free(struct fleet *f); /* what still runs is stopped */
/* Start one when there is a place; `done` may be called for others meanwhile. */
int fleet_send(
	struct fleet *f, enum schedule_start start, const struct schedule_conf *c, struct err *e);
int fleet_wait(struct fleet *f, struct err *e); /* until all are done */
/* One, now; `done` is not called. Not while others run. */
int fleet_ask(struct fleet *f, enum schedule_start start, const struct schedule_conf *c,
	struct schedule_result *r, struct err *e);

#endif
