#ifndef ENGINE_OPERATOR_PRIV_H
#define ENGINE_OPERATOR_PRIV_H
/*
 * operator_priv: what the operator's parts share: feeds (operator_feed.c: stores and their
 * watches), PD views (operator_pd.c), pages (operator_debug.c).
 */
#include "base/map.h"
#include "engine/operator.h"
#include "engine/secrets.h"

struct feed { /* one watched resource */
	struct tikv_operator *o;
	enum kind kind;
	const char *selector;
	bool sources;   /* policies and scripts: they go to `sources`, not to passes */
	bool on_demand; /* asked for by a pass; nothing waits for it */
	bool optional;  /* may be denied: then it is unknown */
	struct store *store;
	struct watch *watch;
};

#define FEEDS_MAX (KIND_COUNT + 2)

struct tikv_operator {
	struct operator_conf conf; /* its texts are owned */
	struct rng rng;
	struct api *api;
	struct lease *lease;
	struct watch_lists *lists;
	struct feed feed[FEEDS_MAX];
	int feeds;
	struct feed *of[KIND_COUNT]; /* the feed that passes read */
	struct store *sources;
	struct map *states; /* of sources: "ns/name" -> struct source_state */
	struct events *events;
	struct queue *queue;
	struct world *world;
	struct expect *expect;
	struct guard *guard;
	struct exec *exec;
	struct script *script;
	struct record *record;
	struct ctl *ctl;
	struct map *pds; /* "ns/name" of a Cluster -> struct pdfeed */
	struct tikvview *tikvs;
	struct secrets *secrets; /* NULL until one is asked for */
	struct map *retired;     /* PDs of Clusters that are gone, while a plan may use them */
	struct timer *sync_timer;
	int64_t sync_until;
	bool started, synced, stopping;
	char *id; /* "namespace/lease", "" without a lease */
	char why[256];
	void (*stopped)(void *arg);
	void *stopped_arg;
};

/* ---- feeds ---- */
void feeds_new(struct tikv_operator *o);
void feeds_start(struct tikv_operator *o);
void feeds_free(struct tikv_operator *o);
bool feeds_synced(const struct tikv_operator *o, const char **why);
/* The store of a kind; watching begins when it was asked for the first time. NULL: never watched.
 */
struct store *feed_want(void *arg, enum kind k);
struct store *feed_peek(void *arg, enum kind k); /* without asking for it */
const char *feed_trouble(void *arg, enum kind k);
void feed_relist(void *arg, enum kind k);
void operator_synced_now(struct tikv_operator *o); /* a feed has synced */
void operator_event(void *arg, const struct obj *old, const struct obj *now);

/* ---- PD ---- */
void pds_cluster(struct tikv_operator *o, const struct obj *old, const struct obj *now);
void pds_recall(struct tikv_operator *o); /* all kinds were read: PD is held to what is recorded */
void pds_store(struct tikv_operator *o, const struct obj *old, const struct obj *now);
void pds_free(struct tikv_operator *o);
void pds_new(struct tikv_operator *o);
struct pdview *pds_view(void *arg, const char *ns, const char *cluster);
void pds_busy(void *arg, const char *ns, const char *cluster, const char *key, bool busy);
bool pds_since(void *arg, const char *ns, const char *cluster, int64_t mono_ms);
void pds_tikv_target(void *arg, const char *ns, const char *instance, struct tikv_target *out);
struct tikvview *pds_tikv_view(void *arg);
cJSON *pds_secrets(void *arg, const char *ns, const char *cluster, const cJSON *names);

/* ---- sources ---- */
void sources_state(void *arg, const struct obj *configmap, const char *state, const char *name,
	const char *reason);
void sources_new(struct tikv_operator *o);
void sources_free(struct tikv_operator *o);
void sources_event(struct tikv_operator *o, const struct obj *old, const struct obj *now);
void sources_publish(struct tikv_operator *o); /* what could not be written without the lease */

bool operator_may_write(const struct tikv_operator *o);

#endif
