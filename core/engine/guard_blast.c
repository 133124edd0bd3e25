#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/guard_priv.h"

/* ---- G9: destructive actions ---- */

enum blast { BLAST_CLAIM, BLAST_POD, BLAST_INSTANCE, BLAST_OFFLINE, BLAST_MEMBER, BLASTS };

static const struct blast_row {
	const char *what;
	int per_minute;
} blasts[BLASTS] = {
	[BLAST_CLAIM] = { "claims deleted", 20 },
	[BLAST_POD] = { "pods deleted", 60 }, /* a rolling change: one a second */
	[BLAST_INSTANCE] = { "instances deleted", 30 },
	[BLAST_OFFLINE] = { "stores taken offline", 20 },
	[BLAST_MEMBER] = { "members removed", 3 },
};

#define BLAST_KEPT 64 /* more than any limit */

struct blast_log {
	char *open; /* why the breaker is open, NULL: closed */
	struct {
		int64_t at[BLAST_KEPT];
		unsigned n; /* ever noted */
	} of[BLASTS];
};

static void
blast_free(void *value)
{
	struct blast_log *b = value;

	free(b->open);
	free(b);
}

struct map *
guard_blasts_new(void)
{
	return map_new(blast_free);
}

static enum blast
blast_of(const struct action *a)
{
	if (a->kind == ACTION_PD_OFFLINE)
		return BLAST_OFFLINE;
	if (a->kind == ACTION_PD_REMOVE_MEMBER)
		return BLAST_MEMBER;
	if (a->kind != ACTION_DELETE)
		return BLASTS;
	if (a->of == KIND_CLAIM || a->of == KIND_VOLUME)
		return BLAST_CLAIM;
	if (a->of == KIND_POD)
		return BLAST_POD;
	return kind_row(a->of)->ours ? BLAST_INSTANCE : BLASTS;
}

static struct blast_log *
blast_get(const struct guard *g, const char *ns, const char *cluster, bool make)
{
	char *key = xasprintf("%s/%s", ns, cluster);
	struct blast_log *b = map_get(g->blast, key);

	if (b == NULL && make) {
		b = xcalloc(1, sizeof *b);
		map_put(g->blast, key, b);
	}
	free(key);
	return b;
}

/* It has ended by itself, or all computing is to stop: this limit guards what serves. */
static bool
pod_is_no_loss(const struct ask *q)
{
	const char *phase = json_str(q->target_tree, "status.phase", "");

	return guard_going_down(q) || strcmp(phase, "Failed") == 0 ||
	       strcmp(phase, "Succeeded") == 0;
}

int
guard_g9(const struct ask *q, struct err *e)
{
	enum blast kind = blast_of(q->a);
	const struct blast_log *b;
	int64_t now = clock_mono(q->g->facts.clock);
	int recent = 0;

	if (kind == BLASTS)
		return 0;
	b = blast_get(q->g, guard_ns(q), q->s->cluster, false);
	if (b == NULL)
		return 0;
	if (kind == BLAST_POD && pod_is_no_loss(q))
		return 0;
	if (b->open != NULL)
		return guard_no(e, G9, "the breaker is open: %s: a person must confirm", b->open);
	if (guard_ending(q))
		return 0;
	for (unsigned i = 0; i < BLAST_KEPT && i < b->of[kind].n; i++)
		recent += now - b->of[kind].at[i] < 60000;
	if (recent >= blasts[kind].per_minute)
		return guard_no(
			e, G9, "%d %s in the last minute: no more now", recent, blasts[kind].what);
	return 0;
}

static void
show_breaker(const struct guard *g, const char *ns, const char *cluster, int open)
{
	struct buf labels;

	if (g->facts.metrics == NULL)
		return;
	buf_init(&labels, 0);
	metric_label(&labels, "namespace", ns);
	metric_label(&labels, "cluster", cluster);
	metric_set(g->facts.metrics, "tikv_operator_guard_breaker_open", labels.at, open);
	buf_fini(&labels);
}

void
guard_note(struct guard *g, const struct guard_subject *s, const struct action *a, bool ok)
{
	const char *ns = s->object->ns != NULL ? s->object->ns : "";
	enum blast kind = blast_of(a);
	struct blast_log *b;

	if (ok && kind == BLASTS)
		return;
	b = blast_get(g, ns, s->cluster, true);
	if (ok) {
		b->of[kind].at[b->of[kind].n++ % BLAST_KEPT] = clock_mono(g->facts.clock);
		return;
	}
	if (b->open != NULL)
		return;
	b->open = xasprintf("%s %s did not do what it should", action_name(a->kind),
		a->name[0] != '\0' ? a->name
		: a->store_id      ? a->store_id
				   : "");
	show_breaker(g, ns, s->cluster, 1);
	if (g->facts.on_breaker != NULL)
		g->facts.on_breaker(g->facts.arg, ns, s->cluster);
}

const char *
guard_breaker(const struct guard *g, const char *ns, const char *cluster)
{
	const struct blast_log *b = blast_get(g, ns, cluster, false);

	return b != NULL && b->open != NULL ? b->open : "";
}

void
guard_reset(struct guard *g, const char *ns, const char *cluster)
{
	struct blast_log *b = blast_get(g, ns, cluster, false);

	if (b == NULL || b->open == NULL)
		return;
	free(b->open);
	b->open = NULL;
	show_breaker(g, ns, cluster, 0);
}
