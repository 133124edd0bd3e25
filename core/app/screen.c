#include "app/screen.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct screen {
	bool terminal, begun;
	int lines;        /* drawn last time, on a terminal */
	struct map *told; /* "Kind name" -> what was told of it last, when piped */
};

struct screen *
screen_new(bool terminal)
{
	struct screen *s = xcalloc(1, sizeof *s);

	s->terminal = terminal;
	s->told = map_new(free);
	return s;
}

void
screen_free(struct screen *s)
{
	map_free(s->told);
	free(s);
}

void
screen_act(struct screen *s, const char *title)
{
	printf("%s$ %s\n", s->begun ? "\n" : "", title);
	s->begun = true;
	s->lines = 0;
}

/* Line by line over the old ones: no flicker; what does not fit is left out, not scrolled. */
static void
draw(struct screen *s, const struct tree *t, int64_t wall_ms, double seconds)
{
	char *text;
	size_t n;
	int height = tree_height();
	FILE *f = open_memstream(&text, &n);

	must(f != NULL);
	tree_print(t, NULL, wall_ms, true, tree_width(), f);
	fclose(f);
	if (s->lines > 0)
		printf("\033[%dA", s->lines);
	s->lines = 0;
	for (char *c = text, *end; *c != '\0'; c = end + 1, s->lines++) {
		end = strchr(c, '\n');
		if (height > 0 && s->lines + 2 >= height)
			break;
		printf("%.*s\033[K\n", (int)(end - c), c);
	}
	printf("%.1f s\033[K\n\033[J", seconds);
	s->lines++;
	free(text);
}

/* What a line says of an object, malloc'ed: when it differs from the last one, it is news. */
static char *
words(const struct tree *t, const cJSON *o, enum kind k)
{
	const char *phase = json_str(o, "status.phase", ""), *id = json_str(o, "status.id", "");
	const cJSON *live =
		k == KIND_TIKV
			? live_store(json_get(t->pd, json_str(o, "spec.cluster.name", "")), id)
			: NULL;

	if (live != NULL && strcmp(phase, "Leaving") == 0)
		return xasprintf("Leaving    store %s: %d leaders, %d regions left", id,
			(int)json_int(live, "leaders", 0), (int)json_int(live, "regions", 0));
	if (k == KIND_TIKV && *id != '\0')
		return xasprintf(
			"%-10s store %s on %s", phase, id, json_str(o, "status.node", "?"));
	if (k == KIND_TIKV || k == KIND_PD)
		return xasprintf("%-10s %s", phase, json_str(o, "status.node", ""));
	return xstrdup(phase);
}

static void
tell(struct screen *s, const struct tree *t, double seconds)
{
	for (int k = KIND_CLUSTER; k <= KIND_TIKV; k++) {
		const cJSON *o;
		cJSON_ArrayForEach(o, json_get(t->list[k], "items"))
		{
			char *key = xasprintf("%s %s", kind_row((enum kind)k)->kind,
				json_str(o, "metadata.name", ""));
			char *now = words(t, o, (enum kind)k);
			const char *was = map_get(s->told, key);
			if (*now != '\0' && (was == NULL || strcmp(was, now) != 0)) {
				printf("%6.1f s  %-18s %s\n", seconds, key, now);
				map_put(s->told, key, now);
				now = NULL;
			}
			free(now);
			free(key);
		}
	}
}

void
screen_show(struct screen *s, const struct tree *t, int64_t wall_ms, double seconds)
{
	if (s->terminal)
		draw(s, t, wall_ms, seconds);
	else
		tell(s, t, seconds);
}
