#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/guard_priv.h"

/* A store that drains is shown as Offline even when it is dead: its heartbeat tells. */
#define SILENT_S 30

/* ---- G6: TiKV pods, offline, evictions ---- */

static bool
store_serves(const cJSON *store)
{
	const char *state = json_str(store, "state", "");
	const cJSON *age = json_get(store, "heartbeat_age");

	if (strcmp(state, "Up") == 0)
		return true;
	return strcmp(state, "Offline") == 0 && cJSON_IsNumber(age) && age->valuedouble < SILENT_S;
}

static bool
store_counts(const cJSON *store)
{
	const char *state = json_str(store, "state", "");

	if (strcmp(state, "Tombstone") == 0)
		return false;
	/* A forgotten store that holds nothing takes nothing away. */
	return strcmp(state, "Down") != 0 || json_int(store, "regions", 1) > 0;
}

bool
guard_pod_serves(const struct ask *q, const struct obj *instance)
{
	const struct obj **list;
	size_t n = guard_list(q, KIND_POD, STORE_OWNER, instance->uid, &list);
	bool serves = false;

	for (size_t i = 0; i < n; i++) {
		const cJSON *t = obj_tree(list[i]);
		serves |= !guard_stopping(q, list[i]) && guard_ready(t);
		json_free(t);
	}
	free(list);
	return serves;
}

/* Store ids that do not serve now, each once, the target left out. */
static struct map *
missing_stores(const struct ask *q, const char *target)
{
	struct map *ids = map_new(NULL);
	const struct obj **list;
	char *value = xasprintf("%s/%s", guard_ns(q), q->s->cluster);
	const cJSON *s;
	size_t n;

	cJSON_ArrayForEach(s, json_get(q->pd, "stores"))
	{
		if (store_counts(s) && !store_serves(s))
			map_put(ids, json_str(s, "id", "?"), (void *)s);
	}
	/* PD shows a stopped store as Up for 20 s: pods tell earlier. */
	n = guard_list(q, KIND_TIKV, STORE_CLUSTER, value, &list);
	for (size_t i = 0; i < n; i++) {
		const cJSON *t;
		const char *id;
		if (strcmp(list[i]->uid, q->s->object->uid) == 0 || guard_pod_serves(q, list[i]))
			continue;
		t = obj_tree(list[i]);
		id = json_str(t, "status.id", "");
		s = id[0] != '\0' ? pdview_store(q->view, id) : NULL;
		if (s != NULL && store_counts(s))
			map_put(ids, id, (void *)s);
		json_free(t);
	}
	free(list);
	free(value);
	map_del(ids, target);
	return ids;
}

static const char *
domain_of(const struct ask *q, const cJSON *store)
{
	const char *level = json_str(q->pd, "replication.isolation_level", "");
	const char *label =
		level[0] != '\0' ? json_text(json_get(json_get(store, "labels"), level)) : NULL;

	return label != NULL && label[0] != '\0' ? label : json_str(store, "id", "?");
}

static int
store_stop(const struct ask *q, const cJSON *store, struct err *e)
{
	const char *id = json_str(store, "id", "?");
	struct map *missing = missing_stores(q, id), *domains = map_new(NULL);
	int64_t allowed = json_int(q->cluster_tree, "spec.disruption.maxUnavailableStores", 1);
	int64_t voters = json_int(q->pd, "replication.voters", 0);
	int64_t most = (voters - 1) / 2 > 1 ? (voters - 1) / 2 : 1;
	int count = (int)map_count(missing) + 1, rc = 0;

	map_put(domains, domain_of(q, store), (void *)store);
	for (struct map_iter it = { 0 }; map_next(missing, &it);)
		map_put(domains, domain_of(q, it.value), it.value);
	if (voters <= 0)
		rc = guard_no(e, G6, "how many voters regions have is not known");
	else if (count > allowed)
		rc = guard_no(e, G6, "%d stores would not serve, maxUnavailableStores is %lld",
			count, (long long)allowed);
	else if ((int64_t)map_count(domains) > most)
		rc = guard_no(e, G6, "%zu failure domains would not serve, regions bear %lld",
			map_count(domains), (long long)most);
	map_free(missing);
	map_free(domains);
	return rc;
}

/* The store that PD has at the pod's address, when the instance has recorded none. */
static const cJSON *
store_of_pod(const struct ask *q)
{
	size_t n = strlen(q->a->name);
	const cJSON *s;

	cJSON_ArrayForEach(s, json_get(q->pd, "stores"))
	{
		const char *address = json_str(s, "address", "");
		if (strncmp(address, q->a->name, n) == 0 &&
			(address[n] == '.' || address[n] == ':') &&
			strcmp(json_str(s, "state", ""), "Tombstone") != 0)
			return s;
	}
	return NULL;
}

static int
tikv_pod_deletion(const struct ask *q, struct err *e)
{
	const char *id = json_str(q->live_tree, "status.id", ""), *why;
	const cJSON *store;

	if (guard_going_down(q) || q->target == NULL || q->target->deleting ||
		!guard_ready(q->target_tree))
		return 0; /* repair never waits for health */
	if (guard_never_founded(q))
		return 0;
	why = guard_pd_unknown(q);
	if (why != NULL)
		return guard_no(e, G6, "pod %s serves and %s", q->a->name, why);
	store = id[0] != '\0' ? pdview_store(q->view, id) : store_of_pod(q);
	/* Also where no id is recorded: what is Ready has registered, the list may be a moment old.
	 */
	if (store == NULL)
		return guard_no(e, G6, "pod %s serves and PD does not list its store", q->a->name);
	/* A new leader of PD calls every store Disconnected: with ready pods that is no repair. */
	if (!store_counts(store) || (!store_serves(store) && pdview_settled(q->view)))
		return 0;
	return store_stop(q, store, e);
}

static int
expected_state(const struct ask *q, const cJSON *store, struct err *e)
{
	const char *expect = json_str(q->a->tree, "expect", "");

	if (strcmp(expect, json_str(store, "state", "")) != 0 &&
		strcmp(expect, json_str(store, "node_state", "")) != 0)
		return guard_no(e, G6, "store %s is %s (%s), the plan expects %s", q->a->store_id,
			json_str(store, "state", "?"), json_str(store, "node_state", "?"), expect);
	return 0;
}

static int
store_offline(const struct ask *q, const cJSON *store, struct err *e)
{
	int64_t peers = json_int(q->pd, "replication.peers", 0);
	int64_t leaving_max = json_int(q->cluster_tree, "spec.disruption.maxLeavingStores", 0);
	int up = 0, leaving = 1;
	const cJSON *s;

	if (expected_state(q, store, e) != 0)
		return -1;
	if (!pdview_settled(q->view))
		return guard_no(e, G6, "PD's leader has not been seen long enough");
	if (strcmp(json_str(store, "state", ""), "Offline") == 0 &&
		json_bool(q->a->tree, "force", false))
		return 0; /* it leaves already; G7 asked for a person's word */
	cJSON_ArrayForEach(s, json_get(q->pd, "stores"))
	{
		const char *state = json_str(s, "state", "");
		if (s == store)
			continue;
		up += strcmp(state, "Up") == 0;
		leaving += strcmp(state, "Offline") == 0;
	}
	if (peers <= 0)
		return guard_no(e, G6, "how many stores regions need is not known");
	if (up < peers)
		return guard_no(e, G6, "without store %s %d stores would be Up, regions need %lld",
			q->a->store_id, up, (long long)peers);
	if (leaving_max > 0 && leaving > leaving_max)
		return guard_no(e, G6, "%d stores would be leaving, maxLeavingStores is %lld",
			leaving, (long long)leaving_max);
	return 0;
}

/* Leaders need somewhere to go: PD takes an eviction from all stores at once, and moves none. */
static int
eviction(const struct ask *q, const cJSON *store, struct err *e)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, json_get(q->pd, "stores"))
	{
		if (s != store && strcmp(json_str(s, "state", ""), "Up") == 0 &&
			!json_bool(s, "evicting", false))
			return 0;
	}
	return guard_no(e, G6, "store %s: no other store could take its leaders", q->a->store_id);
}

int
guard_g6(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;
	const cJSON *store;
	const char *why;

	if (guard_is(q, ACTION_DELETE, KIND_POD) &&
		guard_same(guard_component(q->target_tree), "tikv"))
		return tikv_pod_deletion(q, e);
	if (a->kind != ACTION_PD_OFFLINE && a->kind != ACTION_PD_ONLINE &&
		a->kind != ACTION_PD_EVICT_LEADERS && a->kind != ACTION_PD_LABELS)
		return 0;
	why = guard_pd_unknown(q);
	if (why != NULL)
		return guard_no(e, G8, "%s", why);
	store = pdview_store(q->view, a->store_id);
	if (store == NULL || strcmp(json_str(store, "state", ""), "Tombstone") == 0)
		return guard_no(e, G6, "store %s is %s", a->store_id,
			store == NULL ? "not in PD's list" : "Tombstone");
	if (a->kind == ACTION_PD_OFFLINE)
		return store_offline(q, store, e);
	if (a->kind == ACTION_PD_EVICT_LEADERS)
		return eviction(q, store, e);
	return a->kind == ACTION_PD_ONLINE ? expected_state(q, store, e) : 0;
}
