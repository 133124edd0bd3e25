#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/guard_priv.h"

/* A store that was buried lately may still be spoken of by what has not looked since. */
#define QUIET_S 600

/* A disk of a forgotten store would be taken for a living one with its old data: while anything
 * carries the id, its tombstone stays. */
static int
carried(const struct map *buried, const char *ids, const char *kind, const char *name,
	struct err *e)
{
	const char *at = ids;
	int rc = 0;

	while (*at != '\0' && rc == 0) {
		size_t n = strcspn(at, ",");
		char *id = xstrndup(at, n);
		if (map_has(buried, id))
			rc = guard_no(e, G4, "store %s is still named by %s %s", id, kind, name);
		free(id);
		at += n + (at[n] == ',');
	}
	return rc;
}

static int
carried_by(const struct map *buried, const struct obj *o, struct err *e)
{
	const char *kind = kind_row(o->kind)->kind;
	const cJSON *t = obj_tree(o);
	const cJSON *former;
	int rc = carried(buried, guard_label(t, LABEL_STORE), kind, o->name, e);

	if (rc == 0)
		rc = carried(buried, guard_annotation(t, FORMER_STORES), kind, o->name, e);
	if (rc == 0 && o->kind == KIND_TIKV)
		rc = carried(buried, json_str(t, "status.id", ""), kind, o->name, e);
	cJSON_ArrayForEach(former, json_path(t, "status.formerStores"))
	{
		if (rc == 0 && json_text(former) != NULL)
			rc = carried(buried, json_text(former), kind, o->name, e);
	}
	json_free(t);
	return rc;
}

static int
carried_by_any(const struct ask *q, const struct map *buried, enum kind k, enum store_index index,
	const char *value, struct err *e)
{
	const struct obj **list;
	size_t n = guard_list(q, k, index, value, &list);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = carried_by(buried, list[i], e);
	free(list);
	return rc;
}

static bool
listed(const cJSON *list, const char *id)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, list)
	{
		if (cJSON_IsString(m) && strcmp(m->valuestring, id) == 0)
			return true;
	}
	return false;
}

/* One tombstone: named by the plan, empty, quiet, and not in PD's list of evictions, which PD drops
 * as a whole when one of its stores is forgotten. */
static int
forgettable(const struct ask *q, const cJSON *store, struct err *e)
{
	const char *id = json_str(store, "id", "?");
	const cJSON *age = json_get(store, "heartbeat_age");

	if (!listed(json_get(q->a->tree, "stores"), id))
		return guard_no(e, G4, "the plan does not name tombstone %s", id);
	if (json_int(store, "regions", -1) != 0)
		return guard_no(e, G4, "tombstone %s has %lld regions", id,
			(long long)json_int(store, "regions", -1));
	if (!cJSON_IsNumber(age) || age->valuedouble < QUIET_S)
		return guard_no(e, G4, "store %s was heard of within %d seconds", id, QUIET_S);
	if (listed(json_get(q->pd, "evicting"), id))
		return guard_no(e, G4, "PD still evicts leaders of tombstone %s", id);
	return 0;
}

int
guard_purge(const struct ask *q, struct err *e)
{
	struct store *volumes = q->g->facts.store(q->g->facts.arg, KIND_VOLUME);
	struct map *buried;
	char *mine = xasprintf("%s/" LABEL_CLUSTER "=%s", guard_ns(q), q->s->cluster);
	char *same = xasprintf("%s/%s", guard_ns(q), q->s->cluster);
	const cJSON *s;
	int rc = guard_pd_settled(q, e);

	buried = map_new(NULL);
	if (rc == 0 && (volumes == NULL || !store_synced(volumes)))
		rc = guard_no(e, G4, "volumes are not known: one may hold a tombstone's data");
	cJSON_ArrayForEach(s, json_get(q->pd, "stores"))
	{
		if (rc == 0 && strcmp(json_str(s, "state", ""), "Tombstone") == 0) {
			rc = forgettable(q, s, e);
			map_put(buried, json_str(s, "id", "?"), (void *)s);
		}
	}
	if (rc == 0)
		rc = carried_by_any(q, buried, KIND_TIKV, STORE_CLUSTER, same, e);
	if (rc == 0)
		rc = carried_by_any(q, buried, KIND_CLAIM, STORE_LABEL, mine, e);
	if (rc == 0 && volumes != NULL) {
		char *of = xasprintf(LABEL_PD "=%s", json_str(q->pd, "cluster_id", ""));
		rc = carried_by_any(q, buried, KIND_VOLUME, STORE_LABEL, of, e);
		free(of);
	}
	map_free(buried);
	free(mine);
	free(same);
	return rc;
}
