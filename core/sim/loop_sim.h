#ifndef SIM_LOOP_SIM_H
#define SIM_LOOP_SIM_H
/*
 * loop_sim: a loop in virtual time, with its clock.
 *
 * Nothing blocks: a step jumps to the next timer and runs it. Monotonic time starts at 1000; wall
 * time starts at start_wall_ms and may be moved apart from it.
 */
#include <stddef.h>

#include "wire/loop.h"

struct loop *loop_sim_new(int64_t start_wall_ms);
void loop_sim_free(struct loop *l); /* timers that are still set never fire */

bool loop_sim_step(struct loop *l); /* run the next timer; false when none is set */
/* Run every timer due up to monotonic t, then set the time to t. Returns how many ran. */
size_t loop_sim_run_until(struct loop *l, int64_t t);
size_t loop_sim_run_for(struct loop *l, int64_t ms);
int64_t loop_sim_next(const struct loop *l); /* when the next timer is due, -1: none */
size_t loop_sim_pending(const struct loop *l);
void loop_sim_move_wall(struct loop *l, int64_t by_ms); /* step the wall clock (NTP, a bad host) */

#endif
