#ifndef ENGINE_GUARD_H
#define ENGINE_GUARD_H
/*
 * guard: invariants that no plan may break, whoever wrote it.
 *
 * Asked for every action right before it is sent, against live caches and PD. Fails closed: what it
 * does not know, it refuses. It is not scriptable and has no switch. The rules G1..G9 are those of
 * the architecture (2.5); core/README.md lists them for auditors, guard_rules[] for programs. A
 * refusal is ERR_REFUSED with a message "G3: not ours: ...: ...".
 *
 * One function per rule, in the order of their numbers; each says which actions it speaks about.
 */
#include "base/metric.h"
#include "engine/plan.h"
#include "kube/store.h"
#include "pd/pdview.h"

enum guard_rule { G1, G2, G3, G4, G5, G6, G7, G8, G9, GUARD_RULES };

struct guard_rule_row {
	const char *id, *title, *text; /* "G3", "OnlyOwnObjects", one sentence */
};
extern const struct guard_rule_row guard_rules[GUARD_RULES];

struct guard;

struct guard_facts {
	void *arg;
	struct store *(*store)(void *arg, enum kind k);
	struct pdview *(*pdview)(void *arg, const char *ns, const char *cluster);
	int64_t (*lease_valid_ms)(void *arg); /* longer than a request can take, or G1 refuses */
	bool (*synced)(void *arg);            /* all caches that feed decisions have synced */
	bool read_only;                       /* `plan`: every write is refused by G1 */
	const char *operator_id;              /* "namespace/lease", "" without a lease */
	/* The breaker of a cluster opened; may be NULL. */
	void (*on_breaker)(void *arg, const char *ns, const char *cluster);
	const struct clock *clock;
	struct metrics *metrics;
};

/* The object whose pass it is, as the world had it; the guard compares it with the live one. */
struct guard_subject {
	const struct obj *object; /* the owning CR */
	const char *cluster;      /* name of its Cluster */
	/* Claims that earlier actions of the plan made: their answers are newer than the caches. */
	const char *const *made;
	size_t made_n;
};

struct guard *guard_new(const struct guard_facts *f);
void guard_free(struct guard *g);
/* 0, or -1 with ERR_REFUSED. */
int guard_check(
	struct guard *g, const struct guard_subject *s, const struct action *a, struct err *e);
/* What all rules but G1 say, not counted: for dry runs, which never send. */
int guard_foresee(
	struct guard *g, const struct guard_subject *s, const struct action *a, struct err *e);
/* What this version does to a cluster: raised when an older one would undo what it did. */
enum { GUARD_BEHAVIOUR = 1 };
/* The longest a request may take after guard_check() said yes. */
#define GUARD_REQUEST_MS 5000
/* What a write returned or an expectation that failed: input of G9's breaker. */
void guard_note(struct guard *g, const struct guard_subject *s, const struct action *a, bool ok);
/* Why the breaker of a cluster is open, "" when closed. guard_reset: a person confirmed. */
const char *guard_breaker(const struct guard *g, const char *ns, const char *cluster);
void guard_reset(struct guard *g, const char *ns, const char *cluster);

#endif
