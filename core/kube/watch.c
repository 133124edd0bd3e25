#include "kube/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kube/backoff.h"
#include "kube/feed.h"
#include "kube/turns.h"
#include "kube/verdict.h"

#define PAGE "500"
#define IDLE_LIST_MS 30000
#define IDLE_SLACK_MS 5000
#define TICK_MS 10000
#define SHORT_MS 1000
#define BACKOFF_FIRST_MS 800
#define BACKOFF_MAX_MS 30000
#define BACKOFF_RESET_MS 120000
#define DENIED_MS 60000
#define INTERNAL_ERRORS_MS 60000
#define RELIST_MS (8LL * 3600 * 1000)
#define ATTEMPTS 3 /* of a kind that leads nowhere, before another way is tried */
#define ANSWER_MAX 65536

#define RESTARTS "tikv_operator_watch_restarts_total"
#define RELISTS "tikv_operator_watch_relists_total"
#define ERRORS "tikv_operator_watch_errors_total"
#define DROPPED "tikv_operator_watch_dropped_total"
#define SKIPPED "tikv_operator_watch_skipped_total"
#define DIVERGENT "tikv_operator_watch_divergence_total"

enum phase {
	PHASE_NONE,
	PHASE_PAGE,    /* a page of a LIST comes in */
	PHASE_INITIAL, /* a WATCH that starts with the list */
	PHASE_STREAM,
};

struct watch {
	struct watch_conf conf;
	struct loop *loop;
	struct rng rng;
	struct feed *feed;
	struct feed_counts seen; /* what the metrics know already */
	char *path, *label_selector, *field_selector;
	char *labels; /* of the metrics */
	enum watch_state state;
	enum phase phase;
	char trouble[sizeof((struct err *)0)->msg];

	struct http_req *req;
	int status;
	struct buf answer; /* body of a refusal */
	int64_t opened;
	uint64_t opened_at_count;

	bool started, need_list, quorum, told_synced;
	bool asked_quorum; /* the list under way has no version */
	bool no_watchlist; /* this server does not offer it */
	bool page_instead; /* paged LIST for the next attempt only */
	bool full;         /* un-paged, after a page expired (L4) */
	char *more;        /* continue token */
	int lost_initials, short_ends;
	int64_t internal_since; /* 0: no InternalError lately */
	struct backoff backoff;
	struct timer *timer, *tick, *audit;

	struct turn turn;
};

/* ---- metrics and trouble ---- */

static void
count(struct watch *w, const char *family, uint64_t by)
{
	if (w->conf.metrics && by)
		metric_add(w->conf.metrics, family, w->labels, (double)by);
}

static void
count_feed(struct watch *w)
{
	const struct feed_counts *c = feed_counts(w->feed);

	count(w, DROPPED, c->dropped - w->seen.dropped);
	count(w, SKIPPED, c->skipped - w->seen.skipped);
	count(w, DIVERGENT, c->divergent - w->seen.divergent);
	w->seen = *c;
}

static void
note(struct watch *w, const struct err *e)
{
	struct buf labels;

	snprintf(w->trouble, sizeof w->trouble, "%s", e->msg);
	log_write(w->conf.log, e->code == ERR_EXPIRED ? LOG_INFO : LOG_WARN, "watch interrupted",
		"path", w->path, "code", err_name(e->code), "error", e->msg, NULL);
	if (!w->conf.metrics)
		return;
	buf_init(&labels, 0);
	buf_puts(&labels, w->labels);
	metric_label(&labels, "code", err_name(e->code));
	metric_add(w->conf.metrics, ERRORS, labels.at, 1);
	buf_fini(&labels);
}

/* ---- when to try again ---- */

static void open_stream(struct watch *w);

static void
step(void *arg)
{
	struct watch *w = arg;

	w->timer = NULL;
	if (w->need_list) {
		w->state = WATCH_LISTING;
		turns_take(w->conf.lists, &w->turn);
	} else {
		open_stream(w);
	}
}

static void
step_in(struct watch *w, int64_t ms)
{
	loop_cancel(w->loop, w->timer);
	w->timer = loop_after(w->loop, ms, step, w);
}

/* One back-off for lists and streams of one reflector (B1, B2). */
static void
back_off(struct watch *w, enum watch_state state, const struct err *e)
{
	int64_t now = loop_now(w->loop), least = (int64_t)e->retry_after_s * 1000;

	w->state = state;
	step_in(w, backoff_next(&w->backoff, &w->rng, now, least));
}

/* The collection is not there or not ours to read: the store keeps what it has (T6). */
static void
denied(struct watch *w)
{
	w->need_list = true;
	w->state = WATCH_DENIED;
	step_in(w, rng_jitter(&w->rng, DENIED_MS, 0.5));
}

/* ---- requests ---- */

static void on_head(void *arg, const struct http_head *h);
static int on_body(void *arg, const char *chunk, size_t n, struct err *e);
static void on_end(
	void *arg, const struct http_head *h, const char *body, size_t n, const struct err *e);

static void
send(struct watch *w, enum phase phase, struct buf *path, int64_t idle_ms)
{
	w->phase = phase;
	w->status = 0;
	buf_reset(&w->answer);
	w->req = api_stream(w->conf.api, path->at, "watch", idle_ms, on_head, on_body, on_end, w);
	buf_fini(path);
}

static void
put_param(struct buf *path, const char *name, const char *value)
{
	buf_printf(path, "%c%s=", strchr(path->at, '?') ? '&' : '?', name);
	http_escape(path, value);
}

static void
put_selectors(const struct watch *w, struct buf *path)
{
	if (w->label_selector)
		put_param(path, "labelSelector", w->label_selector);
	if (w->field_selector)
		put_param(path, "fieldSelector", w->field_selector);
}

static void
open_page(struct watch *w)
{
	struct buf path;

	buf_init(&path, 0);
	buf_puts(&path, w->path);
	if (w->asked_quorum && !w->full)
		put_param(&path, "limit", PAGE);
	put_selectors(w, &path);
	if (w->more) {
		put_param(&path, "continue", w->more);
	} else if (!w->asked_quorum) {
		put_param(&path, "resourceVersion", store_rv(w->conf.store));
		put_param(&path, "resourceVersionMatch", "NotOlderThan");
	}
	feed_page(w->feed);
	send(w, PHASE_PAGE, &path, IDLE_LIST_MS);
}

static void
open_watch(struct watch *w, bool initial)
{
	int64_t seconds = 300 + (int64_t)rng_below(&w->rng, 300);
	struct buf path;

	buf_init(&path, 0);
	buf_printf(&path, "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%d", w->path,
		(int)seconds);
	put_selectors(w, &path);
	if (initial)
		buf_puts(&path, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
	if (!initial || !w->asked_quorum)
		put_param(&path, "resourceVersion", store_rv(w->conf.store));
	feed_stream(w->feed, initial, w->asked_quorum);
	send(w, initial ? PHASE_INITIAL : PHASE_STREAM, &path, seconds * 1000 + IDLE_SLACK_MS);
}

static void
open_stream(struct watch *w)
{
	open_watch(w, false);
}

static void list_failed(struct watch *w, struct err *e);

/* A server that takes the request and never finishes the list must not hold the slot for ever. */
static void
on_tick(void *arg)
{
	struct watch *w = arg;
	struct err e = { 0 };
	int64_t silent = loop_now(w->loop) - store_heard_ms(w->conf.store);

	w->tick = NULL;
	if (!w->req || w->phase != PHASE_INITIAL)
		return;
	log_write(w->conf.log, LOG_WARN, "the initial list is still incomplete", "path", w->path,
		NULL);
	if (silent < IDLE_LIST_MS) {
		w->tick = loop_after(w->loop, TICK_MS, on_tick, w);
		return;
	}
	api_stream_cancel(w->conf.api, w->req);
	w->req = NULL;
	err_set(&e, ERR_TIMEOUT, "the initial list stalled");
	list_failed(w, &e);
}

static void
start_list(void *arg)
{
	struct watch *w = arg;

	w->state = WATCH_LISTING;
	w->asked_quorum = w->quorum || !*store_rv(w->conf.store);
	store_set_heard(w->conf.store, loop_now(w->loop));
	if (w->full || w->page_instead || w->no_watchlist) {
		feed_reset(w->feed);
		open_page(w);
		return;
	}
	open_watch(w, true);
	loop_cancel(w->loop, w->tick);
	w->tick = loop_after(w->loop, TICK_MS, on_tick, w);
}

/* ---- what a failure leads to ---- */

/* Retried for a minute, in the hope that the server means only the stream (W6). */
static bool
still_internal(struct watch *w)
{
	int64_t now = loop_now(w->loop);

	if (w->internal_since == 0)
		w->internal_since = now;
	if (now - w->internal_since <= INTERNAL_ERRORS_MS)
		return true;
	w->internal_since = 0;
	return false;
}

static void
follow(struct watch *w, enum verdict v, const struct err *e)
{
	switch (v) {
	case VERDICT_DENIED:
		denied(w);
		return;
	case VERDICT_QUORUM:
		w->quorum = true;
		w->need_list = true;
		back_off(w, WATCH_EXPIRED, e);
		return;
	case VERDICT_EXPIRED:
		w->need_list = true;
		back_off(w, WATCH_EXPIRED, e);
		return;
	case VERDICT_INTERNAL:
		if (!still_internal(w))
			w->need_list = true;
		break;
	case VERDICT_LOGIN:
		api_unauthorized(w->conf.api);
		break;
	case VERDICT_LIST:
		w->need_list = true;
		break;
	case VERDICT_RESUME:
		break;
	}
	back_off(w, WATCH_BACKOFF, e);
}

/* ---- endings of a list ---- */

static void
drop_more(struct watch *w)
{
	free(w->more);
	w->more = NULL;
}

static void
on_audit(void *arg)
{
	struct watch *w = arg;

	w->audit = NULL;
	watch_relist(w);
}

static void
list_done(struct watch *w)
{
	int64_t period = w->conf.relist_ms;

	count(w, RELISTS, 1);
	count_feed(w);
	w->need_list = w->quorum = w->full = w->page_instead = false;
	w->lost_initials = 0;
	w->trouble[0] = 0;
	w->state = WATCH_STREAMING;
	loop_cancel(w->loop, w->tick);
	loop_cancel(w->loop, w->audit);
	w->tick = NULL;
	/* Nine to eleven tenths of the period, so that reflectors do not march in step. */
	w->audit = loop_after(w->loop, rng_jitter(&w->rng, period - period / 10, 0.2), on_audit, w);
	if (w->phase == PHASE_PAGE)
		step_in(w, 0);
	else
		w->phase = PHASE_STREAM;
	turns_leave(w->conf.lists, &w->turn);
	if (!w->told_synced) {
		w->told_synced = true;
		if (w->conf.on_synced)
			w->conf.on_synced(w->conf.arg);
	}
}

/* This server does not do what a streaming list needs (S3). */
static bool
not_offered(const struct watch *w, const struct err *e)
{
	return w->phase == PHASE_INITIAL && w->status != 200 &&
	       (e->code == ERR_INVALID || e->code == ERR_UNSUPPORTED);
}

static void
list_failed(struct watch *w, struct err *e)
{
	bool page_two = w->phase == PHASE_PAGE && w->more;
	bool initial = w->phase == PHASE_INITIAL;

	w->need_list = true;
	note(w, e);
	feed_reset(w->feed);
	drop_more(w);
	if (not_offered(w, e)) {
		w->no_watchlist = true;
		start_list(w);
		return;
	}
	if (initial && e->status == 404) {
		w->page_instead = true;
		start_list(w);
		return;
	}
	if (page_two && e->code == ERR_EXPIRED && !w->full) {
		w->full = true;
		start_list(w);
		return;
	}
	w->full = false;
	w->page_instead = false;
	if (initial && w->status == 200 && ++w->lost_initials >= ATTEMPTS) {
		w->lost_initials = 0;
		w->page_instead = true;
	}
	turns_leave(w->conf.lists, &w->turn);
	follow(w, verdict_of_list(e), e);
}

static void
page_ended(struct watch *w)
{
	struct err e = { 0 };
	char *more = NULL;

	if (feed_page_end(w->feed, &more, &e) != 0) {
		list_failed(w, &e);
		return;
	}
	drop_more(w);
	w->more = more;
	if (more)
		open_page(w);
	else if (feed_commit(w->feed, w->asked_quorum, &e) != 0)
		list_failed(w, &e);
	else
		list_done(w);
}

/* ---- endings of a stream ---- */

static void
stream_failed(struct watch *w, const struct err *e)
{
	note(w, e);
	follow(w, verdict_of_stream(e, w->status == 200), e);
}

static void
stream_ended(struct watch *w)
{
	const struct feed_counts *c = feed_counts(w->feed);
	struct err e = { 0 };

	if (feed_stream_end(w->feed, &e) != 0) {
		e.code = ERR_UNAVAILABLE;
		stream_failed(w, &e);
		return;
	}
	if (c->events + c->bookmarks == w->opened_at_count &&
		loop_now(w->loop) - w->opened < SHORT_MS) {
		err_set(&e, ERR_UNAVAILABLE, "the stream ended at once, without an event");
		note(w, &e);
		if (++w->short_ends >= ATTEMPTS) {
			w->short_ends = 0;
			w->need_list = true;
		}
		back_off(w, WATCH_BACKOFF, &e);
		return;
	}
	w->short_ends = 0;
	w->internal_since = 0;
	step_in(w, 0);
}

/* ---- callbacks of the transport ---- */

static void
on_head(void *arg, const struct http_head *h)
{
	struct watch *w = arg;
	const struct feed_counts *c = feed_counts(w->feed);

	w->status = h->status;
	w->opened = loop_now(w->loop);
	w->opened_at_count = c->events + c->bookmarks;
	store_set_heard(w->conf.store, w->opened);
	if (h->status == 200 && w->phase == PHASE_STREAM) {
		w->state = WATCH_STREAMING;
		w->trouble[0] = 0;
	}
}

static int
on_body(void *arg, const char *chunk, size_t n, struct err *e)
{
	struct watch *w = arg;

	store_set_heard(w->conf.store, loop_now(w->loop));
	if (w->status != 200) {
		(void)buf_put(&w->answer, chunk, n);
		return 0;
	}
	int rc = feed_bytes(w->feed, chunk, n, e);
	count_feed(w);
	if (w->phase == PHASE_INITIAL && !feed_collecting(w->feed))
		list_done(w);
	return rc;
}

static void
on_end(void *arg, const struct http_head *h, const char *body, size_t n, const struct err *e)
{
	struct watch *w = arg;
	struct err mine = *e;
	bool initial = w->phase == PHASE_INITIAL;

	(void)body;
	(void)n;
	w->req = NULL;
	if (w->phase == PHASE_STREAM)
		count(w, RESTARTS, 1);
	if (mine.code == ERR_NONE && w->status != 200)
		api_status_error(w->status >= 300 ? w->status : 500, w->answer.at, w->answer.len,
			h ? h->retry_after_s : 0, &mine);
	else if (mine.code == ERR_NONE && initial)
		err_set(&mine, ERR_UNAVAILABLE, "the stream ended before the list was complete");
	if (mine.code != ERR_NONE && (initial || w->phase == PHASE_PAGE))
		list_failed(w, &mine);
	else if (mine.code != ERR_NONE)
		stream_failed(w, &mine);
	else if (w->phase == PHASE_PAGE)
		page_ended(w);
	else
		stream_ended(w);
}

/* ---- life ---- */

static void
register_metrics(struct metrics *m)
{
	metric_family(m, RESTARTS, METRIC_COUNTER, "Watch streams that ended.", NULL);
	metric_family(m, RELISTS, METRIC_COUNTER, "Complete lists taken into a cache.", NULL);
	metric_family(m, ERRORS, METRIC_COUNTER, "Failed lists and watches, by code.", NULL);
	metric_family(m, DROPPED, METRIC_COUNTER, "Watch events not newer than the cache.", NULL);
	metric_family(m, SKIPPED, METRIC_COUNTER, "Watch events of an unexpected kind.", NULL);
	metric_family(m, DIVERGENT, METRIC_COUNTER,
		"Objects that a list had and the watch had missed; must stay 0.", NULL);
}

struct watch *
watch_new(const struct watch_conf *c)
{
	struct watch *w = xcalloc(1, sizeof *w);
	enum kind k = store_kind(c->store);
	struct buf b;

	w->conf = *c;
	if (w->conf.relist_ms <= 0)
		w->conf.relist_ms = RELIST_MS;
	w->loop = api_loop(c->api);
	w->feed = feed_new(c->store, c->log);
	w->no_watchlist = c->no_watchlist;
	w->label_selector = c->label_selector ? xstrdup(c->label_selector) : NULL;
	w->field_selector = c->field_selector ? xstrdup(c->field_selector) : NULL;
	w->backoff = (struct backoff){ BACKOFF_FIRST_MS, BACKOFF_MAX_MS, BACKOFF_RESET_MS, 0, 0 };
	w->turn = (struct turn){ .go = start_list, .arg = w };
	buf_init(&b, 0);
	must(ref_path(&b, k, c->ns, NULL, NULL) == 0);
	w->path = buf_take(&b);
	buf_init(&b, 0);
	metric_label(&b, "kind", kind_row(k)->kind);
	w->labels = buf_take(&b);
	w->rng = rng_fork(api_rng(c->api), w->path);
	buf_init(&w->answer, ANSWER_MAX);
	if (c->metrics)
		register_metrics(c->metrics);
	return w;
}

static void
hang_up(struct watch *w)
{
	api_stream_cancel(w->conf.api, w->req);
	w->req = NULL;
	loop_cancel(w->loop, w->timer);
	loop_cancel(w->loop, w->tick);
	w->timer = w->tick = NULL;
	feed_reset(w->feed);
	drop_more(w);
}

void
watch_free(struct watch *w)
{
	if (!w)
		return;
	hang_up(w);
	turns_leave(w->conf.lists, &w->turn);
	loop_cancel(w->loop, w->audit);
	feed_free(w->feed);
	buf_fini(&w->answer);
	free(w->path);
	free(w->label_selector);
	free(w->field_selector);
	free(w->labels);
	free(w);
}

void
watch_start(struct watch *w)
{
	if (w->started)
		return;
	w->started = true;
	w->need_list = true;
	w->state = WATCH_LISTING;
	step_in(w, 0);
}

void
watch_relist(struct watch *w)
{
	bool pausing =
		w->state == WATCH_BACKOFF || w->state == WATCH_EXPIRED || w->state == WATCH_DENIED;

	w->need_list = w->quorum = true;
	if (!w->started || pausing || (w->state == WATCH_LISTING && w->asked_quorum))
		return;
	hang_up(w);
	w->state = WATCH_LISTING;
	step_in(w, 0);
}

enum watch_state
watch_state(const struct watch *w)
{
	return w->state;
}

const char *
watch_trouble(const struct watch *w)
{
	return w->trouble;
}
