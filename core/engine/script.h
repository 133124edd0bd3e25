#ifndef ENGINE_SCRIPT_H
#define ENGINE_SCRIPT_H
/*
 * script: generations of Lua: collect, name, compile, self-test, swap.
 *
 * A generation is the trusted bundle: the embedded files, then --lua-dir, then ConfigMaps labelled
 * tikv.org/scripts of the operator's namespace, later ones replacing whole files. Its name is the
 * SHA-256 of the sorted (name, source) pairs. A policy is one ConfigMap labelled tikv.org/policy,
 * in a vm of its own. Offered sources are compiled in a fresh vm and self-tested in a child; any
 * failure leaves what runs untouched and is told: annotations on the ConfigMap (state, reason with
 * file and line), an Event, a metric. The swap is one pointer at the loop boundary.
 */
#include "base/log.h"
#include "base/metric.h"
#include "kube/store.h"
#include "vm/vm.h"
#include "wire/loop.h"

struct script;

struct script_conf {
	struct loop *loop;
	const char *lua_dir; /* NULL: embedded files only */
	const char *ns; /* the operator's own namespace, where tikv.org/scripts are taken from */
	struct store *configmaps;
	struct log *log;
	struct metrics *metrics;
	/* Read a folder's *.lua below lua_dir, and notice changes: seams for tests and the
	 * simulator. */
	int (*read_dir)(
		void *arg, const char *dir, struct vm_source **out, size_t *n, struct err *e);
	/* Run fn(arg2) in a child under CPU and memory limits; its text comes back; -1 on failure.
	 */
	int (*in_child)(void *arg, int (*fn)(void *arg2, struct buf *out), void *arg2,
		struct buf *out, struct err *e);
	/* State of a ConfigMap changed: "active", "rejected", or "held" (fine by itself, but
	 * another one spoils the bundle); name: hash of what runs; reason for people, one line. */
	void (*on_state)(void *arg, const struct obj *configmap, const char *state,
		const char *name, const char *reason);
	void (*on_swap)(void *arg); /* every object should be looked at again */
	void *arg;
};

struct generation {
	char name[65];
	struct vm *vm;
};

/* NULL when the embedded or --lua-dir scripts do not load: that is a start-up error. */
struct script *script_new(const struct script_conf *c, struct err *e);
void script_free(struct script *s);
void script_configmap(struct script *s, const struct obj *old, const struct obj *now);
/* Try what was offered at once: before the first pass, so that none finds a policy missing. */
void script_settle(struct script *s);
void script_reload(struct script *s); /* SIGHUP, or the folder changed */
const struct generation *script_active(const struct script *s);

/* needs(object) and run(world) of the active generation. `refs`: policies to ask, "ns/name", in
 * order; NULL ends. The plan tree is the caller's. */
enum vm_end script_needs(struct script *s, const cJSON *object, cJSON **needs, struct err *e);
enum vm_end script_run(
	struct script *s, const cJSON *world, const char *const *refs, cJSON **plan, struct err *e);
/* What policies were asked during the last run, as [{question, args, answers | error}], NULL when
 * there were none; lent until the next run. With script_answer() these are given instead of asking
 * anybody (replay); a question that was not recorded holds the step. NULL ends that. */
const cJSON *script_asked(const struct script *s);
void script_answer(struct script *s, const cJSON *asked);
/* State of all sources, for /debug, status and `plan`. The caller frees. */
cJSON *script_report(const struct script *s);

#endif
