/*
 * apiwatch: a watch is a cursor into a resource's ring of changes.
 *
 * A commit only wakes the watches; what they send is read from the ring at the loop's next turn,
 * so a slow or late watch loses nothing until the ring forgets, and then gets its 410.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

struct apisim_call {
	struct apisim *a;
	struct res *res;
	struct apisim_call *next;
	struct call call; /* only form and res are used, for rendering */
	struct match match;
	int64_t at; /* newest rv this watch has seen */
	bool initial, want_end, bookmarks, *dead;
	struct timer *wake, *timeout, *bookmark;
	void (*on_chunk)(void *arg, const char *bytes, size_t n);
	void (*on_end)(void *arg);
	void (*on_event)(void *arg, const char *type, int64_t rv, const cJSON *object);
	void *arg;
};

static void
unlink_watch(struct apisim_call *w)
{
	struct apisim_call **p = &w->res->watches;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	w->a->watches--;
}

void
watch_drop(struct apisim_call *w)
{
	struct loop *loop = w->a->conf.loop;

	unlink_watch(w);
	loop_cancel(loop, w->wake);
	loop_cancel(loop, w->timeout);
	loop_cancel(loop, w->bookmark);
	match_fini(&w->match);
	if (w->dead)
		*w->dead = true;
	free(w);
}

/* Returns false when the watch was cancelled by its receiver. */
static bool
send_line(struct apisim_call *w, const char *type, const char *text, size_t n, int64_t rv,
	const cJSON *object)
{
	struct buf line;
	bool dead = false, *outer = w->dead;

	if (!w->on_chunk && !w->on_event)
		return true;
	w->dead = &dead;
	if (w->on_event) {
		w->on_event(w->arg, type, rv, object);
	} else {
		buf_init(&line, 0);
		buf_printf(&line, "{\"type\":\"%s\",\"object\":", type);
		buf_put(&line, text, n);
		buf_puts(&line, "}\n");
		w->on_chunk(w->arg, line.at, line.len);
		buf_fini(&line);
	}
	if (dead) {
		if (outer)
			*outer = true;
		return false;
	}
	w->dead = outer;
	return true;
}

static bool
send_ver(struct apisim_call *w, const char *type, struct ver *v, int64_t rv)
{
	struct buf out;

	if (w->call.form == FORM_OBJECT && rv == v->rv)
		return send_line(w, type, v->text, v->len, rv, w->on_event ? ver_tree(v) : NULL);
	buf_init(&out, 0);
	if (rv == v->rv) {
		render(&w->call, v, &out);
	} else {
		/* It left the selection: its old content, with the rv of the change. */
		char text[24];
		cJSON *tree = json_clone(ver_tree(v));
		snprintf(text, sizeof(text), "%lld", (long long)rv);
		json_put_str((cJSON *)json_get(tree, "metadata"), "resourceVersion", text);
		struct ver *as = ver_new(v->key, rv, tree);
		render(&w->call, as, &out);
		bool on = send_line(w, type, out.at, out.len, rv, tree);
		ver_unref(as);
		buf_fini(&out);
		return on;
	}
	bool on = send_line(w, type, out.at, out.len, rv, ver_tree(v));
	buf_fini(&out);
	return on;
}

static bool
send_bookmark(struct apisim_call *w, bool end_of_initial)
{
	const struct res *res = w->res;
	struct buf out;

	if (w->on_event)
		return send_line(w, end_of_initial ? "SYNCED" : "BOOKMARK", "", 0, w->at, NULL);
	buf_init(&out, 0);
	if (w->call.form == FORM_TABLE)
		buf_printf(&out,
			"{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":"
			"{\"resourceVersion\":\"%lld\"},\"columnDefinitions\":[],\"rows\":[]}",
			(long long)w->at);
	else
		buf_printf(&out,
			"{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",\"metadata\":"
			"{\"resourceVersion\":\"%lld\"%s}}",
			w->call.form == FORM_META ? "PartialObjectMetadata" : res->kind,
			w->call.form == FORM_META ? "meta.k8s.io" : res->group,
			*res->group || w->call.form == FORM_META ? "/" : "",
			w->call.form == FORM_META ? "v1" : res->version, (long long)w->at,
			end_of_initial ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}"
				       : "");
	bool on = send_line(w, "BOOKMARK", out.at, out.len, w->at, NULL);
	buf_fini(&out);
	return on;
}

void
watch_end(struct apisim_call *w, int error_status)
{
	void (*on_end)(void *) = w->on_end;
	void *arg = w->arg;

	if (error_status) {
		cJSON *s = status_gone(error_status == 410 ? "too old resource version"
							   : "the server is shutting down",
			error_status);
		char *text = json_string(s);
		bool on = send_line(w, "ERROR", text, strlen(text), 0, NULL);
		free(text);
		json_free(s);
		if (!on)
			return;
	}
	watch_drop(w);
	if (on_end)
		on_end(arg);
}

static void
expire(struct apisim_call *w)
{
	char why[96];

	snprintf(why, sizeof(why), "too old resource version: %lld (%lld)", (long long)w->at,
		(long long)w->res->forgotten + 1);
	cJSON *s = status_gone(why, 410);
	char *text = json_string(s);
	bool on = send_line(w, "ERROR", text, strlen(text), 0, NULL);
	free(text);
	json_free(s);
	if (on)
		watch_end(w, 0);
}

/* What was there when the watch was asked for, as ADDED. */
static bool
send_initial(struct apisim_call *w)
{
	struct ver **all;
	size_t n;
	bool on = true;

	w->initial = false;
	if (live_at(w->res, w->at, &all, &n)) {
		w->at = w->a->rv; /* history was cut since the request: a later moment will do */
		live_at(w->res, 0, &all, &n);
	}
	for (size_t i = 0; i < n; i++)
		ver_ref(all[i]);
	for (size_t i = 0; i < n; i++) {
		if (on && match_ver(&w->match, all[i]))
			on = send_ver(w, "ADDED", all[i], all[i]->rv);
		ver_unref(all[i]);
	}
	free(all);
	return on && (!w->want_end || send_bookmark(w, true));
}

static bool
send_change(struct apisim_call *w, const struct change *ch)
{
	bool is = ch->kind != CHANGE_DELETED && match_ver(&w->match, ch->now);
	bool was = ch->old && match_ver(&w->match, ch->old);

	if (is)
		return send_ver(w, was ? "MODIFIED" : "ADDED", ch->now, ch->rv);
	if (!was)
		return true;
	return send_ver(w, "DELETED", ch->kind == CHANGE_DELETED ? ch->now : ch->old, ch->rv);
}

static void
pump(void *arg)
{
	struct apisim_call *w = arg;
	struct res *res = w->res;

	w->wake = NULL;
	if (w->initial && !send_initial(w))
		return;
	if (w->at < res->forgotten) {
		expire(w);
		return;
	}
	/* Callbacks may write: look at the ring anew for each change. */
	size_t low = 0;
	for (;;) {
		while (low < res->changes && res->ring[res->first + low].rv <= w->at)
			low++;
		if (low >= res->changes)
			break;
		struct change ch = res->ring[res->first + low];
		struct ver *now = ver_ref(ch.now), *old = ver_ref(ch.old);
		size_t first = res->first;
		w->at = ch.rv;
		bool on = send_change(w, &ch);
		ver_unref(now);
		ver_unref(old);
		if (!on)
			return;
		if (w->at < res->forgotten) {
			expire(w);
			return;
		}
		low = first == res->first ? low : 0;
	}
}

void
watch_wake(struct res *res)
{
	for (struct apisim_call *w = res->watches; w; w = w->next)
		if (!w->wake)
			w->wake = loop_after(w->a->conf.loop, 0, pump, w);
}

void
watch_keep(struct res *res)
{
	for (struct apisim_call *w = res->watches; w; w = w->next)
		if (!w->wake && w->at >= res->forgotten)
			w->at = w->a->rv;
}

static void
timed_out(void *arg)
{
	struct apisim_call *w = arg;

	w->timeout = NULL;
	if (w->wake) {
		/* What is committed is sent before the end. */
		bool dead = false;
		loop_cancel(w->a->conf.loop, w->wake);
		w->dead = &dead;
		pump(w);
		if (dead)
			return;
		w->dead = NULL;
	}
	watch_end(w, 0);
}

static void
bookmark_due(void *arg)
{
	struct apisim_call *w = arg;

	w->bookmark = loop_after(w->a->conf.loop, w->a->conf.bookmark_ms, bookmark_due, w);
	if (w->wake)
		return;
	if (w->at >= w->res->forgotten)
		w->at = w->a->rv; /* nothing of ours happened since */
	send_bookmark(w, false);
}

static int
check_options(struct call *c, const char *rv, bool send)
{
	const char *how = param_get(c, "resourceVersionMatch");
	static const char what[] = "ListOptions.meta.k8s.io \"\" is invalid: ";

	if (*rv && strcmp(rv, "0") && !rv_valid(rv))
		return fail(c, 400, "BadRequest",
			"resourceVersion: Invalid value: \"%s\": strconv.ParseUint: parsing "
			"\"%s\": invalid syntax",
			rv, rv);
	if (send && strcmp(how, "NotOlderThan"))
		return fail(c, 422, "Invalid",
			"%sresourceVersionMatch: Forbidden: sendInitialEvents requires setting "
			"resourceVersionMatch to NotOlderThan",
			what);
	if (!send && *how && !*param_get(c, "sendInitialEvents"))
		return fail(c, 422, "Invalid",
			"%sresourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for "
			"watch unless sendInitialEvents is provided",
			what);
	return 0;
}

void
watch_begin(struct call *c)
{
	const char *rv = param_get(c, "resourceVersion");
	bool send = param_true(c, "sendInitialEvents");
	struct match m = { 0 };
	struct apisim *a = c->a;

	if (check_options(c, rv, send) || match_make(c, &m)) {
		match_fini(&m);
		return;
	}
	struct apisim_call *w = xcalloc(1, sizeof(*w));
	w->a = a;
	w->res = c->res;
	w->match = m;
	w->call.a = a;
	w->call.res = c->res;
	w->call.form = c->form;
	w->at = strtoll(rv, NULL, 10);
	bool none = !*rv || !strcmp(rv, "0");
	w->initial = send || (none && strcmp(param_get(c, "sendInitialEvents"), "false"));
	w->want_end = send && param_true(c, "allowWatchBookmarks");
	if (w->initial || none)
		w->at = a->rv;
	w->bookmarks = param_true(c, "allowWatchBookmarks");
	w->on_chunk = c->r->on_chunk;
	w->on_event = c->r->on_event;
	w->on_end = c->r->on_end;
	w->arg = c->r->arg;
	w->next = c->res->watches;
	c->res->watches = w;
	a->watches++;
	int64_t seconds = strtoll(param_get(c, "timeoutSeconds"), NULL, 10);
	if (seconds <= 0)
		seconds = 1800 + (int64_t)rng_below(&a->conf.rng, 1800);
	w->timeout = loop_after(a->conf.loop, seconds * 1000, timed_out, w);
	if (w->bookmarks)
		w->bookmark = loop_after(a->conf.loop, a->conf.bookmark_ms, bookmark_due, w);
	w->wake = loop_after(a->conf.loop, 0, pump, w);
	c->stream = w;
	if (c->r->on_head)
		c->r->on_head(c->r->arg, 200, "application/json", NULL);
}

void
apisim_cancel(struct apisim *a, struct apisim_call *w)
{
	(void)a;
	if (w)
		watch_drop(w);
}
