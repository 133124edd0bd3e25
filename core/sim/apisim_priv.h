#ifndef SIM_APISIM_PRIV_H
#define SIM_APISIM_PRIV_H
/*
 * apisim_priv: what the files of the simulated API server share.
 *
 * apisim.c takes requests apart, apistore.c keeps versions and history, apiread.c and apiwatch.c
 * read, apiwrite.c and apipatch.c create and update, apiscale.c scales, apidelete.c deletes,
 * patch.c, smp.c and ssa.c make one object out of two, rules.c knows what built-in kinds default
 * and refuse, shape.c which lists are maps, table.c prints for kubectl, discovery.c and openapi.c
 * tell what there is.
 */
#include "base/mem.h"
#include "kube/ref.h"
#include "sim/apisim.h"

/* One version of one object. */
struct ver {
	int refs;
	int64_t rv;
	char *key; /* "ns/name" or "name" */
	char *text;
	size_t len;
	cJSON *tree; /* made when asked for, see ver_tree() */
};

enum change_kind { CHANGE_ADDED, CHANGE_MODIFIED, CHANGE_DELETED };

struct change {
	enum change_kind kind;
	int64_t rv;
	struct ver *now; /* of a removal: the last state with the rv of the removal */
	struct ver *old; /* NULL for ADDED */
};

struct res {
	struct res *next;
	char *id, *group, *version, *plural, *singular, *kind, *list_kind;
	char *shorts, *categories; /* comma-separated, "" none */
	bool namespaced, has_status, custom;
	bool has_scale;
	char *replicas_path, *status_replicas_path, *selector_path; /* ".spec.replicas" */
	cJSON *crd_version; /* spec.versions[] entry of the installed CRD */

	struct ver **live; /* sorted by key */
	size_t count, cap;
	struct change *ring; /* oldest first from `first` */
	size_t first, changes;
	int64_t forgotten; /* changes up to this rv are not in the ring any more */
	struct apisim_call *watches;
};

struct apisim {
	struct apisim_conf conf;
	int64_t rv;
	struct res *resources, *resources_end;
	size_t watches;
	uint32_t next_ip, next_port;
};

struct param {
	char *key, *value;
};

enum form { FORM_OBJECT, FORM_TABLE, FORM_META };

/* A request being carried out. */
struct call {
	struct apisim *a;
	const struct apisim_req *r;
	struct res *res;
	const char *ns, *name, *sub; /* "" when absent */
	struct param param[32];
	int params;
	char *words; /* memory of the path's segments */
	enum form form;
	bool dry;
	char manager[129];
	cJSON *fail; /* Status, once something failed */
	struct buf warning;
	struct apisim_call *stream; /* set by a watch */
};

/* status.c: failing and answering. All fail_ functions return -1. */
int fail(struct call *c, int code, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
cJSON *fail_details(struct call *c); /* of c->fail, made when absent */
void fail_cause(struct call *c, const char *field, const char *reason, const char *message);
int fail_not_found(struct call *c, const struct res *res, const char *name);
int fail_conflict(struct call *c, const char *why);
int fail_modified(struct call *c);
/* Kind "name" is invalid: causes is an array of {field, reason, message}; taken. 0 when empty. */
int fail_invalid(struct call *c, const char *name, cJSON *own_causes);
void cause_add(cJSON *causes, const char *field, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
const char *res_title(const struct res *res, char *out, size_t n); /* "tikvs.core.tikv.org" */
void reply_text(struct call *c, int status, const char *type, const char *text, size_t n);
void reply_tree(struct call *c, int status, cJSON *own_tree);
void reply_fail(struct call *c);
cJSON *status_gone(const char *message, int code);
void warn(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* apisim.c */
const char *param_get(const struct call *c, const char *key); /* "" when absent */
bool param_true(const struct call *c, const char *key);
cJSON *call_body(struct call *c); /* NULL after fail(); JSON or YAML */
void now_text(struct apisim *a, char out[40]);
void serve_resource(struct call *c);

/* apistore.c */
struct ver *ver_new(const char *key, int64_t rv, cJSON *own_tree);
struct ver *ver_ref(struct ver *v);
void ver_unref(struct ver *v);
const cJSON *ver_tree(struct ver *v);
struct res *res_find(
	const struct apisim *a, const char *group, const char *version, const char *plural);
struct res *res_by_id(const struct apisim *a, const char *id);
struct res *res_by_kind(const struct apisim *a, const char *group, const char *kind);
struct res *res_add(struct apisim *a, const char *group, const char *version, const char *plural,
	const char *kind);
void res_free(struct res *res);
void res_forget(struct res *res, int64_t rv);
void key_of(struct buf *out, const struct res *res, const char *ns, const char *name);
struct ver *live_find(const struct res *res, const char *ns, const char *name);
struct ver *live_key(const struct res *res, const char *key);
/* The versions at a moment (rv 0: now), sorted; the caller frees the array, not the versions. -1
 * when history does not reach back. */
int live_at(const struct res *res, int64_t rv, struct ver ***out, size_t *n);
/* Write one object: now NULL removes. Sets metadata.resourceVersion. Returns the new version. */
struct ver *commit(struct call *c, struct res *res, struct ver *old, const char *key,
	cJSON *own_now, bool removed);

/* apibuiltin.c */
void builtin_install(struct apisim *a);
/* proto.c: the few messages that clients insist on sending as protobuf. */
cJSON *proto_body(struct call *c); /* NULL after fail() */

/* crd.c: complete a CRD's status before it is written; install or remove after. */
int crd_prepare(struct call *c, cJSON *crd);
void crd_install(struct apisim *a, const cJSON *crd);
void crd_remove(struct call *c, const cJSON *crd);

/* apiread.c */
struct match { /* selectors of a list or watch */
	struct selector *labels;
	struct fieldterm {
		char *path, *value;
		bool not ;
	} field[8];
	int fields;
	char *ns;
};
int match_make(struct call *c, struct match *m);
void match_fini(struct match *m);
bool match_any(const struct match *m); /* there is no selector */
bool match_ver(const struct match *m, struct ver *v);
void read_one(struct call *c);
void read_list(struct call *c);
/* The object in the form the client asked for. */
void render(const struct call *c, struct ver *v, struct buf *out);
cJSON *meta_only(const cJSON *object);

/* apiwatch.c */
void watch_begin(struct call *c);
void watch_wake(struct res *res);
void watch_keep(struct res *res);
void watch_drop(struct apisim_call *w); /* without on_end */
void watch_end(struct apisim_call *w, int error_status);

/* apiwrite.c */
void write_create(struct call *c);
void write_update(struct call *c);
void write_patch(struct call *c);
/* Check, complete and commit an object; takes it. apply: managedFields are already right. *out is
 * a reference of the caller's (of a version that was not stored when it is a dry run). */
int create_object(struct call *c, cJSON *own_object, bool apply, struct ver **out);
int update_object(struct call *c, struct ver *old, cJSON *own_object, bool apply, struct ver **out);
/* apiVersion, kind and namespace of a body against the path; fills in what is missing. */
int check_type(struct call *c, cJSON *object);
void write_answer(struct call *c, int status, struct ver *own_v);
void write_scale(struct call *c);
cJSON *scale_of(const struct res *res, const cJSON *object);

/* apidelete.c */
void write_delete(struct call *c);
void write_delete_collection(struct call *c);
void write_evict(struct call *c);
bool delete_due(const cJSON *object); /* marked, no finalizers and no grace left */

/* rules.c: built-in kinds */
void rules_default(struct call *c, cJSON *object, const cJSON *old);
void rules_check(struct call *c, const cJSON *object, const cJSON *old, cJSON *causes);
void rules_check_meta(const struct res *res, const cJSON *object, const cJSON *old, cJSON *causes);

/* shape.c: how a field merges */
enum shape_kind { SHAPE_LEAF, SHAPE_ATOMIC, SHAPE_MAP, SHAPE_STRUCT, SHAPE_SET, SHAPE_KEYED };
struct shape {
	const cJSON *schema;       /* of a CRD; NULL: built-in, known by names */
	const char *field, *above; /* name of the field and of the one that holds it */
	bool root, meta;
	bool raw_data; /* "data" is an object of another kind, and so one value */
};
struct shape shape_root(const struct res *res);
struct shape shape_field(const struct shape *s, const char *field);
struct shape shape_item(const struct shape *s);
enum shape_kind shape_kind(const struct shape *s, const cJSON *value);
/* Keys of a SHAPE_KEYED list. smp: as strategic merge patch sees it (one key). Returns the count.
 */
int shape_keys(const struct shape *s, bool smp, const char *keys[4]);
/* Default of a key that an item may leave out ("protocol": "TCP"), NULL: none. Lent. */
const cJSON *shape_key_default(const struct shape *s, const char *key);
/* Index of the item of `list` with the same keys, -1: none. */
int shape_same(const struct shape *s, const cJSON *list, const cJSON *item, bool smp);

/* smp.c */
int smp_apply(struct call *c, const struct res *res, cJSON **target, const cJSON *patch);

/* fieldset.c: FieldsV1 trees as sets. A node is a member when it is {} or holds ".". */
cJSON *fields_of(const struct shape *s, const cJSON *object);
void fields_diff(
	const struct shape *s, const cJSON *old, const cJSON *now, cJSON *changed, cJSON *removed);
void fields_join(cJSON *into, const cJSON *other);
void fields_cut(cJSON *from, const cJSON *other);
/* The same, and a node of other counts as a member when anything below it is one. */
void fields_cut_named(cJSON *from, const cJSON *other);
cJSON *fields_common(const cJSON *a, const cJSON *b);
bool fields_empty(const cJSON *f);
void fields_system(cJSON *f, const struct res *res, const char *sub);
/* Each member as ".spec.containers[name=\"x\"].image". */
void fields_each(const cJSON *f, void (*fn)(void *arg, const char *path), void *arg);

/* ssa.c */
int apply_object(struct call *c, struct ver *old, const cJSON *config, struct ver **out);
/* After an update by any other verb: who owns what now. */
void manage_update(struct call *c, const cJSON *old, cJSON *now);

/* table.c */
cJSON *table_new(const struct call *c, struct ver *const *v, size_t n);
const cJSON *jsonpath_first(const cJSON *tree, const char *path);
void jsonpath_text(const cJSON *tree, const char *path, struct buf *out);

/* discovery.c, openapi.c */
bool serve_discovery(struct call *c, const char *path);
bool serve_openapi(struct call *c, const char *path);
void serve_review(struct call *c);

#endif
