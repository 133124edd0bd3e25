#ifndef SIM_TRACE_H
#define SIM_TRACE_H
/*
 * trace: one line for a committed write: who wrote what, and which fields changed.
 *
 * Managed fields and resource versions are left out: they change with every write.
 */
#include "base/buf.h"
#include "sim/apisim.h"

void trace_commit(struct buf *out, const struct apisim_commit *c);
/* "spec.replicas: 3 -> 4; status.phase: "Starting" -> none" */
void trace_diff(struct buf *out, const cJSON *old, const cJSON *now);

#endif
