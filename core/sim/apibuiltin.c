/* apibuiltin: the kinds every cluster has, as far as the product or its users look at them. */
#include <stdlib.h>

#include "sim/apisim_priv.h"

enum { NS = 1, STATUS = 2, SCALE = 4 };

static const struct row {
	const char *group, *version, *plural, *kind, *shorts, *categories;
	int flags;
} rows[] = {
	{ "", "v1", "pods", "Pod", "po", "all", NS | STATUS },
	{ "", "v1", "services", "Service", "svc", "all", NS | STATUS },
	{ "", "v1", "configmaps", "ConfigMap", "cm", "", NS },
	{ "", "v1", "secrets", "Secret", "", "", NS },
	{ "", "v1", "events", "Event", "ev", "", NS },
	{ "", "v1", "namespaces", "Namespace", "ns", "", STATUS },
	{ "", "v1", "nodes", "Node", "no", "", STATUS },
	{ "", "v1", "persistentvolumes", "PersistentVolume", "pv", "", STATUS },
	{ "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", "", NS | STATUS },
	{ "", "v1", "serviceaccounts", "ServiceAccount", "sa", "", NS },
	{ "", "v1", "resourcequotas", "ResourceQuota", "quota", "", NS | STATUS },
	{ "", "v1", "endpoints", "Endpoints", "ep", "", NS },
	{ "", "v1", "limitranges", "LimitRange", "limits", "", NS },
	{ "apps", "v1", "statefulsets", "StatefulSet", "sts", "all", NS | STATUS | SCALE },
	{ "apps", "v1", "deployments", "Deployment", "deploy", "all", NS | STATUS | SCALE },
	{ "apps", "v1", "replicasets", "ReplicaSet", "rs", "all", NS | STATUS | SCALE },
	{ "apps", "v1", "daemonsets", "DaemonSet", "ds", "all", NS | STATUS },
	{ "apps", "v1", "controllerrevisions", "ControllerRevision", "", "", NS },
	{ "batch", "v1", "jobs", "Job", "", "all", NS | STATUS },
	{ "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", "", NS | STATUS },
	{ "coordination.k8s.io", "v1", "leases", "Lease", "", "", NS },
	{ "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "", "", NS },
	{ "storage.k8s.io", "v1", "storageclasses", "StorageClass", "sc", "", 0 },
	{ "storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", "", "", STATUS },
	{ "storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", "vac", "",
		0 },
	{ "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", "pc", "", 0 },
	{ "rbac.authorization.k8s.io", "v1", "roles", "Role", "", "", NS },
	{ "rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", "", "", NS },
	{ "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", "", "", 0 },
	{ "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", "", "",
		0 },
	{ "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
		"crd,crds", "api-extensions", STATUS },
};

void
builtin_install(struct apisim *a)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		struct res *r = res_add(a, row->group, row->version, row->plural, row->kind);

		free(r->shorts);
		r->shorts = xstrdup(row->shorts);
		free(r->categories);
		r->categories = xstrdup(row->categories);
		r->namespaced = row->flags & NS;
		r->has_status = row->flags & STATUS;
		r->has_scale = row->flags & SCALE;
		if (r->has_scale) {
			r->replicas_path = xstrdup(".spec.replicas");
			r->status_replicas_path = xstrdup(".status.replicas");
		}
	}
}
