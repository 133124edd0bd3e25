#include "engine/world_pd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const facts[] = { "cluster_id", "version", "leader", "members", "counts",
	"replication", "schedulers", "evicting", "regions", "bootstrapped", "halted", "no_space",
	NULL };

/* A node that shows another's content without owning it. Scalars are copied. */
static cJSON *
lend(const cJSON *node)
{
	if (cJSON_IsObject(node))
		return cJSON_CreateObjectReference(node->child);
	if (cJSON_IsArray(node))
		return cJSON_CreateArrayReference(node->child);
	return json_clone(node);
}

static void
put_lent(cJSON *out, const char *key, const cJSON *node)
{
	if (node)
		json_put(out, key, lend(node));
}

/* Polls come every ten seconds: three missed ones are too many, whatever the reason. */
#define FRESH_SECONDS 30

static const char *
why_unknown(const struct world_need *n, const struct pdview *v, int64_t age)
{
	const char *trouble = pdview_trouble(v);

	if (trouble && *trouble)
		return trouble;
	if (!pdview_snapshot(v))
		return "PD has not answered yet";
	if (age < 0 || (double)age > (n->fresh > 0 ? n->fresh : FRESH_SECONDS) * 1000)
		return "the last answer of PD is too old";
	return NULL;
}

static void
put_settings(cJSON *out, const struct world_need *n, const struct pdview *v)
{
	const cJSON *all = json_get(pdview_snapshot(v), "settings"), *it;
	cJSON *mine = json_put(out, "settings", json_object());

	cJSON_ArrayForEach(it, n->settings)
		put_lent(mine, it->valuestring, json_path(all, it->valuestring));
	put_lent(out, "tried", pdview_was_tried(v));
}

cJSON *
world_pd_member(const struct world_need *n, const struct pdview *v)
{
	cJSON *out = json_object();
	const cJSON *snapshot, *store = NULL;
	const char *why = NULL, *history = NULL;
	int64_t age;

	if (!v) {
		json_put_bool(out, "known", false);
		json_put_bool(out, "settled", false);
		json_put_str(out, "reason", "no PD yet");
		return out;
	}
	age = pdview_age_ms(v);
	why = why_unknown(n, v, age);
	json_put_bool(out, "known", why == NULL);
	json_put_bool(out, "settled", why == NULL && pdview_settled(v));
	json_put_str(out, "reason", why);
	if (age >= 0)
		json_put_int(out, "age", age / 1000);
	if (pdview_history_changed(v, &history))
		json_put_str(out, "history", history && *history ? history : "PDHistoryChanged");
	if (why)
		return out;
	snapshot = pdview_snapshot(v);
	for (const char *const *f = facts; *f; f++)
		put_lent(out, *f, json_get(snapshot, *f));
	if (n->all_stores)
		put_lent(out, "stores", json_get(snapshot, "stores"));
	if (n->store)
		store = pdview_store(v, n->store);
	else if (n->address)
		store = pdview_store_at(v, n->address);
	put_lent(out, "store", store);
	if (n->member)
		put_lent(out, "member", pdview_member(v, n->member));
	if (n->settings)
		put_settings(out, n, v);
	return out;
}

static void
say(const char *ns, const char *cluster, const char *topic, const char *of,
	void (*fn)(void *arg, const char *topic), void *arg)
{
	char *text = xasprintf("P%s/%s|%s%s", ns, cluster, topic, of ? of : "");

	fn(arg, text);
	free(text);
}

/* "store" or "figures": of the own store, of any, or of none. */
static void
say_stores(const struct world_need *n, const char *ns, const char *topic,
	void (*fn)(void *arg, const char *topic), void *arg)
{
	char own[24], at[24];

	snprintf(own, sizeof(own), "%s:", topic);
	snprintf(at, sizeof(at), "%s@", topic);
	if (n->all_stores)
		say(ns, n->cluster, topic, NULL, fn, arg);
	else if (n->store)
		say(ns, n->cluster, own, n->store, fn, arg);
	else if (n->address)
		say(ns, n->cluster, at, n->address, fn, arg);
}

void
world_pd_topics(const struct world_need *n, const char *ns,
	void (*fn)(void *arg, const char *topic), void *arg)
{
	bool one = n->store || n->address;
	const cJSON *it;

	say(ns, n->cluster, "known", NULL, fn, arg);
	say(ns, n->cluster, "history", NULL, fn, arg);
	if (n->wake) {
		cJSON_ArrayForEach(it, n->wake)
		{
			const char *t = it->valuestring;

			if (strcmp(t, "store") == 0 || strcmp(t, "stores") == 0)
				say_stores(n, ns, "store", fn, arg);
			else if (strcmp(t, "figures") == 0)
				say_stores(n, ns, "figures", fn, arg);
			else if (strcmp(t, "known") != 0 && strcmp(t, "history") != 0)
				say(ns, n->cluster, t, NULL, fn, arg);
		}
		return;
	}
	if (one || n->all_stores)
		say_stores(n, ns, "store", fn, arg);
	if (one && !n->all_stores)
		say_stores(n, ns, "figures", fn, arg);
	if (n->member || !(one || n->all_stores)) {
		say(ns, n->cluster, "leader", NULL, fn, arg);
		say(ns, n->cluster, "members", NULL, fn, arg);
	}
	if (!n->member && !one && !n->all_stores) {
		say(ns, n->cluster, "counts", NULL, fn, arg);
		say(ns, n->cluster, "settled", NULL, fn, arg);
	}
}

void
world_pd_touched(const struct pdview *v, const char *ns, const char *cluster, const char *changed,
	void (*fn)(void *arg, const char *topic), void *arg)
{
	const char *colon = strchr(changed, ':');
	const cJSON *store;
	const char *address;
	char topic[24];

	say(ns, cluster, changed, NULL, fn, arg);
	if (!colon || colon - changed > 16)
		return;
	snprintf(topic, sizeof(topic), "%.*s", (int)(colon - changed), changed);
	say(ns, cluster, topic, NULL, fn, arg);
	store = v ? pdview_store(v, colon + 1) : NULL;
	address = json_str(store, "address", NULL);
	snprintf(topic, sizeof(topic), "%.*s@", (int)(colon - changed), changed);
	if (address)
		say(ns, cluster, topic, address, fn, arg);
}
