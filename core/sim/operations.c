#include "sim/operations.h"

#define EVERY_MS 8000

struct row {
	const char *name;
	int weight;
	enum fault needs;
};

#define OPERATION_ROW(name, weight, needs) { #name, weight, needs },
static const struct row rows[] = { OPERATIONS(OPERATION_ROW) };
#undef OPERATION_ROW
#define ROWS ((int)(sizeof rows / sizeof *rows))

void
operations_draw(struct operations *o, struct rng rng, int64_t span_ms)
{
	int weight[ROWS], all = 0;
	o->count = 0;
	for (int i = 0; i < ROWS; i++) {
		bool taken = rows[i].needs != FAULT_COUNT || rng_below(&rng, 2) == 0;
		weight[i] = taken ? rows[i].weight : 0;
		all += weight[i];
	}
	int64_t at = 0;
	while (o->count < OPERATION_MAX) {
		at += 1 + (int64_t)rng_below(&rng, 2 * EVERY_MS);
		if (at >= span_ms)
			return;
		int n = (int)rng_below(&rng, (uint64_t)all), i = 0;
		while (n >= weight[i])
			n -= weight[i++];
		o->list[o->count++] = (struct operation){ .at_ms = at,
			.name = rows[i].name,
			.needs = rows[i].needs,
			.arg = (uint32_t)rng_u64(&rng) };
	}
}
