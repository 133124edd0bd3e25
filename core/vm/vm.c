#include "vm/vm.h"

#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>

#include "base/mem.h"
#include "vm/vmcage.h"
#include "vm/vmjson.h"

#define MEMORY_MAX (64u << 20)
#define BUDGET 50000000
#define SWEEP_BYTES (3u << 20) /* of garbage at most, that the last call may leave */
#define TICK 1000              /* instructions between two looks at the budget */
#define BIG 4096               /* an allocation from here on is paid for */
#define BIG_PRICE 128          /* bytes of big allocations that one instruction of budget buys */
#define ARGS_MAX 16            /* a new coroutine has room for these without growing */
#define STACK_MAX (1 << 20)    /* of the process, for one call */
#define WHERE_MAX 2048
#define LINES_MAX 1000 /* that one call may log */
#define ASK_PRICE 1000 /* instructions */
#define FRAMES_MAX 12  /* of a traceback */

struct vm {
	lua_State *L;
	lua_Alloc alloc;
	void *alloc_ud;
	size_t used, limit;
	size_t swept; /* used after the last forced collection */
	int64_t budget, left, big_left;
	bool running, over, spoilt;
	int lines;     /* logged by this call */
	char *stack;   /* of the process, where this call began */
	lua_State *co; /* kept in the registry for the next call, NULL when there is none */
	struct log *log;
	char *tag;
	vm_ask_fn *ask;
	void *ask_arg;
	cJSON *held;
	struct buf text;
	struct buf where; /* the frames when the call was ended, innermost first */
};

static void vm_tick(lua_State *L, lua_Debug *ar);

static void
kill_soon(struct vm *v)
{
	v->over = true;
	lua_sethook(v->L, vm_tick, LUA_MASKCOUNT, 1);
}

static void *
vm_alloc(void *ud, void *p, size_t was, size_t want)
{
	struct vm *v = ud;

	if (want > was && v->used + (want - was) > v->limit)
		return NULL;
	if (v->running && want > was && want >= BIG) {
		v->big_left -= (int64_t)want;
		if (v->big_left < 0 && !v->over)
			kill_soon(v);
	}
	void *r = v->alloc(v->alloc_ud, p, was, want);
	if (r != NULL || want == 0)
		v->used += want - was;
	return r;
}

struct vm *
vm_of(lua_State *L)
{
	void *ud = NULL;

	return lua_getallocf(L, &ud) == vm_alloc ? ud : NULL;
}

/* luaL_traceback prints addresses of C functions, which differ from run to run. The frames are read
 * when it happens: a coroutine that has ended does not know its innermost line any more. */
static void
note_frames(struct vm *v, lua_State *L)
{
	lua_Debug ar;
	int shown = 0;

	buf_reset(&v->where);
	for (int level = 0; shown < FRAMES_MAX && lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sln", &ar);
		if (ar.currentline <= 0)
			continue;
		buf_printf(&v->where, "\n  at %s:%d", ar.short_src, ar.currentline);
		if (ar.name != NULL)
			buf_printf(&v->where, " (%s)", ar.name);
		shown++;
	}
}

/* LuaJIT does not collect when an allocation fails; garbage alone must not end a call. */
static void
sweep_when_full(struct vm *v, lua_State *L)
{
	if (v->used < v->limit / 4 * 3 || v->used < v->swept + v->limit / 8)
		return;
	lua_gc(L, LUA_GCCOLLECT, 0);
	v->swept = v->used;
}

static void
vm_tick(lua_State *L, lua_Debug *ar)
{
	struct vm *v = vm_of(L);

	(void)ar;
	if (v == NULL || !v->running)
		return;
	if (!v->over) {
		v->left -= TICK;
		sweep_when_full(v, L);
		if (v->left > 0)
			return;
	}
	if (v->where.len == 0)
		note_frames(v, L);
	/* Below sort or gsub the yield itself is an error, which the script may catch: try again at
	 * every instruction until there is no C frame in the way. */
	kill_soon(v);
	lua_yield(L, 0);
}

bool
vm_spend(lua_State *L, int64_t steps)
{
	struct vm *v = vm_of(L);

	if (v == NULL || !v->running)
		return true;
	v->left -= steps;
	if (v->left > 0)
		return true;
	if (v->where.len == 0)
		note_frames(v, L);
	kill_soon(v);
	return false;
}

void
vm_charge(lua_State *L, int64_t steps)
{
	if (!vm_spend(L, steps))
		luaL_error(L, "too many instructions");
}

/* LuaJIT bounds its own stack only: gsub inside gsub would end the process. An address needs no
 * counting down when an error unwinds. */
void
vm_deeper(lua_State *L)
{
	struct vm *v = vm_of(L);

	if (v != NULL && v->running &&
		v->stack - (char *)__builtin_frame_address(0) > (ptrdiff_t)STACK_MAX)
		luaL_error(L, "stack overflow (calls through C)");
}

void
vm_note(struct vm *v, enum log_level level, const char *text)
{
	if (v == NULL || v->log == NULL || v->lines > LINES_MAX)
		return;
	if (v->lines++ == LINES_MAX)
		text = "this call wrote too many lines: the rest is dropped";
	log_write(v->log, level, text, "generation", v->tag, NULL);
}

void
vm_hold(struct vm *v, cJSON *own_tree)
{
	json_free(v->held);
	v->held = own_tree;
}

struct buf *
vm_text(struct vm *v)
{
	buf_reset(&v->text);
	return &v->text;
}

static int
open_cage(lua_State *L)
{
	struct vm *v = lua_touserdata(L, 1);

	luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	lua_newtable(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "vm.chunks");
	lua_newtable(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "vm.loaded");
	vmcage_open(L, v);
	return 0;
}

struct vm *
vm_new(const struct vm_conf *c, struct err *e)
{
	lua_State *L = luaL_newstate();

	if (L == NULL) {
		err_set(e, ERR_INTERNAL, "script state: no memory");
		return NULL;
	}
	struct vm *v = xcalloc(1, sizeof *v);
	v->L = L;
	v->limit = c->memory_max ? c->memory_max : MEMORY_MAX;
	v->budget = c->budget ? c->budget : BUDGET;
	v->left = v->budget;
	v->log = c->log;
	v->tag = xstrdup(c->tag ? c->tag : "");
	buf_init(&v->text, 0);
	buf_init(&v->where, WHERE_MAX);
	v->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
	v->alloc = lua_getallocf(L, &v->alloc_ud);
	lua_setallocf(L, vm_alloc, v);
	if (lua_cpcall(L, open_cage, v) != 0) {
		err_set(e, ERR_TOO_LARGE, "script state: %zu bytes do not hold the libraries",
			v->limit);
		vm_free(v);
		return NULL;
	}
	return v;
}

void
vm_free(struct vm *v)
{
	if (v == NULL)
		return;
	/* lua_close gives its arena back only when it finds its own allocator in place. */
	lua_setallocf(v->L, v->alloc, v->alloc_ud);
	lua_close(v->L);
	json_free(v->held);
	buf_fini(&v->text);
	buf_fini(&v->where);
	free(v->tag);
	free(v);
}

struct load {
	struct vm *v;
	const struct vm_source *src;
	size_t n;
	struct err *e;
	int rc;
};

/* A literal such as 1LL makes the parser open the FFI library by itself. */
static bool
ffi_was_opened(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	bool found = false;
	if (lua_istable(L, -1)) {
		lua_getfield(L, -1, "ffi");
		found = !lua_isnil(L, -1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return found;
}

static int
load_all(lua_State *L)
{
	struct load *j = lua_touserdata(L, 1);

	lua_getfield(L, LUA_REGISTRYINDEX, "vm.chunks");
	for (size_t i = 0; i < j->n; i++) {
		const struct vm_source *s = &j->src[i];
		lua_pushfstring(L, "@%s", s->path);
		int rc = luaL_loadbufferx(L, s->text, s->len, lua_tostring(L, -1), "t");
		if (rc == LUA_ERRMEM)
			return lua_error(L);
		if (rc != 0) {
			const char *why = lua_tostring(L, -1);
			if (strncmp(why, s->path, strlen(s->path)) == 0)
				j->rc = err_set(j->e, ERR_INVALID, "%s", why);
			else /* bytecode has no lines */
				j->rc = err_set(
					j->e, ERR_INVALID, "%s: not Lua text: %s", s->path, why);
			return 0;
		}
		if (ffi_was_opened(L)) {
			j->v->spoilt = true;
			j->rc = err_set(j->e, ERR_INVALID,
				"%s: a number ends in LL, ULL or i: scripts have no such numbers",
				s->path);
			return 0;
		}
		lua_setfield(L, 2, s->name);
		lua_pop(L, 1);
	}
	return 0;
}

int
vm_load(struct vm *v, const struct vm_source *src, size_t n, struct err *e)
{
	struct load j = { v, src, n, e, 0 };

	if (v->spoilt)
		return err_set(e, ERR_INVALID, "a script was refused: make a new state");
	if (lua_cpcall(v->L, load_all, &j) != 0)
		return err_set(e, ERR_TOO_LARGE, "scripts do not fit into %zu bytes", v->limit);
	return j.rc;
}

struct call {
	struct vm *v;
	const char *module, *function; /* function NULL: require the module */
	const cJSON *const *args;
	size_t nargs;
	cJSON *out;
	struct err *e;
	enum vm_end end;
};

static lua_State *
coroutine_get(struct vm *v, lua_State *L)
{
	if (v->co == NULL) {
		lua_State *co = lua_newthread(L);
		lua_setfield(L, LUA_REGISTRYINDEX, "vm.co");
		v->co = co;
	}
	return v->co;
}

static void
coroutine_drop(struct vm *v, lua_State *L)
{
	v->co = NULL;
	lua_pushnil(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "vm.co");
}

static void
error_text(lua_State *L, int idx, struct buf *out)
{
	struct err why;

	if (lua_type(L, idx) == LUA_TSTRING || lua_type(L, idx) == LUA_TNUMBER) {
		buf_printf(out, "%.400s", lua_tostring(L, idx));
		return;
	}
	/* A metamethod would run outside the budget, so an error value is printed as it is. */
	cJSON *tree = vmjson_take(L, idx, &why);
	if (tree == NULL || json_print(tree, out) != 0)
		buf_printf(out, "(an error that is a %s)", luaL_typename(L, idx));
	json_free(tree);
}

/* Runs where the error happened, before the stack is unwound. */
static int
on_error(lua_State *L)
{
	struct vm *v = vm_of(L);

	if (!v->over)
		note_frames(v, L);
	return 1;
}

/* idx: the error value, on L. */
static enum vm_end
ended(struct call *j, lua_State *L, int idx)
{
	struct vm *v = j->v;
	struct buf text;
	enum vm_end end = VM_ERROR;

	buf_init(&text, 4096);
	const char *why = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : "";
	if (v->over) {
		end = VM_BUDGET;
		buf_printf(&text, "too many instructions (%lld)", (long long)v->budget);
		if (v->left > 0)
			buf_puts(&text, ": too much was copied");
	} else if (strstr(why, "not enough memory") != NULL) {
		end = VM_MEMORY;
		buf_printf(&text, "not enough memory (%zu bytes)", v->limit);
	} else {
		error_text(L, idx, &text);
	}
	if (v->where.len > 0)
		buf_puts(&text, v->where.at);
	err_set(j->e, end == VM_ERROR ? ERR_INVALID : ERR_TOO_LARGE, "%s", text.at);
	buf_fini(&text);
	return end;
}

static int
start(struct call *j, lua_State *L)
{
	if (j->function == NULL) {
		lua_getglobal(L, "require");
		lua_pushstring(L, j->module);
		return 1;
	}
	lua_getfield(L, LUA_REGISTRYINDEX, "vm.loaded");
	lua_pushstring(L, j->module);
	lua_rawget(L, -2);
	if (!lua_istable(L, -1)) {
		err_set(j->e, ERR_INVALID, "%s: %s", j->module,
			lua_isnil(L, -1) ? "not loaded" : "returns no table");
		return -1;
	}
	lua_pushstring(L, j->function);
	lua_rawget(L, -2);
	if (!lua_isfunction(L, -1)) {
		err_set(j->e, ERR_INVALID, "%s: has no function '%s'", j->module, j->function);
		return -1;
	}
	for (size_t i = 0; i < j->nargs; i++)
		vmjson_push(L, j->args[i]);
	return (int)j->nargs;
}

static int
call_in_cage(lua_State *L)
{
	struct call *j = lua_touserdata(L, 1);
	struct vm *v = j->v;

	luaL_checkstack(L, ARGS_MAX + LUA_MINSTACK, "call");
	sweep_when_full(v, L);
	lua_newtable(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "vm.loading");
	lua_State *co = coroutine_get(v, L);
	/* LuaJIT's xpcall is no C frame: a yield passes through it. */
	lua_getfield(L, LUA_REGISTRYINDEX, "vm.xpcall");
	int at = lua_gettop(L);
	int n = start(j, L);
	if (n < 0) {
		j->end = VM_ERROR;
		return 0;
	}
	lua_pushcfunction(L, on_error);
	lua_insert(L, -1 - n);
	/* start() may have left what it walked through between the two. */
	lua_pushvalue(L, at);
	lua_insert(L, -3 - n);
	lua_xmove(L, co, n + 3);

	v->stack = __builtin_frame_address(0);
	v->running = true;
	lua_sethook(L, vm_tick, LUA_MASKCOUNT, TICK);
	int status = lua_resume(co, n + 2);
	lua_sethook(L, NULL, 0, 0);
	v->running = false;

	bool good = status == 0 && !v->over && lua_toboolean(co, 1);
	int results = status == LUA_YIELD ? 0 : lua_gettop(co);
	lua_settop(L, 1);
	if (results > 0) {
		if (status == 0)
			lua_settop(co, 2); /* what comes after the "true" or "false" of xpcall */
		lua_xmove(co, L, 1);
	} else {
		lua_pushnil(L);
	}
	if (!good) {
		j->end = ended(j, L, 2);
		coroutine_drop(v, L);
		if (j->end == VM_MEMORY) {
			lua_gc(L, LUA_GCCOLLECT, 0);
			v->swept = v->used;
		}
		return 0;
	}
	lua_settop(co, 0);
	j->end = VM_OK;
	if (j->function != NULL && results > 1 && !lua_isnil(L, 2)) {
		struct err why;
		j->out = vmjson_take(L, 2, &why);
		if (j->out == NULL) {
			err_set(j->e, ERR_INVALID, "%s.%s: %s", j->module, j->function, why.msg);
			j->end = VM_SHAPE;
		}
	}
	return 0;
}

/* The world of a thousand rows is garbage once the call is over: LuaJIT would let it double first.
 */
static int
sweep_after(lua_State *L)
{
	struct vm *v = vm_of(L);

	lua_gc(L, LUA_GCCOLLECT, 0);
	v->swept = v->used;
	return 0;
}

static enum vm_end
call(struct vm *v, struct call *j)
{
	if (v->running || v->spoilt) {
		err_set(j->e, ERR_INTERNAL, "%s: %s", j->module,
			v->spoilt ? "a script was refused" : "a call is running in this state");
		return VM_ERROR;
	}
	v->left = v->budget;
	v->big_left = v->budget > INT64_MAX / BIG_PRICE ? INT64_MAX : v->budget * BIG_PRICE;
	v->over = false;
	v->lines = 0;
	buf_reset(&v->where);
	int status = lua_cpcall(v->L, call_in_cage, j);
	v->running = false;
	vm_hold(v, NULL);
	if (status != 0) {
		/* The arguments did not fit, or the answer was being taken out. */
		v->co = NULL;
		err_set(j->e, ERR_TOO_LARGE, "%s: not enough memory (%zu bytes)", j->module,
			v->limit);
		lua_gc(v->L, LUA_GCCOLLECT, 0);
		v->swept = v->used;
		json_free(j->out);
		j->out = NULL;
		j->end = VM_MEMORY;
	}
	if (v->used > v->swept + SWEEP_BYTES)
		lua_cpcall(v->L, sweep_after, NULL);
	return j->end;
}

int
vm_require(struct vm *v, const char *name, struct err *e)
{
	struct call j = { .v = v, .module = name, .e = e };

	return call(v, &j) == VM_OK ? 0 : -1;
}

enum vm_end
vm_call(struct vm *v, const char *module, const char *function, const cJSON *const *args,
	size_t nargs, cJSON **out, struct err *e)
{
	struct call j = { v, module, function, args, nargs, NULL, e, VM_ERROR };

	must(nargs <= ARGS_MAX);
	enum vm_end end = call(v, &j);
	if (out != NULL)
		*out = j.out;
	else
		json_free(j.out);
	return end;
}

static int
ask(lua_State *L)
{
	struct vm *v = vm_of(L);
	struct err e = { .code = ERR_NONE };
	cJSON *answer = NULL;

	const char *name = luaL_checkstring(L, 1);
	luaL_checkany(L, 2);
	vm_charge(L, ASK_PRICE);
	cJSON *question = NULL;
	if (!lua_isnil(L, 2)) {
		question = vmjson_take(L, 2, &e);
		if (question == NULL)
			return luaL_error(L, "ask '%s': %s", name, e.msg);
	}
	int rc = v->ask(v->ask_arg, name, question, &answer, &e);
	json_free(question);
	vm_hold(v, answer);
	if (rc != 0)
		return luaL_error(L, "%s", e.msg);
	if (answer == NULL)
		lua_pushnil(L);
	else
		vmjson_push(L, answer);
	vm_hold(v, NULL);
	return 1;
}

static int
set_ask(lua_State *L)
{
	struct vm *v = lua_touserdata(L, 1);

	vmcage_ask(L, v->ask != NULL ? ask : NULL);
	return 0;
}

void
vm_on_ask(struct vm *v, vm_ask_fn *fn, void *arg)
{
	v->ask = fn;
	v->ask_arg = arg;
	must(lua_cpcall(v->L, set_ask, v) == 0);
}

int64_t
vm_used_instructions(const struct vm *v)
{
	return v->budget - v->left;
}

size_t
vm_used_memory(const struct vm *v)
{
	return v->used;
}
