#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "sim/apisim_priv.h"

/* Which fields besides metadata.name and metadata.namespace can be selected by. */
static bool
selectable(const struct res *res, const char *path)
{
	static const char *const known[][12] = {
		{ "pods", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
			"spec.serviceAccountName", "status.phase", "status.podIP",
			"status.nominatedNodeName", "spec.hostNetwork" },
		{ "events", "involvedObject.kind", "involvedObject.namespace",
			"involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
			"involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
			"type", "source" },
		{ "nodes", "spec.unschedulable" },
		{ "namespaces", "status.phase" },
		{ "secrets", "type" },
		{ "services", "spec.clusterIP", "spec.type" },
		{ "replicasets.apps", "status.replicas" },
		{ "jobs.batch", "status.successful" },
	};
	const cJSON *one;

	if (!strcmp(path, "metadata.name") ||
		(res->namespaced && !strcmp(path, "metadata.namespace")))
		return true;
	cJSON_ArrayForEach(one, json_get(res->crd_version, "selectableFields"))
	{
		const char *p = json_str(one, "jsonPath", ".");
		if (!strcmp(p + 1, path))
			return true;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(known[i][0], res->id))
			continue;
		for (int k = 1; k < 12 && known[i][k]; k++)
			if (!strcmp(known[i][k], path))
				return true;
	}
	return false;
}

static int
take_fields(struct call *c, struct match *m, char *text)
{
	char *rest = text, *term;

	while ((term = strsep(&rest, ","))) {
		if (!*term)
			continue;
		char *eq = strchr(term, '=');
		if (!eq)
			return fail(c, 400, "BadRequest",
				"invalid selector: '%s'; can't understand '%s'",
				param_get(c, "fieldSelector"), term);
		if (m->fields == (int)(sizeof(m->field) / sizeof(*m->field)))
			return fail(c, 400, "BadRequest", "too many field selector terms");
		struct fieldterm *f = &m->field[m->fields];
		f->not = eq > term && eq[-1] == '!';
		size_t n = (size_t)(eq - term) - (f->not ? 1 : 0);
		char *path = xstrndup(term, n);
		if (!selectable(c->res, path)) {
			fail(c, 400, "BadRequest", "field label not supported: %s", path);
			free(path);
			return -1;
		}
		f->path = path;
		f->value = xstrdup(eq[1] == '=' ? eq + 2 : eq + 1);
		m->fields++;
	}
	return 0;
}

int
match_make(struct call *c, struct match *m)
{
	const char *labels = param_get(c, "labelSelector"), *fields = param_get(c, "fieldSelector");
	struct err e;

	memset(m, 0, sizeof(*m));
	m->ns = xstrdup(c->ns);
	if (*labels && !(m->labels = selector_parse(labels, &e)))
		return fail(c, 400, "BadRequest", "unable to parse requirement: %s", e.msg);
	if (!*fields)
		return 0;
	char *text = xstrdup(fields);
	int rc = take_fields(c, m, text);
	free(text);
	return rc;
}

void
match_fini(struct match *m)
{
	selector_free(m->labels);
	for (int i = 0; i < m->fields; i++) {
		free(m->field[i].path);
		free(m->field[i].value);
	}
	free(m->ns);
	memset(m, 0, sizeof(*m));
}

bool
match_any(const struct match *m)
{
	return !m->labels && !m->fields;
}

bool
match_ver(const struct match *m, struct ver *v)
{
	size_t n = strlen(m->ns);

	if (n && (strncmp(v->key, m->ns, n) || v->key[n] != '/'))
		return false;
	if (match_any(m))
		return true;
	const cJSON *tree = ver_tree(v);
	if (m->labels && !selector_match(m->labels, json_path(tree, "metadata.labels")))
		return false;
	for (int i = 0; i < m->fields; i++) {
		const cJSON *at = json_path(tree, m->field[i].path);
		const char *text = at ? json_text(at) : NULL;
		char number[40];
		if (cJSON_IsBool(at)) {
			text = cJSON_IsTrue(at) ? "true" : "false";
		} else if (cJSON_IsNumber(at)) {
			snprintf(number, sizeof(number), "%.15g", at->valuedouble);
			text = number;
		}
		bool same = !strcmp(text ? text : "", m->field[i].value);
		if (same == m->field[i].not )
			return false;
	}
	return true;
}

cJSON *
meta_only(const cJSON *object)
{
	cJSON *out = json_object();

	json_put_str(out, "kind", "PartialObjectMetadata");
	json_put_str(out, "apiVersion", "meta.k8s.io/v1");
	json_put(out, "metadata", json_clone(json_get(object, "metadata")));
	return out;
}

void
render(const struct call *c, struct ver *v, struct buf *out)
{
	cJSON *tree = NULL;

	switch (c->form) {
	case FORM_OBJECT:
		buf_put(out, v->text, v->len);
		return;
	case FORM_TABLE:
		tree = table_new(c, &v, 1);
		break;
	case FORM_META:
		tree = meta_only(ver_tree(v));
		break;
	}
	json_print(tree, out);
	json_free(tree);
}

void
read_one(struct call *c)
{
	struct ver *v = live_find(c->res, c->ns, c->name);
	const char *rv = param_get(c, "resourceVersion");
	struct buf out;

	if (*rv && !rv_valid(rv) && strcmp(rv, "0")) {
		fail(c, 400, "BadRequest",
			"resourceVersion: Invalid value: \"%s\": strconv.ParseUint: parsing "
			"\"%s\": invalid syntax",
			rv, rv);
		return;
	}
	if (!v) {
		fail_not_found(c, c->res, c->name);
		return;
	}
	if (c->form == FORM_OBJECT) {
		reply_text(c, 200, "application/json", v->text, v->len);
		return;
	}
	buf_init(&out, 0);
	render(c, v, &out);
	reply_text(c, 200, "application/json", out.at, out.len);
	buf_fini(&out);
}

static char *
token_make(int64_t rv, const char *last_key)
{
	char *plain = xasprintf(
		"{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":\"%s\"}", (long long)rv, last_key);
	size_t n = strlen(plain);
	char *out = xmalloc((n + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)plain, (int)n);
	free(plain);
	return out;
}

static int
token_read(const char *token, int64_t *rv, char **last_key)
{
	size_t n = strlen(token);
	unsigned char *plain = xcalloc(1, n + 4);
	int len = EVP_DecodeBlock(plain, (const unsigned char *)token, (int)n);
	cJSON *tree = len > 0 ? json_parse((char *)plain, strlen((char *)plain), NULL) : NULL;

	free(plain);
	*rv = json_int(tree, "rv", 0);
	*last_key = xstrdup(json_str(tree, "start", ""));
	bool good = tree && **last_key;
	json_free(tree);
	return good ? 0 : -1;
}

static void
too_large(struct call *c, const char *rv)
{
	fail(c, 504, "Timeout", "Timeout: Too large resource version: %s, current: %lld", rv,
		(long long)c->a->rv);
	fail_cause(c, "", "ResourceVersionTooLarge", "Too large resource version");
	json_put_int(fail_details(c), "retryAfterSeconds", 1);
}

/* Which moment to read, from resourceVersion, resourceVersionMatch, limit and continue. */
static int
list_moment(struct call *c, int64_t limit, int64_t *at, char **after)
{
	const char *rv = param_get(c, "resourceVersion"), *token = param_get(c, "continue");
	const char *how = param_get(c, "resourceVersionMatch");

	*at = 0;
	*after = NULL;
	if (*how && !*rv)
		return fail(c, 422, "Invalid",
			"ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
			"resourceVersionMatch is forbidden unless resourceVersion is provided");
	if (*token && *rv && strcmp(rv, "0"))
		return fail(c, 400, "BadRequest",
			"specifying resource version is not allowed when using continue");
	if (*rv && strcmp(rv, "0") && !rv_valid(rv))
		return fail(c, 400, "BadRequest",
			"resourceVersion: Invalid value: \"%s\": strconv.ParseUint: parsing "
			"\"%s\": invalid syntax",
			rv, rv);
	int64_t wanted = strtoll(rv, NULL, 10);
	if (*token && token_read(token, at, after))
		return fail(c, 400, "BadRequest", "continue key is not valid: illegal base64 data");
	if (*token)
		return 0;
	if (wanted > c->a->rv) {
		too_large(c, rv);
		return -1;
	}
	if (!strcmp(how, "Exact") || (!*how && limit > 0 && wanted > 0))
		*at = wanted;
	return 0;
}

static void
too_old(struct call *c, int64_t at, const char *after)
{
	if (!after) {
		fail(c, 410, "Expired", "The resourceVersion for the provided list is too old.");
		return;
	}
	(void)at;
	char *token = token_make(-1, after);
	fail(c, 410, "Expired",
		"The provided continue parameter is too old to display a consistent list result. "
		"You "
		"can start a new list without the continue parameter, or use the continue token in "
		"this response to retrieve the remainder of the results. Continuing with the "
		"provided "
		"token results in an inconsistent list - objects that were created, modified, or "
		"deleted between the time the first chunk was returned and now may show up in the "
		"list.");
	json_put_str((cJSON *)json_get(c->fail, "metadata"), "continue", token);
	free(token);
}

struct page {
	struct ver **v;
	size_t n;
	size_t more; /* matches beyond the limit, when counted */
	const char *last;
};

static void
list_print(struct call *c, const struct page *p, cJSON *own_meta)
{
	struct buf out;

	buf_init(&out, 0);
	if (c->form == FORM_TABLE) {
		cJSON *t = table_new(c, p->v, p->n);
		json_put(t, "metadata", own_meta);
		json_print(t, &out);
		json_free(t);
	} else {
		bool meta = c->form == FORM_META;
		const char *group = meta ? "meta.k8s.io" : c->res->group;
		buf_printf(&out, "{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",\"metadata\":",
			meta ? "PartialObjectMetadataList" : c->res->list_kind, group,
			*group ? "/" : "", meta ? "v1" : c->res->version);
		json_print(own_meta, &out);
		json_free(own_meta);
		buf_puts(&out, ",\"items\":[");
		for (size_t i = 0; i < p->n; i++) {
			if (i)
				buf_putc(&out, ',');
			render(c, p->v[i], &out);
		}
		buf_puts(&out, "]}");
	}
	reply_text(c, 200, "application/json", out.at, out.len);
	buf_fini(&out);
}

static void
list_page(struct call *c, const struct match *m, struct ver **all, size_t n, int64_t limit,
	int64_t at, const char *after)
{
	struct page p = { .v = xcalloc(n + 1, sizeof(struct ver *)) };
	int64_t rv = at > 0 ? at : c->a->rv;
	char text[24];

	for (size_t i = 0; i < n; i++) {
		if ((after && strcmp(all[i]->key, after) <= 0) || !match_ver(m, all[i]))
			continue;
		if (limit > 0 && (int64_t)p.n == limit)
			p.more++;
		else
			p.v[p.n++] = all[i];
	}
	cJSON *meta = json_object();
	snprintf(text, sizeof(text), "%lld", (long long)rv);
	json_put_str(meta, "resourceVersion", text);
	if (p.more) {
		char *token = token_make(rv, p.v[p.n - 1]->key);
		json_put_str(meta, "continue", token);
		free(token);
		if (match_any(m))
			json_put_int(meta, "remainingItemCount", (int64_t)p.more);
	}
	list_print(c, &p, meta);
	free(p.v);
}

void
read_list(struct call *c)
{
	int64_t limit = strtoll(param_get(c, "limit"), NULL, 10), at;
	struct match m;
	char *after = NULL;
	struct ver **all;
	size_t n;

	if (!match_make(c, &m) && !list_moment(c, limit, &at, &after)) {
		if (live_at(c->res, at > 0 ? at : 0, &all, &n))
			too_old(c, at, after);
		else
			list_page(c, &m, all, n, limit, at, after);
		free(all);
	}
	free(after);
	match_fini(&m);
}
