#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/guard_priv.h"

static const char *
kind_name(const struct ask *q)
{
	return kind_row(q->a->of)->kind;
}

static bool
has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* ---- G3: apply, job, delete, patch_meta, mark, and PD actions on a store or member ---- */

static bool
is_subject(const struct ask *q)
{
	return q->a->of == q->s->object->kind && strcmp(q->a->name, q->s->object->name) == 0;
}

static bool
is_group(enum kind k)
{
	return k == KIND_PDGROUP || k == KIND_TIKVGROUP;
}

/* A Cluster reaches its groups by their spec.cluster.name: people make them, nobody owns them. */
static bool
group_of_cluster(const struct ask *q)
{
	return q->s->object->kind == KIND_CLUSTER && is_group(q->a->of) &&
	       guard_same(json_str(q->target_tree, "spec.cluster.name", ""), q->s->object->name);
}

static bool
may_apply(enum kind k)
{
	switch (k) {
	case KIND_PD:
	case KIND_TIKV:
	case KIND_POD:
	case KIND_CLAIM:
	case KIND_CONFIGMAP:
	case KIND_SERVICE:
	case KIND_REVISION:
	case KIND_BUDGET:
	case KIND_JOB:
		return true;
	case KIND_CLUSTER:
	case KIND_PDGROUP:
	case KIND_TIKVGROUP:
	case KIND_VOLUME:
	case KIND_SECRET:
	case KIND_NODE:
	case KIND_STORAGECLASS:
	case KIND_VOLUMEATTACHMENT:
	case KIND_EVENT:
	case KIND_LEASE:
	case KIND_QUOTA:
	case KIND_CRD:
	case KIND_COUNT:
		return false;
	}
	return false;
}

/* Only keys of `names` may be members of the object. */
static bool
only(const cJSON *object, const char *const *names)
{
	const cJSON *m;
	int i;

	cJSON_ArrayForEach(m, object)
	{
		for (i = 0; names[i] != NULL && strcmp(names[i], m->string) != 0; i++)
			;
		if (names[i] == NULL)
			return false;
	}
	return true;
}

static int
one_field_only(const struct ask *q, const char *field, struct err *e)
{
	static const char *const top[] = { "apiVersion", "kind", "metadata", "spec", NULL };
	static const char *const meta[] = { "name", "namespace", "uid", "resourceVersion", NULL };
	const char *const spec[] = { field, NULL };
	const cJSON *o = q->a->object;

	if (q->a->creates || !only(o, top) || !only(json_get(o, "metadata"), meta) ||
		!only(json_get(o, "spec"), spec))
		return guard_no(e, G3, "a plan writes only spec.%s of %s %s", field, kind_name(q),
			q->a->name);
	return 0;
}

static bool
instance_alive(const struct ask *q, const char *uid)
{
	static const enum kind kinds[] = { KIND_PD, KIND_TIKV };
	const struct obj **list;
	bool found = false;

	for (int k = 0; k < 2; k++) {
		size_t n = guard_list(q, kinds[k], STORE_NAMESPACE, guard_ns(q), &list);
		for (size_t i = 0; i < n; i++)
			found |= strcmp(list[i]->uid, uid) == 0;
		free(list);
	}
	return found;
}

/* Taking over a claim: the old owner is gone, and the claim is of this instance and cluster. */
static int
adopted_marks(const struct ask *q, const char *pd, const char *mark, struct err *e)
{
	const char *recorded = json_str(q->cluster_tree, "status.id", "");
	const char *id = json_str(q->live_tree, "status.id", "");

	if (pd[0] != '\0' && recorded[0] != '\0' && strcmp(pd, recorded) != 0)
		return guard_no(e, G3, "not ours: claim %s holds data of PD cluster %s, not %s",
			q->a->name, pd, recorded);
	if (id[0] != '\0' && mark[0] != '\0' && strcmp(id, mark) != 0)
		return guard_no(e, G3, "not ours: claim %s holds data of %s, not of %s", q->a->name,
			mark, id);
	return 0;
}

static int
adopts(const struct ask *q, struct err *e)
{
	const cJSON *t = q->target_tree;
	const char *owner = guard_owner(KIND_CLAIM, t);
	enum kind k = q->s->object->kind;
	char *pd, *mark;
	int rc;

	if (k != KIND_PD && k != KIND_TIKV)
		return guard_no(e, G3, "not ours: only an instance adopts a claim");
	if (owner[0] != '\0' && instance_alive(q, owner))
		return guard_no(e, G3, "not ours: claim %s has a living owner", q->a->name);
	if (guard_label(t, LABEL_RETIRED)[0] != '\0')
		return guard_no(e, G3,
			"not ours: claim %s is labelled retired: a person must free it",
			q->a->name);
	if (!guard_same(guard_label(t, LABEL_CLUSTER), q->s->cluster) ||
		!guard_same(guard_label(t, LABEL_INSTANCE), q->s->object->name) ||
		!guard_same(guard_component(t), k == KIND_PD ? "pd" : "tikv"))
		return guard_no(e, G3, "not ours: claim %s is of another instance", q->a->name);
	pd = guard_mark(q, t, LABEL_PD);
	mark = guard_mark(q, t, k == KIND_PD ? LABEL_MEMBER : LABEL_STORE);
	rc = adopted_marks(q, pd, mark, e);
	free(pd);
	free(mark);
	return rc;
}

/* An action of its own: it names the owner, and changes nothing else. */
static bool
is_adoption(const struct ask *q)
{
	const cJSON *annotations = json_get(q->a->tree, "annotations"), *m;
	const char *owner = json_text(json_get(annotations, OWNER_UID));

	if (q->a->kind != ACTION_PATCH_META || q->a->of != KIND_CLAIM || owner == NULL ||
		!guard_same(owner, q->s->object->uid) || cJSON_GetArraySize(annotations) != 1)
		return false;
	cJSON_ArrayForEach(m, q->a->tree)
	{
		static const char *const own[] = { "action", "kind", "name", "uid", "rv",
			"annotations", NULL };
		int i;
		for (i = 0; own[i] != NULL && strcmp(own[i], m->string) != 0; i++)
			;
		if (own[i] == NULL)
			return false;
	}
	return true;
}

static int
target_is_ours(const struct ask *q, struct err *e)
{
	if (q->target == NULL)
		return guard_no(
			e, G3, "not ours: %s %s is not in the cache", kind_name(q), q->a->name);
	if (guard_same(guard_owner(q->a->of, q->target_tree), q->s->object->uid))
		return 0;
	if (is_adoption(q))
		return adopts(q, e);
	return guard_no(e, G3, "not ours: %s %s is not owned by %s", kind_name(q), q->a->name,
		q->s->object->name);
}

static bool
was_made(const struct ask *q, const char *claim)
{
	for (size_t i = 0; i < q->s->made_n; i++)
		if (strcmp(q->s->made[i], claim) == 0)
			return true;
	return false;
}

/* A pod mounts only claims of its own instance, not retired, and in no other pod's hands. */
static int
pod_claims(const struct ask *q, struct err *e)
{
	const cJSON *v, *volumes = json_path(q->a->object, "spec.volumes");

	cJSON_ArrayForEach(v, volumes)
	{
		const char *name = json_str(v, "persistentVolumeClaim.claimName", "");
		const struct obj *claim = guard_get(q, KIND_CLAIM, guard_ns(q), name);
		const cJSON *t;
		bool ours, retired;
		if (name[0] == '\0' || (claim == NULL && was_made(q, name)))
			continue;
		if (claim == NULL)
			return guard_no(
				e, G3, "claim %s of pod %s is not in the cache", name, q->a->name);
		t = obj_tree(claim);
		ours = guard_same(guard_owner(KIND_CLAIM, t), q->s->object->uid);
		retired = guard_label(t, LABEL_RETIRED)[0] != '\0';
		json_free(t);
		if (!ours || retired)
			return guard_no(e, G3, "not ours: claim %s of pod %s is %s", name,
				q->a->name, ours ? "retired" : "of another owner");
	}
	return 0;
}

static int
applied_is_ours(const struct ask *q, struct err *e)
{
	const cJSON *o = q->a->object, *ref, *refs = json_path(o, "metadata.ownerReferences");
	const char *uid = q->s->object->uid;

	if (group_of_cluster(q))
		return one_field_only(q, "features", e);
	if (q->a->of == KIND_PDGROUP && guard_same(q->a->uid, uid))
		return one_field_only(q, "bootstrapped", e);
	if (!may_apply(q->a->of))
		return guard_no(e, G3, "not ours: a plan never writes a %s", kind_name(q));
	if (q->a->of == KIND_CLAIM && refs != NULL)
		return guard_no(e, G3,
			"claim %s carries owner references: its data could be collected",
			q->a->name);
	cJSON_ArrayForEach(ref, refs)
	{
		if (!guard_same(json_str(ref, "uid", ""), uid))
			return guard_no(e, G3, "not ours: %s %s names another owner", kind_name(q),
				q->a->name);
	}
	if (!guard_same(guard_owner(q->a->of, o), uid))
		return guard_no(e, G3, "not ours: %s %s does not name %s as its owner",
			kind_name(q), q->a->name, q->s->object->name);
	if (!guard_same(guard_label(o, MANAGED_BY), OPERATOR) ||
		!guard_same(guard_label(o, LABEL_CLUSTER), q->s->cluster))
		return guard_no(e, G3, "%s %s lacks the labels %s and %s", kind_name(q), q->a->name,
			MANAGED_BY, LABEL_CLUSTER);
	if (kind_row(q->a->of)->ours &&
		!guard_same(json_str(o, "spec.cluster.name", ""), q->s->cluster))
		return guard_no(e, G3, "%s %s is of another cluster", kind_name(q), q->a->name);
	if (q->a->creates && q->a->of == KIND_POD)
		return pod_claims(q, e);
	return q->a->creates ? 0 : target_is_ours(q, e);
}

static bool
own_keys_only(const cJSON *map, const cJSON *removed)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, map)
	{
		if (!has_prefix(m->string, OWN))
			return false;
	}
	cJSON_ArrayForEach(m, removed)
	{
		if (!has_prefix(m->valuestring, OWN))
			return false;
	}
	return true;
}

static bool
own_meta_only(const cJSON *action)
{
	return own_keys_only(json_get(action, "labels"), json_get(action, "remove_labels")) &&
	       own_keys_only(
		       json_get(action, "annotations"), json_get(action, "remove_annotations")) &&
	       json_get(action, "add_finalizers") == NULL &&
	       json_get(action, "remove_finalizers") == NULL;
}

/* A volume is reached through the claim that it is bound to. */
static int
volume_is_ours(const struct ask *q, struct err *e)
{
	const char *uid = json_str(q->target_tree, "spec.claimRef.uid", "");
	const struct obj *claim =
		guard_get(q, KIND_CLAIM, json_str(q->target_tree, "spec.claimRef.namespace", ""),
			json_str(q->target_tree, "spec.claimRef.name", ""));
	bool ours = false;

	if (claim != NULL && guard_same(claim->uid, uid) && strcmp(claim->ns, guard_ns(q)) == 0) {
		const cJSON *t = obj_tree(claim);
		ours = guard_same(guard_owner(KIND_CLAIM, t), q->s->object->uid);
		json_free(t);
	}
	if (!ours)
		return guard_no(e, G3, "not ours: volume %s is bound to no claim of %s", q->a->name,
			q->s->object->name);
	if (q->a->kind == ACTION_PATCH_META && !own_meta_only(q->a->tree))
		return guard_no(e, G3, "volume %s: only metadata of " OWN " is ours", q->a->name);
	return 0;
}

/* Marks that say whose data it is are never taken away by a plan. */
static int
identity_kept(const struct ask *q, struct err *e)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, json_get(q->a->tree, "remove_labels"))
	{
		if (strcmp(m->valuestring, LABEL_RETIRED) == 0 ||
			strcmp(m->valuestring, LABEL_PD) == 0 ||
			(q->a->of == KIND_CLAIM && strcmp(m->valuestring, LABEL_STORE) == 0))
			return guard_no(e, G3, "%s %s: only a person removes the label %s",
				kind_name(q), q->a->name, m->valuestring);
	}
	cJSON_ArrayForEach(m, json_get(q->a->tree, "remove_annotations"))
	{
		if (strcmp(m->valuestring, OWNER_UID) == 0 ||
			strcmp(m->valuestring, FORMER_STORES) == 0 ||
			strcmp(m->valuestring, REMOVED_STORES) == 0)
			return guard_no(e, G3,
				"%s %s: a claim always names its owner and its stores",
				kind_name(q), q->a->name);
	}
	m = json_get(json_get(q->a->tree, "annotations"), OWNER_UID);
	if (m != NULL && !guard_same(m->valuestring, q->s->object->uid))
		return guard_no(e, G3, "not ours: %s %s is given to another owner", kind_name(q),
			q->a->name);
	cJSON_ArrayForEach(m, json_get(q->a->tree, "remove_finalizers"))
	{
		if (strcmp(m->valuestring, FINALIZER) != 0)
			return guard_no(e, G3, "not ours: finalizer %s", m->valuestring);
	}
	return 0;
}

/* A store that lost its data comes back under a new id: the old one stays known on the disk. */
static int
former_kept(const struct ask *q, struct err *e)
{
	const char *was = guard_label(q->target_tree, LABEL_STORE), *is, *former;

	is = json_text(json_get(json_get(q->a->tree, "labels"), LABEL_STORE));
	if (q->a->of != KIND_CLAIM || is == NULL || was[0] == '\0' || strcmp(is, was) == 0)
		return 0;
	former = json_text(json_get(json_get(q->a->tree, "annotations"), FORMER_STORES));
	if (!guard_in_list(
		    former != NULL ? former : guard_annotation(q->target_tree, FORMER_STORES), was))
		return guard_no(e, G3,
			"claim %s: store %s would be forgotten: it goes to " FORMER_STORES,
			q->a->name, was);
	return 0;
}

/* Another program of PD or TiKV is a restart, with all that belongs to one. */
static int
images_are_side(const struct ask *q, struct err *e)
{
	if (q->a->of != KIND_POD)
		return guard_no(e, G3, "%s %s: only pods have images", kind_name(q), q->a->name);
	if (json_get(json_get(q->a->tree, "images"), guard_component(q->target_tree)) != NULL)
		return guard_no(
			e, G3, "pod %s: the image of its main container is a restart", q->a->name);
	return 0;
}

static int
patched_is_ours(const struct ask *q, struct err *e)
{
	if (json_get(q->a->tree, "images") != NULL && images_are_side(q, e) != 0)
		return -1;
	if (q->a->kind == ACTION_PATCH_META && (identity_kept(q, e) != 0 || former_kept(q, e) != 0))
		return -1;
	if (is_subject(q))
		return 0;
	if (q->a->of == KIND_VOLUME && q->target != NULL)
		return volume_is_ours(q, e);
	if (q->target != NULL && group_of_cluster(q)) {
		if (q->a->kind == ACTION_PATCH_META && !own_meta_only(q->a->tree))
			return guard_no(e, G3, "%s %s: only metadata of " OWN " is ours",
				kind_name(q), q->a->name);
		return 0;
	}
	return target_is_ours(q, e);
}

static int
deleted_is_ours(const struct ask *q, struct err *e)
{
	if (is_subject(q))
		return guard_no(e, G3, "%s %s: a plan never deletes its own object", kind_name(q),
			q->a->name);
	if (q->target != NULL && group_of_cluster(q)) {
		if (!q->s->object->deleting)
			return guard_no(e, G3,
				"%s %s: a Cluster deletes its groups only when it is deleted",
				kind_name(q), q->a->name);
		return 0;
	}
	if (!may_apply(q->a->of))
		return guard_no(e, q->a->of == KIND_VOLUME ? G4 : G3, "a plan never deletes a %s",
			kind_name(q));
	return target_is_ours(q, e);
}

/* The store is of the subject itself, or of an instance that the subject owns. */
static bool
store_is_ours(const struct ask *q)
{
	const struct obj **list;
	bool found = false;
	size_t n;

	if (q->s->object->kind == KIND_TIKV) {
		const cJSON *m;
		if (guard_same(json_str(q->live_tree, "status.id", ""), q->a->store_id))
			return true;
		cJSON_ArrayForEach(m, json_path(q->live_tree, "status.formerStores"))
		{
			if (cJSON_IsString(m) && strcmp(m->valuestring, q->a->store_id) == 0)
				return true;
		}
		return false;
	}
	if (q->s->object->kind != KIND_TIKVGROUP)
		return false;
	n = guard_list(q, KIND_TIKV, STORE_OWNER, q->s->object->uid, &list);
	for (size_t i = 0; i < n && !found; i++) {
		const cJSON *t = obj_tree(list[i]);
		found = guard_same(json_str(t, "status.id", ""), q->a->store_id);
		json_free(t);
	}
	free(list);
	return found;
}

/* A member that never started has no name: its peer URL tells whose it was to be. */
static bool
member_is_ours(const struct ask *q)
{
	enum kind k = q->s->object->kind;
	const cJSON *m;
	char *host;
	bool found = false;

	if (k == KIND_PD && guard_same(json_str(q->live_tree, "status.id", ""), q->a->member_id))
		return true;
	if (k == KIND_PD) { /* "a-0" makes the pod "a-pd-0" */
		const char *dash = strrchr(q->s->object->name, '-');
		int n = dash != NULL ? (int)(dash - q->s->object->name) : 0;
		host = dash != NULL ? xasprintf("//%.*s-pd%s.", n, q->s->object->name, dash)
				    : xasprintf("//%s-pd.", q->s->object->name);
	} else if (k == KIND_PDGROUP) {
		host = xasprintf("//%s-pd-", q->s->object->name);
	} else {
		return false;
	}
	cJSON_ArrayForEach(m, json_get(q->pd, "members"))
	{
		const cJSON *url;
		if (!guard_same(json_str(m, "id", ""), q->a->member_id))
			continue;
		cJSON_ArrayForEach(url, json_get(m, "peer_urls"))
		{
			found |= cJSON_IsString(url) && strstr(url->valuestring, host) != NULL;
		}
	}
	free(host);
	return found;
}

int
guard_g3(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;

	if (a->of != KIND_COUNT && kind_row(a->of)->namespaced && strcmp(a->ns, guard_ns(q)) != 0)
		return guard_no(e, G3, "%s %s is in another namespace", kind_name(q), a->name);
	if (a->of != KIND_COUNT && (a->name == NULL || a->name[0] == '\0'))
		return guard_no(e, G3, "%s: an empty name", action_name(a->kind));
	switch (a->kind) {
	case ACTION_APPLY:
	case ACTION_JOB:
		return applied_is_ours(q, e);
	case ACTION_DELETE:
		return deleted_is_ours(q, e);
	case ACTION_PATCH_META:
	case ACTION_MARK:
		return patched_is_ours(q, e);
	case ACTION_STATUS:
		return is_subject(q) ? 0 : guard_no(e, G3, "not ours: status of %s", a->name);
	case ACTION_PD_OFFLINE:
	case ACTION_PD_ONLINE:
	case ACTION_PD_EVICT_LEADERS:
	case ACTION_PD_LABELS:
		return store_is_ours(q)
			       ? 0
			       : guard_no(e, G3, "not ours: store %s is of no instance of %s",
					 a->store_id, q->s->object->name);
	case ACTION_PD_RESTORE_LEADERS:
		/* leftovers of instances that are gone are swept by their group */
		return q->s->object->kind == KIND_TIKVGROUP || store_is_ours(q)
			       ? 0
			       : guard_no(e, G3, "not ours: store %s", a->store_id);
	case ACTION_PD_REMOVE_MEMBER:
		return member_is_ours(q) ? 0
					 : guard_no(e, G3, "not ours: member %s is not of %s",
						   a->member_id, q->s->object->name);
	case ACTION_TIKV_CONFIG:
		return q->s->object->kind == KIND_TIKV && strcmp(json_str(a->tree, "instance", ""),
								  q->s->object->name) == 0
			       ? 0
			       : guard_no(e, G3, "not ours: settings of %s",
					 json_str(a->tree, "instance", ""));
	case ACTION_PD_CONFIG:
		/* One cluster, one configuration: of the Cluster, or of a group of PD. */
		return q->s->object->kind == KIND_CLUSTER || q->s->object->kind == KIND_PDGROUP
			       ? 0
			       : guard_no(e, G3, "not ours: PD's settings");
	case ACTION_PD_STORE_LIMIT:
	case ACTION_PD_PURGE:
		return q->s->object->kind == KIND_CLUSTER
			       ? 0
			       : guard_no(e, G3, "not ours: %s is the Cluster's",
					 action_name(a->kind));
	case ACTION_PD_TRANSFER_LEADER:
	case ACTION_EVENT:
	case ACTION_COUNT:
		return 0;
	}
	return guard_no(e, G3, "an unknown action");
}
