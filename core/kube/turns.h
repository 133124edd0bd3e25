#ifndef KUBE_TURNS_H
#define KUBE_TURNS_H
/*
 * turns: how many LISTs may be in flight at once, first come, first served (B3).
 *
 * A turn belongs to its user and is in at most one queue. `go` runs when it is its turn, which may
 * be inside turns_take() or inside another user's turns_leave().
 */
#include "kube/watch.h"

struct turn {
	void (*go)(void *arg);
	void *arg;
	bool waits, has; /* private */
	struct turn *next;
};

void turns_take(struct watch_lists *l, struct turn *t); /* goes at once when it has it already */
void turns_leave(
	struct watch_lists *l, struct turn *t); /* no-op when it neither waits nor has it */

#endif
