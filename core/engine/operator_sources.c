#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/operator_priv.h"

/* What the reload pipeline says of a ConfigMap, shown on it as annotations and an Event. */
struct source_state {
	struct obj *object;
	char *state, *name, *reason;
	struct api_call *call;
	struct tikv_operator *o;
	bool written;
};

static void
state_free(void *value)
{
	struct source_state *s = value;

	api_cancel(s->o->api, s->call);
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

static void
on_written(void *arg, const cJSON *body, const struct err *e)
{
	struct source_state *s = arg;

	(void)body;
	s->call = NULL;
	s->written = e->code == ERR_NONE || e->code == ERR_NOT_FOUND;
	if (e->code != ERR_NONE)
		log_write(s->o->conf.log, LOG_WARN, "the state of a source was not written",
			"configmap", s->object->key, "why", e->msg, NULL);
}

static bool
shown(const struct source_state *s, const cJSON *annotations)
{
	const char *state = json_text(json_get(annotations, "tikv.org/state"));
	const char *name = json_text(json_get(annotations, "tikv.org/generation"));
	const char *reason = json_text(json_get(annotations, "tikv.org/reason"));

	return state && name && strcmp(state, s->state) == 0 && strcmp(name, s->name) == 0 &&
	       strcmp(reason ? reason : "", s->reason) == 0;
}

static void
publish(struct source_state *s)
{
	bool bad = strcmp(s->state, "rejected") == 0;
	cJSON *tree, *patch, *meta, *annotations;

	if (s->written || s->call || !operator_may_write(s->o))
		return;
	tree = obj_tree(s->object);
	if (shown(s, json_path(tree, "metadata.annotations"))) {
		s->written = true;
		json_free(tree);
		return;
	}
	patch = json_object();
	meta = json_put(patch, "metadata", json_object());
	json_put_str(meta, "uid", s->object->uid);
	annotations = json_put(meta, "annotations", json_object());
	json_put_str(annotations, "tikv.org/state", s->state);
	json_put_str(annotations, "tikv.org/generation", s->name);
	json_put_str(annotations, "tikv.org/reason", s->reason);
	s->call = api_merge(s->o->api, KIND_CONFIGMAP, s->object->ns, s->object->name, NULL, patch,
		on_written, s);
	events_emit(s->o->events, tree, bad ? "Warning" : "Normal",
		bad ? "ScriptRejected" : "ScriptState", *s->reason ? s->reason : s->state);
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

void
sources_publish(struct tikv_operator *o)
{
	for (struct map_iter it = { 0 }; map_next(o->states, &it);)
		publish(it.value);
}
