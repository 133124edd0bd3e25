#ifndef ENGINE_RECORD_H
#define ENGINE_RECORD_H
/*
 * record: a ring of passes (world, generation, plan, outcome), for /debug, replay and bundles.
 *
 * Bounded by bytes (default 1 MiB): the oldest go first; a pass that settled without actions is
 * kept as one line only. Secrets never enter a world, so they are not here either.
 */
#include "format/json.h"

struct record;

struct record *record_new(size_t max_bytes);
void record_free(struct record *r);
void record_pass(struct record *r, const char *key, const char *generation, const char *because,
	const cJSON *world, const cJSON *plan, const char *outcome, int64_t wall_ms);
/* What policies were asked in the newest pass of the key; dropped when it was not kept whole. */
void record_asked(struct record *r, const char *key, const cJSON *asked);
/* How the newest pass of the key ended, when that is known later. */
void record_outcome(struct record *r, const char *key, const char *outcome);
/* The newest pass of a key ("" = of any), whole when it was kept whole. The caller frees. */
cJSON *record_last(const struct record *r, const char *key);
/* The n-th before the newest; NULL when there is none. */
cJSON *record_nth(const struct record *r, const char *key, int n);
cJSON *record_list(const struct record *r); /* one line each, newest first */

#endif
