#include "engine/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DEFAULT_BYTES (1u << 20)

struct entry {
	struct entry *older, *newer;
	size_t bytes;
	char *key;
	char *line;  /* JSON object: what record_list shows */
	char *world; /* NULL: kept as one line only */
	char *plan;
	char *asked; /* NULL: no policies */
};

struct record {
	size_t max, bytes;
	struct entry *newest, *oldest;
};

struct record *
record_new(size_t max_bytes)
{
	struct record *r = xcalloc(1, sizeof(*r));

	r->max = max_bytes ? max_bytes : DEFAULT_BYTES;
	return r;
}

static void
entry_free(struct entry *en)
{
	free(en->key);
	free(en->line);
	free(en->world);
	free(en->plan);
	free(en->asked);
	free(en);
}

static void
drop_oldest(struct record *r)
{
	struct entry *en = r->oldest;

	r->oldest = en->newer;
	if (r->oldest)
		r->oldest->older = NULL;
	else
		r->newest = NULL;
	r->bytes -= en->bytes;
	entry_free(en);
}

void
record_free(struct record *r)
{
	if (!r)
		return;
	while (r->oldest)
		drop_oldest(r);
	free(r);
}

static char *
line_of(const char *key, const char *generation, const char *because, const cJSON *plan,
	const char *outcome, int64_t wall_ms)
{
	const cJSON *verdict = json_get(plan, "verdict");
	cJSON *line = json_object();
	char *text;

	json_put_str(line, "key", key);
	json_put_int(line, "wall_ms", wall_ms);
	json_put_str(line, "generation", generation);
	json_put_str(line, "because", because);
	json_put_str(line, "outcome", outcome);
	json_put_int(line, "actions", cJSON_GetArraySize(json_get(plan, "actions")));
	json_put_str(line, "verdict", json_str(verdict, "kind", NULL));
	json_put_str(line, "step", json_str(verdict, "step", NULL));
	json_put_str(line, "reason", json_str(verdict, "reason", NULL));
	json_put_str(line, "message", json_str(verdict, "message", NULL));
	text = json_string(line);
	json_free(line);
	return text;
}

static size_t
weigh(const struct entry *en)
{
	return sizeof(*en) + strlen(en->key) + strlen(en->line) + 2 +
	       (en->world ? strlen(en->world) + 1 : 0) + (en->plan ? strlen(en->plan) + 1 : 0) +
	       (en->asked ? strlen(en->asked) + 1 : 0);
}

void
record_pass(struct record *r, const char *key, const char *generation, const char *because,
	const cJSON *world, const cJSON *plan, const char *outcome, int64_t wall_ms)
{
	bool settled = strcmp(json_str(plan, "verdict.kind", ""), "settled") == 0;
	bool whole = !(settled && cJSON_GetArraySize(json_get(plan, "actions")) == 0);
	struct entry *en = xcalloc(1, sizeof(*en));

	en->key = xstrdup(key);
	en->line = line_of(key, generation, because, plan, outcome, wall_ms);
	if (whole) {
		en->world = world ? json_string(world) : NULL;
		en->plan = plan ? json_string(plan) : NULL;
	}
	en->bytes = weigh(en);
	if (en->bytes > r->max) {
		free(en->world);
		free(en->plan);
		en->world = en->plan = NULL;
		en->bytes = weigh(en);
	}
	while (r->oldest && r->bytes + en->bytes > r->max)
		drop_oldest(r);
	en->older = r->newest;
	if (r->newest)
		r->newest->newer = en;
	else
		r->oldest = en;
	r->newest = en;
	r->bytes += en->bytes;
}

static cJSON *
tree_of(const char *text)
{
	struct err e = { 0 };

	return json_parse(text, strlen(text), &e);
}

static struct entry *
newest_of(const struct record *r, const char *key)
{
	struct entry *en = r->newest;

	while (en && *key && strcmp(en->key, key) != 0)
		en = en->older;
	return en;
}

void
record_asked(struct record *r, const char *key, const cJSON *asked)
{
	struct entry *en = newest_of(r, key);

	if (!en || !en->world || !asked)
		return;
	r->bytes -= en->bytes;
	free(en->asked);
	en->asked = json_string(asked);
	en->bytes = weigh(en);
	r->bytes += en->bytes;
	while (r->oldest != r->newest && r->bytes > r->max)
		drop_oldest(r);
}

void
record_outcome(struct record *r, const char *key, const char *outcome)
{
	struct entry *en = newest_of(r, key);
	cJSON *line;

	if (!en || !(line = tree_of(en->line)))
		return;
	json_put_str(line, "outcome", outcome);
	free(en->line);
	en->line = json_string(line);
	json_free(line);
	r->bytes -= en->bytes;
	en->bytes = weigh(en);
	r->bytes += en->bytes;
}

cJSON *
record_nth(const struct record *r, const char *key, int n)
{
	const struct entry *en = newest_of(r, key);
	cJSON *out;

	while (en && n > 0) {
		en = en->older;
		if (en && (!*key || strcmp(en->key, key) == 0))
			n--;
	}
	if (!en)
		return NULL;
	out = tree_of(en->line);
	if (out && en->world)
		json_put(out, "world", tree_of(en->world));
	if (out && en->plan)
		json_put(out, "plan", tree_of(en->plan));
	if (out && en->asked)
		json_put(out, "asked", tree_of(en->asked));
	return out;
}

cJSON *
record_last(const struct record *r, const char *key)
{
	return record_nth(r, key, 0);
}

cJSON *
record_list(const struct record *r)
{
	cJSON *out = json_array();

	for (const struct entry *en = r->newest; en; en = en->older) {
		cJSON *line = tree_of(en->line);

		if (line)
			json_add(out, line);
	}
	return out;
}
