#ifndef ENGINE_SCRIPT_PRIV_H
#define ENGINE_SCRIPT_PRIV_H
/*
 * script_priv: what the bundle (script.c, script_collect.c) and the policies (script_policy.c)
 * share.
 *
 * A set of sources is sorted by module name; adding a name that is there replaces it. What was
 * tried last is remembered by its hash, so that the annotations that we write ourselves, or any
 * other change that leaves the sources alone, start nothing.
 */
#include "base/map.h"
#include "engine/script.h"

struct sources {
	struct vm_source *at;
	size_t n, cap;
};
/* The text is copied. path is shown in errors. */
void sources_put(struct sources *s, const char *name, const char *path, const char *text, size_t n);
void sources_hash(const struct sources *s, char out[65]);
void sources_fini(struct sources *s);
/* The bundle that is offered now: embedded files, --lua-dir, then ConfigMaps by name. */
int sources_collect(struct script *s, struct sources *out, struct err *e);

struct origin { /* one labelled ConfigMap */
	struct obj *object;
	char tried[65];    /* hash of what was looked at last */
	const char *state; /* "active", "rejected", "pending" */
	char *reason;
	char *name; /* hash of what runs, NULL when nothing does */
	char *told; /* state and name that were told last */
};

struct policy {
	struct origin origin;
	struct vm *vm;    /* what runs, NULL: nothing */
	cJSON *questions; /* that it answers */
	bool dirty;
};

struct script {
	struct script_conf conf;
	struct generation active;
	char tried[65];
	cJSON *known;         /* questions, {name: true} */
	struct map *policies; /* "ns/name" -> struct policy */
	struct map *bundles;  /* "ns/name" -> struct origin */
	bool dirty;
	struct timer *timer;
	/* Of the run under way. */
	const char *const *refs;
	cJSON *glimpse; /* what policies see of the world */
	cJSON *asked;   /* what they were asked, and said; NULL: nobody could be asked */
	cJSON *answers; /* of a record, instead of policies */
};

void origin_fini(struct origin *o);
void origin_state(struct script *s, struct origin *o, const char *state, const char *reason);
char *script_line(const char *why); /* an error as one line; the caller frees */
/* Call fn in the child, or here when there is none. */
int script_child(struct script *s, int (*fn)(void *arg, struct buf *out), void *arg, struct err *e);
struct vm *script_vm(
	struct script *s, const char *tag, const struct sources *src, bool policy, struct err *e);

void policy_free(void *policy);
void policy_look(struct script *s, struct policy *p); /* compile, test, swap */
vm_ask_fn policy_ask;
vm_ask_fn policy_recall; /* the answer that was recorded for the same question */

#endif
