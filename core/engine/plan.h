#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H
/*
 * plan: strict decoding of what a pass returned.
 *
 * An unknown key, a wrong type or a missing field is an error that names its path; nothing of such
 * a plan is executed. At most 100 actions (the rest is decided anew). JSON form:
 *   { actions = [ ... ], verdict = { kind = "settled"|"wait"|"retry", step, reason, message,
 *     hint, progress, after }, trace = [ { step, verdict, reason, message } ], status = { ... },
 *     status_after = seconds, pd_busy = bool }
 * Each action has `action` (its name below) and its own fields:
 *   apply       object                        creates when `object.metadata.uid` is absent
 *   delete      kind name uid rv [grace] why
 *   patch_meta  kind name uid rv [labels] [annotations] [remove_labels] [remove_annotations]
 *               [add_finalizers] [remove_finalizers] [images]   images: of side containers of a pod
 *   mark        kind name uid rv key          annotation := now, once
 *   pd_offline | pd_online                    store_id expect [force]
 *   pd_evict_leaders | pd_restore_leaders     store_id
 *   pd_transfer_leader                        member
 *   pd_remove_member                          member_id name
 *   pd_labels   store_id labels               pd_config items   tikv_config instance items
 *   pd_store_limit  type rate [store_id]      peers a minute; of all stores without store_id
 *   pd_purge    stores                        ids of all tombstones, and of nothing else
 *   job         object                        event type reason message [kind name uid]
 */
#include <stdbool.h>

#include "kube/ref.h"

enum action_kind {
	ACTION_APPLY,
	ACTION_DELETE,
	ACTION_PATCH_META,
	ACTION_MARK,
	ACTION_STATUS, /* made by the engine from plan.status, never by a script */
	ACTION_PD_OFFLINE,
	ACTION_PD_ONLINE,
	ACTION_PD_EVICT_LEADERS,
	ACTION_PD_RESTORE_LEADERS,
	ACTION_PD_TRANSFER_LEADER,
	ACTION_PD_REMOVE_MEMBER,
	ACTION_PD_LABELS,
	ACTION_PD_CONFIG,
	ACTION_PD_STORE_LIMIT,
	ACTION_PD_PURGE,
	ACTION_TIKV_CONFIG,
	ACTION_JOB,
	ACTION_EVENT,
	ACTION_COUNT,
};

struct action { /* texts are lent by the plan's tree */
	enum action_kind kind;
	const cJSON *tree;   /* the whole action */
	const cJSON *object; /* apply, job, status */
	enum kind of; /* kind of the Kubernetes object it touches; KIND_COUNT for PD actions */
	const char *ns, *name, *uid, *rv;
	const char *store_id, *member_id;
	bool creates; /* apply or job without a uid */
};

enum verdict { VERDICT_SETTLED, VERDICT_WAIT, VERDICT_RETRY };

struct plan {
	cJSON *tree; /* owned */
	struct action *action;
	int actions;
	bool cut; /* there were more than 100: run again at once */
	enum verdict verdict;
	const char *step, *reason, *message, *hint; /* "" when absent */
	double after;                               /* seconds */
	const cJSON *status;                        /* NULL: no opinion */
	double status_after;
	bool pd_busy;
};

/* ns: the namespace of the pass; objects may not name another. Takes the tree, also on error. */
struct plan *plan_decode(cJSON *own_tree, const char *ns, struct err *e);
void plan_free(struct plan *p);
const char *action_name(enum action_kind k); /* "pd_offline" */

#endif
