#ifndef ENGINE_GUARD_PRIV_H
#define ENGINE_GUARD_PRIV_H
/*
 * guard_priv: one question to the guard, as its rules see it.
 *
 * Trees are owned by the question and made from live caches when it is asked. Rules return 0, or -1
 * with ERR_REFUSED set by guard_no(). guard.c holds G1 and G2, guard_kube.c G3, guard_data.c G4,
 * guard_purge.c that of tombstones, guard_pd.c G5 and G8, guard_store.c G6, guard_force.c G7,
 * guard_blast.c G9, guard_stopping.c what
 * G5 and G6 know of own deletions before the cache does.
 */
#include "engine/guard.h"

#define OWN "core.tikv.org/"
#define LABEL_CLUSTER OWN "cluster"
#define LABEL_COMPONENT OWN "component"
#define LABEL_INSTANCE OWN "instance"
#define LABEL_GROUP OWN "group"
#define LABEL_VOLUME OWN "volume"
#define LABEL_STORE OWN "store-id"
#define LABEL_MEMBER OWN "member-id"
#define LABEL_PD OWN "cluster-id"
#define LABEL_RETIRED OWN "retired"
#define MANAGED_BY "app.kubernetes.io/managed-by"
#define OPERATOR "tikv-operator"
#define OWNER_UID OWN "owner-uid"           /* claims: uid of their instance */
#define REMOVED_STORES OWN "removed-stores" /* claims: ids proven removed, with commas */
#define INITIAL_CLUSTER OWN "initial-cluster"
#define DESTROYED OWN "destroyed"         /* TiKV: store id that a person gave up */
#define OPERATOR_ID OWN "operator"        /* Cluster: which installation looks after it */
#define BEHAVIOUR OWN "behaviour"         /* Cluster: the newest that has done so */
#define FORMER_STORES OWN "former-stores" /* claims: ids seen before the one on the label */
#define FINALIZER OWN "finalizer"

/* PD facts older than this are unknown. */
#define GUARD_PD_FRESH_MS 30000

struct guard {
	struct guard_facts facts;
	struct map *blast;    /* "ns/cluster" -> what was destroyed there of late */
	struct map *stopping; /* uid of a pod -> when its deletion was let go */
};

struct ask {
	struct guard *g;
	const struct guard_subject *s;
	const struct action *a;
	const struct obj *live;    /* the subject in the cache, NULL: none */
	const struct obj *target;  /* what the action touches in the cache, NULL: none */
	const struct obj *cluster; /* NULL: none */
	const cJSON *live_tree, *target_tree, *cluster_tree;
	struct pdview *view; /* NULL: none */
	const cJSON *pd;     /* its snapshot, NULL: none */
};

int guard_no(struct err *e, enum guard_rule rule, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const struct obj *guard_get(const struct ask *q, enum kind k, const char *ns, const char *name);
size_t guard_list(const struct ask *q, enum kind k, enum store_index index, const char *value,
	const struct obj ***out);
bool guard_same(const char *a, const char *b); /* equal, and not empty */
bool guard_ready(const cJSON *pod);
bool guard_in_list(const char *list, const char *id);               /* "1,2,3" */
const char *guard_label(const cJSON *object, const char *key);      /* "" when absent */
const char *guard_annotation(const cJSON *object, const char *key); /* "" when absent */
/* uid of who an object belongs to: its controller, for claims the annotation. "" when nobody. */
const char *guard_owner(enum kind k, const cJSON *object);
/* A mark of identity of a claim: its own label, else its volume's. "" when there is none,
 * malloc'ed. */
char *guard_mark(const struct ask *q, const cJSON *claim, const char *label);
const char *guard_ns(const struct ask *q);
bool guard_is(const struct ask *q, enum action_kind a, enum kind of);
/* The Cluster is being deleted, or its computing is suspended: nothing need stay up. */
bool guard_ending(const struct ask *q);
bool guard_going_down(const struct ask *q);
/* No PD cluster was ever seen: nothing can be served from the pods. */
bool guard_never_founded(const struct ask *q);
/* "tikv", "pd" or "" of a pod or claim. */
const char *guard_component(const cJSON *object);
/* PD answered lately and is the recorded cluster; else why not. NULL: it is so. */
const char *guard_pd_unknown(const struct ask *q);

/* The same for a proof (G4): its leader has been seen long enough. 0: it is so. */
int guard_pd_settled(const struct ask *q, struct err *e);
/* G4 of pd_purge: PD forgets all tombstones at once, so nothing may speak of any. */
int guard_purge(const struct ask *q, struct err *e);

struct map *guard_blasts_new(void);   /* of guard.blast */
struct map *guard_stopping_new(void); /* of guard.stopping */
/* A deletion that is about to be sent; and whether a pod is on its way out, seen or not yet. */
void guard_stopping_note(struct guard *g, const struct action *a);
bool guard_stopping(const struct ask *q, const struct obj *pod);
/* Is the instance's pod there, Ready and staying? */
bool guard_pod_serves(const struct ask *q, const struct obj *instance);

int guard_g1(const struct ask *q, struct err *e);
int guard_g2(const struct ask *q, struct err *e);
int guard_g3(const struct ask *q, struct err *e);
int guard_g4(const struct ask *q, struct err *e);
int guard_g5(const struct ask *q, struct err *e);
int guard_g6(const struct ask *q, struct err *e);
int guard_g7(const struct ask *q, struct err *e);
int guard_g8(const struct ask *q, struct err *e);
int guard_g9(const struct ask *q, struct err *e);

#endif
