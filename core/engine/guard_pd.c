#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/guard_priv.h"

/* A store that drains is shown as Offline even when it is dead: its heartbeat tells. */
#define SILENT_S 30

static bool
same(const char *a, const char *b)
{
	return a[0] != '\0' && strcmp(a, b) == 0;
}

static bool
ready(const cJSON *pod)
{
	return same(json_str(pod, "status.conditions[type=Ready].status", ""), "True");
}

static bool
text_in(const cJSON *list, const char *s)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, list)
	{
		if (cJSON_IsString(m) && strcmp(m->valuestring, s) == 0)
			return true;
	}
	return false;
}

/* ---- G5: members, PD pods, founding, recorded ids ---- */

struct majority {
	int members, healthy, nameless;
	const cJSON *target; /* the member in question, by id or by name */
	bool target_healthy;
};

static struct majority
count_members(const struct ask *q, const char *id, const char *name)
{
	struct majority m = { 0 };
	const cJSON *it;

	cJSON_ArrayForEach(it, json_get(q->pd, "members"))
	{
		bool healthy = json_bool(it, "healthy", false);
		bool target = (id != NULL && same(id, json_str(it, "id", ""))) ||
			      (name != NULL && same(name, json_str(it, "name", "")));
		m.members++;
		m.healthy += healthy;
		if (target) {
			m.target = it;
			m.target_healthy = healthy;
		} else if (json_str(it, "name", "")[0] == '\0') {
			m.nameless++;
		}
	}
	return m;
}

/* Another PD pod of the cluster that is on its way out: one change at a time. */
static bool
other_pd_leaving(const struct ask *q, const char *but)
{
	const struct obj **list;
	char *value = xasprintf("%s/" LABEL_CLUSTER "=%s", guard_ns(q), q->s->cluster);
	size_t n = guard_list(q, KIND_POD, STORE_LABEL, value, &list);
	bool found = false;

	for (size_t i = 0; i < n && !found; i++) {
		if (!list[i]->deleting || (but != NULL && strcmp(list[i]->name, but) == 0))
			continue;
		cJSON *t = obj_tree(list[i]);
		found = same(guard_component(t), "pd");
		json_free(t);
	}
	free(list);
	free(value);
	return found;
}

static int
member_removal(const struct ask *q, struct err *e)
{
	const char *name = json_str(q->a->tree, "name", "");
	struct majority m = count_members(q, q->a->member_id, NULL);
	int left = m.members - 1, healthy = m.healthy - m.target_healthy;

	if (m.target == NULL)
		return guard_no(e, G5, "member %s is not in PD's list", q->a->member_id);
	if (strcmp(name, json_str(m.target, "name", "")) != 0)
		return guard_no(e, G5, "member %s is named \"%s\", not \"%s\"", q->a->member_id,
			json_str(m.target, "name", ""), name);
	if (same(json_str(q->pd, "leader.id", ""), q->a->member_id))
		return guard_no(e, G5, "member %s is the leader: it is moved first", name);
	if (m.nameless > 0)
		return guard_no(e, G5, "another member is joining");
	if (left < 1 || healthy < left / 2 + 1)
		return guard_no(e, G5,
			"without member %s only %d of %d would be healthy: no majority", name,
			healthy, left);
	if (m.target_healthy && healthy < left)
		return guard_no(e, G5, "another member is not healthy: it is repaired first");
	if (other_pd_leaving(q, name))
		return guard_no(e, G5, "another PD pod is being restarted");
	return 0;
}

/* No PD cluster was ever seen: nothing can be served from this pod. */
static bool
never_founded(const struct ask *q)
{
	return q->cluster != NULL && json_str(q->cluster_tree, "status.id", "")[0] == '\0' &&
	       json_str(q->live_tree, "status.id", "")[0] == '\0' &&
	       json_str(q->live_tree, "status.clusterID", "")[0] == '\0' &&
	       json_path(q->pd, "leader.id") == NULL;
}

static int
pd_pod_deletion(const struct ask *q, struct err *e)
{
	struct majority m;
	const char *why;
	int healthy;

	if (guard_going_down(q) || q->target == NULL || q->target->deleting ||
		!ready(q->target_tree))
		return 0; /* not serving: its pod may always be made again */
	if (never_founded(q))
		return 0;
	why = guard_pd_unknown(q);
	if (why != NULL)
		return guard_no(e, G5, "pod %s serves and %s", q->a->name, why);
	m = count_members(q, NULL, q->a->name);
	if (m.target == NULL || !m.target_healthy)
		return 0;
	healthy = m.healthy - 1;
	if (m.nameless > 0)
		return guard_no(e, G5, "pod %s: a member is joining", q->a->name);
	if (other_pd_leaving(q, q->a->name))
		return guard_no(e, G5, "pod %s: another PD pod is being restarted", q->a->name);
	if (m.members <= 2 && m.healthy == m.members)
		return 0;
	if (healthy < m.members / 2 + 1)
		return guard_no(e, G5,
			"without pod %s only %d of %d members would be healthy: no majority",
			q->a->name, healthy, m.members);
	return 0;
}

/* The PD cluster id that is recorded anywhere for this Cluster, "" when none is; the caller frees.
 */
static char *
recorded_cluster(const struct ask *q)
{
	const struct obj **list;
	char *value, *found = NULL;
	size_t n;

	if (json_str(q->cluster_tree, "status.id", "")[0] != '\0')
		return xstrdup(json_str(q->cluster_tree, "status.id", ""));
	value = xasprintf("%s/" LABEL_CLUSTER "=%s", guard_ns(q), q->s->cluster);
	n = guard_list(q, KIND_CLAIM, STORE_LABEL, value, &list);
	for (size_t i = 0; i < n && found == NULL; i++) {
		if (strstr(list[i]->text, LABEL_PD) == NULL)
			continue;
		cJSON *t = obj_tree(list[i]);
		if (guard_label(t, LABEL_PD)[0] != '\0')
			found = xstrdup(guard_label(t, LABEL_PD));
		json_free(t);
	}
	free(list);
	free(value);
	return found != NULL ? found : xstrdup("");
}

/* PD lists a founder that never started: by name, but without client URLs. */
static bool
founder_missing(const struct ask *q)
{
	const char *name = q->a->name, *dash = strrchr(name, '-');
	const cJSON *m;
	char *pod;

	if (guard_pd_unknown(q) != NULL || dash == NULL)
		return false;
	pod = xasprintf("%.*s-pd%s", (int)(dash - name), name, dash);
	m = pdview_member(q->view, pod);
	free(pod);
	return m != NULL && cJSON_GetArraySize(json_get(m, "client_urls")) == 0;
}

static int
founding(const struct ask *q, const char *list, struct err *e)
{
	bool left_out = q->a->kind == ACTION_APPLY && q->a->creates &&
			same(guard_annotation(q->live_tree, INITIAL_CLUSTER), list);
	char *id;
	int rc = 0;

	if (same(guard_annotation(q->target_tree, INITIAL_CLUSTER), list))
		return 0; /* nothing new */
	id = recorded_cluster(q);
	/* A founder that a crash left out still comes by the list that its group has recorded. */
	if (id[0] != '\0' && !(left_out && founder_missing(q)))
		rc = guard_no(e, G5, "founding is forbidden: PD cluster id %s is recorded", id);
	free(id);
	return rc;
}

/* Once recorded, the cluster id never changes. */
static int
same_id(const char *was, const char *is, const char *where, struct err *e)
{
	if (was[0] != '\0' && strcmp(was, is) != 0)
		return guard_no(e, G5, "%s: the recorded PD cluster id %s would become \"%s\"",
			where, was, is);
	return 0;
}

static int
ids_kept(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;
	const char *path = a->of == KIND_CLUSTER ? "status.id" : "status.clusterID";
	const cJSON *labels, *id;

	if (a->kind == ACTION_STATUS)
		return same_id(json_str(q->target_tree, path, ""),
			json_str(a->object, path + strlen("status."), ""), "status", e);
	if (a->kind != ACTION_PATCH_META && a->kind != ACTION_APPLY)
		return 0;
	labels = a->kind == ACTION_APPLY ? json_path(a->object, "metadata.labels")
					 : json_get(a->tree, "labels");
	id = json_get(labels, LABEL_PD);
	if (id == NULL)
		return 0;
	return same_id(guard_label(q->target_tree, LABEL_PD),
		json_text(id) != NULL ? json_text(id) : "", a->name, e);
}

int
guard_g5(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;
	const char *list = "";

	if (a->kind == ACTION_PD_REMOVE_MEMBER) {
		const char *why = guard_pd_unknown(q);
		return why != NULL ? guard_no(e, G5, "%s", why) : member_removal(q, e);
	}
	if (guard_is(q, ACTION_DELETE, KIND_POD) && same(guard_component(q->target_tree), "pd"))
		return pd_pod_deletion(q, e);
	if (a->kind == ACTION_PATCH_META)
		list = json_str(
			json_get(a->tree, "annotations"), "core\\.tikv\\.org/initial-cluster", "");
	if (a->kind == ACTION_APPLY)
		list = guard_annotation(a->object, INITIAL_CLUSTER);
	if (list[0] != '\0' && founding(q, list, e) != 0)
		return -1;
	return ids_kept(q, e);
}

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

/* Is the instance's pod there, Ready and staying? */
static bool
pod_serves(const struct ask *q, const struct obj *instance)
{
	const struct obj **list;
	size_t n = guard_list(q, KIND_POD, STORE_OWNER, instance->uid, &list);
	bool serves = false;

	for (size_t i = 0; i < n; i++) {
		cJSON *t = obj_tree(list[i]);
		serves |= !list[i]->deleting && ready(t);
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
		cJSON *t;
		const char *id;
		if (strcmp(list[i]->uid, q->s->object->uid) == 0 || pod_serves(q, list[i]))
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
	int64_t voters = json_int(q->pd, "replication.max_replicas", 0);
	int64_t most = (voters - 1) / 2 > 1 ? (voters - 1) / 2 : 1;
	int count = (int)map_count(missing) + 1, rc = 0;

	map_put(domains, domain_of(q, store), (void *)store);
	for (struct map_iter it = { 0 }; map_next(missing, &it);)
		map_put(domains, domain_of(q, it.value), it.value);
	if (voters <= 0)
		rc = guard_no(e, G6, "PD's max-replicas is not known");
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
		!ready(q->target_tree))
		return 0; /* repair never waits for health */
	if (never_founded(q))
		return 0;
	why = guard_pd_unknown(q);
	if (why != NULL)
		return guard_no(e, G6, "pod %s serves and %s", q->a->name, why);
	store = id[0] != '\0' ? pdview_store(q->view, id) : store_of_pod(q);
	if (store == NULL && id[0] == '\0')
		return 0; /* PD has never heard of it */
	if (store == NULL)
		return guard_no(e, G6, "pod %s serves and its store is not known", q->a->name);
	if (!store_counts(store) || !store_serves(store))
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
	int64_t voters = json_int(q->pd, "replication.max_replicas", 0);
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
	if (voters <= 0)
		return guard_no(e, G6, "PD's max-replicas is not known");
	if (up < voters)
		return guard_no(e, G6, "without store %s %d stores would be Up, regions need %lld",
			q->a->store_id, up, (long long)voters);
	if (leaving_max > 0 && leaving > leaving_max)
		return guard_no(e, G6, "%d stores would be leaving, maxLeavingStores is %lld",
			leaving, (long long)leaving_max);
	return 0;
}

int
guard_g6(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;
	const cJSON *store;
	const char *why;

	if (guard_is(q, ACTION_DELETE, KIND_POD) && same(guard_component(q->target_tree), "tikv"))
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
	return a->kind == ACTION_PD_ONLINE ? expected_state(q, store, e) : 0;
}

/* ---- G8: writes to PD; instances made or removed ---- */

int
guard_g8(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;
	const char *why;

	if (((a->kind == ACTION_APPLY && a->creates) || a->kind == ACTION_DELETE) &&
		(a->of == KIND_PD || a->of == KIND_TIKV)) {
		if (q->view != NULL && !guard_ending(q) && pdview_history_changed(q->view, &why))
			return guard_no(e, G8, "PDHistoryChanged: %s: a person must confirm", why);
		return 0;
	}
	switch (a->kind) {
	case ACTION_PD_OFFLINE:
	case ACTION_PD_ONLINE:
	case ACTION_PD_EVICT_LEADERS:
	case ACTION_PD_RESTORE_LEADERS:
	case ACTION_PD_TRANSFER_LEADER:
	case ACTION_PD_REMOVE_MEMBER:
	case ACTION_PD_LABELS:
	case ACTION_PD_CONFIG:
		why = guard_pd_unknown(q);
		if (why != NULL)
			return guard_no(e, G8, "%s", why);
		break;
	case ACTION_APPLY:
	case ACTION_DELETE:
	case ACTION_PATCH_META:
	case ACTION_MARK:
	case ACTION_STATUS:
	case ACTION_TIKV_CONFIG:
	case ACTION_JOB:
	case ACTION_EVENT:
	case ACTION_COUNT:
		return 0;
	}
	/* A PD that has not loaded its schedulers overwrites or forgets evictions. */
	if ((a->kind == ACTION_PD_EVICT_LEADERS || a->kind == ACTION_PD_RESTORE_LEADERS) &&
		!text_in(json_get(q->pd, "schedulers"), "balance-leader-scheduler"))
		return guard_no(e, G8, "PD has not loaded its schedulers: evictions wait");
	if (a->kind == ACTION_PD_TRANSFER_LEADER &&
		!count_members(q, NULL, json_str(a->tree, "member", "")).target_healthy)
		return guard_no(e, G8, "member %s is not known to be healthy",
			json_str(a->tree, "member", ""));
	return 0;
}
