#ifndef VM_VMCAGE_H
#define VM_VMCAGE_H
/*
 * vmcage: the globals of a caged state, and the price of what its functions do in C.
 *
 * The count hook sees Lua instructions only. So each function of ours that can run long in C pays
 * for its work with vm_charge(), about one instruction for one small step. Below zero it raises,
 * and the hook then fires at every instruction until a yield succeeds.
 *
 * For the files of core/vm only; everyone else uses vm.h.
 */
#include <stdint.h>

#include <lua.h>

#include "base/log.h"
#include "format/json.h"

#define VM_REP_MAX (64 << 10) /* bytes that string.rep may make */

struct vm;

/* Leave L with the caged globals only. May raise on out-of-memory. */
void vmcage_open(lua_State *L, struct vm *v);
/* Set the global `ask`, or take it away (fn NULL). */
void vmcage_ask(lua_State *L, lua_CFunction fn);

/* Each takes a table of functions on the top of the stack and puts its own into it. */
void vmpattern_open(lua_State *L); /* find match gmatch gsub */
/* Sets the globals pairs and next. */
void vmorder_open(lua_State *L);
void vmquantity_open(lua_State *L); /* the global quantity */
void vmsemver_open(lua_State *L);   /* the global semver */

struct vm *vm_of(lua_State *L);
void vm_charge(lua_State *L, int64_t steps);
bool vm_spend(lua_State *L, int64_t steps); /* vm_charge that tells instead of raising */
/* To be called before Lua is called from C: raises when the process's stack gets too deep. */
void vm_deeper(lua_State *L);
void vm_note(struct vm *v, enum log_level level, const char *text);
/* A tree or a text made during a call. The vm keeps the last one of each until the call ends, so
 * that an out-of-memory error raised in between can not leak it. */
void vm_hold(struct vm *v, cJSON *own_tree);
struct buf *vm_text(struct vm *v); /* empty */

#endif
