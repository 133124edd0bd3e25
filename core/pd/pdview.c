#include "pd/pdview.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pd/pdview_priv.h"

#define IDLE_MS 10500
#define IDLE_JITTER 0.2
#define BUSY_MS 1000
#define BUSY_STORE_MS 2 /* a thousand stores are read every two seconds at most */
#define AGAIN_MS 100    /* after a write of ours; many writes are looked at together */
#define AGAIN_FACTOR 20
#define AGAIN_STORE_MS 5
#define TICK_MS 60000
/* A leader that just took over may not have applied everything yet. */
#define REVISION_PATIENCE_MS 5000

/* How often a part is asked for; 0: in each round. With one call for stores and one for members, an
 * idle view makes less than 40 calls in two minutes, whatever the number of stores. */
static const struct part_row {
	const char *path;
	int64_t idle_ms, busy_ms;
} parts[PARTS] = {
	[PART_STORES] = { "/pd/api/v1/stores?state=0&state=1&state=2", 0, 0 },
	[PART_SCHEDULERS] = { "/pd/api/v1/schedulers", 60000, 0 },
	[PART_EVICTING] = { "/pd/api/v1/scheduler-config/evict-leader-scheduler/list", 60000, 0 },
	[PART_CONFIG] = { "/pd/api/v1/config", 300000, 10000 },
	[PART_RULES] = { "/pd/api/v1/config/rules", 300000, 30000 },
	[PART_COUNT_ALL] = { "/pd/api/v1/regions/count", 300000, 30000 },
	[PART_COUNT_DOWN] = { "/pd/api/v1/regions/check/down-peer", 300000, 5000 },
	[PART_COUNT_PENDING] = { "/pd/api/v1/regions/check/pending-peer", 300000, 5000 },
	[PART_COUNT_MISS] = { "/pd/api/v1/regions/check/miss-peer", 300000, 5000 },
	[PART_VERSION] = { "/pd/api/v1/version", 300000, 300000 },
	[PART_HEALTH] = { "/pd/api/v1/health", 18000, 2000 },
	[PART_MEMBERS] = { "/pd/api/v1/members", 0, 0 },
	[PART_ETCD] = { "/v3/maintenance/status", 18000, 0 },
	[PART_START] = { "/pd/api/v1/status", 3600000, 3600000 },
};

static void plan_next(struct pdview *v);
static void next_part(struct pdview *v);

static void
set_text(char **slot, const char *text)
{
	char *fresh = xstrdup(text);

	free(*slot);
	*slot = fresh;
}

/* ---- life ---- */

struct pdview *
pdview_new(const struct pdview_conf *c)
{
	struct pdview *v = xcalloc(1, sizeof *v);

	v->conf = *c;
	v->pd = c->pd;
	v->busy = map_new(NULL);
	v->by_id = map_new(NULL);
	v->by_address = map_new(NULL);
	v->by_name = map_new(NULL);
	v->trouble = xstrdup("no PD yet");
	v->expect = xstrdup("");
	v->endpoints_text = xstrdup("");
	v->committed = v->lower_since = -1;
	v->ended = loop_now(c->loop) - IDLE_MS;
	v->revision = v->term = v->start = -1;
	v->tick_ms = TICK_MS;
	for (int i = 0; i < PARTS; i++)
		v->asked[i] = -1;
	round_fini(&v->next);
	return v;
}

static void
stop(struct pdview *v)
{
	loop_cancel(v->conf.loop, v->timer);
	v->timer = NULL;
	pd_cancel(v->pd, v->call);
	v->call = NULL;
	round_fini(&v->next);
}

void
pdview_free(struct pdview *v)
{
	if (v == NULL)
		return;
	stop(v);
	pd_free(v->pd);
	json_free(v->snapshot);
	json_free(v->health);
	json_free(v->counts);
	json_free(v->recorded);
	json_free(v->tried);
	map_free(v->busy);
	map_free(v->by_id);
	map_free(v->by_address);
	map_free(v->by_name);
	map_free(v->told);
	free(v->endpoints_text);
	free(v->trouble);
	free(v->version);
	free(v->history);
	free(v->expect);
	free(v);
}

static void
tell(struct pdview *v, struct changes *c)
{
	bool settled = pdview_settled(v);

	if (settled != v->was_settled)
		changes_add(c, "settled");
	v->was_settled = settled;
	if (c->n > 0 && v->conf.on_change != NULL)
		v->conf.on_change(v->conf.arg, (const char *const *)c->what, c->n);
	changes_fini(c);
}

/* ---- rounds ---- */

static bool
due(const struct pdview *v, enum part p)
{
	/* Without etcd's status the start of the leader's process stands in for it. */
	const struct part_row *row = &parts[!v->no_etcd       ? p
					    : p == PART_ETCD  ? PART_START
					    : p == PART_START ? PART_ETCD
							      : p];
	int64_t every = map_count(v->busy) > 0 ? row->busy_ms : row->idle_ms;

	return v->asked[p] < 0 || v->all || v->next.began - v->asked[p] >= every;
}

static void
round_over(struct pdview *v)
{
	v->ended = loop_now(v->conf.loop);
	v->took_ms = v->ended - v->next.began;
	round_fini(&v->next);
	v->all = false;
	if (v->stale) { /* what this round brought may be older than what made it so */
		v->asked[PART_EVICTING] = v->asked[PART_SCHEDULERS] = -1;
		v->asked[PART_HEALTH] = v->asked[PART_CONFIG] = -1;
	}
	v->stale = false;
	plan_next(v);
}

static void
fail(struct pdview *v, const struct err *e)
{
	struct changes c = { 0 };

	v->failures++;
	if (v->trouble[0] == '\0') {
		changes_add(&c, "known");
		log_write(v->conf.log, LOG_WARN, "PD is unknown", "why", e->msg, NULL);
	}
	set_text(&v->trouble, e->msg);
	round_over(v);
	tell(v, &c);
}

static void
index_snapshot(struct pdview *v)
{
	const cJSON *s;

	map_clear(v->by_id);
	map_clear(v->by_address);
	map_clear(v->by_name);
	cJSON_ArrayForEach(s, json_get(v->snapshot, "stores"))
	{
		const char *address = json_str(s, "address", "");
		const cJSON *other = map_get(v->by_address, address);
		map_put(v->by_id, json_str(s, "id", ""), (void *)s);
		if (other == NULL || strcmp(json_str(other, "state", ""), "Tombstone") == 0)
			map_put(v->by_address, address, (void *)s);
	}
	cJSON_ArrayForEach(s, json_get(v->snapshot, "members"))
	{
		const char *name = json_str(s, "name", "");
		if (name[0] != '\0')
			map_put(v->by_name, name, (void *)s);
	}
}

static void
history_found(struct pdview *v)
{
	struct changes c = { 0 };

	if (v->trouble[0] == '\0') {
		log_write(v->conf.log, LOG_ERROR, "PD's history changed", "why", v->history, NULL);
		changes_add(&c, "history");
		changes_add(&c, "known");
	}
	free(v->trouble);
	v->trouble = xasprintf("PDHistoryChanged: %s", v->history);
	v->failures++;
	round_over(v);
	tell(v, &c);
}

static void
keep_parts(struct pdview *v, struct round *r)
{
	if (r->health != NULL) {
		json_free(v->health);
		v->health = r->health;
		r->health = NULL;
	}
	if (r->counts != NULL) {
		if (v->counts == NULL)
			v->counts = json_object();
		json_merge_patch(&v->counts, r->counts);
	}
	if (r->version != NULL)
		set_text(&v->version, r->version);
	if (r->revision >= 0)
		v->revision = r->revision;
	if (r->etcd_asked)
		v->no_space = r->no_space;
	if (r->voters >= 0) {
		v->voters = r->voters;
		v->peers = r->peers;
	}
}

/* Is it still the leader that we have been watching? */
static bool
follow_leader(struct pdview *v, const struct round *r)
{
	bool changed =
		strcmp(json_str(v->snapshot, "leader.id", ""), json_str(r->leader, "id", "")) != 0;

	if (r->etcd_asked && r->term >= 0) {
		changed |= v->term >= 0 && v->term != r->term;
		v->term = r->term;
	}
	if (r->start >= 0) {
		changed |= v->start >= 0 && v->start != r->start;
		v->start = r->start;
	}
	if (r->etcd_asked || r->start >= 0)
		v->identity_at = r->began;
	if (changed)
		v->leader_since = r->began;
	if (changed && v->snapshot != NULL) { /* the old leader may have told the rest */
		v->asked[PART_SCHEDULERS] = v->asked[PART_EVICTING] = -1;
		v->asked[PART_CONFIG] = v->asked[PART_RULES] = v->asked[PART_VERSION] = -1;
	}
	return changed;
}

static void
commit(struct pdview *v)
{
	struct round *r = &v->next;
	struct changes c = { 0 };
	cJSON *old = v->snapshot;
	bool was_known = v->trouble[0] == '\0';

	keep_parts(v, r);
	json_free(v->recorded);
	v->recorded = NULL;
	if (follow_leader(v, r) && old != NULL)
		v->again = true; /* what the new leader says about the rest */
	v->snapshot = pdview_build(v, r);
	v->committed = r->began;
	v->failures = 0;
	set_text(&v->trouble, "");
	index_snapshot(v);
	if (!was_known)
		changes_add(&c, "known");
	pdview_diff(v, old, v->snapshot, &c);
	json_free(old);
	round_over(v);
	tell(v, &c);
}

/* A store that turned into something else, or lost its last region, is believed only together with
 * the identity of the leader who says so. */
static bool
turned(const struct pdview *v, const struct round *r)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, r->stores)
	{
		const cJSON *was = map_get(v->by_id, json_str(s, "id", ""));
		if (was == NULL ||
			strcmp(json_str(was, "state", ""), json_str(s, "state", "")) != 0 ||
			(json_int(s, "regions", 1) == 0 && json_int(was, "regions", 0) != 0))
			return true;
	}
	return false;
}

static bool
leader_moved(const struct pdview *v)
{
	return strcmp(json_str(v->snapshot, "leader.id", ""), json_str(v->next.leader, "id", "")) !=
	       0;
}

static bool
new_member(const struct pdview *v)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, v->next.members)
	{
		if (json_get(v->health, json_str(m, "id", "")) == NULL &&
			json_get(v->next.health, json_str(m, "id", "")) == NULL)
			return true;
	}
	return false;
}

static bool
wanted(struct pdview *v, enum part p)
{
	if (p == PART_ETCD)
		return due(v, p) || leader_moved(v) || turned(v, &v->next);
	if (p == PART_START)
		return due(v, p) || leader_moved(v) ||
		       (v->next.etcd_asked && (v->next.term < 0 || v->next.term != v->term));
	if (p >= PART_COUNT_ALL && p <= PART_COUNT_MISS)
		return v->next.bootstrapped && due(v, p);
	if (p == PART_SCHEDULERS || p == PART_EVICTING || p == PART_RULES)
		return v->next.bootstrapped &&
		       (due(v, p) || !json_bool(v->snapshot, "bootstrapped", false));
	return due(v, p);
}

/* Nothing to learn from errors that only say that there is nothing. */
static bool
means_absent(enum part p, const struct err *e)
{
	switch (p) {
	case PART_STORES:
	case PART_SCHEDULERS:
		return pd_not_bootstrapped(e);
	case PART_EVICTING:
		return pd_not_bootstrapped(e) || e->code == ERR_NOT_FOUND;
	case PART_RULES: /* 412: placement rules are switched off */
		return pd_not_bootstrapped(e) || e->code == ERR_NOT_FOUND || e->status == 412;
	case PART_COUNT_ALL:
	case PART_COUNT_DOWN:
	case PART_COUNT_PENDING:
	case PART_COUNT_MISS:
	case PART_VERSION:
	case PART_HEALTH:
		return true; /* unknown, the round goes on */
	case PART_ETCD:
	case PART_START:
		return e->code == ERR_NOT_FOUND || e->code == ERR_UNSUPPORTED;
	case PART_CONFIG:
	case PART_MEMBERS:
	case PARTS:
		return false;
	}
	return false;
}

static int
take_part(struct pdview *v, enum part p, const cJSON *body, int64_t date_ms, struct err *e)
{
	struct round *r = &v->next;

	switch (p) {
	case PART_STORES:
		return pdview_read_stores_end(r, body, date_ms, e);
	case PART_SCHEDULERS:
		return pdview_read_schedulers(r, body, e);
	case PART_EVICTING:
		return pdview_read_evicting(r, body, e);
	case PART_CONFIG:
		return pdview_read_config(r, body, e);
	case PART_RULES:
		return pdview_read_rules(r, body, e);
	case PART_COUNT_ALL:
	case PART_COUNT_DOWN:
	case PART_COUNT_PENDING:
	case PART_COUNT_MISS:
		return pdview_read_count(r, p, body, e);
	case PART_VERSION:
		free(r->version);
		r->version = xstrdup(json_str(body, "version", ""));
		return 0;
	case PART_HEALTH:
		return pdview_read_health(r, body, e);
	case PART_MEMBERS:
		return pdview_read_members(r, body, e);
	case PART_ETCD:
		r->etcd_asked = true;
		v->no_etcd = false;
		return pdview_read_etcd(r, body, e);
	case PART_START:
		r->start = json_int(body, "start_timestamp", -1);
		return 0;
	case PARTS:
		break;
	}
	return err_set(e, ERR_INTERNAL, "pdview: no such part");
}

static void
absent_part(struct pdview *v, enum part p)
{
	struct round *r = &v->next;

	switch (p) {
	case PART_STORES:
		json_free(r->stores);
		r->stores = json_array();
		r->bootstrapped = false;
		break;
	case PART_SCHEDULERS:
		pdview_read_schedulers(r, NULL, NULL);
		break;
	case PART_EVICTING:
		pdview_read_evicting(r, NULL, NULL);
		break;
	case PART_RULES:
		r->voters = r->peers = 0;
		break;
	case PART_ETCD:
		r->etcd_asked = v->no_etcd = true;
		break;
	case PART_HEALTH:
		json_free(r->health);
		r->health = json_object();
		break;
	case PART_COUNT_ALL:
	case PART_COUNT_DOWN:
	case PART_COUNT_PENDING:
	case PART_COUNT_MISS:
		json_free(v->counts);
		v->counts = NULL;
		break;
	case PART_CONFIG:
	case PART_VERSION:
	case PART_MEMBERS:
	case PART_START:
	case PARTS:
		break;
	}
}

static void
on_part(void *arg, const cJSON *body, int64_t date_ms, const struct err *why)
{
	struct pdview *v = arg;
	enum part p = v->part;
	struct err e = *why;

	v->call = NULL;
	if (e.code == ERR_NONE)
		take_part(v, p, body, date_ms, &e);
	if (e.code != ERR_NONE) {
		if (!means_absent(p, &e)) {
			fail(v, &e);
			return;
		}
		absent_part(v, p);
	}
	must(p < PARTS);
	v->asked[p] = v->next.began;
	if (p == PART_MEMBERS && pdview_history_broken(v, &v->next)) {
		history_found(v);
		return;
	}
	v->part = p + 1;
	next_part(v);
}

static int
on_count_item(void *arg, const cJSON *item, struct err *e)
{
	(void)arg;
	(void)item;
	(void)e;
	return 0;
}

static int
on_store(void *arg, const cJSON *item, struct err *e)
{
	struct pdview *v = arg;

	return pdview_read_store(&v->next, item, e);
}

/* The revision only grows; a lower one that stays is an older copy of PD's data. */
static bool
went_back(struct pdview *v, struct err *e)
{
	if (v->next.revision < 0 || v->revision < 0 || v->next.revision >= v->revision) {
		v->lower_since = v->next.revision >= 0 ? -1 : v->lower_since;
		return false;
	}
	if (v->lower_since < 0)
		v->lower_since = v->next.began;
	err_set(e, ERR_UNAVAILABLE, "PD's etcd revision went from %lld to %lld",
		(long long)v->revision, (long long)v->next.revision);
	if (v->next.began - v->lower_since >= REVISION_PATIENCE_MS)
		set_text(&v->history, e->msg);
	return true;
}

static void
next_part(struct pdview *v)
{
	struct err e = { 0 };

	while (v->part < PARTS && !wanted(v, v->part))
		v->part++;
	switch (v->part) {
	case PART_STORES:
		v->call = pd_read_list(v->pd, parts[v->part].path, "stores", on_store, on_part, v);
		return;
	case PART_COUNT_DOWN:
	case PART_COUNT_PENDING:
	case PART_COUNT_MISS:
		v->call = pd_read_list(
			v->pd, parts[v->part].path, "regions", on_count_item, on_part, v);
		return;
	case PART_ETCD:
		v->call = pd_read_leader(v->pd, "POST", parts[v->part].path, on_part, v);
		return;
	case PART_START:
		v->call = pd_read_leader(v->pd, "GET", parts[v->part].path, on_part, v);
		return;
	case PART_SCHEDULERS:
	case PART_EVICTING:
	case PART_CONFIG:
	case PART_RULES:
	case PART_COUNT_ALL:
	case PART_VERSION:
	case PART_HEALTH:
	case PART_MEMBERS:
		v->call = pd_read(v->pd, parts[v->part].path, on_part, v);
		return;
	case PARTS:
		break;
	}
	if (went_back(v, &e)) {
		if (v->history != NULL)
			history_found(v);
		else
			fail(v, &e);
		return;
	}
	if (new_member(v))
		v->asked[PART_HEALTH] = -1; /* the next round asks how it is */
	commit(v);
}

static void
start_round(void *arg)
{
	struct pdview *v = arg;

	v->timer = NULL;
	v->again = false;
	v->part = (enum part)0;
	round_fini(&v->next);
	v->next.began = loop_now(v->conf.loop);
	next_part(v);
}

static void
plan_in(struct pdview *v, int64_t ms)
{
	loop_cancel(v->conf.loop, v->timer);
	v->timer = loop_after(v->conf.loop, ms, start_round, v);
}

static int64_t
busy_ms(const struct pdview *v)
{
	int64_t ms = (int64_t)map_count(v->by_id) * BUSY_STORE_MS;

	return ms > BUSY_MS ? ms : BUSY_MS;
}

/* How long after a round the next may begin because of a write of ours. */
static int64_t
again_ms(const struct pdview *v)
{
	int64_t ms = AGAIN_FACTOR * v->took_ms, busy = busy_ms(v);
	int64_t least = (int64_t)map_count(v->by_id) * AGAIN_STORE_MS;

	if (ms < least)
		ms = least;
	return ms < AGAIN_MS ? AGAIN_MS : ms < busy ? ms : busy;
}

static void
plan_next(struct pdview *v)
{
	int64_t ms = rng_jitter(&v->conf.rng, IDLE_MS, IDLE_JITTER);

	if (v->endpoints == 0)
		return;
	if (map_count(v->busy) > 0) {
		int64_t slow = busy_ms(v) << (v->failures < 4 ? v->failures : 4);
		ms = slow < ms ? slow : ms;
	}
	if (v->again && v->failures == 0)
		ms = again_ms(v);
	plan_in(v, ms);
}

/* ---- what others ask ---- */

void
pdview_set_endpoints(struct pdview *v, const char *const *urls, size_t n)
{
	struct buf b;
	struct changes c = { 0 };

	buf_init(&b, 0);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s ", urls[i]);
	if (strcmp(b.at != NULL ? b.at : "", v->endpoints_text) == 0) {
		buf_fini(&b);
		return;
	}
	set_text(&v->endpoints_text, b.at != NULL ? b.at : "");
	buf_fini(&b);
	stop(v);
	pd_set_endpoints(v->pd, urls, n);
	v->endpoints = n;
	if (n > 0) {
		plan_in(v, 0);
		return;
	}
	if (v->trouble[0] == '\0')
		changes_add(&c, "known");
	set_text(&v->trouble, "no PD yet");
	tell(v, &c);
}

void
pdview_want(struct pdview *v, enum pdview_speed speed, const char *who)
{
	bool was = map_count(v->busy) > 0;

	if (speed == PDVIEW_IDLE)
		map_del(v->busy, who);
	else
		map_put(v->busy, who, v);
	if (!was && map_count(v->busy) > 0 && v->call == NULL && v->endpoints > 0)
		plan_in(v, 0);
}

void
pdview_poll_now(struct pdview *v)
{
	v->again = true;
	v->all = v->all || v->call == NULL;
	v->stale = v->stale || v->call != NULL;
	if (v->call == NULL && v->endpoints > 0) {
		int64_t due = v->ended + again_ms(v), now = loop_now(v->conf.loop);

		plan_in(v, due > now ? due - now : 0);
	}
}

void
pdview_expect_cluster(struct pdview *v, const char *cluster_id)
{
	const char *seen = json_str(v->snapshot, "cluster_id", "");
	struct changes c = { 0 };

	set_text(&v->expect, cluster_id != NULL ? cluster_id : "");
	if (v->expect[0] == '\0' || seen[0] == '\0' || strcmp(seen, v->expect) == 0 ||
		v->history != NULL)
		return;
	v->history = xasprintf("PD says cluster id %s, recorded is %s", seen, v->expect);
	changes_add(&c, "history");
	tell(v, &c);
}

void
pdview_recall(struct pdview *v, cJSON *own_recorded)
{
	json_free(v->recorded);
	v->recorded = own_recorded;
}

void
pdview_tried(struct pdview *v, const cJSON *items, const char *why)
{
	struct changes c = { 0 };
	const cJSON *m;

	if (v->tried == NULL)
		v->tried = json_object();
	cJSON_ArrayForEach(m, items)
	{
		cJSON *one = json_put(v->tried, m->string, json_object());
		json_put(one, "value", json_clone(m));
		json_put_str(one, "why", why);
	}
	changes_add(&c, "settings");
	tell(v, &c);
}

void
pdview_confirm(struct pdview *v)
{
	free(v->history);
	v->history = NULL;
	json_free(v->recorded);
	v->recorded = NULL;
	v->revision = v->lower_since = -1;
	json_free(v->snapshot);
	v->snapshot = NULL;
	v->committed = -1;
	index_snapshot(v);
	map_free(v->told);
	v->told = NULL;
	pdview_poll_now(v);
}

void
pdview_set_tick(struct pdview *v, int64_t ms)
{
	v->tick_ms = ms > 0 ? ms : TICK_MS;
}
