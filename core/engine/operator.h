#ifndef ENGINE_OPERATOR_H
#define ENGINE_OPERATOR_H
/*
 * operator: everything of one operator process, on given seams.
 *
 * `run` gives it the real loop, transport, clock and files; the simulator gives it virtual ones,
 * and two operators may live in one process. It has no globals. operator_free() sends nothing: in
 * the simulator that is a crash. operator_stop() ends gracefully: drain, release the lease.
 */
#include "engine/ctl.h"
#include "kube/lease.h"
#include "kube/watch.h"

struct tikv_operator;

struct operator_conf {
	struct loop *loop;
	struct http *http;
	const struct cred *cred;
	const char *server;
	const char *ns;       /* the operator's own namespace: lease and scripts */
	const char *watch_ns; /* NULL or "": all namespaces (then nodes, volumes, classes are read
				 too) */
	const char *identity;
	const char *lease_name; /* NULL: "tikv-operator" */
	bool no_lease;          /* `plan`, tests: act as if held and never write when read_only */
	bool read_only;
	const char *lua_dir;
	const char *prestop_image;
	uint64_t seed;
	struct log *log;
	struct metrics *metrics;
	size_t record_bytes;
	int (*read_dir)(
		void *arg, const char *dir, struct vm_source **out, size_t *n, struct err *e);
	int (*in_child)(void *arg, int (*fn)(void *arg2, struct buf *out), void *arg2,
		struct buf *out, struct err *e);
	int64_t (*cost_us)(void *arg);               /* NULL: measured with the loop's clock */
	void (*on_lost)(void *arg, const char *why); /* the lease was lost: the process must end */
	void *arg;
};

struct tikv_operator *operator_new(const struct operator_conf *c, struct err *e);
void operator_free(struct tikv_operator *o);
void operator_start(struct tikv_operator *o);
void operator_stop(struct tikv_operator *o, void (*done)(void *arg), void *arg);
bool operator_leading(const struct tikv_operator *o);
bool operator_synced(const struct tikv_operator *o);
bool operator_ready(const struct tikv_operator *o, const char **why);   /* for /readyz */
bool operator_healthy(const struct tikv_operator *o, const char **why); /* for /healthz */
void operator_reload(struct tikv_operator *o);                          /* SIGHUP */
struct ctl *operator_ctl(struct tikv_operator *o);
/* /debug: path below it ("passes", "pass/TiKV/ns/name[/N]", "pd/ns/name", "scripts", "queue"); the
 * caller frees; NULL: no such page. */
cJSON *operator_debug(struct tikv_operator *o, const char *path);

#endif
