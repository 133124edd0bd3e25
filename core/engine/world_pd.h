#ifndef ENGINE_WORLD_PD_H
#define ENGINE_WORLD_PD_H
/*
 * world_pd: what a pass may know of PD, lent from the snapshot, and which topics wake for it.
 */
#include "engine/world_needs.h"
#include "pd/pdview.h"

/* The member of the world. v NULL: no PD. Containers are lent by the snapshot. */
cJSON *world_pd_member(const struct world_need *n, const struct pdview *v);
/* Each topic that the need subscribes to, as "P ns/cluster|topic". */
void world_pd_topics(const struct world_need *n, const char *ns,
	void (*fn)(void *arg, const char *topic), void *arg);
/* The topics that one reported change touches. */
void world_pd_touched(const struct pdview *v, const char *ns, const char *cluster,
	const char *changed, void (*fn)(void *arg, const char *topic), void *arg);

#endif
