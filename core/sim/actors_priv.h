#ifndef SIM_ACTORS_PRIV_H
#define SIM_ACTORS_PRIV_H
/*
 * actors_priv: actors.c owns the Lua state and the calls into it; actors_sim.c is the global `sim`;
 * actors_watch.c keeps a watch alive over ends and 410s.
 */
#include <lua.h>

#include "base/map.h"
#include "base/mem.h"
#include "sim/actors.h"

struct wait { /* sim.after */
	struct wait *next;
	struct actors *a;
	struct timer *timer;
	int fn;
	uint64_t id;
};

struct host { /* sim.serve */
	struct host *next;
	struct actors *a;
	int fn;
	uint64_t id;
	char *type; /* content type of the last answer */
};

struct shown { /* one object as an actor saw it last */
	struct actors *a;
	int64_t rv;
	int ref; /* its table */
};

struct follow { /* sim.watch */
	struct follow *next;
	struct actors *a;
	char *path, *query;
	int fn;
	uint64_t id;
	struct apisim_call *stream;
	struct timer *again;
	struct map *known; /* uid -> struct shown */
	struct map *seen;  /* while the initial objects come */
	int64_t since_failed;
};

struct actors {
	struct actors_conf conf;
	lua_State *L;
	struct wait *waits;
	struct host *hosts;
	struct follow *follows;
	uint64_t ids;
	uint64_t shared; /* tables of shared objects made so far */
};

/* Call the function and its n arguments on the stack; `results` stay. 0, or -1 after on_error. */
int actors_pcall(struct actors *a, int n, int results);
struct actors *actors_of(lua_State *L);
void actors_open_sim(lua_State *L, struct actors *a);
/* The value at idx as text to send: a table as JSON, a string as it is. NULL: nil. May raise. */
char *actors_body(lua_State *L, int idx);
void actors_push_text(lua_State *L, const char *text, size_t n); /* decoded when it is JSON */
/* One version of an object: the same table each time, which nobody changes. */
void actors_push_shared(lua_State *L, int64_t rv, const cJSON *object);
cJSON *actors_take(lua_State *L, int idx); /* may raise */

void follow_start(struct follow *f);
void follow_free(struct follow *f);
void wait_free(struct wait *w);
void host_free(struct host *h);

#endif
