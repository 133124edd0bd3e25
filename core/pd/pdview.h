#ifndef PD_PDVIEW_H
#define PD_PDVIEW_H
/*
 * pdview: the last snapshot of one PD cluster, with its age; one poll for all its instances.
 *
 * Polls about every 10 s when nothing waits for PD and about every second while something does
 * (pdview_want). Calls per poll do not depend on the number of stores. A failed poll changes
 * nothing but the age and the reason: unknown is not gone. A change of the cluster id, or an etcd
 * revision that went back, sets `history` and keeps the old snapshot (G8).
 *
 * Settled (guard): the same leader (member id, start time) has been seen by this process for 2.5
 * times pd-heartbeat-tick-interval, with balance-leader in its scheduler list.
 *
 * Snapshot tree (ids are strings; ages in seconds by PD's own Date; lists sorted by id):
 *   cluster_id, version, leader {id,name,start}, etcd_revision,
 *   members[] {id,name,healthy (absent: unknown),leader,client_urls[],peer_urls[]},
 *   bootstrapped, stores[] {id,address,status_address,state
 * (Up|Disconnected|Down|Offline|Tombstone), node_state
 * (Preparing|Serving|Removing|Removed),leaders,regions,capacity,available (bytes),
 *     heartbeat_age,uptime,started_at (seconds since 1970),version,labels{},evicting,busy,
 *     destroyed},
 *   counts {Up,Disconnected,Down,Offline,Tombstone},
 *   replication {max_replicas,location_labels[],isolation_level,cluster_version,voters (fewest that
 *     any key range has by the placement rules),peers (most that any wants)},
 *   schedulers[], evicting[], regions {total,down_peer,pending_peer,miss_peer} (absent: unknown),
 *   halted (bool), no_space (PD's etcd is full and takes no writes),
 *   settings {schedule{},replication{},...} as PD prints them.
 */
#include "base/rng.h"
#include "pd/pd.h"

struct pdview;

enum pdview_speed { PDVIEW_IDLE, PDVIEW_BUSY };

struct pdview_conf {
	struct pd *pd; /* taken */
	struct loop *loop;
	struct rng rng;
	struct log *log;
	struct metrics *metrics;
	/* After each poll that changed something a listener may care about. `changed` lists what:
	 * "leader", "members", "known", "settled", "counts", "config", "settings", "schedulers",
	 * "regions", "history", "store:<id>" (also when it is new or gone); figures
	 * (leaders, regions, bytes) are reported as "figures:<id>" only on a material change. */
	void (*on_change)(void *arg, const char *const *changed, size_t n);
	void *arg;
};

struct pdview *pdview_new(const struct pdview_conf *c);
void pdview_free(struct pdview *v);
/* URLs from Cluster.status.pd and the PD pods; n = 0 stops polling: unknown, "no PD yet". */
void pdview_set_endpoints(struct pdview *v, const char *const *urls, size_t n);
void pdview_want(struct pdview *v, enum pdview_speed speed, const char *who); /* who: a key; sticky
	until the same key says IDLE */
void pdview_poll_now(struct pdview *v); /* after an own write to PD */
struct pd *pdview_pd(struct pdview *v);

const cJSON *pdview_snapshot(const struct pdview *v); /* NULL before the first; lent until poll */
const cJSON *pdview_store(const struct pdview *v, const char *id);         /* O(1); NULL */
const cJSON *pdview_store_at(const struct pdview *v, const char *address); /* not Tombstone first */
const cJSON *pdview_member(const struct pdview *v, const char *name);
int64_t pdview_age_ms(const struct pdview *v);      /* since the newest whole snapshot; -1: none */
const char *pdview_trouble(const struct pdview *v); /* why it is unknown, "" when known */
bool pdview_settled(const struct pdview *v);
bool pdview_history_changed(const struct pdview *v, const char **why);
/* The recorded cluster id (Cluster.status.id): another one is history changed. */
void pdview_expect_cluster(struct pdview *v, const char *cluster_id);
/* What was recorded of stores before this process asked PD, { id: true (lives) | false (was
 * removed) }: a first list that says otherwise is history changed. Takes the tree. */
void pdview_recall(struct pdview *v, cJSON *own_recorded);
/* These settings were sent to PD; why: its complaint, "" when it had none. Kept until they are sent
 * again: what a setting is now, settings tells. */
void pdview_tried(struct pdview *v, const cJSON *items, const char *why);
const cJSON *pdview_was_tried(const struct pdview *v); /* {key: {value, why}}, NULL: nothing */
/* A person confirmed that what PD says now counts: history_changed ends. */
void pdview_confirm(struct pdview *v);
/* TiKV's pd-heartbeat-tick-interval where it is not the default of one minute. */
void pdview_set_tick(struct pdview *v, int64_t ms);

#endif
