#ifndef KUBE_STORE_H
#define KUBE_STORE_H
/*
 * store: the cached objects of one resource, immutable and reference-counted.
 *
 * An object is kept as compact JSON text without metadata.managedFields and kubectl's copy of the
 * last applied configuration, with apiVersion and kind always present, plus the few fields that
 * keys, indexes and filters need, all in one allocation; trees are made when a pass looks at it. A
 * new version is a new object. Readers may hold a version with obj_ref() for as long as they like.
 *
 * Indexes: by key; by namespace; by the uid of each owner reference; by label, for
 * core.tikv.org/{cluster,group,instance,component,volume}, app.kubernetes.io/managed-by,
 * tikv.org/policy and tikv.org/scripts; by spec.cluster.name for our kinds. All lists come sorted
 * by key. Listeners may read the store, hold objects and start calls; they must not change it.
 *
 * A row is a projection of an object: a small JSON object of named paths. Rows are made once per
 * (object, projection) and remembered with the object, so that a world of 10,000 rows is cheap
 * and an event that changes nothing in the row wakes nobody.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kube/ref.h"

struct obj {
	enum kind kind;
	int refs;
	bool deleting; /* metadata.deletionTimestamp is set */
	int64_t generation;
	const char *key, *ns, *name, *uid, *rv; /* inside one allocation */
	const char *text;                       /* whole object, compact JSON */
	size_t len;
	struct obj_part *part; /* indexes and rows, private to store.c */
};

/* One reference. ERR_UNSUPPORTED when the text is an object of another kind or version; other
 * errors when it is no object with a name (and a namespace, where the kind has one). */
struct obj *obj_new(enum kind k, const char *text, size_t n, struct err *e);
struct obj *obj_of_tree(enum kind k, const cJSON *tree, struct err *e); /* the same from a tree */
struct obj *obj_ref(const struct obj *o);
void obj_unref(struct obj *o);
const cJSON *obj_tree(const struct obj *o); /* the caller frees; shared with others who look */

struct projection; /* an ordered list of (name, path) */
/* NULL names: the whole object. Equal lists give the same pointer; lives as long as the set.
 * A path is json_path's ("" is the whole tree). "path|hash" gives the SHA-256 of the value's
 * canonical JSON, "path|len" the number of members of a list or object. */
struct projections;
struct projections *projections_new(void);
void projections_free(struct projections *p);
const struct projection *projection_of(
	struct projections *p, const char *const *names, const char *const *paths, size_t n);
/* Compact JSON text of the row; absent paths are left out. Lent for the object's life. */
const char *obj_row(const struct obj *o, const struct projection *p);

struct store;
/* old NULL: added; now NULL: removed. Same key with another uid comes as removed, then added (W12).
 * For a removal learnt from a list, `old` may be old: use its key, uid and owners only (Q3). */
typedef void store_event_fn(void *arg, const struct obj *old, const struct obj *now);

struct store *store_new(enum kind k);
void store_free(struct store *s);
enum kind store_kind(const struct store *s);
void store_listen(struct store *s, store_event_fn *fn, void *arg); /* any number of listeners */

/* One event of a stream. Returns false when it was dropped: an rv not newer than the stored one of
 * that key (W11). Takes the object. */
bool store_put(struct store *s, struct obj *own_o);
bool store_remove(struct store *s, const char *key, const char *uid); /* uid NULL: whatever it is */
/* Replace everything by a complete list, atomically: events only for what differs (L6), after all
 * of it is in place. What the list says counts, also where it is older. Takes the objects and sorts
 * the array, which stays the caller's. */
void store_replace(struct store *s, struct obj **own_list, size_t n);

/* The newest resourceVersion that the store is known to reflect; "" before the first sync. */
const char *store_rv(const struct store *s);
void store_set_rv(struct store *s, const char *rv);
bool store_synced(const struct store *s);
void store_set_synced(struct store *s, bool synced);
int64_t store_heard_ms(const struct store *s); /* monotonic time of the last byte of its stream */
void store_set_heard(struct store *s, int64_t mono_ms);

const struct obj *store_get(const struct store *s, const char *ns, const char *name);
size_t store_count(const struct store *s);

enum store_index {
	STORE_ALL,       /* value ignored */
	STORE_NAMESPACE, /* "ns" */
	STORE_OWNER,     /* uid of an owner reference */
	STORE_LABEL,     /* "ns/key=value" of an indexed label, "key=value" when cluster-scoped */
	STORE_CLUSTER,   /* "ns/name" of spec.cluster.name */
};
/* Objects in order of their keys. Returns the count; *out is malloc'ed, the objects are lent. */
bool store_label_indexed(const char *key);
size_t store_list(
	const struct store *s, enum store_index index, const char *value, const struct obj ***out);
/* The index values of an object, as store_list takes them, for finding who depends on it. */
typedef void store_value_fn(void *arg, enum store_index index, const char *value);
void obj_index_values(const struct obj *o, store_value_fn *fn, void *arg);

#endif
