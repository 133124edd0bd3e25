#ifndef VM_VMLIB_H
#define VM_VMLIB_H
/*
 * vmlib: the pure functions that scripts may call, one global table each.
 *
 *   json.encode(v [, canonical]) json.array(t)
 *   json.decode(text) -> value | nil, reason
 *   hash.sha256(text) hash.safe(text)      hash.safe: ten characters for names of content
 *   time.parse(rfc3339) -> seconds | nil   time.format(seconds) -> rfc3339   time.duration("1h5m")
 *     -> seconds | nil   time.age(seconds) -> "3m"
 *   quantity.parse("16Gi") -> number | nil  quantity.compare(a, b) -> -1|0|1 | nil
 *   text.split(s, sep) text.glob(pattern, s) text.starts(s, p) text.ends(s, p) text.trim(s)
 *   semver.parse(v) -> table | nil          semver.compare(a, b) -> -1|0|1 | nil
 *   log.debug|info|warn(fmt, ...)
 *
 * All are linear in their input and allocate through the caged allocator.
 */
#include <lua.h>

struct vm;
void vmlib_open(lua_State *L, struct vm *v);

#endif
