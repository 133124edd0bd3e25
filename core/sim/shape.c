/*
 * shape: which fields merge as one, field by field, or item by item.
 *
 * Custom kinds say it in their schemas (x-kubernetes-list-type and so on). Built-in kinds are known
 * by the names of their fields; a name means the same wherever it stands, but for a few.
 */
#include <string.h>

#include "sim/apisim_priv.h"

/* keys: as server-side apply sees them; smp: the key of strategic merge patch, NULL: replaced. */
static const struct list_row {
	const char *above, *field; /* above NULL: anywhere */
	const char *keys[4];       /* none: a set; "!" : atomic */
	const char *smp;           /* "": a list of scalars that is joined */
} lists[] = {
	{ "metadata", "finalizers", { NULL }, "" },
	{ "metadata", "ownerReferences", { "uid" }, "uid" },
	{ NULL, "containers", { "name" }, "name" },
	{ NULL, "initContainers", { "name" }, "name" },
	{ NULL, "ephemeralContainers", { "name" }, "name" },
	{ NULL, "env", { "name" }, "name" },
	{ NULL, "volumes", { "name" }, "name" },
	{ NULL, "volumeMounts", { "mountPath" }, "mountPath" },
	{ NULL, "volumeDevices", { "devicePath" }, "devicePath" },
	{ NULL, "imagePullSecrets", { "name" }, "name" },
	{ NULL, "hostAliases", { "ip" }, "ip" },
	{ NULL, "topologySpreadConstraints", { "topologyKey", "whenUnsatisfiable" },
		"topologyKey" },
	{ NULL, "schedulingGates", { "name" }, "name" },
	{ NULL, "resourceClaims", { "name" }, "name" },
	{ "resources", "claims", { "name" }, NULL },
	{ "containers", "ports", { "containerPort", "protocol" }, "containerPort" },
	{ "initContainers", "ports", { "containerPort", "protocol" }, "containerPort" },
	{ "spec", "ports", { "port", "protocol" }, "port" },
	{ NULL, "conditions", { "type" }, "type" },
	{ "status", "addresses", { "type" }, "type" },
	{ "status", "podIPs", { "ip" }, "ip" },
	{ "status", "hostIPs", { "!" }, "ip" },
	{ "spec", "podCIDRs", { NULL }, "" },
	{ "spec", "taints", { "!" }, "key" },
	{ "", "secrets", { "name" }, "name" },
	{ NULL, "volumeClaimTemplates", { "!" }, NULL },
};

static const char *const atomic_maps[] = { "ownerReferences", "imagePullSecrets", "nodeSelector",
	"labelSelector", "configMapRef", "secretRef", "configMapKeyRef", "secretKeyRef", "fieldRef",
	"resourceFieldRef", "dataSource", "involvedObject", "roleRef", "matchLabels",
	"scaleTargetRef", "nodeSelectorTerms", "requiredDuringSchedulingIgnoredDuringExecution" };

/* Maps whose keys are data, not fields of a struct. */
static const char *const free_maps[] = { "labels", "annotations", "data", "binaryData",
	"stringData", "requests", "limits", "capacity", "allocatable", "parameters", "hard", "used",
	"allocated", "allocatedResources", "volumeAttributes", "selector", "overhead", "f:" };

static bool
one_of(const char *const *list, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], s))
			return true;
	return false;
}

static const struct list_row *
row_of(const struct shape *s)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		if (!strcmp(lists[i].field, s->field) &&
			(!lists[i].above || !strcmp(lists[i].above, s->above)))
			return &lists[i];
	return NULL;
}

struct shape
shape_root(const struct res *res)
{
	return (struct shape){
		.schema =
			res->custom ? json_path(res->crd_version, "schema.openAPIV3Schema") : NULL,
		.field = "",
		.above = "",
		.root = true,
		.raw_data = !strcmp(res->id, "controllerrevisions.apps"),
	};
}

struct shape
shape_field(const struct shape *s, const char *field)
{
	struct shape out = { .field = field, .above = s->field, .meta = s->meta };

	out.raw_data = s->root && s->raw_data && !strcmp(field, "data");
	if (s->root && !strcmp(field, "metadata")) {
		out.meta = true;
		return out;
	}
	if (s->meta || !s->schema)
		return out;
	if (json_bool(s->schema, "x-kubernetes-embedded-resource", false) &&
		!strcmp(field, "metadata")) {
		out.meta = true;
		return out;
	}
	const cJSON *p = json_get(json_get(s->schema, "properties"), field);
	if (!p)
		p = json_get(s->schema, "additionalProperties");
	static const cJSON open = { .type = cJSON_Object };
	out.schema = cJSON_IsObject(p) ? p : &open;
	return out;
}

struct shape
shape_item(const struct shape *s)
{
	struct shape out = *s;

	out.root = false;
	if (s->schema && !s->meta) {
		static const cJSON open = { .type = cJSON_Object };
		const cJSON *items = json_get(s->schema, "items");
		out.schema = items ? items : &open;
	}
	return out;
}

enum shape_kind
shape_kind(const struct shape *s, const cJSON *value)
{
	bool known = !s->schema || s->meta;

	if (cJSON_IsObject(value)) {
		if (s->raw_data && !s->root)
			return SHAPE_ATOMIC;
		if (!known) {
			if (!strcmp(json_str(s->schema, "x-kubernetes-map-type", ""), "atomic"))
				return SHAPE_ATOMIC;
			return json_get(s->schema, "properties") || s->root ? SHAPE_STRUCT
									    : SHAPE_MAP;
		}
		if (one_of(atomic_maps, sizeof(atomic_maps) / sizeof(*atomic_maps), s->field))
			return SHAPE_ATOMIC;
		if (!strcmp(s->field, "selector") && json_get(value, "matchLabels"))
			return SHAPE_ATOMIC;
		if (!strcmp(s->field, "selector"))
			return SHAPE_ATOMIC;
		return one_of(free_maps, sizeof(free_maps) / sizeof(*free_maps), s->field)
			       ? SHAPE_MAP
			       : SHAPE_STRUCT;
	}
	if (!cJSON_IsArray(value))
		return SHAPE_LEAF;
	if (!known) {
		const char *type = json_str(s->schema, "x-kubernetes-list-type", "atomic");
		return !strcmp(type, "map")   ? SHAPE_KEYED
		       : !strcmp(type, "set") ? SHAPE_SET
					      : SHAPE_ATOMIC;
	}
	const struct list_row *row = row_of(s);
	if (!row || (row->keys[0] && *row->keys[0] == '!'))
		return SHAPE_ATOMIC;
	return row->keys[0] ? SHAPE_KEYED : SHAPE_SET;
}

int
shape_keys(const struct shape *s, bool smp, const char *keys[4])
{
	int n = 0;

	if (s->schema && !s->meta) {
		const cJSON *k;
		cJSON_ArrayForEach(
			k, json_get(s->schema, "x-kubernetes-list-map-keys")) if (n < 4 &&
										  cJSON_IsString(k))
			keys[n++] = k->valuestring;
		return n;
	}
	const struct list_row *row = row_of(s);
	if (!row)
		return 0;
	if (smp) {
		if (!row->smp || !*row->smp)
			return 0;
		keys[0] = row->smp;
		return 1;
	}
	while (n < 4 && row->keys[n]) {
		keys[n] = row->keys[n];
		n++;
	}
	return n;
}

const cJSON *
shape_key_default(const struct shape *s, const char *key)
{
	static char text[] = "TCP";
	static const cJSON tcp = { .type = cJSON_String, .valuestring = text };

	if (s->schema && !s->meta) {
		const cJSON *items = json_get(s->schema, "items");
		return json_get(json_get(json_get(items, "properties"), key), "default");
	}
	return !strcmp(key, "protocol") ? &tcp : NULL;
}

int
shape_same(const struct shape *s, const cJSON *list, const cJSON *item, bool smp)
{
	const char *keys[4];
	int n = shape_keys(s, smp, keys), at = 0;
	const cJSON *other;

	if (!n)
		return -1;
	cJSON_ArrayForEach(other, list)
	{
		bool same = true;
		for (int i = 0; same && i < n; i++) {
			const cJSON *a = json_get(item, keys[i]), *b = json_get(other, keys[i]);
			a = a ? a : shape_key_default(s, keys[i]);
			b = b ? b : shape_key_default(s, keys[i]);
			same = a && b ? json_equal(a, b) : a == b;
		}
		if (same)
			return at;
		at++;
	}
	return -1;
}
