#ifndef PD_PDVIEW_PRIV_H
#define PD_PDVIEW_PRIV_H
/*
 * pdview_priv: what the sources of pdview share.
 *
 * A round asks for the parts that are due, one after another, and collects them in `next`; only a
 * whole round is committed. Stores come before members: a leader that took over in between is then
 * seen by the same round. pdview.c runs rounds, pdview_read.c understands answers, pdview_facts.c
 * tells what is known, pdview_diff.c finds out what changed.
 */
#include "base/map.h"
#include "base/rng.h"
#include "pd/pdview.h"

enum part {
	PART_STORES,
	PART_SCHEDULERS,
	PART_EVICTING,
	PART_CONFIG,
	PART_RULES, /* placement */
	PART_COUNT_ALL,
	PART_COUNT_DOWN,
	PART_COUNT_PENDING,
	PART_COUNT_MISS,
	PART_VERSION,
	PART_HEALTH,
	PART_MEMBERS,
	PART_ETCD,  /* revision, term */
	PART_START, /* start time of the leader's process */
	PARTS,
};

/* What was last told of a store. */
struct told {
	char *facts;
	int64_t leaders, regions, capacity, available;
};

/* What the parts of a round have brought. NULL: not asked in this round, the old one stays. */
struct round {
	cJSON *stores;     /* list */
	cJSON *schedulers; /* list of names */
	cJSON *evicting;   /* list of ids */
	cJSON *replication;
	cJSON *settings; /* {schedule, replication, ...} as PD prints them */
	cJSON *members;
	cJSON *leader; /* {id, name} */
	cJSON *health; /* {id: bool} */
	cJSON *counts; /* {total, ...} */
	char *version, *cluster_id;
	int64_t revision, term, start; /* -1: not asked or not told */
	int64_t voters, peers;         /* of placement rules, -1: not asked, 0: there are none */
	bool bootstrapped, halted, etcd_asked, no_space;
	int64_t began;
};

struct pdview {
	struct pdview_conf conf;
	struct pd *pd;
	size_t endpoints;
	char *endpoints_text; /* to notice that nothing changed */
	struct map *busy;     /* who wants speed */
	struct timer *timer;
	struct pd_call *call;
	enum part part;
	int64_t asked[PARTS];   /* when a part was last brought, -1: never */
	bool again, all;        /* after this round one more; it asks for everything */
	bool no_space;          /* PD's etcd takes no writes, as it said last */
	bool stale;             /* a write of ours fell into this round */
	bool no_etcd;           /* this PD does not tell etcd's status */
	int64_t ended, took_ms; /* of the last round */
	int failures;
	struct round next;

	cJSON *snapshot;
	int64_t committed; /* when the round of the snapshot began, -1: never */
	char *trouble;
	struct map *by_id, *by_address, *by_name; /* into the snapshot */

	/* Kept between rounds because not every round asks for them. */
	cJSON *health, *counts;
	char *version;
	int64_t revision, term, start;
	int64_t voters, peers;
	int64_t leader_since; /* monotonic */
	int64_t identity_at;  /* when term or start were last confirmed */
	int64_t lower_since;  /* the revision has been lower since then, -1: it is not */
	int64_t tick_ms;
	bool was_settled;

	cJSON *tried;     /* {key: {value, why}}: settings that were sent */
	char *history;    /* why PD's history changed, NULL: it did not */
	char *expect;     /* recorded cluster id, "" when none */
	cJSON *recorded;  /* id -> bool: what was recorded of stores elsewhere, NULL: judged */
	struct map *told; /* id -> struct told */
};

struct changes {
	char **what;
	size_t n, cap;
};
void changes_add(struct changes *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void changes_fini(struct changes *c);

/* Answers into the round. Return -1 with *e (ERR_PROTOCOL naming path and field). */
int pdview_read_store(struct round *r, const cJSON *item, struct err *e);
int pdview_read_stores_end(struct round *r, const cJSON *rest, int64_t date_ms, struct err *e);
int pdview_read_members(struct round *r, const cJSON *body, struct err *e);
int pdview_read_health(struct round *r, const cJSON *body, struct err *e);
int pdview_read_schedulers(struct round *r, const cJSON *body, struct err *e);
int pdview_read_evicting(struct round *r, const cJSON *body, struct err *e);
int pdview_read_config(struct round *r, const cJSON *body, struct err *e);
int pdview_read_rules(struct round *r, const cJSON *body, struct err *e);
int pdview_read_etcd(struct round *r, const cJSON *body, struct err *e);
int pdview_read_count(struct round *r, enum part part, const cJSON *body, struct err *e);
void round_fini(struct round *r);
int pdview_compare_ids(const char *a, const char *b); /* as numbers */

/* PD said before what this round contradicts: sets v->history and returns true. */
bool pdview_history_broken(struct pdview *v, const struct round *r);
/* The snapshot of the round, made from it and what is kept; empties the round. */
cJSON *pdview_build(struct pdview *v, struct round *r);
/* What a listener may care about between two snapshots. */
void pdview_diff(struct pdview *v, const cJSON *old, const cJSON *now, struct changes *c);

#endif
