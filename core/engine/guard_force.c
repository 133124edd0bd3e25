#include <stdlib.h>
#include <string.h>

#include "engine/guard_priv.h"

#define OUT_OF_SERVICE "node.kubernetes.io/out-of-service"

/* ---- G7: deletions with grace 0, forced offline, pods on disks ---- */

static bool
tainted(const cJSON *node)
{
	const cJSON *t;

	cJSON_ArrayForEach(t, json_path(node, "spec.taints"))
	{
		if (guard_same(json_str(t, "key", ""), OUT_OF_SERVICE))
			return true;
	}
	return false;
}

/* Does the node still hold the volume of one of the pod's claims? */
static bool
attached(const struct ask *q, const char *node)
{
	const struct obj **list;
	const cJSON *v;
	size_t n = guard_list(q, KIND_VOLUMEATTACHMENT, STORE_ALL, "", &list);
	bool found = false;

	for (size_t i = 0; i < n && !found; i++) {
		const cJSON *t = obj_tree(list[i]);
		const char *pv = json_str(t, "spec.source.persistentVolumeName", "");
		if (guard_same(node, json_str(t, "spec.nodeName", "")))
			cJSON_ArrayForEach(v, json_path(q->target_tree, "spec.volumes"))
			{
				const struct obj *claim = guard_get(q, KIND_CLAIM, guard_ns(q),
					json_str(v, "persistentVolumeClaim.claimName", ""));
				const cJSON *c = claim != NULL ? obj_tree(claim) : NULL;
				found |= guard_same(pv, json_str(c, "spec.volumeName", ""));
				json_free(c);
			}
		json_free(t);
	}
	free(list);
	return found;
}

static int
node_gone(const struct ask *q, struct err *e)
{
	struct store *nodes = q->g->facts.store(q->g->facts.arg, KIND_NODE);
	struct store *attachments = q->g->facts.store(q->g->facts.arg, KIND_VOLUMEATTACHMENT);
	const char *name = json_str(q->target_tree, "spec.nodeName", "");
	const struct obj *node;

	if (q->target != NULL && name[0] == '\0')
		return 0; /* it never ran anywhere */
	if (nodes == NULL || !store_synced(nodes) || attachments == NULL ||
		!store_synced(attachments))
		return guard_no(e, G7, "nodes and volume attachments can not be read: no proof");
	node = guard_get(q, KIND_NODE, "", name);
	if (node != NULL) {
		const cJSON *t = obj_tree(node);
		bool out = tainted(t);
		json_free(t);
		if (!out)
			return guard_no(e, G7,
				"pod %s: node %s exists and is not marked %s: it may still run",
				q->a->name, name, OUT_OF_SERVICE);
	}
	if (attached(q, name))
		return guard_no(
			e, G7, "pod %s: its volume is still attached to node %s", q->a->name, name);
	return 0;
}

int
guard_g7(const struct ask *q, struct err *e)
{
	const struct action *a = q->a;
	const cJSON *grace = json_get(a->tree, "grace");

	if (a->kind == ACTION_DELETE && cJSON_IsNumber(grace) && grace->valuedouble < 1)
		return a->of == KIND_POD
			       ? node_gone(q, e)
			       : guard_no(e, G7, "%s %s: only a pod is ever deleted by force",
					 kind_row(a->of)->kind, a->name);
	if (a->kind == ACTION_PD_OFFLINE && json_bool(a->tree, "force", false)) {
		const cJSON *store = q->view != NULL ? pdview_store(q->view, a->store_id) : NULL;
		if (!guard_same(guard_annotation(q->live_tree, DESTROYED), a->store_id))
			return guard_no(e, G7,
				"store %s: force needs a person's annotation " DESTROYED,
				a->store_id);
		if (store == NULL || strcmp(json_str(store, "state", "Up"), "Up") == 0)
			return guard_no(
				e, G7, "store %s: PD does not say that it is down", a->store_id);
	}
	return 0;
}
