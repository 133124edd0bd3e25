#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/guard_priv.h"

/* G4: deletions of claims, and the record of proofs. Nothing here reads absence as gone. */

static bool
mounts(const struct obj *pod, const char *claim)
{
	const cJSON *t, *v;
	bool found = false;

	if (strstr(pod->text, claim) == NULL)
		return false;
	t = obj_tree(pod);
	cJSON_ArrayForEach(v, json_path(t, "spec.volumes"))
	{
		found |= strcmp(json_str(v, "persistentVolumeClaim.claimName", ""), claim) == 0;
	}
	json_free(t);
	return found;
}

static int
pod_gone(const struct ask *q, struct err *e)
{
	const struct obj **list;
	size_t n = guard_list(q, KIND_POD, STORE_NAMESPACE, guard_ns(q), &list);
	const struct obj *user = NULL;

	for (size_t i = 0; i < n && user == NULL; i++) {
		if (mounts(list[i], q->a->name))
			user = list[i];
	}
	free(list);
	if (user != NULL)
		return guard_no(e, G4, "claim %s: pod %s still has it", q->a->name, user->name);
	return 0;
}

/* Retention of a kind ("whenDeleted"), the group's word before the Cluster's. */
static bool
deletes(const struct ask *q, const char *when, const char *fallback)
{
	char path[80];
	const char *component = guard_component(q->target_tree), *says;
	const struct obj *group =
		guard_get(q, strcmp(component, "pd") == 0 ? KIND_PDGROUP : KIND_TIKVGROUP,
			guard_ns(q), guard_label(q->target_tree, LABEL_GROUP));
	const cJSON *t = group != NULL ? obj_tree(group) : NULL;
	bool yes;

	snprintf(path, sizeof path, "spec.persistentVolumeClaimRetentionPolicy.%s", when);
	says = json_str(t, path, json_str(q->cluster_tree, path, fallback));
	yes = strcmp(says, "Delete") == 0;
	json_free(t);
	return yes;
}

/* PD, settled, says of this very id that it holds nothing any more. */
static int
store_removed(const struct ask *q, const char *id, struct err *e)
{
	const cJSON *store = pdview_store(q->view, id);

	if (store == NULL && guard_in_list(guard_annotation(q->target_tree, REMOVED_STORES), id))
		return 0; /* the proof was seen and recorded before PD purged the record */
	if (store == NULL)
		return guard_no(e, G4, "store %s: PD does not know it, which proves nothing", id);
	if (strcmp(json_str(store, "state", ""), "Tombstone") != 0)
		return guard_no(e, G4, "store %s is %s in PD, not Tombstone", id,
			json_str(store, "state", "unknown"));
	if (json_int(store, "regions", -1) != 0)
		return guard_no(e, G4, "store %s is Tombstone with %lld regions", id,
			(long long)json_int(store, "regions", -1));
	return 0;
}

int
guard_pd_settled(const struct ask *q, struct err *e)
{
	const char *why = guard_pd_unknown(q);

	if (why != NULL)
		return guard_no(e, G4, "no proof: %s", why);
	if (!pdview_settled(q->view))
		return guard_no(e, G4, "no proof: PD's leader has not been seen long enough");
	return 0;
}

/* Each TiKV of the cluster with a recorded id is in the list: the list is whole. */
static int
list_is_whole(const struct ask *q, struct err *e)
{
	const struct obj **list;
	char *value = xasprintf("%s/%s", guard_ns(q), q->s->cluster);
	size_t n = guard_list(q, KIND_TIKV, STORE_CLUSTER, value, &list);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		const cJSON *t = obj_tree(list[i]);
		const char *id = json_str(t, "status.id", "");
		if (id[0] != '\0' && pdview_store(q->view, id) == NULL)
			rc = guard_no(e, G4, "no proof: PD's list lacks store %s of %s", id,
				list[i]->name);
		json_free(t);
	}
	free(list);
	free(value);
	return rc;
}

/* The claim of volume v of pod p is named v-p. */
static const char *
pod_of(const struct ask *q)
{
	const char *volume = guard_label(q->target_tree, LABEL_VOLUME);
	size_t n = strlen(volume);

	if (n == 0 || strncmp(q->a->name, volume, n) != 0 || q->a->name[n] != '-')
		return NULL;
	return q->a->name + n + 1;
}

static bool
host_is(const char *address, const char *pod)
{
	size_t n = strlen(pod);

	return strncmp(address, pod, n) == 0 && (address[n] == '.' || address[n] == ':');
}

/* Every store that PD ever had at this address, under whatever id, holds nothing any more. */
static int
address_free(const struct ask *q, bool tombstones_too, struct err *e)
{
	const char *pod = pod_of(q);
	const cJSON *s;

	if (pod == NULL)
		return guard_no(e, G4, "claim %s: its label %s does not tell its pod", q->a->name,
			LABEL_VOLUME);
	cJSON_ArrayForEach(s, json_get(q->pd, "stores"))
	{
		const char *id = json_str(s, "id", "?");
		if (!host_is(json_str(s, "address", ""), pod))
			continue;
		if (tombstones_too)
			return guard_no(
				e, G4, "claim %s: store %s in PD has its address", q->a->name, id);
		if (store_removed(q, id, e) != 0)
			return -1;
	}
	return 0;
}

/* Removed, each id of a list "1,2,3"; *any when there was one. */
static int
list_removed(const struct ask *q, const char *ids, bool *any, struct err *e)
{
	int rc = 0;

	for (const char *at = ids; *at != '\0' && rc == 0; at += *at == ',') {
		size_t n = strcspn(at, ",");
		char *id = xstrndup(at, n);
		if (n > 0) {
			*any = true;
			rc = store_removed(q, id, e);
		}
		free(id);
		at += n;
	}
	return rc;
}

/* The ids that the volume itself remembers, should somebody have taken them off the claim. */
static int
volume_removed(const struct ask *q, bool *any, struct err *e)
{
	const struct obj *volume =
		guard_get(q, KIND_VOLUME, "", json_str(q->target_tree, "spec.volumeName", ""));
	const cJSON *t = volume != NULL ? obj_tree(volume) : NULL;
	int rc = list_removed(q, guard_annotation(t, FORMER_STORES), any, e);

	json_free(t);
	return rc;
}

/* Every id that was ever seen on this disk: by the object, the claim, its volume. */
static int
ids_removed(const struct ask *q, const char *mark, bool *any, struct err *e)
{
	const cJSON *m;

	if (list_removed(q, json_str(q->live_tree, "status.id", ""), any, e) != 0 ||
		list_removed(q, mark, any, e) != 0 ||
		list_removed(q, guard_annotation(q->target_tree, FORMER_STORES), any, e) != 0 ||
		volume_removed(q, any, e) != 0)
		return -1;
	cJSON_ArrayForEach(m, json_path(q->live_tree, "status.formerStores"))
	{
		if (list_removed(q, json_text(m) != NULL ? json_text(m) : "?", any, e) != 0)
			return -1;
	}
	return 0;
}

/* There was no disk. */
static bool
never_bound(const struct ask *q)
{
	return json_str(q->live_tree, "status.id", "")[0] == '\0' &&
	       guard_label(q->target_tree, LABEL_STORE)[0] == '\0' &&
	       cJSON_GetArraySize(json_path(q->live_tree, "status.formerStores")) == 0 &&
	       json_str(q->target_tree, "spec.volumeName", "")[0] == '\0' &&
	       strcmp(json_str(q->target_tree, "status.phase", "Pending"), "Pending") == 0;
}

static int
tikv_proof(const struct ask *q, struct err *e)
{
	bool any = false;
	char *mark;
	int rc;

	if (q->s->object->kind != KIND_TIKV)
		return guard_no(e, G4, "claim %s: only its TiKV deletes it", q->a->name);
	if (never_bound(q))
		return 0;
	if (guard_pd_settled(q, e) != 0)
		return -1;
	mark = guard_mark(q, q->target_tree, LABEL_STORE);
	rc = ids_removed(q, mark, &any, e);
	free(mark);
	if (rc == 0 && !any)
		rc = list_is_whole(q, e);
	return rc == 0 ? address_free(q, !any, e) : -1;
}

static int
pd_proof(const struct ask *q, struct err *e)
{
	const char *id = json_str(q->live_tree, "status.id", "");
	const char *mark = guard_label(q->target_tree, LABEL_MEMBER), *pod = pod_of(q);
	const cJSON *m;

	if (q->s->object->kind != KIND_PD)
		return guard_no(e, G4, "claim %s: only its PD deletes it", q->a->name);
	if (id[0] == '\0' && mark[0] == '\0' &&
		json_str(q->target_tree, "spec.volumeName", "")[0] == '\0')
		return 0;
	if (guard_pd_settled(q, e) != 0)
		return -1;
	if (pod == NULL)
		return guard_no(e, G4, "claim %s: its label %s does not tell its pod", q->a->name,
			LABEL_VOLUME);
	if (cJSON_GetArraySize(json_get(q->pd, "members")) == 0)
		return guard_no(e, G4, "no proof: an empty list of members");
	cJSON_ArrayForEach(m, json_get(q->pd, "members"))
	{
		const char *member = json_str(m, "id", "");
		if (strcmp(member, id) == 0 || strcmp(member, mark) == 0 ||
			strcmp(json_str(m, "name", ""), pod) == 0)
			return guard_no(
				e, G4, "claim %s: %s is still member %s", q->a->name, pod, member);
	}
	return 0;
}

static int
claim_deletion(const struct ask *q, struct err *e)
{
	const char *component = guard_component(q->target_tree);

	if (pod_gone(q, e) != 0)
		return -1;
	if (guard_ending(q)) {
		if (!deletes(q, "whenDeleted", "Retain"))
			return guard_no(e, G4, "claim %s: whenDeleted is Retain", q->a->name);
		return 0;
	}
	if (!deletes(q, "whenScaled", "Delete"))
		return guard_no(e, G4, "claim %s: whenScaled is Retain", q->a->name);
	if (strcmp(component, "tikv") == 0)
		return tikv_proof(q, e);
	if (strcmp(component, "pd") == 0)
		return pd_proof(q, e);
	return guard_no(e, G4, "claim %s: no component: what it holds is not known", q->a->name);
}

/* Recording a proof is believed later: it needs the proof itself now. */
static int
record_of_proof(const struct ask *q, const char *ids, struct err *e)
{
	const char *old = guard_annotation(q->target_tree, REMOVED_STORES);

	for (const char *at = ids; *at != '\0';) {
		size_t n = strcspn(at, ",");
		char *id = xstrndup(at, n);
		int rc = 0;
		if (n > 0 && !guard_in_list(old, id)) {
			rc = guard_pd_settled(q, e);
			if (rc == 0)
				rc = store_removed(q, id, e);
		}
		free(id);
		if (rc != 0)
			return -1;
		at += n + (at[n] == ',');
	}
	return 0;
}

int
guard_g4(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;
	const char *ids = NULL;

	if (guard_is(q, ACTION_DELETE, KIND_VOLUME))
		return guard_no(e, G4, "volume %s: a plan never deletes a volume", a->name);
	if (guard_is(q, ACTION_DELETE, KIND_CLAIM))
		return claim_deletion(q, e);
	if (a->kind == ACTION_PD_PURGE)
		return guard_purge(q, e);
	if (a->of != KIND_CLAIM)
		return 0;
	if (a->kind == ACTION_PATCH_META)
		ids = json_text(json_get(json_get(a->tree, "annotations"), REMOVED_STORES));
	if (a->kind == ACTION_APPLY)
		ids = json_text(
			json_get(json_path(a->object, "metadata.annotations"), REMOVED_STORES));
	if (a->kind == ACTION_MARK && strcmp(json_str(a->tree, "key", ""), REMOVED_STORES) == 0)
		return guard_no(e, G4, "claim %s: a proof names its stores", a->name);
	return ids != NULL ? record_of_proof(q, ids, e) : 0;
}
