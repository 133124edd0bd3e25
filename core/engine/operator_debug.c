#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/operator_priv.h"

static cJSON *
queue_page(const struct tikv_operator *o)
{
	cJSON *out = json_object();

	json_put_int(out, "depth", (int64_t)queue_depth(o->queue));
	json_put_int(out, "next_due_ms",
		queue_next_due(o->queue) < 0 ? -1
					     : queue_next_due(o->queue) - loop_now(o->conf.loop));
	json_put_int(out, "unseen_writes", (int64_t)expect_open(o->expect));
	json_put_bool(out, "leading", operator_leading(o));
	json_put_bool(out, "synced", operator_synced(o));
	return out;
}

static cJSON *
feed_line(const struct tikv_operator *o, const struct feed *f)
{
	static const char *const names[] = {
		[WATCH_IDLE] = "idle",
		[WATCH_LISTING] = "listing",
		[WATCH_STREAMING] = "streaming",
		[WATCH_BACKOFF] = "back-off",
		[WATCH_EXPIRED] = "expired",
		[WATCH_DENIED] = "denied",
	};
	cJSON *line = json_object();

	json_put_str(line, "kind", kind_row(f->kind)->kind);
	json_put_str(line, "selector", f->selector);
	json_put_str(line, "state", names[watch_state(f->watch)]);
	json_put_bool(line, "synced", store_synced(f->store));
	json_put_int(line, "objects", (int64_t)store_count(f->store));
	json_put_str(line, "resourceVersion", store_rv(f->store));
	json_put_int(line, "age", (loop_now(o->conf.loop) - store_heard_ms(f->store)) / 1000);
	json_put_str(line, "trouble", watch_trouble(f->watch));
	return line;
}

static cJSON *
stores_page(const struct tikv_operator *o)
{
	cJSON *out = json_array();

	for (int i = 0; i < o->feeds; i++)
		json_add(out, feed_line(o, &o->feed[i]));
	return out;
}

static cJSON *
pd_page(struct tikv_operator *o, const char *key)
{
	const char *slash = strchr(key, '/'), *history = "";
	const cJSON *snapshot;
	struct pdview *v;
	cJSON *out;
	char *ns;

	if (!slash)
		return NULL;
	ns = xstrndup(key, (size_t)(slash - key));
	v = pds_view(o, ns, slash + 1);
	free(ns);
	if (!v)
		return NULL;
	out = json_object();
	json_put_int(out, "age_ms", pdview_age_ms(v));
	json_put_str(out, "trouble", pdview_trouble(v));
	json_put_bool(out, "settled", pdview_settled(v));
	if (pdview_history_changed(v, &history))
		json_put_str(out, "history", history);
	snapshot = pdview_snapshot(v);
	if (snapshot)
		json_put(out, "snapshot", json_clone(snapshot));
	return out;
}

/* "KIND/NS/NAME", or "KIND/NS/NAME/N": the n-th before the newest. */
static cJSON *
pass_page(const struct tikv_operator *o, const char *path)
{
	size_t key = 0;
	int slashes = 0;
	cJSON *page;
	char *text;

	while (path[key] != '\0' && !(path[key] == '/' && ++slashes == 3))
		key++;
	text = xstrndup(path, key);
	page = record_nth(o->record, text, path[key] == '/' ? atoi(path + key + 1) : 0);
	free(text);
	return page;
}

cJSON *
operator_debug(struct tikv_operator *o, const char *path)
{
	if (strcmp(path, "passes") == 0)
		return record_list(o->record);
	if (strncmp(path, "pass/", 5) == 0)
		return pass_page(o, path + 5);
	if (strncmp(path, "pd/", 3) == 0)
		return pd_page(o, path + 3);
	if (strcmp(path, "scripts") == 0)
		return script_report(o->script);
	if (strcmp(path, "queue") == 0)
		return queue_page(o);
	if (strcmp(path, "stores") == 0)
		return stores_page(o);
	return NULL;
}
