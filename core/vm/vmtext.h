#ifndef VM_VMTEXT_H
#define VM_VMTEXT_H
/*
 * vmtext: a value from its JSON text straight onto the Lua stack, as vmjson_push() would do it.
 *
 * For text that json_print() made: valid, compact, within JSON_DEPTH_MAX. Nothing is checked.
 */
#include <lua.h>

/* `mark` is the place of the metatable of lists. May raise on out-of-memory. */
void vmtext_push(lua_State *L, const char *text, int mark);

#endif
