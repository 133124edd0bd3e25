#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/operator_priv.h"

#define STATE "tikv.org/policy-state"
#define NAME "tikv.org/policy-name"
#define REASON "tikv.org/policy-reason"
#define AGAIN_MS 1000
#define AGAIN_MAX_MS 300000

/* What the reload pipeline says of a ConfigMap, shown on it as annotations and an Event. */
struct source_state {
	struct obj *object;
	char *state, *name, *reason;
	struct api_call *call;
	struct timer *timer;
	int64_t again_ms;
	struct tikv_operator *o;
	bool written, told;
};

static void
state_free(void *value)
{
	struct source_state *s = value;

	api_cancel(s->o->api, s->call);
	loop_cancel(s->o->conf.loop, s->timer);
	obj_unref(s->object);
	free(s->state);
	free(s->name);
	free(s->reason);
	free(s);
}

void
sources_new(struct tikv_operator *o)
{
	o->states = map_new(state_free);
}

void
sources_free(struct tikv_operator *o)
{
	map_free(o->states);
}

static void publish(struct source_state *s);

static void
on_again(void *arg)
{
	struct source_state *s = arg;

	s->timer = NULL;
	publish(s);
}

static void
on_written(void *arg, const cJSON *body, const struct err *e)
{
	struct source_state *s = arg;

	(void)body;
	s->call = NULL;
	/* Gone, or another one of that name: its own event says what is next. */
	s->written = e->code == ERR_NONE || e->code == ERR_NOT_FOUND || e->code == ERR_CONFLICT;
	if (s->written || e->code == ERR_CANCELLED)
		return;
	log_write(s->o->conf.log, LOG_WARN, "the state of a source was not written", "configmap",
		s->object->key, "why", e->msg, NULL);
	s->again_ms = s->again_ms == 0 ? AGAIN_MS : s->again_ms * 2;
	if (s->again_ms > AGAIN_MAX_MS)
		s->again_ms = AGAIN_MAX_MS;
	s->timer = loop_after(s->o->conf.loop, s->again_ms, on_again, s);
}

static bool
shown(const struct source_state *s, const cJSON *tree)
{
	const cJSON *a = json_path(tree, "metadata.annotations");
	const char *state = json_text(json_get(a, STATE)), *name = json_text(json_get(a, NAME));
	const char *reason = json_text(json_get(a, REASON));

	return strcmp(state ? state : "", s->state) == 0 &&
	       strcmp(name ? name : "", s->name) == 0 &&
	       strcmp(reason ? reason : "", s->reason) == 0;
}

/* An empty text takes the annotation away. */
static void
put_text(cJSON *annotations, const char *key, const char *text)
{
	json_put(annotations, key, *text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void
tell(struct source_state *s, const cJSON *tree)
{
	const char *what = json_get(json_path(tree, "metadata.labels"), "tikv.org/scripts")
				   ? "Script"
				   : "Policy";
	bool active = strcmp(s->state, "active") == 0;
	char reason[32], message[640];

	if (s->told)
		return;
	s->told = true;
	snprintf(reason, sizeof(reason), "%s%s", what,
		active                              ? "Active"
		: strcmp(s->state, "rejected") == 0 ? "Rejected"
						    : "Held");
	snprintf(message, sizeof(message), "%s%s%s%.12s%s", s->reason, *s->reason ? "; " : "",
		*s->name ? "" : "nothing of it runs", s->name, *s->name ? " runs" : "");
	events_emit(s->o->events, tree, active ? "Normal" : "Warning", reason, message);
}

static void
publish(struct source_state *s)
{
	const cJSON *tree;
	cJSON *patch, *meta, *annotations;

	if (s->written || s->call || s->timer || !operator_may_write(s->o))
		return;
	tree = obj_tree(s->object);
	if (shown(s, tree)) {
		s->written = s->told = true;
		json_free(tree);
		return;
	}
	patch = json_object();
	meta = json_put(patch, "metadata", json_object());
	json_put_str(meta, "uid", s->object->uid);
	annotations = json_put(meta, "annotations", json_object());
	put_text(annotations, STATE, s->state);
	put_text(annotations, NAME, s->name);
	put_text(annotations, REASON, s->reason);
	s->call = api_merge(s->o->api, KIND_CONFIGMAP, s->object->ns, s->object->name, NULL, patch,
		on_written, s);
	tell(s, tree);
	json_free(patch);
	json_free(tree);
}

void
sources_state(void *arg, const struct obj *configmap, const char *state, const char *name,
	const char *reason)
{
	struct tikv_operator *o = arg;
	struct source_state *s = xcalloc(1, sizeof(*s));

	s->o = o;
	s->object = obj_ref(configmap);
	s->state = xstrdup(state);
	s->name = xstrdup(name ? name : "");
	s->reason = xstrdup(reason ? reason : "");
	map_put(o->states, configmap->key, s);
	publish(s);
}

/* Somebody may have taken the annotations away (`kubectl replace`), or made it anew. */
void
sources_event(struct tikv_operator *o, const struct obj *old, const struct obj *now)
{
	const char *key = now ? now->key : old->key;
	struct source_state *s = map_get(o->states, key);
	const cJSON *tree;

	if (!s)
		return;
	if (!now) {
		map_del(o->states, key);
		return;
	}
	if (strcmp(now->uid, s->object->uid) != 0)
		s->told = false;
	obj_unref(s->object);
	s->object = obj_ref(now);
	tree = obj_tree(now);
	if (!shown(s, tree))
		s->written = false;
	json_free(tree);
	publish(s);
}

void
sources_publish(struct tikv_operator *o)
{
	for (struct map_iter it = { 0 }; map_next(o->states, &it);)
		publish(it.value);
}
