#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/guard_priv.h"

/*
 * Pods whose deletion was let go a moment ago. The cache learns of it later, and the next question
 * may come sooner: two pods that each rely on the other would both go.
 */

#define FORGET_MS 30000 /* the watch has told it, or the request has failed */

struct map *
guard_stopping_new(void)
{
	return map_new(free);
}

static int64_t
age(const struct guard *g, const int64_t *at)
{
	return clock_mono(g->facts.clock) - *at;
}

void
guard_stopping_note(struct guard *g, const struct action *a)
{
	int64_t *at;

	if (a->kind != ACTION_DELETE || a->of != KIND_POD)
		return;
	for (struct map_iter it = { 0 }; map_next(g->stopping, &it);) {
		if (age(g, it.value) > FORGET_MS)
			map_del(g->stopping, it.key);
	}
	at = xmalloc(sizeof *at);
	*at = clock_mono(g->facts.clock);
	map_put(g->stopping, a->uid, at);
}

bool
guard_stopping(const struct ask *q, const struct obj *pod)
{
	const int64_t *at = map_get(q->g->stopping, pod->uid);

	return pod->deleting || (at != NULL && age(q->g, at) <= FORGET_MS);
}
