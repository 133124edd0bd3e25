#include "pd/tikvview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define READS_MAX 8
#define READ_MS 10000
#define BODY_MAX (4u << 20)
#define AGAIN_MS 30000 /* after a failure */
#define FORGET_MS 3600000

struct entry {
	struct tikvview *v;
	char *key, *ns, *name;
	cJSON *keys, *values, *tried; /* values NULL: unknown */
	char *since, *reason;
	int64_t read_at, asked_at, fresh_ms;
	struct timer *timer;
	struct http_req *req;
	struct tikv_target target; /* of the request */
	bool waiting, again, tell;
	struct entry *next; /* waiting */
};

struct tikvview {
	struct tikvview_conf conf;
	struct map *entries;
	struct entry *first, **last; /* waiting for a read */
	int reads;
};

void
tikv_target_fini(struct tikv_target *t)
{
	free(t->url);
	free(t->since);
	cred_free(t->cred);
	*t = (struct tikv_target){ 0 };
}

struct tikvview *
tikvview_new(const struct tikvview_conf *c)
{
	struct tikvview *v = xcalloc(1, sizeof *v);

	v->conf = *c;
	v->entries = map_new(NULL);
	v->last = &v->first;
	return v;
}

static void
leave_queue(struct entry *e)
{
	struct entry **at = &e->v->first;

	if (!e->waiting)
		return;
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->next == NULL)
		e->v->last = at;
	e->waiting = false;
}

static void
entry_free(struct entry *e)
{
	leave_queue(e);
	loop_cancel(e->v->conf.loop, e->timer);
	if (e->req != NULL)
		http_cancel(e->v->conf.http, e->req);
	tikv_target_fini(&e->target);
	json_free(e->keys);
	json_free(e->values);
	json_free(e->tried);
	free(e->since);
	free(e->reason);
	free(e->key);
	free(e->ns);
	free(e->name);
	free(e);
}

void
tikvview_free(struct tikvview *v)
{
	if (v == NULL)
		return;
	for (struct map_iter it = { 0 }; map_next(v->entries, &it);)
		entry_free(it.value);
	map_free(v->entries);
	free(v);
}

static void pump(struct tikvview *v);
static void on_timer(void *arg);

static void
look_in(struct entry *e, int64_t ms)
{
	loop_cancel(e->v->conf.loop, e->timer);
	e->timer = loop_after(e->v->conf.loop, ms, on_timer, e);
}

static void
look(struct entry *e)
{
	if (e->req != NULL) {
		e->again = true; /* what is under way may be older than the change */
		return;
	}
	if (e->waiting)
		return;
	e->waiting = true;
	e->next = NULL;
	*e->v->last = e;
	e->v->last = &e->next;
	pump(e->v);
}

static void
set_text(char **slot, const char *text)
{
	char *fresh = xstrdup(text);

	free(*slot);
	*slot = fresh;
}

static void
unknown(struct entry *e, const char *why)
{
	json_free(e->values);
	e->values = NULL;
	set_text(&e->reason, why);
}

static void
tell(struct entry *e)
{
	e->tell = false;
	e->v->conf.on_change(e->v->conf.arg, e->ns, e->name);
}

/* The asked for keys of a whole configuration. */
static cJSON *
pick(const cJSON *keys, const cJSON *config)
{
	cJSON *out = json_object();
	const cJSON *k;

	cJSON_ArrayForEach(k, keys)
	{
		const char *key = json_text(k);
		const cJSON *value = key != NULL ? json_path(config, key) : NULL;
		if (value != NULL)
			json_put(out, key, json_clone(value));
	}
	return out;
}

static void
take(struct entry *e, const char *body, size_t n)
{
	struct err why = { 0 };
	cJSON *config = json_parse(body, n, &why), *values;
	bool news;

	if (!cJSON_IsObject(config)) {
		unknown(e, "TiKV's /config is no JSON object");
		json_free(config);
		return;
	}
	values = pick(e->keys, config);
	json_free(config);
	news = e->tell || e->values == NULL || !json_equal(e->values, values);
	json_free(e->values);
	e->values = values;
	e->read_at = loop_now(e->v->conf.loop);
	set_text(&e->reason, "");
	if (news)
		tell(e);
}

static void
on_read(void *arg, const struct http_head *h, const char *body, size_t n, const struct err *why)
{
	struct entry *e = arg;
	struct tikvview *v = e->v;
	char text[128];

	e->req = NULL;
	v->reads--;
	tikv_target_fini(&e->target);
	if (why->code == ERR_NONE && h->status == 200 && !e->again) {
		look_in(e, e->fresh_ms);
		take(e, body, n);
	} else if (why->code == ERR_NONE && h->status == 200) {
		e->again = false;
		look(e);
	} else {
		snprintf(text, sizeof text, "TiKV's /config: %d", h != NULL ? h->status : 0);
		unknown(e, why->code != ERR_NONE ? why->msg : text);
		look_in(e, e->fresh_ms < AGAIN_MS ? e->fresh_ms : AGAIN_MS);
	}
	pump(v);
}

/* Another process: what is known is of the one before. True when there is something to find out. */
static bool
follow(struct entry *e, const struct tikv_target *now)
{
	const char *since = now->since != NULL ? now->since : "";

	if (now->url == NULL) {
		unknown(e, "PD does not tell where it answers");
		free(e->since);
		e->since = NULL;
		return false;
	}
	if (e->since != NULL && strcmp(e->since, since) == 0)
		return false;
	set_text(&e->since, since);
	unknown(e, "TiKV was not asked yet");
	json_free(e->tried);
	e->tried = NULL;
	return true;
}

static void
start(struct entry *e)
{
	struct tikvview *v = e->v;
	struct http_call call = { 0 };
	char *url;

	v->conf.target(v->conf.arg, e->ns, e->name, &e->target);
	follow(e, &e->target);
	if (e->target.url == NULL) {
		tikv_target_fini(&e->target);
		look_in(e, e->fresh_ms);
		return;
	}
	url = xasprintf("%s/config", e->target.url);
	call = (struct http_call){ .method = "GET",
		.url = url,
		.cred = e->target.cred,
		.pool = "pd/tikv",
		.total_ms = READ_MS,
		.max_body = BODY_MAX,
		.on_end = on_read,
		.arg = e };
	e->again = false;
	v->reads++;
	e->req = http_send(v->conf.http, &call);
	free(url);
}

static void
pump(struct tikvview *v)
{
	while (v->reads < READS_MAX && v->first != NULL) {
		struct entry *e = v->first;
		leave_queue(e);
		start(e);
	}
}

static void
on_timer(void *arg)
{
	struct entry *e = arg;
	struct tikvview *v = e->v;

	e->timer = NULL;
	if (loop_now(v->conf.loop) - e->asked_at < FORGET_MS) {
		look(e);
		return;
	}
	map_del(v->entries, e->key);
	tell(e);
	entry_free(e);
}

static struct entry *
entry_of(struct tikvview *v, const char *ns, const char *name)
{
	char *key = xasprintf("%s/%s", ns, name);
	struct entry *e = map_get(v->entries, key);

	if (e != NULL) {
		free(key);
		return e;
	}
	e = xcalloc(1, sizeof *e);
	e->v = v;
	e->key = key;
	e->ns = xstrdup(ns);
	e->name = xstrdup(name);
	e->reason = xstrdup("TiKV was not asked yet");
	e->keys = json_array();
	e->fresh_ms = AGAIN_MS;
	e->asked_at = loop_now(v->conf.loop);
	map_put(v->entries, key, e);
	return e;
}

cJSON *
tikvview_ask(
	struct tikvview *v, const char *ns, const char *instance, const cJSON *keys, double fresh_s)
{
	struct entry *e = entry_of(v, ns, instance);
	struct tikv_target now = { 0 };
	cJSON *out = json_object();
	bool due;

	e->asked_at = loop_now(v->conf.loop);
	e->fresh_ms = (int64_t)(fresh_s * 1000);
	v->conf.target(v->conf.arg, ns, instance, &now);
	due = follow(e, &now);
	tikv_target_fini(&now);
	if (!json_equal(e->keys, keys)) {
		json_free(e->keys);
		e->keys = json_clone(keys);
		unknown(e, "TiKV was not asked for all of this yet");
		due = true;
	}
	if (due)
		look(e);
	json_put_bool(out, "known", e->values != NULL);
	json_put_str(out, "reason", e->values == NULL ? e->reason : NULL);
	if (e->values == NULL)
		return out;
	json_put_int(out, "age", (loop_now(v->conf.loop) - e->read_at) / 1000);
	json_put_str(out, "since", e->since);
	json_put(out, "values", json_clone(e->values));
	json_put(out, "tried", e->tried != NULL ? json_clone(e->tried) : json_object());
	return out;
}

void
tikvview_tried(struct tikvview *v, const char *ns, const char *instance, const cJSON *items,
	const char *why)
{
	struct entry *e = entry_of(v, ns, instance);
	struct tikv_target now = { 0 };
	const cJSON *m;

	v->conf.target(v->conf.arg, ns, instance, &now);
	follow(e, &now);
	tikv_target_fini(&now);
	if (e->tried == NULL)
		e->tried = json_object();
	cJSON_ArrayForEach(m, items)
	{
		cJSON *one = json_put(e->tried, m->string, json_object());
		json_put(one, "value", json_clone(m));
		json_put_str(one, "why", why);
	}
	e->tell = true;
	look(e);
}
