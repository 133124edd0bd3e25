#include "engine/gauges.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/operator_priv.h"

static const struct family {
	const char *name, *help;
} families[] = {
	{ "tikv_cluster_phase", "1 for the phase that a Cluster is in." },
	{ "tikv_cluster_condition", "1 true, 0 false, -1 unknown, by condition of a Cluster." },
	{ "tikv_cluster_waiting_seconds", "How long a Cluster has waited, by reason." },
	{ "tikv_cluster_stores", "Stores by PD's word for their state." },
	{ "tikv_cluster_stores_evicting", "Stores whose leaders are being sent away." },
	{ "tikv_cluster_capacity_bytes", "Disk of all stores that are not removed." },
	{ "tikv_cluster_available_bytes", "Free disk of all stores that are not removed." },
	{ "tikv_cluster_regions", "Regions, all and by what is wrong with them." },
	{ "tikv_cluster_pd_members", "Members of PD by health." },
	{ "tikv_cluster_pd_leader", "1 while PD has a leader." },
	{ "tikv_cluster_pd_known", "1 while PD answers and is the cluster that was recorded." },
	{ "tikv_cluster_pd_age_seconds", "Age of the newest whole answer of PD." },
	{ "tikv_cluster_pd_settled", "1 when PD's leader has led long enough to be believed." },
	{ "tikv_group_phase", "1 for the phase that a group is in." },
	{ "tikv_group_replicas", "Instances that spec asks for." },
	{ "tikv_group_replicas_current", "Instances that exist." },
	{ "tikv_group_replicas_ready", "Instances that are ready." },
	{ "tikv_group_replicas_updated", "Instances of the newest revision." },
	{ "tikv_group_waiting_seconds", "How long a group has waited, by reason." },
	{ "tikv_instances", "PD and TiKV instances by phase." },
	{ "tikv_instance_waiting_seconds", "How long single instances have waited, the longest." },
};

struct wait { /* of one instance */
	char *labels;
	double seconds;
};

struct scrape {
	struct tikv_operator *o;
	struct metrics *m;
	int64_t now;
	struct map *phases; /* labels of tikv_instances -> double */
	struct wait *wait;
	size_t waits, cap;
};

/* ---- labels ---- */

static void
label_of(struct buf *b, enum kind k, const cJSON *o)
{
	bool cluster = k == KIND_CLUSTER;

	buf_reset(b);
	metric_label(b, "namespace", json_str(o, "metadata.namespace", ""));
	metric_label(
		b, "cluster", json_str(o, cluster ? "metadata.name" : "spec.cluster.name", ""));
	if (k == KIND_PDGROUP || k == KIND_TIKVGROUP)
		metric_label(b, "group", json_str(o, "metadata.name", ""));
	else if (!cluster)
		metric_label(
			b, "group", json_str(o, "metadata.labels.core\\.tikv\\.org/group", ""));
	if (!cluster)
		metric_label(b, "component", k == KIND_PDGROUP || k == KIND_PD ? "pd" : "tikv");
}

static void
set(struct scrape *s, const char *family, const struct buf *labels, double value)
{
	metric_set(s->m, family, labels->at, value);
}

static void
set_by(struct scrape *s, const char *family, const struct buf *labels, const char *key,
	const char *name, double value)
{
	struct buf b;

	buf_init(&b, 0);
	buf_puts(&b, labels->at);
	metric_label(&b, key, name);
	metric_set(s->m, family, b.at, value);
	buf_fini(&b);
}

/* Seconds since status.since; -1 when it waits for nothing. */
static double
waited(const struct scrape *s, const cJSON *o)
{
	int64_t since;

	if (*json_str(o, "status.reason", "") == '\0' ||
		clock_parse(json_str(o, "status.since", ""), &since) != 0)
		return -1;
	return since < s->now ? (double)(s->now - since) / 1000 : 0;
}

static void
phase_and_wait(
	struct scrape *s, const cJSON *o, const struct buf *b, const char *phase, const char *wait)
{
	double seconds = waited(s, o);

	set_by(s, phase, b, "phase", json_str(o, "status.phase", "New"), 1);
	if (seconds >= 0)
		set_by(s, wait, b, "reason", json_str(o, "status.reason", ""), seconds);
}

/* ---- clusters ---- */

static void
counts(struct scrape *s, const char *family, const struct buf *b, const char *key,
	const cJSON *object)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, object)
	{
		if (cJSON_IsNumber(m))
			set_by(s, family, b, key, m->string, m->valuedouble);
	}
}

static double
bytes(const cJSON *store, const char *field)
{
	const cJSON *v = json_get(store, field);

	return cJSON_IsNumber(v)      ? v->valuedouble
	       : json_text(v) != NULL ? strtod(json_text(v), NULL)
				      : 0;
}

static void
store_sums(struct scrape *s, const struct buf *b, const cJSON *snapshot)
{
	double capacity = 0, available = 0;
	const cJSON *store;

	cJSON_ArrayForEach(store, json_get(snapshot, "stores"))
	{
		if (strcmp(json_str(store, "state", ""), "Tombstone") == 0)
			continue;
		capacity += bytes(store, "capacity");
		available += bytes(store, "available");
	}
	set(s, "tikv_cluster_capacity_bytes", b, capacity);
	set(s, "tikv_cluster_available_bytes", b, available);
	set(s, "tikv_cluster_stores_evicting", b,
		cJSON_GetArraySize(json_get(snapshot, "evicting")));
}

static void
members(struct scrape *s, const struct buf *b, const cJSON *snapshot)
{
	const cJSON *m;
	int healthy = 0, all = 0;

	cJSON_ArrayForEach(m, json_get(snapshot, "members"))
	{
		all++;
		healthy += json_bool(m, "healthy", false);
	}
	set_by(s, "tikv_cluster_pd_members", b, "healthy", "true", healthy);
	set_by(s, "tikv_cluster_pd_members", b, "healthy", "false", all - healthy);
	set(s, "tikv_cluster_pd_leader", b, *json_str(snapshot, "leader.id", "") != '\0');
}

static void
pd(struct scrape *s, const struct obj *o, const struct buf *b)
{
	struct pdview *v = pds_view(s->o, o->ns, o->name);
	const cJSON *snapshot = v != NULL ? pdview_snapshot(v) : NULL;
	const char *why;
	bool known =
		snapshot != NULL && *pdview_trouble(v) == '\0' && !pdview_history_changed(v, &why);

	set(s, "tikv_cluster_pd_known", b, known);
	if (v != NULL && pdview_age_ms(v) >= 0)
		set(s, "tikv_cluster_pd_age_seconds", b, (double)pdview_age_ms(v) / 1000);
	if (!known)
		return;
	set(s, "tikv_cluster_pd_settled", b, pdview_settled(v));
	counts(s, "tikv_cluster_stores", b, "state", json_get(snapshot, "counts"));
	counts(s, "tikv_cluster_regions", b, "state", json_get(snapshot, "regions"));
	store_sums(s, b, snapshot);
	members(s, b, snapshot);
}

static void
cluster(struct scrape *s, const struct obj *o, const cJSON *tree)
{
	const cJSON *c;
	struct buf b;

	buf_init(&b, 0);
	label_of(&b, KIND_CLUSTER, tree);
	phase_and_wait(s, tree, &b, "tikv_cluster_phase", "tikv_cluster_waiting_seconds");
	cJSON_ArrayForEach(c, json_path(tree, "status.conditions"))
	{
		const char *status = json_str(c, "status", "");
		set_by(s, "tikv_cluster_condition", &b, "condition", json_str(c, "type", ""),
			strcmp(status, "True") == 0    ? 1
			: strcmp(status, "False") == 0 ? 0
						       : -1);
	}
	pd(s, o, &b);
	buf_fini(&b);
}

/* ---- groups and instances ---- */

static void
group(struct scrape *s, const struct obj *o, const cJSON *tree)
{
	struct buf b;

	buf_init(&b, 0);
	label_of(&b, o->kind, tree);
	phase_and_wait(s, tree, &b, "tikv_group_phase", "tikv_group_waiting_seconds");
	set(s, "tikv_group_replicas", &b, (double)json_int(tree, "spec.replicas", 1));
	set(s, "tikv_group_replicas_current", &b, (double)json_int(tree, "status.replicas", 0));
	set(s, "tikv_group_replicas_ready", &b, (double)json_int(tree, "status.readyReplicas", 0));
	set(s, "tikv_group_replicas_updated", &b,
		(double)json_int(tree, "status.updatedReplicas", 0));
	buf_fini(&b);
}

static void
instance(struct scrape *s, const struct obj *o, const cJSON *tree)
{
	double seconds = waited(s, tree), *n;
	struct buf b;

	buf_init(&b, 0);
	label_of(&b, o->kind, tree);
	metric_label(&b, "phase", json_str(tree, "status.phase", "New"));
	n = map_get(s->phases, b.at);
	if (n == NULL) {
		n = xcalloc(1, sizeof *n);
		map_put(s->phases, b.at, n);
	}
	*n += 1;
	if (seconds >= 0) {
		label_of(&b, o->kind, tree);
		metric_label(&b, "instance", o->name);
		metric_label(&b, "reason", json_str(tree, "status.reason", ""));
		if (s->waits == s->cap) {
			s->cap = s->cap ? s->cap * 2 : 32;
			s->wait = xrealloc(s->wait, s->cap * sizeof *s->wait);
		}
		s->wait[s->waits++] = (struct wait){ xstrdup(b.at), seconds };
	}
	buf_fini(&b);
}

static int
longest_first(const void *a, const void *b)
{
	const struct wait *x = a, *y = b;

	if (x->seconds != y->seconds)
		return x->seconds > y->seconds ? -1 : 1;
	return strcmp(x->labels, y->labels);
}

static void
instances(struct scrape *s)
{
	for (struct map_iter it = { 0 }; map_next(s->phases, &it);)
		metric_set(s->m, "tikv_instances", it.key, *(double *)it.value);
	if (s->waits > 1)
		qsort(s->wait, s->waits, sizeof *s->wait, longest_first);
	for (size_t i = 0; i < s->waits; i++) {
		if (i < GAUGES_WAITING)
			metric_set(s->m, "tikv_instance_waiting_seconds", s->wait[i].labels,
				s->wait[i].seconds);
		free(s->wait[i].labels);
	}
	free(s->wait);
}

static void
each(struct scrape *s, enum kind k, void (*fn)(struct scrape *, const struct obj *, const cJSON *))
{
	struct store *store = feed_peek(s->o, k);
	const struct obj **list = NULL;
	size_t n = store != NULL ? store_list(store, STORE_ALL, "", &list) : 0;

	for (size_t i = 0; i < n; i++) {
		const cJSON *tree = obj_tree(list[i]);
		fn(s, list[i], tree);
		json_free(tree);
	}
	free(list);
}

int
operator_gauges(struct tikv_operator *o, struct buf *out)
{
	struct scrape s = { .o = o, .now = loop_wall(o->conf.loop) };
	int r;

	if (!operator_leading(o) || !operator_synced(o))
		return 0;
	s.m = metrics_new();
	s.phases = map_new(free);
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		metric_family(s.m, families[i].name, METRIC_GAUGE, families[i].help, NULL);
	each(&s, KIND_CLUSTER, cluster);
	each(&s, KIND_PDGROUP, group);
	each(&s, KIND_TIKVGROUP, group);
	each(&s, KIND_PD, instance);
	each(&s, KIND_TIKV, instance);
	instances(&s);
	r = metrics_print(s.m, out);
	map_free(s.phases);
	metrics_free(s.m);
	return r;
}
