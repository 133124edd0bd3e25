#ifndef SIM_ADMIT_H
#define SIM_ADMIT_H
/*
 * admit: custom resources judged by their CRD's schema and rules, offline.
 *
 * The rules are read from the CRD itself and evaluated by lua/lib/schema.lua and cel.lua, in a
 * caged vm. The playground, the simulator and `check` share it, so they can not disagree; a spec
 * holds it against a real API server.
 */
#include "format/json.h"

struct admit;

struct admit *admit_new(struct err *e);
void admit_free(struct admit *a);
/* schema: openAPIV3Schema, borrowed for the call, prepared once per id ("group/version/Kind").
 * *object may be replaced (defaults, pruning). causes gets {field, reason, message}; unknown gets
 * texts. old NULL: creation. -1 with *e when it could not be judged. */
int admit_judge(struct admit *a, const char *id, const cJSON *schema, cJSON **object,
	const cJSON *old, bool prune_only, cJSON *causes, cJSON *unknown, struct err *e);
/* Forget a schema: its CRD changed. */
void admit_forget(struct admit *a, const char *id);

#endif
