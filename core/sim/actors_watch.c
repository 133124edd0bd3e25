#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "sim/actors_priv.h"
#include "vm/vmjson.h"

enum { RETRY_MS = 1000 }; /* a kind that is not installed yet is asked for again */

static void
again(void *arg)
{
	struct follow *f = arg;

	f->again = NULL;
	follow_start(f);
}

static void
tell(struct follow *f, const char *event, const cJSON *object)
{
	lua_State *L = f->a->L;

	lua_rawgeti(L, LUA_REGISTRYINDEX, f->fn);
	lua_pushstring(L, event);
	vmjson_push(L, object);
	actors_pcall(f->a, 2, 0);
}

static bool
alive(struct actors *a, uint64_t id)
{
	for (struct follow *f = a->follows; f; f = f->next)
		if (f->id == id)
			return true;
	return false;
}

/* What was known and is not there any more went away unseen. */
static void
initial_end(struct follow *f)
{
	struct map *old = f->known;
	uint64_t id = f->id;
	struct actors *a = f->a;

	f->known = f->seen;
	f->seen = NULL;
	for (struct map_iter it = { 0 }; old && map_next(old, &it);) {
		if (map_has(f->known, it.key))
			continue;
		cJSON *object = json_parse(it.value, strlen(it.value), NULL);
		tell(f, "DELETED", object);
		json_free(object);
		if (!alive(a, id))
			break;
	}
	map_free(old);
}

static void
one_object(struct follow *f, const char *type, const cJSON *object)
{
	const char *uid = json_str(object, "metadata.uid", "");
	const char *event = type;

	if (f->seen) {
		const char *before = f->known ? map_get(f->known, uid) : NULL;
		char *text = json_string(object);
		bool same = before && !strcmp(before, text);
		map_put(f->seen, uid, text);
		if (same)
			return;
		event = before ? "MODIFIED" : "ADDED";
	} else if (!strcmp(type, "DELETED")) {
		map_del(f->known, uid);
	} else {
		map_put(f->known, uid, json_string(object));
	}
	tell(f, event, object);
}

static void
on_chunk(void *arg, const char *bytes, size_t n)
{
	struct follow *f = arg;
	cJSON *event = json_parse(bytes, n, NULL); /* a chunk of apisim is one line */
	const cJSON *object = json_get(event, "object");
	const char *type = json_str(event, "type", "");

	if (!event || !strcmp(type, "ERROR")) {
		; /* the end follows */
	} else if (strcmp(type, "BOOKMARK") != 0) {
		one_object(f, type, object);
	} else if (f->seen &&
		   json_path(object, "metadata.annotations.k8s\\.io/initial-events-end")) {
		initial_end(f);
	}
	json_free(event);
}

static void
on_end(void *arg)
{
	struct follow *f = arg;

	f->stream = NULL;
	map_free(f->seen);
	f->seen = NULL;
	if (!f->again)
		f->again = loop_after(f->a->conf.loop, 0, again, f);
}

static void
on_head(void *arg, int status, const char *type, const char *warning)
{
	struct follow *f = arg;

	(void)type;
	(void)warning;
	if (status != 200)
		f->again = loop_after(f->a->conf.loop, RETRY_MS, again, f);
}

void
follow_start(struct follow *f)
{
	char *query =
		xasprintf("%s%swatch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
			  "&allowWatchBookmarks=true",
			f->query, *f->query ? "&" : "");
	struct apisim_req r = { .method = "GET",
		.path = f->path,
		.query = query,
		.user = "actors",
		.user_agent = "actors",
		.on_head = on_head,
		.on_chunk = on_chunk,
		.on_end = on_end,
		.arg = f };

	map_free(f->seen);
	f->seen = map_new(free);
	struct apisim_call *stream = apisim_request(f->a->conf.api, &r);
	f->stream = stream;
	free(query);
}

void
follow_free(struct follow *f)
{
	struct follow **at = &f->a->follows;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	luaL_unref(f->a->L, LUA_REGISTRYINDEX, f->fn);
	apisim_cancel(f->a->conf.api, f->stream);
	loop_cancel(f->a->conf.loop, f->again);
	map_free(f->known);
	map_free(f->seen);
	free(f->path);
	free(f->query);
	free(f);
}
