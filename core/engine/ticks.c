#include "engine/ticks.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define KEY "pd-heartbeat-tick-interval"

struct ticks {
	struct map *set; /* instance -> ms, where it is not the default */
	size_t stores;
};

struct ticks *
ticks_new(void)
{
	struct ticks *t = xcalloc(1, sizeof *t);

	t->set = map_new(free);
	return t;
}

void
ticks_free(struct ticks *t)
{
	if (t == NULL)
		return;
	map_free(t->set);
	free(t);
}

/* "10s", "500ms", "1m", "1h": a number and a unit, nothing else. */
static int64_t
duration(const char *text, size_t n)
{
	static const struct {
		const char *name;
		double ms;
	} unit[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	char word[32], *end;
	double value;

	if (n == 0 || n >= sizeof word)
		return 0;
	memcpy(word, text, n);
	word[n] = '\0';
	value = strtod(word, &end);
	for (size_t i = 0; i < sizeof unit / sizeof *unit; i++)
		if (strcmp(end, unit[i].name) == 0 && value > 0 && value * unit[i].ms < 1e12)
			return (int64_t)(value * unit[i].ms);
	return 0;
}

/* The value of one line that sets the key, 0 when it sets something else. */
static int64_t
line_value(const char *line, size_t n)
{
	static const char *const prefix[] = { "raftstore." KEY, KEY };
	size_t i = strspn(line, " \t"), k = 0;
	const char *quote, *end;

	while (k < 2 && strncmp(line + i, prefix[k], strlen(prefix[k])) != 0)
		k++;
	if (k == 2)
		return 0;
	i += strlen(prefix[k]);
	i += strspn(line + i, " \t");
	if (line[i] != '=')
		return 0;
	quote = line + i + 1 + strspn(line + i + 1, " \t");
	if (*quote != '"' && *quote != '\'')
		return 0;
	end = memchr(quote + 1, *quote, n - (size_t)(quote + 1 - line));
	return end != NULL ? duration(quote + 1, (size_t)(end - quote - 1)) : 0;
}

int64_t
ticks_of(const char *toml)
{
	int64_t found = 0;

	while (*toml != '\0') {
		size_t n = strcspn(toml, "\n");
		int64_t ms = line_value(toml, n);
		if (ms > found)
			found = ms;
		toml += n + (toml[n] == '\n');
	}
	return found;
}

bool
ticks_event(struct ticks *t, const struct obj *old, const struct obj *now)
{
	const struct obj *any = now != NULL ? now : old;
	int64_t *was = map_get(t->set, any->key), ms = 0, before = was != NULL ? *was : 0;

	t->stores += old == NULL;
	t->stores -= now == NULL;
	if (old != NULL && now != NULL && old->generation == now->generation)
		return false;
	if (now != NULL) {
		const cJSON *tree = obj_tree(now);
		ms = ticks_of(json_str(tree, "spec.config", ""));
		json_free(tree);
	}
	if (ms == 0) {
		map_del(t->set, any->key);
	} else {
		int64_t *value = xmalloc(sizeof *value);
		*value = ms;
		map_put(t->set, any->key, value);
	}
	return ms != before || old == NULL || now == NULL;
}

int64_t
ticks_slowest(const struct ticks *t)
{
	int64_t slowest = 0;

	if (map_count(t->set) == 0)
		return 0;
	for (struct map_iter it = { 0 }; map_next(t->set, &it);)
		if (*(const int64_t *)it.value > slowest)
			slowest = *(const int64_t *)it.value;
	if (map_count(t->set) < t->stores && slowest < TICKS_DEFAULT_MS)
		return 0;
	return slowest;
}
