#include "kube/lease.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum phase { PHASE_IDLE, PHASE_FOLLOWING, PHASE_LEADING, PHASE_LOST, PHASE_RELEASING, PHASE_GONE };

struct lease {
	struct lease_conf conf;
	char *ns, *name, *identity;
	struct api *api;
	struct rng rng;
	enum phase phase;
	bool repeated; /* this round had its second look already */
	struct api_call *call;
	struct timer *timer, *deadline;
	int64_t sent_at;    /* of the write under way */
	int64_t renewed_at; /* when the last successful write was sent */
	cJSON *seen;        /* the object as last read, NULL: read it first */
	char *record;       /* its spec, canonical */
	char *holder;
	int64_t observed_at; /* when the record last changed, as seen here (E3) */
	loop_fn *released;
	void *released_arg;
};

static void look(struct lease *l);
static void write_record(struct lease *l);

struct lease *
lease_new(const struct lease_conf *c, struct err *e)
{
	struct lease_conf k = *c;

	k.duration_ms = k.duration_ms ? k.duration_ms : 15000;
	k.renew_ms = k.renew_ms ? k.renew_ms : 10000;
	k.retry_ms = k.retry_ms ? k.retry_ms : 2000;
	if (!k.identity || !*k.identity) {
		err_set(e, ERR_INVALID, "lease: the identity is empty");
		return NULL;
	}
	if (k.duration_ms < 1000 || k.duration_ms <= k.renew_ms || k.retry_ms <= 0 ||
		k.renew_ms * 5 <= k.retry_ms * 6) {
		err_set(e, ERR_INVALID,
			"lease: duration must be longer than the renew deadline, and that longer "
			"than "
			"1.2 times the retry period");
		return NULL;
	}
	struct lease *l = xcalloc(1, sizeof *l);
	l->conf = k;
	l->ns = xstrdup(k.ns);
	l->name = xstrdup(k.name);
	l->identity = xstrdup(k.identity);
	l->record = xstrdup("");
	l->holder = xstrdup("");
	l->rng = k.rng;
	l->api = api_new(&(struct api_conf){ .loop = k.loop,
		.http = k.http,
		.cred = k.cred,
		.server = k.server,
		.pool = "lease",
		.log = k.log,
		.rng = rng_fork(&l->rng, "api"),
		.timeout_ms = k.renew_ms / 2 });
	return l;
}

static void
hush(struct lease *l)
{
	api_cancel(l->api, l->call);
	loop_cancel(l->conf.loop, l->timer);
	loop_cancel(l->conf.loop, l->deadline);
	l->call = NULL;
	l->timer = l->deadline = NULL;
}

void
lease_free(struct lease *l)
{
	if (!l)
		return;
	hush(l);
	api_free(l->api);
	json_free(l->seen);
	free(l->record);
	free(l->holder);
	free(l->ns);
	free(l->name);
	free(l->identity);
	free(l);
}

static int64_t
now(const struct lease *l)
{
	return loop_now(l->conf.loop);
}

/* Nothing of the lease may be touched after this: the owner may free it. */
static void
lose(struct lease *l, const char *why)
{
	l->phase = PHASE_LOST;
	hush(l);
	log_write(l->conf.log, LOG_ERROR, "lease lost", "why", why, NULL);
	if (l->conf.on_lose)
		l->conf.on_lose(l->conf.arg, why);
}

/* A suspended process wakes up in any callback: time is asked before anything else (E10). */
static bool
ran_out(struct lease *l)
{
	if (l->phase != PHASE_LEADING || now(l) - l->renewed_at < l->conf.renew_ms)
		return false;
	lose(l, "it could not be renewed in time");
	return true;
}

static void
on_deadline(void *arg)
{
	struct lease *l = arg;

	l->deadline = NULL;
	(void)ran_out(l);
}

static void
round_starts(void *arg)
{
	struct lease *l = arg;

	l->timer = NULL;
	if (ran_out(l))
		return;
	l->repeated = false;
	if (l->phase == PHASE_FOLLOWING || !l->seen)
		look(l);
	else
		write_record(l);
}

static void
next_round(struct lease *l)
{
	int64_t ms = l->conf.retry_ms;

	/* A leader keeps its beat; those who wait must not meet. */
	if (l->phase == PHASE_FOLLOWING)
		ms = rng_jitter(&l->rng, ms, 0.2);
	loop_cancel(l->conf.loop, l->timer);
	l->timer = loop_after(l->conf.loop, ms, round_starts, l);
}

/* ---- the record ---- */

static void
observe(struct lease *l, const cJSON *object)
{
	const cJSON *spec = json_get(object, "spec");
	const char *holder = json_text(json_get(spec, "holderIdentity"));
	struct buf record;

	json_free(l->seen);
	l->seen = json_clone(object);
	buf_init(&record, 0);
	if (spec)
		json_print_canonical(spec, &record);
	char *text = buf_take(&record);
	if (!*l->record || strcmp(text, l->record) != 0)
		l->observed_at = now(l);
	free(l->record);
	l->record = text;
	free(l->holder);
	l->holder = xstrdup(holder ? holder : "");
}

static void
forget(struct lease *l)
{
	json_free(l->seen);
	l->seen = NULL;
}

static bool
is_mine(const struct lease *l)
{
	return strcmp(l->holder, l->identity) == 0;
}

/* Judged by our clock alone, over the record's own duration (E3). */
static bool
is_free(const struct lease *l)
{
	int64_t seconds = json_int(l->seen, "spec.leaseDurationSeconds", 0);
	int64_t ms = seconds > 0 ? seconds * 1000 : l->conf.duration_ms;

	return !*l->holder || is_mine(l) || now(l) - l->observed_at > ms;
}

static cJSON *
new_record(struct lease *l)
{
	int64_t wall = loop_wall(l->conf.loop), duration = (l->conf.duration_ms + 999) / 1000;
	bool release = l->phase == PHASE_RELEASING;
	cJSON *object = l->seen ? json_clone(l->seen) : json_object();
	char at[40];

	clock_format(wall, 1, at, sizeof at);
	if (!l->seen) {
		cJSON *meta = json_object();
		json_put_str(object, "apiVersion", kind_api_version(KIND_LEASE));
		json_put_str(object, "kind", kind_row(KIND_LEASE)->kind);
		json_put_str(meta, "name", l->name);
		json_put_str(meta, "namespace", l->ns);
		json_put(object, "metadata", meta);
	}
	json_drop(cJSON_GetObjectItemCaseSensitive(object, "metadata"), "managedFields");
	cJSON *spec = cJSON_GetObjectItemCaseSensitive(object, "spec");
	if (!cJSON_IsObject(spec)) {
		json_put(object, "spec", json_object());
		spec = cJSON_GetObjectItemCaseSensitive(object, "spec");
	}
	if (!l->seen || !is_mine(l)) {
		int64_t taken = l->seen ? json_int(spec, "leaseTransitions", 0) + 1 : 0;
		json_put_str(spec, "acquireTime", at);
		json_put_int(spec, "leaseTransitions", taken);
	}
	json_put_str(spec, "holderIdentity", release ? "" : l->identity);
	json_put_int(spec, "leaseDurationSeconds", release ? 1 : duration);
	json_put_str(spec, "renewTime", at);
	return object;
}

/* ---- rounds ---- */

/* The owner may free the lease in `released`. */
static void
let_go(struct lease *l)
{
	loop_fn *done = l->released;

	hush(l);
	l->phase = PHASE_GONE;
	if (done)
		done(l->released_arg);
}

static void
let_go_in_time(void *arg)
{
	struct lease *l = arg;

	l->deadline = NULL;
	let_go(l);
}

static void
won(struct lease *l)
{
	bool first = l->phase == PHASE_FOLLOWING;

	/* An answer that took longer than the lease lasts proves nothing. */
	if (now(l) - l->sent_at >= l->conf.renew_ms) {
		next_round(l);
		return;
	}
	l->renewed_at = l->sent_at;
	l->phase = PHASE_LEADING;
	loop_cancel(l->conf.loop, l->deadline);
	l->deadline =
		loop_after(l->conf.loop, l->renewed_at + l->conf.renew_ms - now(l), on_deadline, l);
	next_round(l);
	if (!first)
		return;
	log_write(l->conf.log, LOG_INFO, "lease taken", "identity", l->identity, NULL);
	if (l->conf.on_gain)
		l->conf.on_gain(l->conf.arg);
}

static void
on_written(void *arg, const cJSON *body, const struct err *e)
{
	struct lease *l = arg;

	l->call = NULL;
	if (ran_out(l))
		return;
	if (e->code == ERR_NONE && body) {
		observe(l, body);
		if (l->phase == PHASE_RELEASING)
			let_go(l);
		else if (is_mine(l))
			won(l);
		else
			next_round(l);
		return;
	}
	log_write(l->conf.log, LOG_WARN, "lease not written", "error", e->msg, NULL);
	/* Whatever happened, the truth is on the server: look, once per round (E4, T4). */
	forget(l);
	if (l->repeated) {
		next_round(l);
		return;
	}
	l->repeated = true;
	look(l);
}

static void
write_record(struct lease *l)
{
	cJSON *object = new_record(l);

	l->sent_at = now(l);
	if (l->seen)
		l->call =
			api_update(l->api, KIND_LEASE, l->ns, l->name, NULL, object, on_written, l);
	else
		l->call = api_create(l->api, KIND_LEASE, l->ns, object, on_written, l);
	json_free(object);
}

static void
on_seen(void *arg, const cJSON *body, const struct err *e)
{
	struct lease *l = arg;

	l->call = NULL;
	if (ran_out(l))
		return;
	if (e->code == ERR_NOT_FOUND) {
		forget(l);
		if (l->phase == PHASE_RELEASING)
			let_go(l);
		else
			write_record(l);
		return;
	}
	if (e->code != ERR_NONE || !body) {
		log_write(l->conf.log, LOG_WARN, "lease not read", "error", e->msg, NULL);
		next_round(l);
		return;
	}
	observe(l, body);
	if (l->phase == PHASE_LEADING && !is_mine(l))
		lose(l, "another process holds it");
	else if (l->phase == PHASE_RELEASING && !is_mine(l))
		let_go(l);
	else if (is_free(l))
		write_record(l);
	else
		next_round(l);
}

static void
look(struct lease *l)
{
	l->call = api_get(l->api, KIND_LEASE, l->ns, l->name, on_seen, l);
}

/* ---- what the owner asks ---- */

void
lease_start(struct lease *l)
{
	if (l->phase != PHASE_IDLE)
		return;
	l->phase = PHASE_FOLLOWING;
	l->timer = loop_after(l->conf.loop, 0, round_starts, l);
}

int64_t
lease_valid_ms(const struct lease *l)
{
	int64_t left;

	if (l->phase != PHASE_LEADING)
		return 0;
	left = l->renewed_at + l->conf.renew_ms - now(l);
	return left > 0 ? left : 0;
}

bool
lease_held(const struct lease *l)
{
	return lease_valid_ms(l) > 0;
}

const char *
lease_holder(const struct lease *l)
{
	return l->holder;
}

int64_t
lease_overdue_ms(const struct lease *l)
{
	int64_t over;

	if (l->phase != PHASE_LEADING && l->phase != PHASE_LOST)
		return 0;
	over = now(l) - l->renewed_at - l->conf.duration_ms;
	return over > 0 ? over : 0;
}

void
lease_release(struct lease *l, loop_fn *done, void *arg)
{
	bool leading = lease_held(l), unsure = l->call != NULL;

	hush(l);
	l->released = done;
	l->released_arg = arg;
	if (!leading) {
		l->phase = PHASE_GONE;
		l->deadline = loop_after(l->conf.loop, 0, let_go_in_time, l);
		return;
	}
	l->phase = PHASE_RELEASING;
	l->repeated = false;
	l->deadline = loop_after(l->conf.loop, l->conf.renew_ms, let_go_in_time, l);
	if (unsure || !l->seen) {
		forget(l);
		look(l);
	} else {
		write_record(l);
	}
}
