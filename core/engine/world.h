#ifndef ENGINE_WORLD_H
#define ENGINE_WORLD_H
/*
 * world: everything one pass may know, as one JSON tree, in a fixed order.
 *
 * A controller's needs(object) names what it wants; each item becomes one member of the world:
 *   {as="pods", kind="Pod", owner=UID, fields={ready="status.phase", ...}}       a sorted list
 *   {as="rows", kind="TiKV", label={KEY, VALUE}, fields={...}}                   a sorted list
 *   {as="mine", kind="TiKV", cluster=NAME, fields={...}}    by spec.cluster.name, a sorted list
 *   {as="all", kind="TiKVGroup", fields={...}}               of the namespace (all if
 * cluster-scoped) {as="node", kind="Node", name=NAME}                      one object, absent when
 * there is none {as="pd", pd=CLUSTER, stores="all"|"none", store=ID, address=HOST:PORT,
 * member=NAME, fresh=SECONDS, wake={TOPIC, ...}, settings={KEY, ...}}
 *   {as="live", tikv=NAME, settings={KEY, ...}, fresh=SECONDS}   of a TiKV's process, read so often
 *   {as="secrets", secrets={NAME, ...}, of=CLUSTER}  {NAME: {known, there, keys[]}}; {} without TLS
 * Without `fields` the whole object comes. `uid` may
 * stand beside `name`: another uid is absent.
 *
 * Always there: now (seconds), clock {year, month, day, hour, minute, second, weekday (0 = Sunday)}
 * in UTC, kind, object, deleting, operator {version, namespaced, images...}, last (outcome of the
 * previous plan of this key, if any), ages {Pod=seconds since its stream was heard, ...}, unknown
 * {as=reason} for what can not be known: a kind that is not watched (namespaced mode, 403) or not
 * synced. Unknown is never an empty list.
 *
 * The PD member is {known, reason, age, settled, history (why, only when it changed), breaker (why
 * it is open, G9), cluster_id, version, leader, members, counts, replication, schedulers, evicting,
 * regions, bootstrapped, halted, settings {KEY: value} and tried
 * {KEY: {value, why}} (for settings), stores (for stores="all"), store (by id; without an id by
 * address), member (by name)}. When it is not known, or older than `fresh` (30 s), only
 * known=false, reason, age, history and breaker are there.
 *
 * The needs of a key are remembered: a later event wakes the key only if it changes a row that the
 * key asked for (world_interested). For PD, `wake` lists topics as pdview reports them ("leader",
 * "members", "counts", "settled", "config", ...); "store" and "figures" mean the own store, or any
 * with stores="all". Without `wake`: its store and figures (any store's state for stores="all"),
 * members and leader for a member; leader, members, counts and settled when it asked for none of
 * these. "known" and "history" always wake. Unwatched kinds become watched on demand by the
 * operator.
 */
#include "base/map.h"
#include "kube/store.h"
#include "pd/pdview.h"
#include "pd/tikvview.h"

struct world;

struct world_sources {
	void *arg;
	struct store *(*store)(void *arg, enum kind k); /* NULL: not watched */
	const char *(*trouble)(void *arg, enum kind k); /* why it is not synced; "" fine */
	struct pdview *(*pdview)(void *arg, const char *ns, const char *cluster); /* NULL: none */
	/* What is known of Secrets of a Cluster with TLS; the caller frees. May be NULL. */
	cJSON *(*secrets)(void *arg, const char *ns, const char *cluster, const cJSON *names);
	struct tikvview *(*tikvview)(void *arg); /* NULL: TiKV's settings are never known */
	cJSON *(*operator_facts)(void *arg);     /* the caller frees */
	/* Why the guard's breaker of a cluster is open, "" when closed; may be NULL. */
	const char *(*breaker)(void *arg, const char *ns, const char *cluster);
	const struct clock *clock;
};

struct world *world_new(const struct world_sources *s);
void world_free(struct world *w);

/* Build the world of an object. needs: what needs(object) returned (validated here: an unknown key
 * or kind is ERR_INVALID naming it). Remembers the needs for world_interested(). NULL on error.
 * The tree borrows rows and PD facts: free or clone it before the loop turns. Free it first. */
cJSON *world_build(struct world *w, const char *key, const struct obj *object, const cJSON *needs,
	const cJSON *last, struct err *e);
/* Keys that asked for a row which differs between old and now (either may be NULL). */
typedef void world_key_fn(void *arg, const char *key);
void world_interested(
	struct world *w, const struct obj *old, const struct obj *now, world_key_fn *fn, void *arg);
/* Keys that asked for PD facts of a cluster which `changed` (as pdview reports it) touches. */
void world_interested_pd(struct world *w, const char *ns, const char *cluster,
	const char *const *changed, size_t n, world_key_fn *fn, void *arg);
/* Keys that asked for the settings of a TiKV. */
void world_interested_tikv(
	struct world *w, const char *ns, const char *instance, world_key_fn *fn, void *arg);
/* Keys that asked for a Secret. */
void world_interested_secret(
	struct world *w, const char *ns, const char *name, world_key_fn *fn, void *arg);
void world_forget(struct world *w, const char *key);

#endif
