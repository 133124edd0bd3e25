/* LuaJIT's FFI knows these types already. */
