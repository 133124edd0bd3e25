#include "app/whose.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define OWNERS_MAX 4 /* pod -> Job -> group, and one to spare */
#define LABEL "metadata.labels.core\\.tikv\\.org/"

static const struct {
	enum kind kind;
	const char *short_name;
} known[] = { { KIND_POD, "po" }, { KIND_CLAIM, "pvc" }, { KIND_VOLUME, "pv" },
	{ KIND_CONFIGMAP, "cm" }, { KIND_SERVICE, "svc" }, { KIND_BUDGET, "pdb" },
	{ KIND_JOB, "job" }, { KIND_REVISION, "controllerrevision" } };

int
whose_kind(const char *word, size_t n, enum kind *out)
{
	if (client_kind(word, n, out) == 0)
		return 0;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		const struct kind_row *row = kind_row(known[i].kind);
		const char *const names[] = { known[i].short_name, row->kind, row->plural };
		for (int k = 0; k < 3; k++)
			if (strlen(names[k]) == n && strncasecmp(names[k], word, n) == 0) {
				*out = known[i].kind;
				return 0;
			}
	}
	return -1;
}

static bool
ours(enum kind k)
{
	return k >= KIND_CLUSTER && k <= KIND_TIKV;
}

/* Claims have no owner references, on purpose: their labels and annotations say whose they are. */
static bool
by_labels(const cJSON *o, enum kind *k, const char **name)
{
	const char *component = json_str(o, LABEL "component", "");

	*name = json_str(o, LABEL "instance", "");
	*k = strcmp(component, "pd") == 0 ? KIND_PD : KIND_TIKV;
	return **name != '\0' && (strcmp(component, "pd") == 0 || strcmp(component, "tikv") == 0);
}

static bool
next_owner(enum kind k, const cJSON *o, enum kind *of, const char **name)
{
	const cJSON *ref;

	if (k == KIND_VOLUME) {
		*of = KIND_CLAIM;
		*name = json_str(o, "spec.claimRef.name", "");
		return **name != '\0';
	}
	cJSON_ArrayForEach(ref, json_path(o, "metadata.ownerReferences"))
	{
		*name = json_str(ref, "name", "");
		if (json_bool(ref, "controller", false) &&
			kind_of(json_str(ref, "kind", ""), of) == 0)
			return true;
	}
	return by_labels(o, of, name);
}

cJSON *
whose(struct client *c, enum kind k, const cJSON *o, enum kind *of, struct err *e)
{
	cJSON *at = json_clone(o);

	for (int i = 0; i < OWNERS_MAX && at != NULL; i++) {
		const char *name;
		cJSON *owner;
		if (ours(k)) {
			*of = k;
			return at;
		}
		if (!next_owner(k, at, of, &name))
			break;
		owner = client_get(c, *of, name, e);
		json_free(at);
		at = owner;
		k = *of;
	}
	json_free(at);
	return NULL;
}

/* ---- what the object itself says ---- */

static void
line(FILE *out, const char *label, const char *text)
{
	if (*text != '\0')
		fprintf(out, "%-10s %s\n", label, text);
}

static void
containers(const cJSON *list, FILE *out)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, list)
	{
		const char *waits = json_str(c, "state.waiting.reason", "");
		const char *ended = json_str(c, "state.terminated.reason", "");
		const char *before = json_str(c, "lastState.terminated.reason", "");
		int restarts = (int)json_int(c, "restartCount", 0);
		if (json_bool(c, "ready", false) && restarts == 0)
			continue;
		fprintf(out, "%-10s %s: %s%s%s", "Container:", json_str(c, "name", "?"),
			*waits != '\0'   ? waits
			: *ended != '\0' ? ended
					 : "running",
			json_bool(c, "ready", false) ? "" : ", not ready",
			*json_str(c, "state.waiting.message", "") != '\0' ? ": " : "");
		fputs(json_str(c, "state.waiting.message", ""), out);
		if (restarts > 0)
			fprintf(out, ", %d restarts%s%s", restarts,
				*before != '\0' ? ", the last after " : "", before);
		fputc('\n', out);
	}
}

static void
conditions(const cJSON *o, FILE *out)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, json_path(o, "status.conditions"))
	{
		bool failed = strcmp(json_str(c, "type", ""), "Failed") == 0;
		bool yes = strcmp(json_str(c, "status", ""), "True") == 0;
		if (yes == failed)
			fprintf(out, "%-10s %s %s: %s\n", "Condition:", json_str(c, "type", "?"),
				yes ? "true" : "false",
				*json_str(c, "message", "") != '\0' ? json_str(c, "message", "")
								    : json_str(c, "reason", "?"));
	}
}

static void
claim(const cJSON *o, FILE *out)
{
	line(out, "Size:", json_str(o, "status.capacity.storage", ""));
	line(out, "Class:", json_str(o, "spec.storageClassName", ""));
	line(out, "Volume:", json_str(o, "spec.volumeName", ""));
	line(out, "Store:", json_str(o, LABEL "store-id", ""));
	line(out, "Member:", json_str(o, LABEL "member-id", ""));
	if (*json_str(o, LABEL "retired", "") != '\0')
		line(out,
			"Retired:", "its store or member has left; only a person mounts it again");
}

void
whose_print(enum kind k, const cJSON *o, FILE *out)
{
	fprintf(out, "%s %s\n", kind_row(k)->kind, json_str(o, "metadata.name", ""));
	line(out, "Phase:", json_str(o, "status.phase", ""));
	if (json_path(o, "metadata.deletionTimestamp") != NULL)
		line(out, "Deleted:", json_str(o, "metadata.deletionTimestamp", ""));
	if (k == KIND_POD) {
		line(out, "Node:", json_str(o, "spec.nodeName", ""));
		containers(json_path(o, "status.initContainerStatuses"), out);
		containers(json_path(o, "status.containerStatuses"), out);
	}
	if (k == KIND_CLAIM)
		claim(o, out);
	if (k == KIND_POD || k == KIND_JOB || k == KIND_CLAIM)
		conditions(o, out);
}
