#include "sim/actors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/embed.h"
#include "sim/actors_priv.h"
#include "vm/vmjson.h"

struct actors *
actors_of(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "sim.actors");
	struct actors *a = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return a;
}

static int
traceback(lua_State *L)
{
	const char *text = lua_tostring(L, 1);

	luaL_traceback(L, L, text ? text : "(an error that is no text)", 1);
	return 1;
}

int
actors_pcall(struct actors *a, int n, int results)
{
	lua_State *L = a->L;
	int base = lua_gettop(L) - n;

	lua_pushcfunction(L, traceback);
	lua_insert(L, base);
	int rc = lua_pcall(L, n, results, base);
	lua_remove(L, base);
	if (!rc)
		return 0;
	const char *text = lua_tostring(L, -1);
	if (!a->conf.on_error) {
		fprintf(stderr, "an actor failed: %s\n", text);
		abort();
	}
	a->conf.on_error(a->conf.arg, text);
	lua_pop(L, 1);
	return -1;
}

/* package.loaders[2]: our sources, by module name. */
static int
search(lua_State *L)
{
	struct actors *a = actors_of(L);
	const char *module = luaL_checkstring(L, 1), *text = NULL;
	size_t len = 0;
	char path[256];

	snprintf(path, sizeof(path), "lua/%s.lua", module);
	for (char *p = path + 4; p < path + 4 + strlen(module) && *p; p++)
		if (*p == '.')
			*p = '/';
	if (a->conf.source)
		text = a->conf.source(a->conf.arg, module, &len);
	if (!text) {
		const struct embed_file *f = embed_find(path);
		text = f ? f->text : NULL;
		len = f ? f->len : 0;
	}
	if (!text) {
		lua_pushfstring(L, "\n\tno file '%s'", path);
		return 1;
	}
	char name[260];
	snprintf(name, sizeof(name), "@%s", path);
	if (luaL_loadbuffer(L, text, len, name))
		return lua_error(L);
	return 1;
}

static int
open_all(lua_State *L)
{
	struct actors *a = lua_touserdata(L, 1);

	luaL_openlibs(L);
	lua_pushlightuserdata(L, a);
	lua_setfield(L, LUA_REGISTRYINDEX, "sim.actors");
	static const char *const gone[] = { "io", "os", "dofile", "loadfile" };
	for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++) {
		lua_pushnil(L);
		lua_setglobal(L, gone[i]);
	}
	lua_getglobal(L, "math"); /* decisions go through sim.choose */
	lua_pushnil(L);
	lua_setfield(L, -2, "random");
	lua_getglobal(L, "package");
	lua_pushnil(L);
	lua_setfield(L, -2, "loadlib");
	lua_getfield(L, -1, "loaders");
	lua_pushcfunction(L, search);
	lua_rawseti(L, -2, 2);
	for (int i = 3; i <= 4; i++) {
		lua_pushnil(L);
		lua_rawseti(L, -2, i);
	}
	actors_open_sim(L, a);
	return 0;
}

struct actors *
actors_new(const struct actors_conf *conf, struct err *e)
{
	struct actors *a = xcalloc(1, sizeof(*a));

	a->conf = *conf;
	a->L = luaL_newstate();
	must(a->L);
	if (lua_cpcall(a->L, open_all, a)) {
		err_set(e, ERR_INTERNAL, "actors: %s", lua_tostring(a->L, -1));
		actors_free(a);
		return NULL;
	}
	return a;
}

void
actors_free(struct actors *a)
{
	if (!a)
		return;
	while (a->waits)
		wait_free(a->waits);
	while (a->follows)
		follow_free(a->follows);
	while (a->hosts)
		host_free(a->hosts);
	lua_close(a->L);
	free(a);
}

void
actors_reseed(struct actors *a, struct rng rng)
{
	a->conf.rng = rng;
}

/* What a protected call is to do; it fills result or leaves an error text on the stack. */
struct job {
	const char *module, *function, *chunk;
	const cJSON *value;
	const struct actors_member *member;
	int members;
	cJSON *result;
};

static int
run(lua_State *L)
{
	struct job *job = lua_touserdata(L, 1);
	struct err e;
	int args = 0;

	lua_settop(L, 0);
	lua_pushcfunction(L, traceback);
	if (job->chunk) {
		if (luaL_loadbuffer(L, job->chunk, strlen(job->chunk), "=eval"))
			return lua_error(L);
	} else {
		lua_getglobal(L, "require");
		lua_pushfstring(L, "sim.%s", job->module);
		if (lua_pcall(L, 1, 1, 1))
			return lua_error(L);
		if (!lua_istable(L, -1))
			return luaL_error(L, "sim.%s does not return a table", job->module);
		lua_getfield(L, -1, job->function);
		if (!lua_isfunction(L, -1))
			return luaL_error(
				L, "sim.%s has no function %s", job->module, job->function);
		if (job->value) {
			vmjson_push(L, job->value);
			args = 1;
			for (int i = 0; i < job->members; i++) {
				const struct actors_member *m = &job->member[i];
				if (!m->object)
					continue;
				actors_push_shared(L, m->rv, m->object);
				lua_setfield(L, -2, m->name);
			}
		}
	}
	if (lua_pcall(L, args, 1, 1))
		return lua_error(L);
	if (!lua_isnil(L, -1)) {
		job->result = vmjson_take(L, lua_gettop(L), &e);
		if (!job->result && job->chunk)
			return luaL_error(L, "the result can not be JSON: %s", e.msg);
	}
	return 0;
}

static int
perform(struct actors *a, struct job *job, cJSON **out, struct err *e)
{
	if (out)
		*out = NULL;
	if (lua_cpcall(a->L, run, job)) {
		err_set(e, ERR_INTERNAL, "actor %s: %s", job->module ? job->module : "eval",
			lua_tostring(a->L, -1));
		lua_pop(a->L, 1);
		return -1;
	}
	if (out)
		*out = job->result;
	else
		json_free(job->result);
	return 0;
}

int
actors_start(struct actors *a, const char *name, const cJSON *conf, struct err *e)
{
	struct job job = { .module = name, .function = "start", .value = conf };

	return perform(a, &job, NULL, e);
}

int
actors_call(struct actors *a, const char *name, const char *function, const cJSON *value,
	cJSON **out, struct err *e)
{
	struct job job = { .module = name, .function = function, .value = value };

	return perform(a, &job, out, e);
}

int
actors_call_with(struct actors *a, const char *name, const char *function, const cJSON *value,
	const struct actors_member *members, int n, cJSON **out, struct err *e)
{
	struct job job = { .module = name,
		.function = function,
		.value = value,
		.member = members,
		.members = n };

	return perform(a, &job, out, e);
}

int
actors_eval(struct actors *a, const char *chunk, cJSON **out, struct err *e)
{
	struct job job = { .chunk = chunk };

	return perform(a, &job, out, e);
}
