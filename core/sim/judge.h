#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H
/*
 * judge: what an operator's requests must look like, whatever they are for.
 *
 * S9: a DELETE names uid and resourceVersion, a PUT or merge patch of an object that may have
 * changed names its version or at least its uid, an apply without uid only creates. S10: writes are
 * sent only by the true holder of the lease. S11: none before all caches are synced. S14: no
 * collection is deleted.
 */
#include "sim/apisim.h"
#include "sim/life.h"

/* A request is about to leave. NULL: fine; else the violation, valid until the next call. */
const char *judge_request(
	const struct net_point *p, const struct life *sender, const struct apisim *api);
/* What a request has just committed. */
const char *judge_commit(const struct net_point *p, const struct apisim_commit *c);

#endif
