#ifndef SIM_OPERATIONS_H
#define SIM_OPERATIONS_H
/*
 * operations: what people and fate do to the clusters of a schedule, drawn before it begins.
 *
 * The list depends on the seed only, never on what happens, so that a failing schedule can be
 * shrunk by leaving single ones out. lua/sim/people.lua carries them out, and knows what is wanted.
 */
#include "sim/faults.h"

/* name in people.lua, weight, the fault kind that must be on (FAULT_COUNT: none) */
#define OPERATIONS(_)                        \
	_(scale_tikv, 6, FAULT_COUNT)        \
	_(scale_pd, 4, FAULT_COUNT)          \
	_(shrink_tikv, 4, FAULT_COUNT)       \
	_(shrink_pd, 3, FAULT_COUNT)         \
	_(add_group, 2, FAULT_COUNT)         \
	_(add_cluster, 2, FAULT_COUNT)       \
	_(delete_cluster, 3, FAULT_COUNT)    \
	_(delete_group, 1, FAULT_COUNT)      \
	_(delete_instance, 2, FAULT_COUNT)   \
	_(edit_configmap, 2, FAULT_MEDDLING) \
	_(delete_object, 3, FAULT_MEDDLING)  \
	_(strip_labels, 3, FAULT_MEDDLING)   \
	_(squat, 1, FAULT_MEDDLING)          \
	_(change_template, 5, FAULT_COUNT)   \
	_(break_template, 3, FAULT_COUNT)    \
	_(roll_back, 3, FAULT_COUNT)         \
	_(restart_instance, 2, FAULT_COUNT)  \
	_(evict_leaders, 1, FAULT_COUNT)     \
	_(evict_by_hand, 1, FAULT_COUNT)     \
	_(hold, 1, FAULT_COUNT)              \
	_(pause, 1, FAULT_COUNT)             \
	_(suspend, 1, FAULT_COUNT)           \
	_(set_online, 2, FAULT_COUNT)        \
	_(grow_volumes, 2, FAULT_COUNT)      \
	_(freeze, 1, FAULT_COUNT)            \
	_(kill_pod, 4, FAULT_POD_KILLED)     \
	_(delete_pod, 4, FAULT_POD_DELETED)  \
	_(crash_node, 4, FAULT_NODE_CRASH)   \
	_(lose_node, 2, FAULT_LOSS)          \
	_(lose_disk, 3, FAULT_LOSS)          \
	_(lose_member, 3, FAULT_LOSS)        \
	_(silent_node, 3, FAULT_LOSS)        \
	_(lose_zone, 1, FAULT_LOSS)          \
	_(compact, 4, FAULT_WATCH_GONE)

#define OPERATION_MAX 40

struct operation {
	int64_t at_ms;
	const char *name;
	enum fault needs;
	uint32_t arg;
};

struct operations {
	struct operation list[OPERATION_MAX];
	int count;
};

/* Over `span_ms`; each kind that a person does takes part in a random half of the schedules. */
void operations_draw(struct operations *o, struct rng rng, int64_t span_ms);

#endif
