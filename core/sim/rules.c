/* rules: what built-in kinds fill in and refuse, as far as the product can meet it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "sim/apisim_priv.h"

static bool
is(const struct call *c, const char *id)
{
	return !strcmp(c->res->id, id);
}

static void
def_str(cJSON *o, const char *key, const char *value)
{
	if (o && !json_get(o, key))
		json_put_str(o, key, value);
}

static void
def_int(cJSON *o, const char *key, int64_t value)
{
	if (o && !json_get(o, key))
		json_put_int(o, key, value);
}

static cJSON *
def_object(cJSON *o, const char *key)
{
	cJSON *v = (cJSON *)json_get(o, key);

	if (!v) {
		v = json_object();
		json_put(o, key, v);
	}
	return v;
}

static void
default_probe(cJSON *p)
{
	cJSON *http = (cJSON *)json_get(p, "httpGet");

	if (!p)
		return;
	def_str(http, "scheme", "HTTP");
	if (http)
		def_str(http, "path", "/");
	def_int(p, "timeoutSeconds", 1);
	def_int(p, "periodSeconds", 10);
	def_int(p, "successThreshold", 1);
	def_int(p, "failureThreshold", 3);
}

static void
default_container(cJSON *k)
{
	static const char *const probes[] = { "livenessProbe", "readinessProbe", "startupProbe" };
	const char *image = json_str(k, "image", ""), *tag = strrchr(image, ':');
	bool latest = !tag || strchr(tag, '/') || !strcmp(tag, ":latest");
	cJSON *at;

	cJSON_ArrayForEach(at, json_get(k, "ports")) def_str(at, "protocol", "TCP");
	cJSON_ArrayForEach(at, json_get(k, "env"))
	{
		cJSON *ref = (cJSON *)json_path(at, "valueFrom.fieldRef");
		def_str(ref, "apiVersion", "v1");
	}
	for (int i = 0; i < 3; i++)
		default_probe((cJSON *)json_get(k, probes[i]));
	def_object(k, "resources");
	/* A limit is the request when none is given. */
	const cJSON *limits = json_path(k, "resources.limits"), *one;
	cJSON *requests = limits ? def_object((cJSON *)json_get(k, "resources"), "requests") : NULL;
	cJSON_ArrayForEach(one, limits) if (!json_get(requests, one->string))
		json_put(requests, one->string, json_clone(one));
	def_str(k, "terminationMessagePath", "/dev/termination-log");
	def_str(k, "terminationMessagePolicy", "File");
	def_str(k, "imagePullPolicy", latest ? "Always" : "IfNotPresent");
}

static void
default_pod_spec(cJSON *spec)
{
	cJSON *at;

	cJSON_ArrayForEach(at, json_get(spec, "initContainers")) default_container(at);
	cJSON_ArrayForEach(at, json_get(spec, "containers")) default_container(at);
	cJSON_ArrayForEach(at, json_get(spec, "volumes"))
	{
		static const char *const modes[] = { "configMap", "secret", "projected",
			"downwardAPI" };
		for (int i = 0; i < 4; i++)
			def_int((cJSON *)json_get(at, modes[i]), "defaultMode", 420);
	}
	def_str(spec, "restartPolicy", "Always");
	def_int(spec, "terminationGracePeriodSeconds", 30);
	def_str(spec, "dnsPolicy", "ClusterFirst");
	def_object(spec, "securityContext");
	def_str(spec, "schedulerName", "default-scheduler");
}

/* Guaranteed: every container limits cpu and memory and requests the same. */
static const char *
qos_of(const cJSON *spec)
{
	static const char *const lists[] = { "initContainers", "containers" };
	bool any = false, full = true;

	for (int i = 0; i < 2; i++) {
		const cJSON *k;
		cJSON_ArrayForEach(k, json_get(spec, lists[i]))
		{
			const cJSON *r = json_path(k, "resources.requests"),
				    *l = json_path(k, "resources.limits");
			const char *const what[] = { "cpu", "memory" };
			for (int j = 0; j < 2; j++) {
				const cJSON *want = json_get(r, what[j]),
					    *most = json_get(l, what[j]);
				any = any || want || most;
				full = full && want && most && json_equal(want, most);
			}
		}
	}
	return !any ? "BestEffort" : full ? "Guaranteed" : "Burstable";
}

/* Five minutes for a node that is not ready, unless the pod says something else about it. */
static void
tolerate_node_trouble(cJSON *spec)
{
	static const char *const keys[] = { "node.kubernetes.io/not-ready",
		"node.kubernetes.io/unreachable" };
	cJSON *list = (cJSON *)json_get(spec, "tolerations"), *at;

	if (!list) {
		list = json_array();
		json_put(spec, "tolerations", list);
	}
	for (int i = 0; i < 2; i++) {
		bool there = false;
		cJSON_ArrayForEach(at, list)
		{
			const char *key = json_str(at, "key", ""),
				   *effect = json_str(at, "effect", "");
			there = there || ((!*key || !strcmp(key, keys[i])) &&
						 (!*effect || !strcmp(effect, "NoExecute")));
		}
		if (there)
			continue;
		cJSON *t = json_object();
		json_put_str(t, "key", keys[i]);
		json_put_str(t, "operator", "Exists");
		json_put_str(t, "effect", "NoExecute");
		json_put_int(t, "tolerationSeconds", 300);
		json_add(list, t);
	}
}

static void
default_pod(cJSON *o, bool create)
{
	cJSON *spec = def_object(o, "spec");

	default_pod_spec(spec);
	if (!create)
		return;
	def_str(spec, "serviceAccountName", "default");
	def_str(spec, "serviceAccount", json_str(spec, "serviceAccountName", ""));
	json_put_bool(spec, "enableServiceLinks", json_bool(spec, "enableServiceLinks", true));
	def_int(spec, "priority", 0);
	def_str(spec, "preemptionPolicy", "PreemptLowerPriority");
	tolerate_node_trouble(spec);
	cJSON *status = json_object();
	json_put_str(status, "phase", "Pending");
	json_put_str(status, "qosClass", qos_of(spec));
	json_put(o, "status", status);
}

static void
default_service(struct call *c, cJSON *o, const cJSON *old)
{
	cJSON *spec = def_object(o, "spec"), *p;
	struct apisim *a = c->a;
	char ip[32];

	def_str(spec, "type", "ClusterIP");
	const char *type = json_str(spec, "type", "");
	bool outside = !strcmp(type, "NodePort") || !strcmp(type, "LoadBalancer");
	def_str(spec, "sessionAffinity", "None");
	if (old && !json_get(spec, "clusterIP"))
		json_put_str(spec, "clusterIP", json_str(old, "spec.clusterIP", NULL));
	if (!json_get(spec, "clusterIP") && strcmp(type, "ExternalName")) {
		uint32_t n = ++a->next_ip;
		snprintf(ip, sizeof(ip), "10.96.%u.%u", n / 250 % 250, n % 250 + 1);
		json_put_str(spec, "clusterIP", ip);
	}
	if (json_get(spec, "clusterIP")) {
		cJSON *list = json_array(), *families = json_array();
		json_add(list, cJSON_CreateString(json_str(spec, "clusterIP", "")));
		json_put(spec, "clusterIPs", list);
		json_add(families, cJSON_CreateString("IPv4"));
		if (!json_get(spec, "ipFamilies"))
			json_put(spec, "ipFamilies", families);
		else
			json_free(families);
		def_str(spec, "ipFamilyPolicy", "SingleStack");
		def_str(spec, "internalTrafficPolicy", "Cluster");
	}
	if (outside)
		def_str(spec, "externalTrafficPolicy", "Cluster");
	if (!strcmp(type, "LoadBalancer"))
		json_put_bool(spec, "allocateLoadBalancerNodePorts",
			json_bool(spec, "allocateLoadBalancerNodePorts", true));
	int i = 0;
	cJSON_ArrayForEach(p, json_get(spec, "ports"))
	{
		const cJSON *was = cJSON_GetArrayItem(json_path(old, "spec.ports"), i++);
		def_str(p, "protocol", "TCP");
		if (!json_get(p, "targetPort") && json_get(p, "port"))
			json_put(p, "targetPort", json_clone(json_get(p, "port")));
		if (outside && !json_get(p, "nodePort")) {
			int64_t kept = json_int(was, "nodePort", 0);
			json_put_int(p, "nodePort", kept ? kept : 30000 + a->next_port++ % 2768);
		}
	}
	if (!old && !json_get(o, "status"))
		json_put(def_object(o, "status"), "loadBalancer", json_object());
}

static void
default_claim(struct call *c, cJSON *o, const cJSON *old)
{
	cJSON *spec = def_object(o, "spec");

	def_str(spec, "volumeMode", "Filesystem");
	if (old)
		return;
	json_put_str(def_object(o, "status"), "phase", "Pending");
	if (json_get(spec, "storageClassName"))
		return;
	const struct res *classes = res_by_id(c->a, "storageclasses.storage.k8s.io");
	for (size_t i = 0; i < classes->count; i++) {
		const cJSON *sc = ver_tree(classes->live[i]);
		const char *mark = json_str(sc,
			"metadata.annotations.storageclass\\.kubernetes\\.io/is-default-class", "");
		if (!strcmp(mark, "true"))
			json_put_str(spec, "storageClassName", json_str(sc, "metadata.name", ""));
	}
}

static void
default_secret(cJSON *o)
{
	const cJSON *plain;

	def_str(o, "type", "Opaque");
	cJSON_ArrayForEach(plain, json_get(o, "stringData"))
	{
		const char *s = json_text(plain);
		size_t n = s ? strlen(s) : 0;
		char *out = xmalloc((n + 2) / 3 * 4 + 1);
		EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)(s ? s : ""), (int)n);
		json_put_str(def_object(o, "data"), plain->string, out);
		free(out);
	}
	json_drop(o, "stringData");
}

void
rules_default(struct call *c, cJSON *o, const cJSON *old)
{
	cJSON *spec = (cJSON *)json_get(o, "spec");

	if (c->res->custom)
		return;
	if (is(c, "pods")) {
		default_pod(o, !old);
	} else if (is(c, "services")) {
		default_service(c, o, old);
	} else if (is(c, "persistentvolumeclaims")) {
		default_claim(c, o, old);
	} else if (is(c, "secrets")) {
		default_secret(o);
	} else if (is(c, "persistentvolumes")) {
		def_str(spec, "persistentVolumeReclaimPolicy", "Retain");
		def_str(spec, "volumeMode", "Filesystem");
		if (!old)
			json_put_str(def_object(o, "status"), "phase", "Pending");
	} else if (is(c, "namespaces") && !old) {
		cJSON *list = json_array();
		json_add(list, cJSON_CreateString("kubernetes"));
		json_put(def_object(o, "spec"), "finalizers", list);
		json_put_str(def_object(o, "status"), "phase", "Active");
		cJSON *labels = def_object((cJSON *)json_get(o, "metadata"), "labels");
		json_put_str(
			labels, "kubernetes.io/metadata.name", json_str(o, "metadata.name", ""));
	} else if (is(c, "storageclasses.storage.k8s.io")) {
		def_str(o, "reclaimPolicy", "Delete");
		def_str(o, "volumeBindingMode", "Immediate");
	} else if (is(c, "jobs.batch")) {
		def_int(spec, "parallelism", 1);
		def_int(spec, "completions", 1);
		def_int(spec, "backoffLimit", 6);
		def_str(spec, "completionMode", "NonIndexed");
		cJSON *pod = (cJSON *)json_path(spec, "template.spec");
		if (pod)
			default_pod_spec(pod);
	} else if (is(c, "statefulsets.apps") || is(c, "deployments.apps") ||
		   is(c, "replicasets.apps")) {
		cJSON *pod = (cJSON *)json_path(spec, "template.spec");
		def_int(spec, "replicas", 1);
		def_int(spec, "revisionHistoryLimit", 10);
		if (pod)
			default_pod_spec(pod);
	} else if (is(c, "events")) {
		def_str(o, "reportingComponent", "");
		def_str(o, "reportingInstance", "");
		def_object(o, "source");
	} else if (is(c, "poddisruptionbudgets.policy") && !old) {
		static const char *const counts[] = { "currentHealthy", "desiredHealthy",
			"disruptionsAllowed", "expectedPods" };
		for (int i = 0; i < 4; i++)
			def_int(def_object(o, "status"), counts[i], 0);
	}
}

static bool
lower_alnum(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
}

/* dots: a subdomain, else a label. */
static bool
dns_name(const char *s, bool dots, size_t most)
{
	size_t n = strlen(s);

	if (!n || n > most || !lower_alnum(s[0]) || !lower_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (lower_alnum(s[i]) || s[i] == '-')
			continue;
		if (!dots || s[i] != '.' || !lower_alnum(s[i - 1]) || !lower_alnum(s[i + 1]))
			return false;
	}
	return true;
}

static bool
label_text(const char *s, size_t most)
{
	size_t n = strlen(s);

	if (!n)
		return true;
	if (n > most)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool alnum = lower_alnum(s[i]) || (s[i] >= 'A' && s[i] <= 'Z');
		if (!alnum && (i == 0 || i == n - 1 || !strchr("-_.", s[i])))
			return false;
	}
	return true;
}

static void
check_labels(const cJSON *labels, cJSON *causes)
{
	const cJSON *l;

	cJSON_ArrayForEach(l, labels)
	{
		const char *slash = strchr(l->string, '/'),
			   *v = cJSON_IsString(l) ? l->valuestring : NULL;
		const char *name = slash ? slash + 1 : l->string;
		if (!*name || !label_text(name, 63))
			cause_add(causes, "metadata.labels", "FieldValueInvalid",
				"Invalid value: \"%s\": name part must consist of alphanumeric "
				"characters, '-', '_' or '.', and must start and end with an "
				"alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
				"'123-abc', regex used for validation is "
				"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
				l->string);
		if (v && strlen(v) > 63)
			cause_add(causes, "metadata.labels", "FieldValueInvalid",
				"Invalid value: \"%s\": must be no more than 63 bytes", v);
		else if (!v || !label_text(v, 63))
			cause_add(causes, "metadata.labels", "FieldValueInvalid",
				"Invalid value: \"%s\": a valid label must be an empty string or "
				"consist of alphanumeric characters, '-', '_' or '.', and must "
				"start and end with an alphanumeric character (e.g. 'MyValue',  or "
				"'my_value',  or '12345', regex used for validation is "
				"'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
				v ? v : "");
	}
}

static bool
lists(const cJSON *list, const cJSON *value)
{
	const cJSON *at;

	cJSON_ArrayForEach(at, list) if (json_equal(at, value)) return true;
	return false;
}

void
rules_check_meta(const struct res *res, const cJSON *o, const cJSON *old, cJSON *causes)
{
	const char *name = json_str(o, "metadata.name", "");
	bool label = !strcmp(res->id, "services") || !strcmp(res->id, "namespaces");
	const cJSON *f;

	if (!*name) {
		cause_add(causes, "metadata.name", "FieldValueRequired",
			"Required value: name or generateName is required");
	} else if (!old && strncmp(res->group, "rbac.", 5) &&
		   !dns_name(name, !label, label ? 63 : 253)) {
		if (label)
			cause_add(causes, "metadata.name", "FieldValueInvalid",
				"Invalid value: \"%s\": a lowercase RFC 1123 label must consist of "
				"lower case alphanumeric characters or '-', and must start and end "
				"with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
				"regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
				name);
		else
			cause_add(causes, "metadata.name", "FieldValueInvalid",
				"Invalid value: \"%s\": a lowercase RFC 1123 subdomain must "
				"consist of lower case alphanumeric characters, '-' or '.', and "
				"must start and end with an alphanumeric character (e.g. "
				"'example.com', regex used for validation is "
				"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'"
				")",
				name);
	}
	check_labels(json_path(o, "metadata.labels"), causes);
	cJSON_ArrayForEach(
		f, json_path(o, "metadata.ownerReferences")) if (!*json_str(f, "uid", ""))
		cause_add(causes, "metadata.ownerReferences.uid", "FieldValueInvalid",
			"Invalid value: \"\": uid must not be empty");
	if (!old || !json_path(old, "metadata.deletionTimestamp"))
		return;
	cJSON_ArrayForEach(
		f, json_path(o,
			   "metadata.finalizers")) if (!lists(json_path(old, "metadata.finalizers"),
							       f))
		cause_add(causes, "metadata.finalizers", "FieldValueForbidden",
			"Forbidden: no new finalizers can be added if the object is being deleted, "
			"found new finalizers []string{\"%s\"}",
			json_text(f));
}

/* What of a pod's spec may change: images, deadlines, tolerations and scheduling gates. */
static cJSON *
pod_fixed_part(const cJSON *spec)
{
	cJSON *out = json_clone(spec), *k;

	cJSON_ArrayForEach(k, json_get(out, "containers")) json_drop(k, "image");
	cJSON_ArrayForEach(k, json_get(out, "initContainers")) json_drop(k, "image");
	json_drop(out, "activeDeadlineSeconds");
	json_drop(out, "tolerations");
	json_drop(out, "schedulingGates");
	json_drop(out, "terminationGracePeriodSeconds");
	return out;
}

static void
check_pod(struct call *c, const cJSON *o, const cJSON *old, cJSON *causes)
{
	if (!cJSON_GetArraySize(json_path(o, "spec.containers")))
		cause_add(causes, "spec.containers", "FieldValueRequired", "Required value");
	const cJSON *k;
	int i = 0;
	cJSON_ArrayForEach(k, json_path(o, "spec.containers"))
	{
		char field[64];
		snprintf(field, sizeof(field), "spec.containers[%d].name", i++);
		if (!*json_str(k, "name", ""))
			cause_add(causes, field, "FieldValueRequired", "Required value");
	}
	if (!old || !strcmp(c->sub, "status") || !strcmp(c->sub, "binding"))
		return;
	cJSON *was = pod_fixed_part(json_get(old, "spec")),
	      *now = pod_fixed_part(json_get(o, "spec"));
	if (!json_equal(was, now))
		cause_add(causes, "spec", "FieldValueForbidden",
			"Forbidden: pod updates may not change fields other than "
			"`spec.containers[*].image`,`spec.initContainers[*].image`,`spec."
			"activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
			"tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to "
			"1 if it was previously negative)\n");
	json_free(was);
	json_free(now);
}

/* Bytes of a quantity, good enough to compare sizes. */
static double
quantity(const char *s)
{
	static const char *const binary = "KMGTPE";
	char *end;
	double v = strtod(s ? s : "0", &end);
	const char *at = *end ? strchr(binary, *end == 'k' ? 'K' : *end) : NULL;

	for (const char *p = binary; at && p <= at; p++)
		v *= end[1] == 'i' ? 1024 : 1000;
	return v;
}

static void
check_claim(const cJSON *o, const cJSON *old, cJSON *causes)
{
	if (!cJSON_GetArraySize(json_path(o, "spec.accessModes")))
		cause_add(causes, "spec.accessModes", "FieldValueRequired",
			"Required value: at least 1 access mode is required");
	if (!json_path(o, "spec.resources.requests.storage"))
		cause_add(
			causes, "spec.resources[storage]", "FieldValueRequired", "Required value");
	if (!old)
		return;
	cJSON *was = json_clone(json_get(old, "spec")), *now = json_clone(json_get(o, "spec"));
	if (!json_str(was, "volumeName", NULL))
		json_drop(now, "volumeName");
	for (int i = 0; i < 2; i++) {
		json_drop(i ? now : was, "resources");
		json_drop(i ? now : was, "volumeAttributesClassName");
	}
	if (!json_equal(was, now))
		cause_add(causes, "spec", "FieldValueForbidden",
			"Forbidden: spec is immutable after creation except resources.requests and "
			"volumeAttributesClassName for bound claims");
	json_free(was);
	json_free(now);
	const char *before = json_str(old, "spec.resources.requests.storage", "");
	const char *after = json_str(o, "spec.resources.requests.storage", "");
	if (strcmp(before, after) && strcmp(json_str(old, "status.phase", ""), "Bound"))
		cause_add(causes, "spec", "FieldValueForbidden",
			"Forbidden: spec is immutable after creation except resources.requests and "
			"volumeAttributesClassName for bound claims");
	else if (quantity(after) < quantity(before) &&
		 quantity(after) <= quantity(json_str(old, "status.capacity.storage", "")))
		cause_add(causes, "spec.resources.requests.storage", "FieldValueForbidden",
			"Forbidden: field can not be less than status.capacity");
}

void
rules_check(struct call *c, const cJSON *o, const cJSON *old, cJSON *causes)
{
	if (is(c, "pods"))
		check_pod(c, o, old, causes);
	else if (is(c, "persistentvolumeclaims") && strcmp(c->sub, "status"))
		check_claim(o, old, causes);
	else if (is(c, "configmaps") && old && json_bool(old, "immutable", false) &&
		 !json_equal(json_get(old, "data"), json_get(o, "data")))
		cause_add(causes, "data", "FieldValueForbidden",
			"Forbidden: field is immutable when `immutable` is set");
	else if (is(c, "services") && old &&
		 strcmp(json_str(o, "spec.clusterIP", ""), json_str(old, "spec.clusterIP", "")))
		cause_add(causes, "spec.clusterIPs[0]", "FieldValueInvalid",
			"Invalid value: [\"%s\"]: may not change once set",
			json_str(o, "spec.clusterIP", ""));
	if (!c->res->custom && json_path(o, "spec.replicas") && json_int(o, "spec.replicas", 0) < 0)
		cause_add(causes, "spec.replicas", "FieldValueInvalid",
			"Invalid value: %lld: must be greater than or equal to 0",
			(long long)json_int(o, "spec.replicas", 0));
}
