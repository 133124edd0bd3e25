#ifndef WIRE_LOOP_EVENT_H
#define WIRE_LOOP_EVENT_H
/*
 * loop_event: the real loop, on libevent.
 *
 * Timers live in a heap of ours, so that same-time timers keep their order; libevent only wakes us
 * for the first. Making a loop sets SIGPIPE to be ignored: a peer that goes away is an error of a
 * write, not the end of the operator.
 */
#include <stddef.h>

#include "wire/loop.h"

struct event_base;

struct loop *loop_event_new(void);
void loop_event_free(struct loop *l);                /* timers that are still set never fire */
struct event_base *loop_event_base(struct loop *l);  /* for curl, evhttp and signals only */
void loop_event_run(struct loop *l);                 /* until loop_event_stop() */
void loop_event_run_for(struct loop *l, int64_t ms); /* the same, and at most so long */
void loop_event_stop(struct loop *l);
size_t loop_event_timers(const struct loop *l); /* how many are set */
/* Call fn on each delivery of a signal. Ends with the loop. */
void loop_event_signal(struct loop *l, int signo, loop_fn *fn, void *arg);

#endif
