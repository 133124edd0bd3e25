#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "sim/actors_priv.h"

enum { RETRY_MS = 1000 }; /* a kind that is not installed yet is asked for again */

static void
again(void *arg)
{
	struct follow *f = arg;

	f->again = NULL;
	follow_start(f);
}

static void
unseen(void *value)
{
	struct shown *s = value;

	luaL_unref(s->a->L, LUA_REGISTRYINDEX, s->ref);
	free(s);
}

/* The table is on the stack and is taken. */
static void
tell(struct follow *f, const char *event)
{
	lua_State *L = f->a->L;

	lua_rawgeti(L, LUA_REGISTRYINDEX, f->fn);
	lua_insert(L, -2);
	lua_pushstring(L, event);
	lua_insert(L, -2);
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
		const struct shown *s = it.value;
		if (map_has(f->known, it.key))
			continue;
		lua_rawgeti(a->L, LUA_REGISTRYINDEX, s->ref);
		tell(f, "DELETED");
		if (!alive(a, id))
			break;
	}
	map_free(old);
}

static void
on_event(void *arg, const char *type, int64_t rv, const cJSON *object)
{
	struct follow *f = arg;
	lua_State *L = f->a->L;

	if (!object) {
		if (f->seen && !strcmp(type, "SYNCED"))
			initial_end(f);
		return;
	}
	const char *uid = json_str(object, "metadata.uid", "");
	actors_push_shared(L, rv, object);
	if (!strcmp(type, "DELETED")) {
		map_del(f->known, uid);
		tell(f, type);
		return;
	}
	struct shown *now = xcalloc(1, sizeof(*now));
	const struct shown *before = f->known ? map_get(f->known, uid) : NULL;
	bool again = f->seen && before && before->rv == rv;
	if (f->seen)
		type = before ? "MODIFIED" : "ADDED";
	lua_pushvalue(L, -1);
	*now = (struct shown){ .a = f->a, .rv = rv, .ref = luaL_ref(L, LUA_REGISTRYINDEX) };
	map_put(f->seen ? f->seen : f->known, uid, now);
	if (again)
		lua_pop(L, 1);
	else
		tell(f, type);
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
		.on_event = on_event,
		.on_end = on_end,
		.arg = f };

	map_free(f->seen);
	f->seen = map_new(unseen);
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
	map_free(f->known);
	map_free(f->seen);
	luaL_unref(f->a->L, LUA_REGISTRYINDEX, f->fn);
	apisim_cancel(f->a->conf.api, f->stream);
	loop_cancel(f->a->conf.loop, f->again);
	free(f->path);
	free(f->query);
	free(f);
}
