#ifndef VM_VMJSON_H
#define VM_VMJSON_H
/*
 * vmjson: JSON trees to Lua tables and back, strict both ways.
 *
 * In: null members are dropped; lists carry a mark (a shared metatable), so that an empty list
 * stays a list; raw integers arrive as text; lent texts (json_lent) as what they stand for. Out: a
 * table is a list when marked or when its keys are 1..n with n > 0; an unmarked empty table is an
 * object; mixed or fractional keys, functions, userdata, cycles, NaN, infinities, texts that are
 * not UTF-8 or hold a NUL byte, more than 100 levels are errors that name the path
 * ("actions[2].object.spec"), and so are values of more than a million nodes or 64 MiB of text.
 * Members come out sorted by key, so equal tables give equal trees. Metatables other than the mark
 * are not looked at. Numbers that are whole print without a fraction.
 */
#include <lua.h>

#include "base/err.h"
#include "format/json.h"

/* May raise on out-of-memory: call inside a protected call only. */
void vmjson_push(lua_State *L, const cJSON *tree);
/* The value at idx as a tree (the caller frees), NULL with *e. May raise on out-of-memory. During a
 * call it is paid for, and raises when the budget is used up. */
cJSON *vmjson_take(lua_State *L, int idx, struct err *e);

/* Pushes the metatable that marks lists. */
void vmjson_mark(lua_State *L);

#endif
