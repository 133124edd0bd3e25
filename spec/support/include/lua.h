typedef struct lua_State lua_State;
