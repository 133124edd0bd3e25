#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pd/pdview_priv.h"

static int
bad(struct err *e, const char *path, const char *field, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "PD %s: %s: %s", path, field, what);
}

int
pdview_compare_ids(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	return n != m ? (n < m ? -1 : 1) : strcmp(a, b);
}

/* "1.8TiB", "311.7GiB", "0B" as PD prints sizes. -1 when it is none. */
static double
bytes_of(const char *s)
{
	static const char units[] = "BKMGTPE";
	char *end;
	double d;
	const char *u;

	if (s == NULL || s[0] < '0' || s[0] > '9')
		return -1;
	d = strtod(s, &end);
	u = *end != '\0' ? strchr(units, *end) : NULL;
	if (u == NULL || !isfinite(d))
		return -1;
	d = ldexp(d, (int)(u - units) * 10);
	return d < 9e15 ? floor(d) : -1;
}

static bool
whole(const cJSON *n)
{
	return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble < 9e15 &&
	       n->valuedouble == floor(n->valuedouble);
}

static const char *
store_state(const cJSON *item)
{
	static const char *const names[] = { "Up", "Disconnected", "Down", "Offline", "Tombstone" };
	const char *s = json_str(item, "store.state_name", "");

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(names[i], s) == 0)
			return names[i];
	}
	return NULL;
}

static void
put_labels(cJSON *out, const cJSON *labels)
{
	cJSON *map = json_object();
	const cJSON *l;

	cJSON_ArrayForEach(l, labels)
	{
		const char *key = json_str(l, "key", "");
		if (key[0] != '\0')
			json_put_str(map, key, json_str(l, "value", ""));
	}
	json_put(out, "labels", map);
}

/* Ages need the Date of the same answer: until it comes, the store keeps PD's own times. */
int
pdview_read_store(struct round *r, const cJSON *item, struct err *e)
{
	static const char path[] = "/stores";
	static const char *const nodes[] = { "Preparing", "Serving", "Removing", "Removed" };
	const cJSON *s = json_get(item, "store"), *st = json_get(item, "status"), *beat;
	const char *state = store_state(item), *beat_text;
	int64_t node = json_int(s, "node_state", 0);
	double size;
	char id[24];
	cJSON *out;

	if (item == NULL) {
		json_free(r->stores);
		r->stores = json_array();
		return 0;
	}
	if (pd_id(json_get(s, "id"), id) != 0)
		return bad(e, path, "store.id", "is no id");
	if (state == NULL)
		return bad(e, path, "store.state_name", "is no known state");
	if (node < 0 || node > 3)
		return bad(e, path, "store.node_state", "is no known state");
	if (json_str(s, "address", "")[0] == '\0')
		return bad(e, path, "store.address", "missing");
	if (!whole(json_get(st, "leader_count")) || !whole(json_get(st, "region_count")))
		return bad(e, path, "status.region_count", "is no count");
	out = json_object();
	json_put_str(out, "id", id);
	json_put_str(out, "address", json_str(s, "address", ""));
	json_put_str(out, "status_address", json_str(s, "status_address", NULL));
	json_put_str(out, "state", state);
	json_put_str(out, "node_state", nodes[node]);
	json_put_int(out, "leaders", json_int(st, "leader_count", 0));
	json_put_int(out, "regions", json_int(st, "region_count", 0));
	size = bytes_of(json_str(st, "capacity", NULL));
	if (size >= 0)
		json_put_int(out, "capacity", (int64_t)size);
	size = bytes_of(json_str(st, "available", NULL));
	if (size >= 0)
		json_put_int(out, "available", (int64_t)size);
	beat = json_get(s, "last_heartbeat");
	beat_text = json_text(beat);
	if (beat_text != NULL) /* nanoseconds */
		json_put_int(out, "heartbeat_at", strtoll(beat_text, NULL, 10) / 1000000);
	if (whole(json_get(s, "start_timestamp")))
		json_put_int(out, "started_at", json_int(s, "start_timestamp", 0));
	json_put_str(out, "version", json_str(s, "version", NULL));
	put_labels(out, json_get(s, "labels"));
	json_put_bool(out, "busy", json_bool(st, "is_busy", false));
	json_put_bool(out, "destroyed", json_bool(s, "physically_destroyed", false));
	if (r->stores == NULL)
		r->stores = json_array();
	json_add(r->stores, out);
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	return pdview_compare_ids(
		json_str(*(cJSON *const *)a, "id", ""), json_str(*(cJSON *const *)b, "id", ""));
}

static void
sort_by_id(cJSON *list)
{
	size_t n = (size_t)cJSON_GetArraySize(list);
	cJSON **at = xmalloc((n + 1) * sizeof *at);

	for (size_t i = 0; i < n; i++)
		at[i] = cJSON_DetachItemFromArray(list, 0);
	qsort(at, n, sizeof *at, by_id);
	for (size_t i = 0; i < n; i++)
		json_add(list, at[i]);
	free(at);
}

int
pdview_read_stores_end(struct round *r, const cJSON *rest, int64_t date_ms, struct err *e)
{
	const cJSON *count = json_get(rest, "count");
	const char *before = "";
	cJSON *s;

	if (r->stores == NULL)
		r->stores = json_array();
	if (!whole(count) || (int)count->valuedouble != cJSON_GetArraySize(r->stores))
		return bad(e, "/stores", "count", "is not the number of stores");
	sort_by_id(r->stores);
	cJSON_ArrayForEach(s, r->stores)
	{
		int64_t beat = json_int(s, "heartbeat_at", -1);
		int64_t start = json_int(s, "started_at", -1);
		const char *id = json_str(s, "id", "");
		if (strcmp(id, before) == 0)
			return bad(e, "/stores", "id", "comes twice");
		before = id;
		if (date_ms >= 0 && beat > 0)
			json_put_int(
				s, "heartbeat_age", date_ms > beat ? (date_ms - beat) / 1000 : 0);
		if (date_ms >= 0 && start > 0)
			json_put_int(
				s, "uptime", date_ms / 1000 > start ? date_ms / 1000 - start : 0);
		json_drop(s, "heartbeat_at");
	}
	r->bootstrapped = true;
	return 0;
}

static cJSON *
urls(const cJSON *list)
{
	cJSON *out = json_array();
	const cJSON *u;

	cJSON_ArrayForEach(u, list)
	{
		if (cJSON_IsString(u))
			json_add(out, cJSON_CreateString(u->valuestring));
	}
	return out;
}

int
pdview_read_members(struct round *r, const cJSON *body, struct err *e)
{
	static const char path[] = "/members";
	const cJSON *list = json_get(body, "members"), *m, *leader = json_get(body, "leader");
	char id[24];

	if (pd_id(json_path(body, "header.cluster_id"), id) != 0)
		return bad(e, path, "header.cluster_id", "is no id");
	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0)
		return bad(e, path, "members", "is no list with members");
	free(r->cluster_id);
	r->cluster_id = xstrdup(id);
	json_free(r->members);
	r->members = json_array();
	cJSON_ArrayForEach(m, list)
	{
		cJSON *out;
		if (pd_id(json_get(m, "member_id"), id) != 0)
			return bad(e, path, "member_id", "is no id");
		out = json_object();
		json_put_str(out, "id", id);
		json_put_str(out, "name", json_str(m, "name", NULL));
		json_put(out, "client_urls", urls(json_get(m, "client_urls")));
		json_put(out, "peer_urls", urls(json_get(m, "peer_urls")));
		json_add(r->members, out);
	}
	sort_by_id(r->members);
	json_free(r->leader);
	r->leader = NULL;
	if (pd_id(json_get(leader, "member_id"), id) != 0)
		return err_set(e, ERR_UNAVAILABLE, "PD has no leader");
	if (pd_id(json_path(body, "etcd_leader.member_id"), id) == 0) {
		char own[24];
		if (pd_id(json_get(leader, "member_id"), own) == 0 && strcmp(own, id) != 0)
			return err_set(e, ERR_UNAVAILABLE, "PD is changing its leader");
	}
	pd_id(json_get(leader, "member_id"), id);
	r->leader = json_object();
	json_put_str(r->leader, "id", id);
	json_put_str(r->leader, "name", json_str(leader, "name", ""));
	return 0;
}

int
pdview_read_health(struct round *r, const cJSON *body, struct err *e)
{
	const cJSON *m;
	char id[24];

	if (!cJSON_IsArray(body))
		return bad(e, "/health", "body", "is no list");
	json_free(r->health);
	r->health = json_object();
	cJSON_ArrayForEach(m, body)
	{
		if (pd_id(json_get(m, "member_id"), id) != 0)
			return bad(e, "/health", "member_id", "is no id");
		json_put_bool(r->health, id, json_bool(m, "health", false));
	}
	return 0;
}

int
pdview_read_schedulers(struct round *r, const cJSON *body, struct err *e)
{
	const cJSON *m;
	size_t n, k = 0;
	const char *name[64];

	if (body != NULL && !cJSON_IsArray(body))
		return bad(e, "/schedulers", "body", "is no list");
	json_free(r->schedulers);
	r->schedulers = json_array();
	cJSON_ArrayForEach(m, body)
	{
		if (!cJSON_IsString(m))
			return bad(e, "/schedulers", "item", "is no text");
		if (k < 64)
			name[k++] = m->valuestring;
	}
	/* PD lists them in random order */
	for (n = 0; n < k; n++) {
		for (size_t i = n + 1; i < k; i++) {
			if (strcmp(name[i], name[n]) < 0) {
				const char *swap = name[i];
				name[i] = name[n];
				name[n] = swap;
			}
		}
		json_add(r->schedulers, cJSON_CreateString(name[n]));
	}
	return 0;
}

static int
compare_texts(const void *a, const void *b)
{
	return pdview_compare_ids(*(const char *const *)a, *(const char *const *)b);
}

int
pdview_read_evicting(struct round *r, const cJSON *body, struct err *e)
{
	const cJSON *ranges = json_get(body, "store-id-ranges"), *m;
	size_t n = 0;
	const char **id;

	if (body != NULL && !cJSON_IsObject(ranges))
		return bad(e, "/evict-leader-scheduler/list", "store-id-ranges", "is no object");
	json_free(r->evicting);
	r->evicting = json_array();
	if (body == NULL)
		return 0;
	id = xmalloc(((size_t)cJSON_GetArraySize(ranges) + 1) * sizeof *id);
	cJSON_ArrayForEach(m, ranges) id[n++] = m->string;
	qsort(id, n, sizeof *id, compare_texts);
	for (size_t i = 0; i < n; i++)
		json_add(r->evicting, cJSON_CreateString(id[i]));
	free(id);
	return 0;
}

/* PD writes some booleans as texts. */
static bool
truth(const cJSON *v)
{
	return cJSON_IsTrue(v) || (cJSON_IsString(v) && strcmp(v->valuestring, "true") == 0);
}

/* Sections whose items PD takes while it runs, and those of its own process that a restart changes.
 * What differs from member to member stays out, and the list of schedulers: there is a part for it.
 */
static cJSON *
settings_of(const cJSON *body)
{
	static const char *const left_out[] = { "client-urls", "peer-urls", "advertise-client-urls",
		"advertise-peer-urls", "name", "data-dir", "initial-cluster", "security" };
	cJSON *out = json_clone(body);
	cJSON *schedule = (cJSON *)json_get(out, "schedule");

	for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
		json_drop(out, left_out[i]);
	if (schedule != NULL)
		json_drop(schedule, "schedulers-v2");
	return out;
}

int
pdview_read_config(struct round *r, const cJSON *body, struct err *e)
{
	const cJSON *replication = json_get(body, "replication");
	const cJSON *max = json_get(replication, "max-replicas");
	cJSON *labels = json_array();
	const char *at = json_str(replication, "location-labels", "");

	json_free(r->replication);
	r->replication = json_object();
	json_put(r->replication, "location_labels", labels);
	if (!whole(max) || max->valuedouble < 1)
		return bad(e, "/config", "replication.max-replicas", "is no number");
	json_put_int(r->replication, "max_replicas", (int64_t)max->valuedouble);
	while (*at != '\0') {
		size_t n = strcspn(at, ",");
		char *one = xstrndup(at, n);
		if (n > 0)
			json_add(labels, cJSON_CreateString(one));
		free(one);
		at += n + (at[n] == ',');
	}
	json_put_str(
		r->replication, "isolation_level", json_str(replication, "isolation-level", ""));
	json_put_str(r->replication, "cluster_version", json_str(body, "cluster-version", ""));
	r->halted = truth(json_path(body, "schedule.halt-scheduling"));
	json_free(r->settings);
	r->settings = settings_of(body);
	return 0;
}

/* Rules of one key range add up. A learner is a peer, but no voter. */
int
pdview_read_rules(struct round *r, const cJSON *body, struct err *e)
{
	const cJSON *rule, *other;

	r->voters = r->peers = 0;
	if (!cJSON_IsArray(body))
		return bad(e, "/config/rules", "body", "is no list");
	cJSON_ArrayForEach(rule, body)
	{
		const char *from = json_str(rule, "start_key", ""),
			   *to = json_str(rule, "end_key", "");
		int64_t voters = 0, peers = 0;
		cJSON_ArrayForEach(other, body)
		{
			int64_t count = json_int(other, "count", -1);
			if (count < 0)
				return bad(e, "/config/rules", "count", "is no number");
			if (strcmp(from, json_str(other, "start_key", "")) != 0 ||
				strcmp(to, json_str(other, "end_key", "")) != 0)
				continue;
			peers += count;
			voters += strcmp(json_str(other, "role", ""), "learner") != 0 ? count : 0;
		}
		if (voters > 0 && (r->voters == 0 || voters < r->voters))
			r->voters = voters;
		if (peers > r->peers)
			r->peers = peers;
	}
	return 0;
}

int
pdview_read_etcd(struct round *r, const cJSON *body, struct err *e)
{
	const cJSON *m;
	char id[24], n[24];

	if (pd_id(json_path(body, "header.member_id"), id) != 0)
		return bad(e, "/v3/maintenance/status", "header.member_id", "is no id");
	if (strcmp(id, json_str(r->leader, "id", "")) != 0)
		return err_set(e, ERR_UNAVAILABLE, "PD's leader does not answer under its own URL");
	r->no_space = false;
	cJSON_ArrayForEach(m, json_get(body, "errors"))
	{
		const char *text = json_text(m);
		/* PD still answers what it knows; it can not write any more. */
		if (text == NULL || strstr(text, "NOSPACE") == NULL)
			return err_set(
				e, ERR_UNAVAILABLE, "PD's etcd: %.100s", text != NULL ? text : "?");
		r->no_space = true;
	}
	if (pd_id(json_path(body, "header.revision"), n) == 0)
		r->revision = strtoll(n, NULL, 10);
	if (pd_id(json_path(body, "header.raft_term"), n) == 0)
		r->term = strtoll(n, NULL, 10);
	return 0;
}

int
pdview_read_count(struct round *r, enum part part, const cJSON *body, struct err *e)
{
	const char *name = part == PART_COUNT_DOWN      ? "down_peer"
			   : part == PART_COUNT_PENDING ? "pending_peer"
			   : part == PART_COUNT_MISS    ? "miss_peer"
							: "total";
	const cJSON *count = json_get(body, "count");

	if (!whole(count))
		return bad(e, "/regions", "count", "is no number");
	if (r->counts == NULL)
		r->counts = json_object();
	json_put_int(r->counts, name, (int64_t)count->valuedouble);
	return 0;
}

void
round_fini(struct round *r)
{
	json_free(r->stores);
	json_free(r->schedulers);
	json_free(r->evicting);
	json_free(r->replication);
	json_free(r->settings);
	json_free(r->members);
	json_free(r->leader);
	json_free(r->health);
	json_free(r->counts);
	free(r->version);
	free(r->cluster_id);
	*r = (struct round){ .revision = -1, .term = -1, .start = -1, .voters = -1, .peers = -1 };
}
