#ifndef VM_VM_H
#define VM_VM_H
/*
 * vm: one caged lua_State. Values in, values out; it knows nothing of Kubernetes.
 *
 * The JIT is off, FFI absent, only text is loaded; coroutine, debug, io, os, package, load*,
 * collectgarbage, newproxy, raw clocks and randomness are gone; print goes to the log. Each call
 * runs in a coroutine of ours under an instruction budget: the count hook yields, which pcall can
 * not catch. Memory is limited by wrapping LuaJIT's own allocator. string.rep and patterns are
 * bounded; pairs and next are ordered; globals are locked; the string metatable is sealed.
 * Every danger and its measure: lua/README.md, and a spec each.
 *
 * `require` finds only the sources given to vm_load(). Lua is entered only through lua_cpcall.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "format/json.h"

struct vm;

struct vm_conf {
	size_t memory_max; /* bytes, 0: 64 MiB */
	int64_t budget;    /* instructions per call, 0: 50 million */
	struct log *log;
	const char *tag; /* generation name, for log lines */
};

enum vm_end {
	VM_OK,
	VM_ERROR,  /* a Lua error; text with file and line, and a traceback */
	VM_BUDGET, /* too many instructions */
	VM_MEMORY, /* over the limit; the vm stays usable */
	VM_SHAPE,  /* the returned value can not cross: function, cycle, mixed keys, NaN, depth */
};

/* A source file: name as required ("lib.plan", "controllers.tikv"), shown as `path` in errors. */
struct vm_source {
	const char *name, *path, *text;
	size_t len;
};

struct vm *vm_new(const struct vm_conf *c, struct err *e);
void vm_free(struct vm *v);
/* Give the sources; nothing runs yet, but all are compiled, so that syntax errors come here. */
int vm_load(struct vm *v, const struct vm_source *src, size_t n, struct err *e);
/* require(name) and keep its value under that name. */
int vm_require(struct vm *v, const char *name, struct err *e);
/* Call module[function](args...). args: array of trees, lent. *out: the first result as a tree (the
 * caller frees; NULL when it returned nothing). e is filled unless VM_OK. At most 16 arguments. A
 * call from inside a call of the same vm (by vm_ask_fn) is VM_ERROR. */
enum vm_end vm_call(struct vm *v, const char *module, const char *function,
	const cJSON *const *args, size_t nargs, cJSON **out, struct err *e);
/* A question that trusted Lua asks the outside during a call: ask(name, value) in Lua. The answer
 * is pushed back; returning -1 raises e's message in Lua. One per vm; used for policy questions. */
typedef int vm_ask_fn(
	void *arg, const char *name, const cJSON *value, cJSON **answer, struct err *e);
void vm_on_ask(struct vm *v, vm_ask_fn *fn, void *arg);

int64_t vm_used_instructions(const struct vm *v); /* of the last call */
size_t vm_used_memory(const struct vm *v);

#endif
