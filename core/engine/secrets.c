#include "engine/secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define AGAIN_MS 5000
#define ASKED_MS 120000 /* nobody waits for it any more */

struct entry {
	struct secrets *s;
	char *key, *ns, *name, *reason; /* reason NULL: it is being read, or known */
	cJSON *keys;                    /* NULL: not known, or absent */
	bool known;
	int64_t asked_at;
	struct api_call *call;
	struct timer *timer;
};

struct secrets {
	struct secrets_conf conf;
	struct map *entries;
};

static void
entry_free(void *value)
{
	struct entry *e = value;

	api_cancel(e->s->conf.api, e->call);
	loop_cancel(e->s->conf.loop, e->timer);
	json_free(e->keys);
	free(e->reason);
	free(e->key);
	free(e->ns);
	free(e->name);
	free(e);
}

struct secrets *
secrets_new(const struct secrets_conf *c)
{
	struct secrets *s = xcalloc(1, sizeof *s);

	s->conf = *c;
	s->entries = map_new(entry_free);
	return s;
}

void
secrets_free(struct secrets *s)
{
	if (s == NULL)
		return;
	map_free(s->entries);
	free(s);
}

static cJSON *
keys_of(const cJSON *secret)
{
	cJSON *out = json_array();
	const cJSON *m;

	cJSON_ArrayForEach(m, json_get(secret, "data"))
	{
		if (json_text(m) != NULL && *json_text(m) != '\0')
			json_add(out, cJSON_CreateString(m->string));
	}
	return out;
}

static void look(struct entry *e);

static void
on_timer(void *arg)
{
	struct entry *e = arg;
	struct secrets *s = e->s;

	e->timer = NULL;
	if (loop_now(s->conf.loop) - e->asked_at < ASKED_MS)
		look(e);
	else
		map_del(s->entries, e->key);
}

static void
on_read(void *arg, const cJSON *body, const struct err *why)
{
	struct entry *e = arg;
	bool known = why->code == ERR_NONE || why->code == ERR_NOT_FOUND;
	cJSON *keys = why->code == ERR_NONE ? keys_of(body) : NULL;
	bool same = e->known == known && (e->keys == NULL) == (keys == NULL) &&
		    (keys == NULL || json_equal(keys, e->keys)) &&
		    (known || (e->reason != NULL && strcmp(e->reason, why->msg) == 0));

	e->call = NULL;
	json_free(e->keys);
	free(e->reason);
	e->keys = keys;
	e->known = known;
	e->reason = known ? NULL : xstrdup(why->msg);
	e->timer = loop_after(e->s->conf.loop, AGAIN_MS, on_timer, e);
	if (!same)
		e->s->conf.on_change(e->s->conf.arg, e->ns, e->name);
}

static void
look(struct entry *e)
{
	e->call = api_get(e->s->conf.api, KIND_SECRET, e->ns, e->name, on_read, e);
}

cJSON *
secrets_ask(struct secrets *s, const char *ns, const char *name)
{
	char *key = xasprintf("%s/%s", ns, name);
	struct entry *e = map_get(s->entries, key);
	cJSON *out = json_object();

	if (e == NULL) {
		e = xcalloc(1, sizeof *e);
		e->s = s;
		e->key = xstrdup(key);
		e->ns = xstrdup(ns);
		e->name = xstrdup(name);
		map_put(s->entries, key, e);
		look(e);
	}
	free(key);
	e->asked_at = loop_now(s->conf.loop);
	json_put_bool(out, "known", e->known);
	json_put_str(out, "reason", e->reason);
	if (e->known) {
		json_put_bool(out, "there", e->keys != NULL);
		json_put(out, "keys", e->keys != NULL ? json_clone(e->keys) : json_array());
	}
	return out;
}
