/* actors_sim: the functions of the global `sim`. lua/types/sim.lua is their manual. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "sim/actors_priv.h"
#include "vm/vmjson.h"

/* sim.int("123") is {["$int"] = "123"} until it is printed. */
static void
restore_ints(cJSON *tree)
{
	cJSON *at;

	cJSON_ArrayForEach(at, tree)
	{
		cJSON *only = at->child;
		if (cJSON_IsObject(at) && only && !only->next && !strcmp(only->string, "$int")) {
			at->valuestring = only->valuestring;
			only->valuestring = NULL;
			cJSON_Delete(only);
			at->child = NULL;
			at->type = cJSON_Raw;
		} else {
			restore_ints(at);
		}
	}
}

cJSON *
actors_take(lua_State *L, int idx)
{
	struct err e;
	cJSON *tree = vmjson_take(L, idx, &e);

	if (!tree)
		luaL_error(L, "not JSON: %s", e.msg);
	restore_ints(tree);
	return tree;
}

char *
actors_body(lua_State *L, int idx)
{
	if (lua_isnoneornil(L, idx))
		return NULL;
	if (lua_type(L, idx) == LUA_TSTRING)
		return xstrdup(lua_tostring(L, idx));
	cJSON *tree = actors_take(L, idx);
	char *text = json_string(tree);
	json_free(tree);
	return text;
}

void
actors_push_text(lua_State *L, const char *text, size_t n)
{
	bool maybe = n && strchr("{[\"", *text);
	cJSON *tree = maybe ? json_parse(text, n, NULL) : NULL;

	if (tree)
		vmjson_push(L, tree);
	else
		lua_pushlstring(L, text, n);
	json_free(tree);
}

#define SHARED "sim.shared" /* in the registry: resourceVersion -> table */
#define SHARED_MAX 4000

void
actors_push_shared(lua_State *L, int64_t rv, const cJSON *object)
{
	struct actors *a = actors_of(L);

	luaL_checkstack(L, 4, "a value is too deep");
	if (a->shared % SHARED_MAX == 0) {
		lua_newtable(L); /* forget all: they come again when they are needed */
		lua_setfield(L, LUA_REGISTRYINDEX, SHARED);
		a->shared++;
	}
	lua_getfield(L, LUA_REGISTRYINDEX, SHARED);
	lua_pushnumber(L, (lua_Number)rv);
	lua_rawget(L, -2);
	if (lua_isnil(L, -1)) {
		a->shared++;
		lua_pop(L, 1);
		lua_pushnumber(L, (lua_Number)rv);
		vmjson_push(L, object);
		lua_pushvalue(L, -1);
		lua_insert(L, -3);
		lua_rawset(L, -4);
	}
	lua_remove(L, -2);
}

/* Looks go to the table on the top of the stack, in order. */
struct look {
	lua_State *L;
	int n;
};

static void
add_look(void *arg, int64_t rv, const cJSON *object)
{
	struct look *l = arg;

	actors_push_shared(l->L, rv, object);
	lua_rawseti(l->L, -2, ++l->n);
}

static int
look(lua_State *L, struct actors *a, const char *path)
{
	struct look l = { .L = L };
	bool collection;

	lua_newtable(L);
	if (apisim_look(a->conf.api, path, &collection, add_look, &l) != 200) {
		lua_pop(L, 1);
		return 0;
	}
	if (collection) {
		lua_newtable(L);
		lua_insert(L, -2);
		lua_setfield(L, -2, "items");
	} else {
		lua_rawgeti(L, -1, 1);
	}
	lua_pushinteger(L, 200);
	lua_insert(L, -2);
	return 2;
}

static void
wrote_head(void *arg, int status, const char *type, const char *warning)
{
	(void)type;
	(void)warning;
	*(int *)arg = status;
}

static int
write_request(lua_State *L, struct actors *a, const char *method, const char *path)
{
	int status = 0;
	struct apisim_req r = {
		.method = method,
		.path = path,
		.content_type = luaL_optstring(L, 4,
			strcmp(method, "PATCH") ? "application/json"
						: "application/merge-patch+json"),
		.user = "actors",
		.on_head = wrote_head,
		.arg = &status,
	};
	cJSON *tree = lua_istable(L, 3) ? actors_take(L, 3) : NULL;

	r.tree = tree;
	if (lua_type(L, 3) == LUA_TSTRING)
		r.body = lua_tolstring(L, 3, &r.body_len);
	apisim_request(a->conf.api, &r);
	json_free(tree);
	lua_pushinteger(L, status);
	return 1;
}

static int
sim_request(lua_State *L)
{
	struct actors *a = actors_of(L);
	const char *method = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2);
	const char *type = luaL_optstring(L, 4,
		strcmp(method, "PATCH") ? "application/json" : "application/merge-patch+json");
	bool get = !strcmp(method, "GET"), plain = !strchr(path, '?');
	if (plain && !get)
		return write_request(L, a, method, path);
	if (plain && look(L, a, path) > 0)
		return 2;
	char *body = actors_body(L, 3), *answer;
	int status = apisim_do(a->conf.api, method, path, body, type, "actors", &answer);

	free(body);
	lua_pushinteger(L, status);
	actors_push_text(L, answer, strlen(answer));
	free(answer);
	return 2;
}

/* The closures returned by watch, after and serve find their thing by id, or find nothing. */
static int
stop_watch(lua_State *L)
{
	struct actors *a = actors_of(L);
	uint64_t id = (uint64_t)lua_tonumber(L, lua_upvalueindex(1));

	for (struct follow *f = a->follows; f; f = f->next)
		if (f->id == id) {
			follow_free(f);
			break;
		}
	return 0;
}

static int
push_stop(lua_State *L, uint64_t id, lua_CFunction fn)
{
	lua_pushnumber(L, (lua_Number)id);
	lua_pushcclosure(L, fn, 1);
	return 1;
}

static int
take_fn(lua_State *L, int idx)
{
	luaL_checktype(L, idx, LUA_TFUNCTION);
	lua_pushvalue(L, idx);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

static int
sim_watch(lua_State *L)
{
	struct actors *a = actors_of(L);
	const char *path = luaL_checkstring(L, 1), *query = strchr(path, '?');
	int fn = take_fn(L, 2);
	struct follow *f = xcalloc(1, sizeof(*f));

	f->a = a;
	f->fn = fn;
	f->id = ++a->ids;
	f->path = query ? xstrndup(path, (size_t)(query - path)) : xstrdup(path);
	f->query = xstrdup(query ? query + 1 : "");
	struct follow **at = &a->follows;
	while (*at)
		at = &(*at)->next;
	*at = f;
	follow_start(f);
	return push_stop(L, f->id, stop_watch);
}

void
wait_free(struct wait *w)
{
	struct wait **at = &w->a->waits;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	luaL_unref(w->a->L, LUA_REGISTRYINDEX, w->fn);
	loop_cancel(w->a->conf.loop, w->timer);
	free(w);
}

static void
wait_over(void *arg)
{
	struct wait *w = arg;
	struct actors *a = w->a;

	w->timer = NULL;
	lua_rawgeti(a->L, LUA_REGISTRYINDEX, w->fn);
	wait_free(w);
	actors_pcall(a, 0, 0);
}

static int
stop_wait(lua_State *L)
{
	struct actors *a = actors_of(L);
	uint64_t id = (uint64_t)lua_tonumber(L, lua_upvalueindex(1));

	for (struct wait *w = a->waits; w; w = w->next)
		if (w->id == id) {
			wait_free(w);
			break;
		}
	return 0;
}

static int
sim_after(lua_State *L)
{
	struct actors *a = actors_of(L);
	int64_t ms = (int64_t)luaL_checknumber(L, 1);
	int fn = take_fn(L, 2);
	struct wait *w = xcalloc(1, sizeof(*w));

	w->a = a;
	w->fn = fn;
	w->id = ++a->ids;
	w->next = a->waits;
	a->waits = w;
	w->timer = loop_after(a->conf.loop, ms, wait_over, w);
	return push_stop(L, w->id, stop_wait);
}

static int
sim_now_ms(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)loop_now(actors_of(L)->conf.loop));
	return 1;
}

static int
sim_wall(lua_State *L)
{
	int64_t ms = loop_wall(actors_of(L)->conf.loop);
	char text[40];

	clock_format(ms, 0, text, sizeof(text));
	lua_pushstring(L, text);
	lua_pushnumber(L, (lua_Number)ms);
	return 2;
}

static int
sim_format_time(lua_State *L)
{
	char text[40];

	clock_format((int64_t)luaL_checknumber(L, 1), 0, text, sizeof(text));
	lua_pushstring(L, text);
	return 1;
}

static int
sim_parse_time(lua_State *L)
{
	int64_t ms;

	if (clock_parse(luaL_checkstring(L, 1), &ms))
		return 0;
	lua_pushnumber(L, (lua_Number)ms);
	return 1;
}

static int
sim_choose(lua_State *L)
{
	struct actors *a = actors_of(L);
	int n = (int)luaL_checkinteger(L, 1);
	const char *site = luaL_checkstring(L, 2);

	if (n < 1)
		return luaL_error(L, "sim.choose(%d, %s): nothing to choose from", n, site);
	int got = n == 1           ? 1
		  : a->conf.choose ? a->conf.choose(a->conf.arg, n, site)
				   : (int)rng_below(&a->conf.rng, (uint64_t)n) + 1;
	lua_pushinteger(L, got);
	return 1;
}

static int
sim_uuid(lua_State *L)
{
	char text[37];

	rng_uuid(&actors_of(L)->conf.rng, text);
	lua_pushstring(L, text);
	return 1;
}

static int
hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 32;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static void
push_unescaped(lua_State *L, const char *s, size_t n)
{
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '%' && i + 2 < n && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
			luaL_addchar(&b, (char)(hex(s[i + 1]) * 16 + hex(s[i + 2])));
			i += 2;
		} else {
			luaL_addchar(&b, s[i] == '+' ? ' ' : s[i]);
		}
	}
	luaL_pushresult(&b);
}

static void
push_query(lua_State *L, const char *query)
{
	lua_newtable(L);
	while (*query) {
		size_t n = strcspn(query, "&");
		const char *eq = memchr(query, '=', n);
		size_t key = eq ? (size_t)(eq - query) : n;
		if (n) {
			push_unescaped(L, query, key);
			if (eq)
				push_unescaped(L, eq + 1, n - key - 1);
			else
				lua_pushliteral(L, "");
			lua_rawset(L, -3);
		}
		query += n + (query[n] == '&');
	}
}

static void
push_request(lua_State *L, const struct net_in *in)
{
	const char *const texts[][2] = { { "who", in->who }, { "method", in->method },
		{ "host", in->host }, { "path", in->path }, { "content_type", in->content_type } };

	lua_newtable(L);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		lua_pushstring(L, texts[i][1] ? texts[i][1] : "");
		lua_setfield(L, -2, texts[i][0]);
	}
	push_query(L, in->query);
	lua_setfield(L, -2, "query");
	lua_pushstring(L, in->query ? in->query : "");
	lua_setfield(L, -2, "raw_query");
	if (in->body_len) {
		actors_push_text(L, in->body, in->body_len);
		lua_setfield(L, -2, "body");
	}
}

static void
handle(void *arg, const struct net_in *in, struct net_out *out)
{
	struct host *h = arg;
	struct actors *a = h->a;
	lua_State *L = a->L;
	int top = lua_gettop(L);

	lua_rawgeti(L, LUA_REGISTRYINDEX, h->fn);
	push_request(L, in);
	if (actors_pcall(a, 1, 4)) {
		out->status = 500;
		out->content_type = "text/plain";
		lua_settop(L, top);
		return;
	}
	out->status = (int)lua_tointeger(L, top + 1);
	free(h->type);
	h->type = xstrdup(lua_isstring(L, top + 2) ? lua_tostring(L, top + 2) : "application/json");
	out->content_type = h->type;
	char *body = actors_body(L, top + 3);
	if (body)
		buf_puts(&out->body, body);
	free(body);
	out->delay_ms = (int64_t)lua_tonumber(L, top + 4);
	lua_settop(L, top);
}

void
host_free(struct host *h)
{
	struct host **at = &h->a->hosts;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	net_unserve(h->a->conf.net, handle, h);
	luaL_unref(h->a->L, LUA_REGISTRYINDEX, h->fn);
	free(h->type);
	free(h);
}

static int
stop_host(lua_State *L)
{
	struct actors *a = actors_of(L);
	uint64_t id = (uint64_t)lua_tonumber(L, lua_upvalueindex(1));

	for (struct host *h = a->hosts; h; h = h->next)
		if (h->id == id) {
			host_free(h);
			break;
		}
	return 0;
}

static int
sim_serve(lua_State *L)
{
	struct actors *a = actors_of(L);
	const char *pattern = luaL_checkstring(L, 1);
	int fn = take_fn(L, 2);

	if (!a->conf.net)
		return luaL_error(L, "sim.serve: there is no network");
	struct host *h = xcalloc(1, sizeof(*h));
	h->a = a;
	h->fn = fn;
	h->id = ++a->ids;
	h->next = a->hosts;
	a->hosts = h;
	net_serve(a->conf.net, pattern, handle, h);
	return push_stop(L, h->id, stop_host);
}

static int
sim_ask(lua_State *L)
{
	struct actors *a = actors_of(L);
	const char *method = luaL_checkstring(L, 1), *url = luaL_checkstring(L, 2);
	const char *host = strstr(url, "://");
	char *body = actors_body(L, 3);
	struct net_out out = { 0 };

	host = host ? host + 3 : url;
	size_t n = strcspn(host, "/?");
	const char *path = host + n, *query = strchr(path, '?');
	struct net_in in = { .who = "actors",
		.method = method,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.content_type = "application/json",
		.query = query ? query + 1 : "" };
	lua_pushlstring(L, host, n);
	in.host = lua_tostring(L, -1);
	lua_pushlstring(L, path, query ? (size_t)(query - path) : strlen(path));
	in.path = lua_tostring(L, -1);
	buf_init(&out.body, 0);
	bool served = a->conf.net && net_ask(a->conf.net, &in, &out);
	free(body);
	lua_pushinteger(L, served ? out.status : 0);
	if (out.body.len)
		actors_push_text(L, out.body.at, out.body.len);
	else
		lua_pushnil(L);
	buf_fini(&out.body);
	return 2;
}

static int
sim_log(lua_State *L)
{
	struct actors *a = actors_of(L);
	int n = lua_gettop(L);

	if (!a->conf.log)
		return 0;
	luaL_Buffer b;
	lua_getglobal(L, "tostring");
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		if (lua_istable(L, i)) {
			char *text = actors_body(L, i);
			lua_pushstring(L, text);
			free(text);
		} else {
			lua_pushvalue(L, n + 1);
			lua_pushvalue(L, i);
			lua_call(L, 1, 1);
		}
		luaL_addvalue(&b);
		if (i < n)
			luaL_addchar(&b, ' ');
	}
	luaL_pushresult(&b);
	a->conf.log(a->conf.arg, lua_tostring(L, -1));
	return 0;
}

static int
sim_array(lua_State *L)
{
	lua_settop(L, 1);
	if (lua_isnil(L, 1)) {
		lua_newtable(L);
		lua_replace(L, 1);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	vmjson_mark(L);
	lua_setmetatable(L, 1);
	return 1;
}

static int
sim_int(lua_State *L)
{
	const char *digits = luaL_checkstring(L, 1);

	if (!*digits || strspn(digits, "-0123456789") != strlen(digits))
		return luaL_error(L, "sim.int(%s): not an integer", digits);
	lua_newtable(L);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "$int");
	return 1;
}

static int
sim_encode(lua_State *L)
{
	luaL_checkany(L, 1);
	cJSON *tree = actors_take(L, 1);
	char *text = json_string(tree);

	json_free(tree);
	lua_pushstring(L, text);
	free(text);
	return 1;
}

static int
sim_decode(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);
	cJSON *tree = json_parse(text, n, NULL);

	if (!tree)
		return 0;
	vmjson_push(L, tree);
	json_free(tree);
	return 1;
}

static int
sim_copy(lua_State *L)
{
	struct err e;

	luaL_checkany(L, 1);
	if (!lua_istable(L, 1)) {
		lua_settop(L, 1);
		return 1;
	}
	cJSON *tree = vmjson_take(L, 1, &e);
	if (!tree)
		return luaL_error(L, "sim.copy: %s", e.msg);
	vmjson_push(L, tree);
	json_free(tree);
	return 1;
}

static const luaL_Reg functions[] = { { "request", sim_request }, { "watch", sim_watch },
	{ "after", sim_after }, { "now_ms", sim_now_ms }, { "wall", sim_wall },
	{ "format_time", sim_format_time }, { "parse_time", sim_parse_time },
	{ "choose", sim_choose }, { "uuid", sim_uuid }, { "serve", sim_serve }, { "ask", sim_ask },
	{ "log", sim_log }, { "array", sim_array }, { "int", sim_int }, { "encode", sim_encode },
	{ "decode", sim_decode }, { "copy", sim_copy }, { NULL, NULL } };

static const char prelude[] = "function sim.pairs(t)\n"
			      "  local keys, i = {}, 0\n"
			      "  for k in pairs(t) do keys[#keys + 1] = k end\n"
			      "  table.sort(keys, function(a, b)\n"
			      "    if type(a) == type(b) then return a < b end\n"
			      "    return type(a) < type(b)\n"
			      "  end)\n"
			      "  return function()\n"
			      "    i = i + 1\n"
			      "    local k = keys[i]\n"
			      "    if k ~= nil then return k, t[k] end\n"
			      "  end\n"
			      "end\n";

void
actors_open_sim(lua_State *L, struct actors *a)
{
	(void)a;
	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	lua_setglobal(L, "sim");
	if (luaL_loadbuffer(L, prelude, sizeof(prelude) - 1, "=sim"))
		lua_error(L);
	lua_call(L, 0, 0);
}
