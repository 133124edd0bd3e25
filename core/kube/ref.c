#include "kube/ref.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/http.h"

#define OURS "core.tikv.org"

static const struct kind_row rows[KIND_COUNT] = {
	[KIND_CLUSTER] = { "Cluster", OURS, "v1alpha1", "clusters", true, true },
	[KIND_PDGROUP] = { "PDGroup", OURS, "v1alpha1", "pdgroups", true, true },
	[KIND_PD] = { "PD", OURS, "v1alpha1", "pds", true, true },
	[KIND_TIKVGROUP] = { "TiKVGroup", OURS, "v1alpha1", "tikvgroups", true, true },
	[KIND_TIKV] = { "TiKV", OURS, "v1alpha1", "tikvs", true, true },
	[KIND_POD] = { "Pod", "", "v1", "pods", true, false },
	[KIND_CLAIM] = { "PersistentVolumeClaim", "", "v1", "persistentvolumeclaims", true, false },
	[KIND_VOLUME] = { "PersistentVolume", "", "v1", "persistentvolumes", false, false },
	[KIND_CONFIGMAP] = { "ConfigMap", "", "v1", "configmaps", true, false },
	[KIND_SERVICE] = { "Service", "", "v1", "services", true, false },
	[KIND_SECRET] = { "Secret", "", "v1", "secrets", true, false },
	[KIND_NODE] = { "Node", "", "v1", "nodes", false, false },
	[KIND_STORAGECLASS] = { "StorageClass", "storage.k8s.io", "v1", "storageclasses", false,
		false },
	[KIND_VOLUMEATTACHMENT] = { "VolumeAttachment", "storage.k8s.io", "v1", "volumeattachments",
		false, false },
	[KIND_REVISION] = { "ControllerRevision", "apps", "v1", "controllerrevisions", true,
		false },
	[KIND_BUDGET] = { "PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", true,
		false },
	[KIND_JOB] = { "Job", "batch", "v1", "jobs", true, false },
	[KIND_EVENT] = { "Event", "", "v1", "events", true, false },
	[KIND_LEASE] = { "Lease", "coordination.k8s.io", "v1", "leases", true, false },
	[KIND_QUOTA] = { "ResourceQuota", "", "v1", "resourcequotas", true, false },
	[KIND_CRD] = { "CustomResourceDefinition", "apiextensions.k8s.io", "v1",
		"customresourcedefinitions", false, false },
};

static const char *const api_versions[KIND_COUNT] = {
	[KIND_CLUSTER] = OURS "/v1alpha1",
	[KIND_PDGROUP] = OURS "/v1alpha1",
	[KIND_PD] = OURS "/v1alpha1",
	[KIND_TIKVGROUP] = OURS "/v1alpha1",
	[KIND_TIKV] = OURS "/v1alpha1",
	[KIND_POD] = "v1",
	[KIND_CLAIM] = "v1",
	[KIND_VOLUME] = "v1",
	[KIND_CONFIGMAP] = "v1",
	[KIND_SERVICE] = "v1",
	[KIND_SECRET] = "v1",
	[KIND_NODE] = "v1",
	[KIND_STORAGECLASS] = "storage.k8s.io/v1",
	[KIND_VOLUMEATTACHMENT] = "storage.k8s.io/v1",
	[KIND_REVISION] = "apps/v1",
	[KIND_BUDGET] = "policy/v1",
	[KIND_JOB] = "batch/v1",
	[KIND_EVENT] = "v1",
	[KIND_LEASE] = "coordination.k8s.io/v1",
	[KIND_QUOTA] = "v1",
	[KIND_CRD] = "apiextensions.k8s.io/v1",
};

const struct kind_row *
kind_row(enum kind k)
{
	must((unsigned)k < KIND_COUNT);
	return &rows[k];
}

const char *
kind_api_version(enum kind k)
{
	must((unsigned)k < KIND_COUNT);
	return api_versions[k];
}

int
kind_of(const char *kind_name, enum kind *out)
{
	for (int k = 0; kind_name && k < KIND_COUNT; k++)
		if (strcmp(rows[k].kind, kind_name) == 0) {
			*out = (enum kind)k;
			return 0;
		}
	return -1;
}

int
kind_of_object(const cJSON *object, enum kind *out)
{
	const char *version = json_text(json_get(object, "apiVersion"));
	enum kind k;

	if (!version || kind_of(json_text(json_get(object, "kind")), &k) != 0)
		return -1;
	if (strcmp(version, api_versions[k]) != 0)
		return -1;
	*out = k;
	return 0;
}

/* A segment that would climb or vanish is refused: a request must never hit a collection by
 * accident. */
static int
put_segment(struct buf *out, const char *s)
{
	if (!*s || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return -1;
	if (buf_putc(out, '/') != 0)
		return -1;
	return http_escape(out, s);
}

int
ref_path(struct buf *out, enum kind k, const char *ns, const char *name, const char *sub)
{
	const struct kind_row *r = kind_row(k);
	bool in_ns = r->namespaced && ns && *ns;

	if (name && (!*name || (r->namespaced && !in_ns)))
		return -1;
	if (sub && !name)
		return -1;
	if (buf_puts(out, *r->group ? "/apis/" : "/api/") != 0 ||
		buf_puts(out, api_versions[k]) != 0)
		return -1;
	if (in_ns && (buf_puts(out, "/namespaces") != 0 || put_segment(out, ns) != 0))
		return -1;
	if (put_segment(out, r->plural) != 0)
		return -1;
	if (name && put_segment(out, name) != 0)
		return -1;
	if (sub && put_segment(out, sub) != 0)
		return -1;
	return 0;
}

int
ref_key(struct buf *out, const char *ns, const char *name)
{
	if (ns && *ns && (buf_puts(out, ns) != 0 || buf_putc(out, '/') != 0))
		return -1;
	return buf_puts(out, name);
}

const cJSON *
ref_controller(const cJSON *object)
{
	const cJSON *owners = json_get(json_get(object, "metadata"), "ownerReferences");
	const cJSON *o;

	cJSON_ArrayForEach(o, owners) if (cJSON_IsTrue(json_get(o, "controller"))) return o;
	return NULL;
}

/* ---- resourceVersion ---- */

bool
rv_valid(const char *rv)
{
	if (!rv || *rv < '1' || *rv > '9')
		return false;
	for (; *rv; rv++)
		if (*rv < '0' || *rv > '9')
			return false;
	return true;
}

int
rv_compare(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);

	if (na != nb)
		return na < nb ? -1 : 1;
	return strcmp(a, b);
}

/* ---- selectors ---- */

enum term_op { TERM_EXISTS, TERM_ABSENT, TERM_IN, TERM_NOT_IN };

struct term {
	enum term_op op;
	char *key;
	char **value;
	size_t values;
};

struct selector {
	struct term *term;
	size_t terms;
};

static struct term *
add_term(struct selector *s, enum term_op op, char *own_key)
{
	s->term = xrealloc(s->term, (s->terms + 1) * sizeof *s->term);
	s->term[s->terms] = (struct term){ .op = op, .key = own_key };
	return &s->term[s->terms++];
}

static void
add_value(struct term *t, char *own_value)
{
	t->value = xrealloc(t->value, (t->values + 1) * sizeof *t->value);
	t->value[t->values++] = own_value;
}

void
selector_free(struct selector *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->terms; i++) {
		for (size_t j = 0; j < s->term[i].values; j++)
			free(s->term[i].value[j]);
		free(s->term[i].value);
		free(s->term[i].key);
	}
	free(s->term);
	free(s);
}

static const char *
skip_blank(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static char *
take_word(const char **p)
{
	const char *from = skip_blank(*p), *to = from;

	while (isalnum((unsigned char)*to) || (*to && strchr("-_./", *to)))
		to++;
	*p = skip_blank(to);
	return xstrndup(from, (size_t)(to - from));
}

static int
parse_set(struct term *t, const char **p)
{
	if (**p != '(')
		return -1;
	do {
		(*p)++;
		add_value(t, take_word(p));
	} while (**p == ',');
	if (**p != ')')
		return -1;
	*p = skip_blank(*p + 1);
	return 0;
}

static int
parse_term(struct selector *s, const char **p)
{
	bool absent = **p == '!';
	if (absent)
		(*p)++;
	char *key = take_word(p);
	struct term *t = add_term(s, absent ? TERM_ABSENT : TERM_EXISTS, key);

	if (!*key)
		return -1;
	if (absent || **p == ',' || !**p)
		return 0;
	if (**p == '=' || strncmp(*p, "!=", 2) == 0) {
		t->op = **p == '=' ? TERM_IN : TERM_NOT_IN;
		*p += **p == '!' || (*p)[1] == '=' ? 2 : 1;
		add_value(t, take_word(p));
		return 0;
	}
	char *op = take_word(p);
	int known = strcmp(op, "in") == 0 ? TERM_IN : strcmp(op, "notin") == 0 ? TERM_NOT_IN : -1;
	free(op);
	if (known < 0)
		return -1;
	t->op = (enum term_op)known;
	return parse_set(t, p);
}

struct selector *
selector_parse(const char *text, struct err *e)
{
	struct selector *s = xcalloc(1, sizeof *s);
	const char *p = skip_blank(text);

	while (*p) {
		if (parse_term(s, &p) != 0 || (*p && *p != ','))
			goto bad;
		if (*p == ',') {
			p = skip_blank(p + 1);
			if (!*p)
				goto bad;
		}
	}
	return s;
bad:
	selector_free(s);
	err_set(e, ERR_INVALID, "label selector \"%s\": unexpected text at byte %zu", text,
		(size_t)(p - text));
	return NULL;
}

static int
expression(struct selector *s, const cJSON *x, struct err *e)
{
	static const struct {
		const char *name;
		enum term_op op;
	} ops[] = { { "In", TERM_IN }, { "NotIn", TERM_NOT_IN }, { "Exists", TERM_EXISTS },
		{ "DoesNotExist", TERM_ABSENT } };
	const char *key = json_text(json_get(x, "key")), *name = json_text(json_get(x, "operator"));
	const cJSON *values = json_get(x, "values"), *v;

	if (!key || !name)
		return err_set(
			e, ERR_INVALID, "label selector: an expression needs key and operator");
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		if (strcmp(ops[i].name, name) != 0)
			continue;
		bool set = ops[i].op == TERM_IN || ops[i].op == TERM_NOT_IN;
		if (set != (cJSON_GetArraySize(values) > 0))
			return err_set(e, ERR_INVALID, "label selector: %s %s: values must be %s",
				key, name, set ? "given" : "absent");
		struct term *t = add_term(s, ops[i].op, xstrdup(key));
		cJSON_ArrayForEach(v, values)
			add_value(t, xstrdup(json_text(v) ? json_text(v) : ""));
		return 0;
	}
	return err_set(e, ERR_INVALID, "label selector: %s: unknown operator %s", key, name);
}

struct selector *
selector_of(const cJSON *label_selector, struct err *e)
{
	struct selector *s = xcalloc(1, sizeof *s);
	const cJSON *x;

	cJSON_ArrayForEach(x, json_get(label_selector, "matchLabels"))
	{
		if (!json_text(x)) {
			err_set(e, ERR_INVALID, "label selector: matchLabels.%s: not a string",
				x->string);
			goto bad;
		}
		add_value(add_term(s, TERM_IN, xstrdup(x->string)), xstrdup(json_text(x)));
	}
	cJSON_ArrayForEach(x, json_get(label_selector,
				      "matchExpressions")) if (expression(s, x, e) != 0) goto bad;
	return s;
bad:
	selector_free(s);
	return NULL;
}

static bool
term_match(const struct term *t, const char *value)
{
	bool in = false;

	for (size_t i = 0; value && i < t->values && !in; i++)
		in = strcmp(value, t->value[i]) == 0;
	switch (t->op) {
	case TERM_EXISTS:
		return value != NULL;
	case TERM_ABSENT:
		return value == NULL;
	case TERM_IN:
		return in;
	case TERM_NOT_IN:
		return !in;
	}
	return false;
}

bool
selector_match(const struct selector *s, const cJSON *labels)
{
	for (size_t i = 0; i < s->terms; i++)
		if (!term_match(&s->term[i], json_text(json_get(labels, s->term[i].key))))
			return false;
	return true;
}
