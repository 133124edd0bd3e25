#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/guard_priv.h"

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
		bool target = (id != NULL && guard_same(id, json_str(it, "id", ""))) ||
			      (name != NULL && guard_same(name, json_str(it, "name", "")));
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
		if (!guard_stopping(q, list[i]) || (but != NULL && strcmp(list[i]->name, but) == 0))
			continue;
		const cJSON *t = obj_tree(list[i]);
		found = guard_same(guard_component(t), "pd");
		json_free(t);
	}
	free(list);
	free(value);
	return found;
}

/* Its process has begun, PD has never listed it, and its instance has never been a member. */
static bool
joining(const struct ask *q, const struct obj *pod)
{
	const cJSON *t = obj_tree(pod), *i;
	const struct obj *instance =
		guard_get(q, KIND_PD, guard_ns(q), guard_label(t, LABEL_INSTANCE));
	bool yes = instance != NULL && guard_same(guard_component(t), "pd") &&
		   guard_same(json_str(t, "status.phase", ""), "Running") &&
		   pdview_member(q->view, pod->name) == NULL;

	i = yes ? obj_tree(instance) : NULL;
	yes = yes && json_str(i, "status.id", "")[0] == '\0';
	json_free(i);
	json_free(t);
	return yes;
}

/* A change of the members that is under way besides that of pod `but`. A joiner counts from the
 * start of its process on: before that, it changes nothing. */
static int
no_other_change(const struct ask *q, const struct majority *m, const char *but, struct err *e)
{
	const struct obj **list;
	char *value = xasprintf("%s/" LABEL_CLUSTER "=%s", guard_ns(q), q->s->cluster);
	size_t n = guard_list(q, KIND_POD, STORE_LABEL, value, &list);
	int rc = 0;

	if (m->nameless > 0)
		rc = guard_no(e, G5, "one change at a time: a member without a name is joining");
	else if (other_pd_leaving(q, but))
		rc = guard_no(e, G5, "one change at a time: another PD pod is being restarted");
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (strcmp(list[i]->name, but) != 0 && joining(q, list[i]))
			rc = guard_no(e, G5, "one change at a time: %s is joining", list[i]->name);
	}
	free(list);
	free(value);
	return rc;
}

/* The pod of a member: its name; a member that never started has none, but a peer URL. */
static char *
member_pod(const cJSON *member)
{
	const char *name = json_str(member, "name", "");
	const char *url = json_str(member, "peer_urls[0]", ""), *host = strstr(url, "//");

	if (name[0] != '\0' || host == NULL)
		return xstrdup(name);
	return xstrndup(host + 2, strcspn(host + 2, ".:"));
}

static int
member_removal(const struct ask *q, struct err *e)
{
	const char *name = json_str(q->a->tree, "name", "");
	struct majority m = count_members(q, q->a->member_id, NULL);
	int left = m.members - 1, healthy = m.healthy - m.target_healthy, rc;
	char *pod;

	if (m.target == NULL)
		return guard_no(e, G5, "member %s is not in PD's list", q->a->member_id);
	if (strcmp(name, json_str(m.target, "name", "")) != 0)
		return guard_no(e, G5, "member %s is named \"%s\", not \"%s\"", q->a->member_id,
			json_str(m.target, "name", ""), name);
	if (guard_same(json_str(q->pd, "leader.id", ""), q->a->member_id))
		return guard_no(e, G5, "member %s is the leader: it is moved first", name);
	pod = member_pod(m.target);
	rc = no_other_change(q, &m, pod, e);
	free(pod);
	if (rc != 0)
		return -1;
	if (left < 1 || healthy < left / 2 + 1)
		return guard_no(e, G5,
			"without member %s only %d of %d would be healthy: no majority", name,
			healthy, left);
	if (m.target_healthy && healthy < left)
		return guard_no(e, G5, "another member is not healthy: it is repaired first");
	return 0;
}

/* Members that PD still calls healthy and whose pod is away already: PD learns of it at its next
 * poll. */
static int
members_away(const struct ask *q)
{
	const struct obj **list;
	char *value = xasprintf("%s/%s", guard_ns(q), q->s->cluster);
	size_t n = guard_list(q, KIND_PD, STORE_CLUSTER, value, &list);
	int away = 0;

	for (size_t i = 0; i < n; i++) {
		const cJSON *t;
		struct majority m;
		if (guard_same(list[i]->uid, q->s->object->uid) || guard_pod_serves(q, list[i]))
			continue;
		t = obj_tree(list[i]);
		m = count_members(q, json_str(t, "status.id", ""), NULL);
		away += m.target != NULL && m.target_healthy;
		json_free(t);
	}
	free(list);
	free(value);
	return away;
}

static int
pd_pod_deletion(const struct ask *q, struct err *e)
{
	struct majority m;
	const char *why;
	int healthy;

	if (guard_going_down(q) || q->target == NULL || q->target->deleting ||
		!guard_ready(q->target_tree))
		return 0; /* not serving: its pod may always be made again */
	if (guard_never_founded(q))
		return 0;
	why = guard_pd_unknown(q);
	if (why != NULL)
		return guard_no(e, G5, "pod %s serves and %s", q->a->name, why);
	m = count_members(q, NULL, q->a->name);
	if (m.target == NULL || !m.target_healthy)
		return 0;
	m.healthy -= members_away(q);
	healthy = m.healthy - 1;
	if (no_other_change(q, &m, q->a->name, e) != 0)
		return -1;
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
		const cJSON *t = obj_tree(list[i]);
		char *id = guard_mark(q, t, LABEL_PD);
		if (id[0] != '\0')
			found = xstrdup(id);
		free(id);
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
			guard_same(guard_annotation(q->live_tree, INITIAL_CLUSTER), list);
	char *id;
	int rc = 0;

	if (guard_same(guard_annotation(q->target_tree, INITIAL_CLUSTER), list))
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

/* A new member joins only beside healthy ones, and alone. Without a PD that answers nothing joins:
 * then old members come back over their disks. */
static int
joiner(const struct ask *q, struct err *e)
{
	struct majority m = count_members(q, NULL, NULL);
	const char *dash = strrchr(q->a->name, '-');
	char *pod;
	int rc;

	if (guard_pd_unknown(q) != NULL || dash == NULL)
		return 0;
	pod = xasprintf("%.*s-pd%s", (int)(dash - q->a->name), q->a->name, dash);
	rc = pdview_member(q->view, pod) != NULL ? 0 : no_other_change(q, &m, pod, e);
	free(pod);
	return rc;
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
	if (guard_is(q, ACTION_DELETE, KIND_POD) &&
		guard_same(guard_component(q->target_tree), "pd"))
		return pd_pod_deletion(q, e);
	if (guard_is(q, ACTION_APPLY, KIND_PD) && a->creates && joiner(q, e) != 0)
		return -1;
	if (a->kind == ACTION_PATCH_META)
		list = json_str(
			json_get(a->tree, "annotations"), "core\\.tikv\\.org/initial-cluster", "");
	if (a->kind == ACTION_APPLY)
		list = guard_annotation(a->object, INITIAL_CLUSTER);
	if (list[0] != '\0' && founding(q, list, e) != 0)
		return -1;
	return ids_kept(q, e);
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
	case ACTION_PD_STORE_LIMIT:
	case ACTION_PD_PURGE:
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
