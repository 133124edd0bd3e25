#include "kube/event.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define WINDOW_MS (10 * 60 * 1000)
#define REFILL_MS (5 * 60 * 1000)
#define BUDGET 25
#define REMEMBERED 4096
#define MESSAGE_MAX 1024
#define NAME_MAX_LEN 253
#define EMITTED "tikv_operator_events_total"

/* One Event on the server, and what it still has to be told. */
struct note {
	struct events *owner;
	struct api_call *call;
	char *object_key, *ns, *name;
	int64_t count, sent_count;
	int64_t last_ms, last_wall;
};

struct budget {
	int64_t spent_since; /* when the first of `spent` was taken, moved on by refills */
	int spent;
};

struct events {
	struct api *api;
	struct log *log;
	struct metrics *metrics;
	struct rng rng;
	char *component, *instance;
	struct map *notes;   /* by object, type, reason and message */
	struct map *budgets; /* by object */
};

static void
note_free(void *value)
{
	struct note *n = value;

	api_cancel(n->owner->api, n->call);
	free(n->object_key);
	free(n->ns);
	free(n->name);
	free(n);
}

struct events *
events_new(struct api *api, const char *component, const char *instance, struct log *log,
	struct metrics *metrics)
{
	struct events *ev = xcalloc(1, sizeof *ev);

	ev->api = api;
	ev->log = log;
	ev->metrics = metrics;
	ev->rng = rng_fork(api_rng(api), "events");
	ev->component = xstrdup(component);
	ev->instance = xstrdup(instance);
	ev->notes = map_new(note_free);
	ev->budgets = map_new(free);
	if (metrics)
		metric_family(metrics, EMITTED, METRIC_COUNTER,
			"Kubernetes Events by what became of them.", NULL);
	return ev;
}

void
events_free(struct events *ev)
{
	if (!ev)
		return;
	map_free(ev->notes);
	map_free(ev->budgets);
	free(ev->component);
	free(ev->instance);
	free(ev);
}

static void
count_result(struct events *ev, const char *result)
{
	struct buf labels;

	if (!ev->metrics)
		return;
	buf_init(&labels, 0);
	metric_label(&labels, "result", result);
	metric_add(ev->metrics, EMITTED, labels.at, 1);
	buf_fini(&labels);
}

/* The oldest stand first: what is out of its window, or too many, goes. */
static void
forget_old(struct events *ev, int64_t now)
{
	for (struct map_iter it = { 0 }; map_next(ev->notes, &it);) {
		const struct note *n = it.value;
		bool old = now - n->last_ms > WINDOW_MS;
		if (!old && map_count(ev->notes) <= REMEMBERED)
			continue;
		if (old || !n->call)
			map_del(ev->notes, it.key);
	}
	for (struct map_iter it = { 0 }; map_next(ev->budgets, &it);) {
		const struct budget *b = it.value;
		if (now - b->spent_since > (int64_t)BUDGET * REFILL_MS)
			map_del(ev->budgets, it.key);
	}
}

static bool
afford(struct events *ev, const char *object_key, int64_t now)
{
	struct budget *b = map_get(ev->budgets, object_key);

	if (!b) {
		b = xcalloc(1, sizeof *b);
		map_put(ev->budgets, object_key, b);
	}
	while (b->spent > 0 && now - b->spent_since >= REFILL_MS) {
		b->spent--;
		b->spent_since += REFILL_MS;
	}
	if (b->spent >= BUDGET)
		return false;
	if (b->spent++ == 0)
		b->spent_since = now;
	return true;
}

/* ---- sending ---- */

static void send_count(struct note *n);

static void
on_done(void *arg, const cJSON *body, const struct err *e)
{
	struct note *n = arg;
	struct events *ev = n->owner;

	(void)body;
	n->call = NULL;
	count_result(ev, e->code == ERR_NONE ? "sent" : "lost");
	if (e->code == ERR_NONE) {
		if (n->count > n->sent_count &&
			afford(ev, n->object_key, loop_now(api_loop(ev->api))))
			send_count(n);
		return;
	}
	log_write(ev->log, LOG_DEBUG, "event lost", "error", e->msg, NULL);
	/* There may be nothing to count on: the next one of its kind starts anew. */
	n->last_ms -= WINDOW_MS + 1;
}

static void
send_count(struct note *n)
{
	cJSON *patch = json_object();
	char at[40];

	clock_format(n->last_wall, 0, at, sizeof at);
	json_put_int(patch, "count", n->count);
	json_put_str(patch, "lastTimestamp", at);
	n->sent_count = n->count;
	n->call = api_merge(n->owner->api, KIND_EVENT, n->ns, n->name, NULL, patch, on_done, n);
	json_free(patch);
}

static cJSON *
involved(const cJSON *object)
{
	cJSON *r = json_object();

	json_put_str(r, "apiVersion", json_str(object, "apiVersion", NULL));
	json_put_str(r, "kind", json_str(object, "kind", NULL));
	json_put_str(r, "namespace", json_str(object, "metadata.namespace", NULL));
	json_put_str(r, "name", json_str(object, "metadata.name", NULL));
	json_put_str(r, "uid", json_str(object, "metadata.uid", NULL));
	json_put_str(r, "resourceVersion", json_str(object, "metadata.resourceVersion", NULL));
	return r;
}

static void
send_new(struct note *n, const cJSON *object, const char *type, const char *reason,
	const char *message)
{
	struct events *ev = n->owner;
	cJSON *event = json_object(), *meta = json_object(), *source = json_object();
	char at[40];

	clock_format(n->last_wall, 0, at, sizeof at);
	json_put_str(meta, "name", n->name);
	json_put_str(meta, "namespace", n->ns);
	json_put_str(source, "component", ev->component);
	json_put_str(event, "apiVersion", "v1");
	json_put_str(event, "kind", "Event");
	json_put(event, "metadata", meta);
	json_put(event, "involvedObject", involved(object));
	json_put_str(event, "type", type);
	json_put_str(event, "reason", reason);
	json_put_str(event, "message", message);
	json_put(event, "source", source);
	json_put_str(event, "firstTimestamp", at);
	json_put_str(event, "lastTimestamp", at);
	json_put_int(event, "count", 1);
	json_put_str(event, "reportingComponent", ev->component);
	json_put_str(event, "reportingInstance", ev->instance);
	n->count = n->sent_count = 1;
	n->call = api_create(ev->api, KIND_EVENT, n->ns, event, on_done, n);
	json_free(event);
}

static char *
event_name(struct events *ev, const char *object_name)
{
	return xasprintf("%.*s.%016" PRIx64, NAME_MAX_LEN - 17, object_name, rng_u64(&ev->rng));
}

/* Cut between characters, not inside one. */
static char *
short_message(const char *message)
{
	size_t n = strlen(message);

	if (n > MESSAGE_MAX) {
		n = MESSAGE_MAX;
		while (n > 0 && ((unsigned char)message[n] & 0xC0) == 0x80)
			n--;
	}
	return xstrndup(message, n);
}

static void
emit(struct events *ev, const char *object_key, const cJSON *object, const char *type,
	const char *reason, const char *message)
{
	struct loop *loop = api_loop(ev->api);
	int64_t now = loop_now(loop);
	char *key = xasprintf("%s\n%s\n%s\n%s", object_key, type, reason, message);
	struct note *n;

	forget_old(ev, now);
	n = map_get(ev->notes, key);
	if (n) {
		n->count++;
	} else if (afford(ev, object_key, now)) {
		n = xcalloc(1, sizeof *n);
		n->owner = ev;
		n->object_key = xstrdup(object_key);
		n->ns = xstrdup(json_str(object, "metadata.namespace", "default"));
		n->name = event_name(ev, json_str(object, "metadata.name", "unnamed"));
		map_put(ev->notes, key, n);
	} else {
		count_result(ev, "limited");
	}
	free(key);
	if (!n)
		return;
	n->last_ms = now;
	n->last_wall = loop_wall(loop);
	if (n->count == 0)
		send_new(n, object, type, reason, message);
	else if (!n->call && afford(ev, object_key, now))
		send_count(n);
}

void
events_emit(struct events *ev, const cJSON *object, const char *type, const char *reason,
	const char *message)
{
	char *object_key = xasprintf("%s/%s/%s/%s", json_str(object, "kind", ""),
		json_str(object, "metadata.namespace", ""), json_str(object, "metadata.name", ""),
		json_str(object, "metadata.uid", ""));
	char *text = short_message(message);

	emit(ev, object_key, object, type, reason, text);
	free(text);
	free(object_key);
}
