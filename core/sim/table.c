/* table: what `kubectl get` shows. The server prints; kubectl only aligns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

typedef cJSON *cell_fn(const struct call *c, const cJSON *o);

struct column {
	const char *name, *path; /* path: a jsonpath, or "" when fn makes it */
	cell_fn *fn;
	int wide;
};

static cJSON *
text_cell(const char *s)
{
	return cJSON_CreateString(s);
}

static cJSON *
age_of(const struct call *c, const char *stamp)
{
	int64_t then;
	char out[32];

	if (!stamp || clock_parse(stamp, &then))
		return text_cell("<unknown>");
	int64_t ms = loop_wall(c->a->conf.loop) - then;
	clock_age(ms < 0 ? 0 : ms, out, sizeof(out));
	return text_cell(out);
}

static cJSON *
age(const struct call *c, const cJSON *o)
{
	return age_of(c, json_str(o, "metadata.creationTimestamp", NULL));
}

static cJSON *
pod_ready(const struct call *c, const cJSON *o)
{
	int all = cJSON_GetArraySize(json_path(o, "spec.containers")), ready = 0;
	char out[32];
	const cJSON *s;

	(void)c;
	cJSON_ArrayForEach(s, json_path(o, "status.containerStatuses")) ready +=
		json_bool(s, "ready", false);
	snprintf(out, sizeof(out), "%d/%d", ready, all);
	return text_cell(out);
}

static cJSON *
pod_status(const struct call *c, const cJSON *o)
{
	const char *reason = json_str(o, "status.reason", json_str(o, "status.phase", ""));
	const cJSON *s;
	char init[64];
	int n = 0, all = cJSON_GetArraySize(json_path(o, "spec.initContainers"));

	(void)c;
	cJSON_ArrayForEach(s, json_path(o, "status.initContainerStatuses"))
	{
		if (json_path(s, "state.terminated") &&
			!json_int(s, "state.terminated.exitCode", 1)) {
			n++;
			continue;
		}
		const char *why = json_str(s, "state.waiting.reason", NULL);
		if (why && strcmp(why, "PodInitializing"))
			snprintf(init, sizeof(init), "Init:%s", why);
		else
			snprintf(init, sizeof(init), "Init:%d/%d", n, all);
		reason = init;
		break;
	}
	cJSON_ArrayForEach(s, json_path(o, "status.containerStatuses"))
	{
		const char *why = json_str(
			s, "state.waiting.reason", json_str(s, "state.terminated.reason", NULL));
		if (why && strncmp(reason, "Init:", 5))
			reason = why;
	}
	if (json_path(o, "metadata.deletionTimestamp"))
		reason = "Terminating";
	return text_cell(reason);
}

static cJSON *
pod_restarts(const struct call *c, const cJSON *o)
{
	int64_t n = 0;
	char out[32];
	const cJSON *s;

	(void)c;
	cJSON_ArrayForEach(s, json_path(o, "status.containerStatuses")) n +=
		json_int(s, "restartCount", 0);
	snprintf(out, sizeof(out), "%lld", (long long)n);
	return text_cell(out);
}

static cJSON *
size_cell(const cJSON *list)
{
	return cJSON_CreateNumber(cJSON_GetArraySize(list));
}

static cJSON *
data_count(const struct call *c, const cJSON *o)
{
	(void)c;
	return cJSON_CreateNumber(cJSON_GetArraySize(json_get(o, "data")) +
				  cJSON_GetArraySize(json_get(o, "binaryData")));
}

static cJSON *
service_ports(const struct call *c, const cJSON *o)
{
	struct buf out;
	const cJSON *p;

	(void)c;
	buf_init(&out, 0);
	cJSON_ArrayForEach(p, json_path(o, "spec.ports"))
	{
		buf_printf(&out, "%s%lld", out.len ? "," : "", (long long)json_int(p, "port", 0));
		if (json_get(p, "nodePort"))
			buf_printf(&out, ":%lld", (long long)json_int(p, "nodePort", 0));
		buf_printf(&out, "/%s", json_str(p, "protocol", "TCP"));
	}
	cJSON *cell = text_cell(out.len ? out.at : "<none>");
	buf_fini(&out);
	return cell;
}

static cJSON *
service_outside(const struct call *c, const cJSON *o)
{
	bool lb = !strcmp(json_str(o, "spec.type", ""), "LoadBalancer");

	(void)c;
	return text_cell(
		json_str(o, "status.loadBalancer.ingress[0].ip", lb ? "<pending>" : "<none>"));
}

static cJSON *
pairs_cell(const cJSON *map)
{
	struct buf out;
	const cJSON *p;

	buf_init(&out, 0);
	cJSON_ArrayForEach(p, map)
		buf_printf(&out, "%s%s=%s", out.len ? "," : "", p->string, json_text(p));
	cJSON *cell = text_cell(out.len ? out.at : "<none>");
	buf_fini(&out);
	return cell;
}

static cJSON *
service_selector(const struct call *c, const cJSON *o)
{
	(void)c;
	return pairs_cell(json_path(o, "spec.selector"));
}

static cJSON *
node_status(const struct call *c, const cJSON *o)
{
	const char *ready = json_str(o, "status.conditions[type=Ready].status", NULL);
	char out[64];

	(void)c;
	snprintf(out, sizeof(out), "%s%s",
		!ready                  ? "Unknown"
		: strcmp(ready, "True") ? "NotReady"
					: "Ready",
		json_bool(o, "spec.unschedulable", false) ? ",SchedulingDisabled" : "");
	return text_cell(out);
}

static cJSON *
node_roles(const struct call *c, const cJSON *o)
{
	static const char mark[] = "node-role.kubernetes.io/";
	const cJSON *l;

	(void)c;
	cJSON_ArrayForEach(l,
		json_path(o,
			"metadata.labels")) if (!strncmp(l->string, mark,
							sizeof(mark) -
								1)) return text_cell(l->string +
										     sizeof(mark) -
										     1);
	return text_cell("<none>");
}

static cJSON *
modes(const struct call *c, const cJSON *o)
{
	static const char *const names[][2] = { { "ReadWriteOnce", "RWO" },
		{ "ReadOnlyMany", "ROX" }, { "ReadWriteMany", "RWX" },
		{ "ReadWriteOncePod", "RWOP" } };
	const cJSON *list = json_path(o, "status.accessModes"), *m;
	struct buf out;

	(void)c;
	buf_init(&out, 0);
	if (!strcmp(json_str(o, "kind", ""), "PersistentVolume"))
		list = json_path(o, "spec.accessModes");
	cJSON_ArrayForEach(m, list) for (int i = 0; i < 4;
					 i++) if (!strcmp(json_text(m), names[i][0]))
		buf_printf(&out, "%s%s", out.len ? "," : "", names[i][1]);
	cJSON *cell = text_cell(out.len ? out.at : "");
	buf_fini(&out);
	return cell;
}

static cJSON *
claim_status(const struct call *c, const cJSON *o)
{
	(void)c;
	return text_cell(json_path(o, "metadata.deletionTimestamp")
				 ? "Terminating"
				 : json_str(o, "status.phase", ""));
}

static cJSON *
volume_claim(const struct call *c, const cJSON *o)
{
	const char *name = json_str(o, "spec.claimRef.name", NULL);
	char out[600] = "";

	(void)c;
	if (name)
		snprintf(out, sizeof(out), "%s/%s", json_str(o, "spec.claimRef.namespace", ""),
			name);
	return text_cell(out);
}

static cJSON *
event_seen(const struct call *c, const cJSON *o)
{
	return age_of(
		c, json_str(o, "series.lastObservedTime",
			   json_str(o, "lastTimestamp",
				   json_str(o, "eventTime", json_str(o, "firstTimestamp", NULL)))));
}

static cJSON *
event_object(const struct call *c, const cJSON *o)
{
	char out[400], *p;

	(void)c;
	snprintf(out, sizeof(out), "%s/%s", json_str(o, "involvedObject.kind", ""),
		json_str(o, "involvedObject.name", ""));
	for (p = out; *p && *p != '/'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	return text_cell(out);
}

static cJSON *
ready_of(const struct call *c, const cJSON *o)
{
	char out[48];

	(void)c;
	snprintf(out, sizeof(out), "%lld/%lld", (long long)json_int(o, "status.readyReplicas", 0),
		(long long)json_int(o, "spec.replicas", 0));
	return text_cell(out);
}

static cJSON *
job_status(const struct call *c, const cJSON *o)
{
	bool done = !strcmp(json_str(o, "status.conditions[type=Complete].status", ""), "True");
	bool failed = !strcmp(json_str(o, "status.conditions[type=Failed].status", ""), "True");

	(void)c;
	return text_cell(done ? "Complete" : failed ? "Failed" : "Running");
}

static cJSON *
job_completions(const struct call *c, const cJSON *o)
{
	char out[48];

	(void)c;
	snprintf(out, sizeof(out), "%lld/%lld", (long long)json_int(o, "status.succeeded", 0),
		(long long)json_int(o, "spec.completions", 1));
	return text_cell(out);
}

static cJSON *
revision_owner(const struct call *c, const cJSON *o)
{
	const cJSON *r = ref_controller(o);
	char out[400] = "<none>";

	(void)c;
	if (r)
		snprintf(out, sizeof(out), "%s/%s", json_str(r, "kind", ""),
			json_str(r, "name", ""));
	return text_cell(out);
}

static cJSON *
handlers_gates(const struct call *c, const cJSON *o)
{
	(void)c;
	return cJSON_GetArraySize(json_path(o, "spec.readinessGates"))
		       ? size_cell(json_path(o, "spec.readinessGates"))
		       : text_cell("<none>");
}

#define NAME                                      \
	{                                         \
		"Name", ".metadata.name", NULL, 0 \
	}
#define AGE                       \
	{                         \
		"Age", "", age, 0 \
	}

static const struct table {
	const char *id;
	struct column column[12];
} tables[] = {
	{ "pods", { NAME, { "Ready", "", pod_ready, 0 }, { "Status", "", pod_status, 0 },
			  { "Restarts", "", pod_restarts, 0 }, AGE,
			  { "IP", ".status.podIP", NULL, 1 }, { "Node", ".spec.nodeName", NULL, 1 },
			  { "Nominated Node", ".status.nominatedNodeName", NULL, 1 },
			  { "Readiness Gates", "", handlers_gates, 1 } } },
	{ "services", { NAME, { "Type", ".spec.type", NULL, 0 },
			      { "Cluster-IP", ".spec.clusterIP", NULL, 0 },
			      { "External-IP", "", service_outside, 0 },
			      { "Port(s)", "", service_ports, 0 }, AGE,
			      { "Selector", "", service_selector, 1 } } },
	{ "configmaps", { NAME, { "Data", "", data_count, 0 }, AGE } },
	{ "secrets", { NAME, { "Type", ".type", NULL, 0 }, { "Data", "", data_count, 0 }, AGE } },
	{ "events",
		{ { "Last Seen", "", event_seen, 0 }, { "Type", ".type", NULL, 0 },
			{ "Reason", ".reason", NULL, 0 }, { "Object", "", event_object, 0 },
			{ "Message", ".message", NULL, 0 },
			{ "Source", ".source.component", NULL, 1 }, { "Count", ".count", NULL, 1 },
			{ "Name", ".metadata.name", NULL, 1 } } },
	{ "namespaces", { NAME, { "Status", ".status.phase", NULL, 0 }, AGE } },
	{ "nodes", { NAME, { "Status", "", node_status, 0 }, { "Roles", "", node_roles, 0 }, AGE,
			   { "Version", ".status.nodeInfo.kubeletVersion", NULL, 0 },
			   { "Internal-IP", ".status.addresses[?(@.type==\"InternalIP\")].address",
				   NULL, 1 },
			   { "External-IP", ".status.addresses[?(@.type==\"ExternalIP\")].address",
				   NULL, 1 },
			   { "OS-Image", ".status.nodeInfo.osImage", NULL, 1 },
			   { "Kernel-Version", ".status.nodeInfo.kernelVersion", NULL, 1 },
			   { "Container-Runtime", ".status.nodeInfo.containerRuntimeVersion", NULL,
				   1 } } },
	{ "persistentvolumes",
		{ NAME, { "Capacity", ".spec.capacity.storage", NULL, 0 },
			{ "Access Modes", "", modes, 0 },
			{ "Reclaim Policy", ".spec.persistentVolumeReclaimPolicy", NULL, 0 },
			{ "Status", "", claim_status, 0 }, { "Claim", "", volume_claim, 0 },
			{ "StorageClass", ".spec.storageClassName", NULL, 0 },
			{ "VolumeAttributesClass", ".spec.volumeAttributesClassName", NULL, 0 },
			{ "Reason", ".status.reason", NULL, 0 }, AGE,
			{ "VolumeMode", ".spec.volumeMode", NULL, 1 } } },
	{ "persistentvolumeclaims",
		{ NAME, { "Status", "", claim_status, 0 },
			{ "Volume", ".spec.volumeName", NULL, 0 },
			{ "Capacity", ".status.capacity.storage", NULL, 0 },
			{ "Access Modes", "", modes, 0 },
			{ "StorageClass", ".spec.storageClassName", NULL, 0 },
			{ "VolumeAttributesClass", ".spec.volumeAttributesClassName", NULL, 0 },
			AGE, { "VolumeMode", ".spec.volumeMode", NULL, 1 } } },
	{ "statefulsets.apps", { NAME, { "Ready", "", ready_of, 0 }, AGE } },
	{ "deployments.apps",
		{ NAME, { "Ready", "", ready_of, 0 },
			{ "Up-to-date", ".status.updatedReplicas", NULL, 0 },
			{ "Available", ".status.availableReplicas", NULL, 0 }, AGE } },
	{ "controllerrevisions.apps", { NAME, { "Controller", "", revision_owner, 0 },
					      { "Revision", ".revision", NULL, 0 }, AGE } },
	{ "jobs.batch", { NAME, { "Status", "", job_status, 0 },
				{ "Completions", "", job_completions, 0 }, AGE } },
	{ "poddisruptionbudgets.policy",
		{ NAME, { "Min Available", ".spec.minAvailable", NULL, 0 },
			{ "Max Unavailable", ".spec.maxUnavailable", NULL, 0 },
			{ "Allowed Disruptions", ".status.disruptionsAllowed", NULL, 0 }, AGE } },
	{ "leases.coordination.k8s.io",
		{ NAME, { "Holder", ".spec.holderIdentity", NULL, 0 }, AGE } },
	{ "storageclasses.storage.k8s.io",
		{ NAME, { "Provisioner", ".provisioner", NULL, 0 },
			{ "ReclaimPolicy", ".reclaimPolicy", NULL, 0 },
			{ "VolumeBindingMode", ".volumeBindingMode", NULL, 0 },
			{ "AllowVolumeExpansion", ".allowVolumeExpansion", NULL, 0 }, AGE } },
	{ "volumeattachments.storage.k8s.io",
		{ NAME, { "Attacher", ".spec.attacher", NULL, 0 },
			{ "PV", ".spec.source.persistentVolumeName", NULL, 0 },
			{ "Node", ".spec.nodeName", NULL, 0 },
			{ "Attached", ".status.attached", NULL, 0 }, AGE } },
	{ "customresourcedefinitions.apiextensions.k8s.io",
		{ NAME, { "Created At", ".metadata.creationTimestamp", NULL, 0 } } },
	{ "", { NAME, AGE } },
};

static const struct table *
table_of(const struct res *res)
{
	const struct table *t = tables;

	while (*t->id && strcmp(t->id, res->id))
		t++;
	return t;
}

static void
define(cJSON *list, const char *name, const char *type, const char *format, const char *about,
	int64_t priority)
{
	cJSON *d = json_object();

	json_put_str(d, "name", name);
	json_put_str(d, "type", type);
	json_put_str(d, "format", format);
	json_put_str(d, "description", about);
	json_put_int(d, "priority", priority);
	json_add(list, d);
}

static void
define_all(const struct res *res, cJSON *list)
{
	const cJSON *columns = json_get(res->crd_version, "additionalPrinterColumns"), *k;

	if (!res->custom || !columns) {
		const struct table *t = table_of(res);
		for (int i = 0; i < 12 && t->column[i].name; i++)
			define(list, t->column[i].name, "string", i ? "" : "name", "",
				t->column[i].wide);
		return;
	}
	define(list, "Name", "string", "name", "", 0);
	cJSON_ArrayForEach(k, columns) define(list, json_str(k, "name", ""),
		json_str(k, "type", "string"), json_str(k, "format", ""),
		json_str(k, "description", ""), json_int(k, "priority", 0));
}

static cJSON *
custom_cell(const struct call *c, const cJSON *o, const cJSON *k)
{
	const char *type = json_str(k, "type", "string"), *path = json_str(k, "jsonPath", "");
	const cJSON *v = jsonpath_first(o, path);
	struct buf out;

	if (!v || cJSON_IsNull(v))
		return cJSON_CreateNull();
	if (!strcmp(type, "date"))
		return age_of(c, json_text(v));
	if (!strcmp(type, "integer") || !strcmp(type, "number") || !strcmp(type, "boolean"))
		return json_clone(v);
	buf_init(&out, 0);
	jsonpath_text(o, path, &out);
	cJSON *cell = text_cell(out.at);
	buf_fini(&out);
	return cell;
}

static cJSON *
builtin_cell(const struct call *c, const cJSON *o, const struct column *k)
{
	if (k->fn)
		return k->fn(c, o);
	const cJSON *v = jsonpath_first(o, k->path);
	bool none =
		k->wide || !strcmp(k->name, "Min Available") || !strcmp(k->name, "Max Unavailable");
	if (!v)
		return text_cell(none                                        ? "<none>"
				 : !strcmp(k->name, "VolumeAttributesClass") ? "<unset>"
									     : "");
	return cJSON_IsString(v) || cJSON_IsNumber(v) || cJSON_IsBool(v) ? json_clone(v)
									 : text_cell("");
}

static cJSON *
row(const struct call *c, const cJSON *o)
{
	const struct res *res = c->res;
	const cJSON *columns = json_get(res->crd_version, "additionalPrinterColumns"), *k;
	const char *include = c->r ? param_get(c, "includeObject") : "";
	cJSON *cells = json_array(), *out = json_object();

	if (!res->custom || !columns) {
		const struct table *t = table_of(res);
		for (int i = 0; i < 12 && t->column[i].name; i++)
			json_add(cells, builtin_cell(c, o, &t->column[i]));
	} else {
		json_add(cells, text_cell(json_str(o, "metadata.name", "")));
		cJSON_ArrayForEach(k, columns) json_add(cells, custom_cell(c, o, k));
	}
	json_put(out, "cells", cells);
	if (!strcmp(include, "Object"))
		json_put(out, "object", json_clone(o));
	else if (strcmp(include, "None"))
		json_put(out, "object", meta_only(o));
	return out;
}

cJSON *
table_new(const struct call *c, struct ver *const *v, size_t n)
{
	cJSON *t = json_object(), *m = json_object(), *rows = json_array(), *columns = json_array();

	json_put_str(t, "kind", "Table");
	json_put_str(t, "apiVersion", "meta.k8s.io/v1");
	if (n == 1)
		json_put_str(m, "resourceVersion",
			json_str(ver_tree(v[0]), "metadata.resourceVersion", ""));
	json_put(t, "metadata", m);
	define_all(c->res, columns);
	json_put(t, "columnDefinitions", columns);
	for (size_t i = 0; i < n; i++)
		json_add(rows, row(c, ver_tree(v[i])));
	json_put(t, "rows", rows);
	return t;
}
