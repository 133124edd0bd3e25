#ifndef KUBE_REF_H
#define KUBE_REF_H
/*
 * ref: kinds, resource paths and object keys.
 *
 * The operator knows a closed set of kinds. An object's key is "namespace/name", or "name" for
 * cluster-scoped kinds; its full key is "Kind/namespace/name" ("Kind/name").
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "format/json.h"

/* Closed; the order is the order of the table in ref.c. */
enum kind {
	KIND_CLUSTER,
	KIND_PDGROUP,
	KIND_PD,
	KIND_TIKVGROUP,
	KIND_TIKV,
	KIND_POD,
	KIND_CLAIM,  /* PersistentVolumeClaim */
	KIND_VOLUME, /* PersistentVolume */
	KIND_CONFIGMAP,
	KIND_SERVICE,
	KIND_SECRET,
	KIND_NODE,
	KIND_STORAGECLASS,
	KIND_VOLUMEATTACHMENT,
	KIND_REVISION, /* ControllerRevision */
	KIND_BUDGET,   /* PodDisruptionBudget */
	KIND_JOB,
	KIND_EVENT,
	KIND_LEASE,
	KIND_QUOTA, /* ResourceQuota */
	KIND_CRD,
	KIND_COUNT,
};

struct kind_row {
	const char *kind, *group, *version, *plural; /* group "" = core */
	bool namespaced;
	bool ours; /* one of core.tikv.org */
};

const struct kind_row *kind_row(enum kind k);
const char *kind_api_version(enum kind k);          /* "v1", "apps/v1", "core.tikv.org/v1alpha1" */
int kind_of(const char *kind_name, enum kind *out); /* by Kind; -1 when unknown */
int kind_of_object(const cJSON *object, enum kind *out); /* by apiVersion and kind */

/* "/api/v1/namespaces/a/pods/b/status"; ns NULL or "": all namespaces; name, sub: may be NULL.
 * -1 when a name is empty or would change the path, or lacks its namespace: such a request would
 * reach a whole collection. */
int ref_path(struct buf *out, enum kind k, const char *ns, const char *name, const char *sub);
int ref_key(struct buf *out, const char *ns, const char *name);

/* Controller owner reference of an object, or NULL. */
const cJSON *ref_controller(const cJSON *object);

/* Label selector text ("a=b,c!=d,e in (x,y),f,!g"), and matchLabels/matchExpressions objects. */
struct selector;
struct selector *selector_parse(const char *text, struct err *e);
/* NULL or {}: everything. */
struct selector *selector_of(const cJSON *label_selector, struct err *e);
bool selector_match(const struct selector *s, const cJSON *labels); /* labels may be NULL */
void selector_free(struct selector *s);

/* Compare resourceVersions as decimal texts of any length (W13): <0, 0, >0. "" sorts first. */
int rv_compare(const char *a, const char *b);
bool rv_valid(const char *rv); /* digits, no leading zero, not "0" and not "" */

#endif
