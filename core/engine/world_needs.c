#include "engine/world_needs.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FIELDS_MAX 64

static const char *const object_keys[] = { "as", "kind", "owner", "label", "cluster", "name", "uid",
	"fields", NULL };
static const char *const pd_keys[] = { "as", "pd", "stores", "store", "address", "member", "fresh",
	"wake", "settings", NULL };
static const char *const secret_keys[] = { "as", "secrets", "of", NULL };
static const char *const tikv_keys[] = { "as", "tikv", "settings", "fresh", NULL };
static const char *const reserved[] = { "now", "clock", "kind", "object", "deleting", "operator",
	"last", "ages", "unknown", NULL };

static bool
among(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (strcmp(*list, s) == 0)
			return true;
	return false;
}

/* The text of a member: "" when absent; -1 when it is none. */
static int
text_of(const cJSON *item, const char *as, const char *key, const char **out, struct err *e)
{
	const cJSON *v = json_get(item, key);

	*out = NULL;
	if (!v)
		return 0;
	*out = json_text(v);
	if (!*out || !**out)
		return err_set(e, ERR_INVALID, "needs: %s: %s: expected a text", as, key);
	return 0;
}

struct field {
	const char *name, *path;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct field *)a)->name, ((const struct field *)b)->name);
}

static int
read_fields(struct world_need *out, const cJSON *fields, struct projections *p, struct err *e)
{
	struct field f[FIELDS_MAX];
	const char *names[FIELDS_MAX], *paths[FIELDS_MAX];
	const cJSON *it;
	size_t n = 0;

	if (!fields)
		return 0;
	if (!cJSON_IsObject(fields))
		return err_set(
			e, ERR_INVALID, "needs: %s: fields: expected a table of paths", out->as);
	cJSON_ArrayForEach(it, fields)
	{
		const char *path = cJSON_IsString(it) ? it->valuestring : NULL;

		if (!path || !*path)
			return err_set(e, ERR_INVALID, "needs: %s: fields.%s: expected a path",
				out->as, it->string);
		if (n == FIELDS_MAX)
			return err_set(e, ERR_INVALID, "needs: %s: fields: more than %d", out->as,
				FIELDS_MAX);
		f[n++] = (struct field){ it->string, path };
	}
	qsort(f, n, sizeof(*f), by_name);
	for (size_t i = 0; i < n; i++) {
		names[i] = f[i].name;
		paths[i] = f[i].path;
	}
	out->projection = projection_of(p, names, paths, n);
	return 0;
}

static int
read_label(const cJSON *label, const char *as, const char **key, const char **value, struct err *e)
{
	*key = json_text(cJSON_GetArrayItem(label, 0));
	*value = json_text(cJSON_GetArrayItem(label, 1));
	if (!cJSON_IsArray(label) || cJSON_GetArraySize(label) != 2 || !*key || !*value)
		return err_set(e, ERR_INVALID, "needs: %s: label: expected {key, value}", as);
	if (!store_label_indexed(*key))
		return err_set(
			e, ERR_INVALID, "needs: %s: label: nothing is found by %s", as, *key);
	return 0;
}

static int
read_object(struct world_need *out, const cJSON *item, const char *ns, struct projections *p,
	struct err *e)
{
	const cJSON *label = json_get(item, "label");
	const char *kind, *owner, *cluster, *key, *value;
	int selectors;

	if (text_of(item, out->as, "kind", &kind, e) < 0 ||
		text_of(item, out->as, "owner", &owner, e) < 0 ||
		text_of(item, out->as, "cluster", &cluster, e) < 0 ||
		text_of(item, out->as, "name", &out->name, e) < 0 ||
		text_of(item, out->as, "uid", &out->uid, e) < 0)
		return -1;
	if (!kind)
		return err_set(e, ERR_INVALID, "needs: %s: kind: missing", out->as);
	if (kind_of(kind, &out->kind) < 0)
		return err_set(e, ERR_INVALID, "needs: %s: kind: unknown kind %s", out->as, kind);
	selectors = (owner != NULL) + (cluster != NULL) + (label != NULL) + (out->name != NULL);
	if (selectors > 1)
		return err_set(e, ERR_INVALID,
			"needs: %s: only one of owner, label, cluster and name may be given",
			out->as);
	if (out->uid && !out->name)
		return err_set(e, ERR_INVALID, "needs: %s: uid without name", out->as);
	if (read_fields(out, json_get(item, "fields"), p, e) < 0)
		return -1;
	out->form = out->name ? NEED_ONE : NEED_LIST;
	if (owner) {
		out->index = STORE_OWNER;
		out->value = xstrdup(owner);
	} else if (cluster) {
		out->index = STORE_CLUSTER;
		out->value = xasprintf("%s/%s", ns, cluster);
	} else if (label) {
		if (read_label(label, out->as, &key, &value, e) < 0)
			return -1;
		out->index = STORE_LABEL;
		out->value = kind_row(out->kind)->namespaced ? xasprintf("%s/%s=%s", ns, key, value)
							     : xasprintf("%s=%s", key, value);
	} else if (kind_row(out->kind)->namespaced) {
		out->index = STORE_NAMESPACE;
		out->value = xstrdup(ns);
	} else {
		out->index = STORE_ALL;
		out->value = xstrdup("");
	}
	return 0;
}

static int
read_fresh(struct world_need *out, const cJSON *item, struct err *e)
{
	const cJSON *fresh = json_get(item, "fresh");

	if (fresh && (!cJSON_IsNumber(fresh) || fresh->valuedouble <= 0))
		return err_set(e, ERR_INVALID, "needs: %s: fresh: expected seconds", out->as);
	out->fresh = fresh ? fresh->valuedouble : 0;
	return 0;
}

static int
read_settings(struct world_need *out, const cJSON *item, struct err *e)
{
	const cJSON *it;

	out->settings = json_get(item, "settings");
	if (out->settings && !cJSON_IsArray(out->settings) && out->settings->child)
		return err_set(e, ERR_INVALID, "needs: %s: settings: expected a list", out->as);
	cJSON_ArrayForEach(it, out->settings) if (!cJSON_IsString(it)) return err_set(
		e, ERR_INVALID, "needs: %s: settings: expected names", out->as);
	return 0;
}

/* `fresh` is how often the process is read: an age that nobody gave is no wish. */
static int
read_tikv(struct world_need *out, const cJSON *item, struct err *e)
{
	out->form = NEED_TIKV;
	if (text_of(item, out->as, "tikv", &out->instance, e) < 0 || read_fresh(out, item, e) < 0 ||
		read_settings(out, item, e) < 0)
		return -1;
	if (out->fresh == 0)
		return err_set(e, ERR_INVALID, "needs: %s: fresh: missing", out->as);
	return 0;
}

static int
read_secrets(struct world_need *out, const cJSON *item, struct err *e)
{
	const cJSON *it;

	out->form = NEED_SECRETS;
	out->secrets = json_get(item, "secrets");
	if (text_of(item, out->as, "of", &out->cluster, e) < 0)
		return -1;
	if (!out->cluster)
		return err_set(e, ERR_INVALID, "needs: %s: of: missing", out->as);
	if (!cJSON_IsArray(out->secrets))
		return err_set(e, ERR_INVALID, "needs: %s: secrets: expected a list", out->as);
	cJSON_ArrayForEach(it, out->secrets) if (!json_text(it) || !*json_text(it)) return err_set(
		e, ERR_INVALID, "needs: %s: secrets: expected names", out->as);
	return 0;
}

static int
read_pd(struct world_need *out, const cJSON *item, struct err *e)
{
	const cJSON *store = json_get(item, "store"), *it;
	const char *stores;

	out->form = NEED_PD;
	if (text_of(item, out->as, "pd", &out->cluster, e) < 0 ||
		text_of(item, out->as, "stores", &stores, e) < 0 ||
		text_of(item, out->as, "address", &out->address, e) < 0 ||
		text_of(item, out->as, "member", &out->member, e) < 0)
		return -1;
	if (stores && strcmp(stores, "all") != 0 && strcmp(stores, "none") != 0)
		return err_set(e, ERR_INVALID, "needs: %s: stores: expected all or none, got %s",
			out->as, stores);
	out->all_stores = stores && strcmp(stores, "all") == 0;
	if (cJSON_IsNumber(store))
		out->store = xasprintf("%.0f", store->valuedouble);
	else if (json_text(store))
		out->store = xstrdup(json_text(store));
	else if (store)
		return err_set(e, ERR_INVALID, "needs: %s: store: expected an id", out->as);
	if (read_fresh(out, item, e) < 0 || read_settings(out, item, e) < 0)
		return -1;
	out->wake = json_get(item, "wake");
	if (out->wake && !cJSON_IsArray(out->wake) && out->wake->child)
		return err_set(e, ERR_INVALID, "needs: %s: wake: expected a list", out->as);
	cJSON_ArrayForEach(it, out->wake) if (!cJSON_IsString(it)) return err_set(
		e, ERR_INVALID, "needs: %s: wake: expected topics", out->as);
	return 0;
}

int
world_need_read(struct world_need *out, const cJSON *item, const char *ns,
	struct projections *projections, struct err *e)
{
	bool pd = json_get(item, "pd") != NULL, tikv = !pd && json_get(item, "tikv") != NULL;
	bool secrets = !pd && !tikv && json_get(item, "secrets") != NULL;
	const char *const *keys = pd        ? pd_keys
				  : tikv    ? tikv_keys
				  : secrets ? secret_keys
					    : object_keys;
	const cJSON *it;
	int rc;

	memset(out, 0, sizeof(*out));
	out->as = json_text(json_get(item, "as"));
	if (!cJSON_IsObject(item) || !out->as || !*out->as)
		return err_set(e, ERR_INVALID, "needs: an item without `as`");
	if (among(reserved, out->as))
		return err_set(e, ERR_INVALID, "needs: as=%s: the name is taken", out->as);
	cJSON_ArrayForEach(it, item) if (!among(keys, it->string)) return err_set(
		e, ERR_INVALID, "needs: %s: unknown key %s", out->as, it->string);
	rc = pd        ? read_pd(out, item, e)
	     : tikv    ? read_tikv(out, item, e)
	     : secrets ? read_secrets(out, item, e)
		       : read_object(out, item, ns, projections, e);
	if (rc == 0)
		return 0;
	world_need_fini(out);
	return -1;
}

void
world_need_fini(struct world_need *n)
{
	free(n->value);
	free(n->store);
	n->value = n->store = NULL;
}
