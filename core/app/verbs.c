#include "app/verbs.h"

const struct verb verbs[] = {
	VERB_RUN,
	VERB_PLAYGROUND,
	VERB_SIMULATE,
	VERB_STATUS,
	VERB_EXPLAIN,
	VERB_PLAN,
	VERB_REPLAY,
	VERB_CHECK,
	VERB_VERSION,
	VERB_COMPLETION,
	{ .name = NULL },
};
