#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "kube/store.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

/* Labels that STORE_LABEL finds objects by. At most 26: a value is tagged with 'A' + its place. */
static const char *const indexed_labels[] = {
	"core.tikv.org/cluster",
	"core.tikv.org/group",
	"core.tikv.org/instance",
	"core.tikv.org/component",
	"core.tikv.org/volume",
	"core.tikv.org/cluster-id",
	"app.kubernetes.io/managed-by",
	"tikv.org/policy",
	"tikv.org/scripts",
};
#define LABELS (sizeof indexed_labels / sizeof *indexed_labels)
#define TAG_OWNER 'o'
#define TAG_CLUSTER 'c'

struct row {
	struct row *next;
	struct projection *projection;
	char text[];
};

/* Index values as tagged texts, one behind the other: only what differs from object to object. */
struct obj_part {
	struct row *rows;
	const cJSON *tree; /* while somebody looks at it */
	size_t values_len;
	char *values;
};

/* ---- projections ---- */

enum form { FORM_VALUE, FORM_HASH, FORM_LEN };

struct column {
	char *name;
	char *path;   /* as given */
	char *access; /* without the form */
	enum form form;
};

/* Counted, because rows may outlive the set. */
struct projection {
	int refs;
	size_t n;
	struct column *column;
};

struct projections {
	struct projection **at;
	size_t n;
};

struct projections *
projections_new(void)
{
	return xcalloc(1, sizeof(struct projections));
}

static void
projection_unref(struct projection *p)
{
	if (--p->refs > 0)
		return;
	for (size_t i = 0; i < p->n; i++) {
		free(p->column[i].name);
		free(p->column[i].path);
		free(p->column[i].access);
	}
	free(p->column);
	free(p);
}

void
projections_free(struct projections *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		projection_unref(p->at[i]);
	free(p->at);
	free(p);
}

static bool
projection_is(
	const struct projection *p, const char *const *names, const char *const *paths, size_t n)
{
	if (p->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(p->column[i].name, names[i]) != 0 ||
			strcmp(p->column[i].path, paths[i]) != 0)
			return false;
	return true;
}

static struct column
column_of(const char *name, const char *path)
{
	struct column c = { .name = xstrdup(name), .path = xstrdup(path) };
	const char *bar = strrchr(path, '|');

	if (bar && strcmp(bar, "|hash") == 0)
		c.form = FORM_HASH;
	else if (bar && strcmp(bar, "|len") == 0)
		c.form = FORM_LEN;
	c.access = c.form == FORM_VALUE ? xstrdup(path) : xstrndup(path, (size_t)(bar - path));
	return c;
}

const struct projection *
projection_of(struct projections *p, const char *const *names, const char *const *paths, size_t n)
{
	if (!names)
		return NULL;
	for (size_t i = 0; i < p->n; i++)
		if (projection_is(p->at[i], names, paths, n))
			return p->at[i];
	struct projection *x = xcalloc(1, sizeof *x);
	x->refs = 1;
	x->n = n;
	x->column = xcalloc(n ? n : 1, sizeof *x->column);
	for (size_t i = 0; i < n; i++)
		x->column[i] = column_of(names[i], paths[i]);
	p->at = xrealloc(p->at, (p->n + 1) * sizeof *p->at);
	return p->at[p->n++] = x;
}

/* ---- objects ---- */

/* Items of a built-in list come without apiVersion and kind, and some objects carry what nobody
 * asks for. NULL: the tree is fine as it is. */
static cJSON *
put_right(enum kind k, const cJSON *tree)
{
	const cJSON *meta = json_get(tree, "metadata"), *notes = json_get(meta, "annotations"), *c;
	bool typed = json_get(tree, "kind") && json_get(tree, "apiVersion");
	cJSON *out, *mine;

	if (typed && !json_get(meta, "managedFields") && !json_get(notes, LAST_APPLIED))
		return NULL;
	out = json_object();
	if (!typed) {
		json_put_str(out, "apiVersion", kind_api_version(k));
		json_put_str(out, "kind", kind_row(k)->kind);
	}
	cJSON_ArrayForEach(c, tree) json_put(out, c->string, json_clone(c));
	mine = (cJSON *)json_get(out, "metadata");
	if (mine)
		json_drop(mine, "managedFields");
	notes = json_get(mine, "annotations");
	if (cJSON_IsObject(notes) && json_drop((cJSON *)notes, LAST_APPLIED) && !notes->child)
		json_drop(mine, "annotations");
	return out;
}

static void
put_value(struct buf *out, char tag, const char *value)
{
	buf_putc(out, tag);
	buf_put(out, value, strlen(value) + 1);
}

static void
collect_values(struct buf *out, enum kind k, const cJSON *tree, const cJSON *meta)
{
	const cJSON *labels = json_get(meta, "labels"), *owner;
	const char *v;

	cJSON_ArrayForEach(owner,
		json_get(meta, "ownerReferences")) if ((v = json_text(json_get(owner, "uid"))) &&
						       *v) put_value(out, TAG_OWNER, v);
	for (size_t i = 0; i < LABELS; i++)
		if ((v = json_text(json_get(labels, indexed_labels[i]))))
			put_value(out, (char)('A' + i), v);
	v = json_text(json_get(json_get(json_get(tree, "spec"), "cluster"), "name"));
	if (kind_row(k)->ours && v && *v)
		put_value(out, TAG_CLUSTER, v);
}

static const char *
text_of(const cJSON *object, const char *key)
{
	const char *s = json_text(json_get(object, key));

	return s ? s : "";
}

static char *
place(char **at, const char *s, size_t n)
{
	char *here = *at;

	memcpy(here, s, n);
	here[n] = 0;
	*at += n + 1;
	return here;
}

static struct obj *
build(enum kind k, const cJSON *tree)
{
	const cJSON *meta = json_get(tree, "metadata");
	const char *name = text_of(meta, "name"), *uid = text_of(meta, "uid");
	const char *rv = text_of(meta, "resourceVersion");
	const char *ns = kind_row(k)->namespaced ? text_of(meta, "namespace") : "";
	struct buf text, values;

	buf_init(&text, 0);
	buf_init(&values, 0);
	json_print(tree, &text);
	collect_values(&values, k, tree, meta);

	size_t nns = strlen(ns), nname = strlen(name);
	size_t nkey = nname + (nns ? nns + 1 : 0);
	size_t need = sizeof(struct obj) + sizeof(struct obj_part) + text.len + 1 + nkey + 1 + nns +
		      1 + strlen(uid) + 1 + strlen(rv) + 1 + values.len;
	struct obj *o = xmalloc(need);
	struct obj_part *part = (struct obj_part *)(o + 1);
	char *at = (char *)(part + 1);

	*o = (struct obj){ .kind = k, .refs = 1, .len = text.len, .part = part };
	*part = (struct obj_part){ .values_len = values.len };
	o->text = place(&at, text.at, text.len);
	o->ns = place(&at, ns, nns);
	o->key = at;
	if (nns) {
		memcpy(at, ns, nns);
		at[nns] = '/';
		at += nns + 1;
	}
	o->name = place(&at, name, nname);
	o->uid = place(&at, uid, strlen(uid));
	o->rv = place(&at, rv, strlen(rv));
	part->values = at;
	if (values.len)
		memcpy(at, values.at, values.len);
	const cJSON *deleted = json_get(meta, "deletionTimestamp");
	o->deleting = deleted && !cJSON_IsNull(deleted);
	o->generation = json_int(meta, "generation", 0);
	buf_fini(&values);
	buf_fini(&text);
	return o;
}

struct obj *
obj_of_tree(enum kind k, const cJSON *tree, struct err *e)
{
	const struct kind_row *r = kind_row(k);
	const char *kind = json_text(json_get(tree, "kind"));
	const char *version = json_text(json_get(tree, "apiVersion"));
	struct obj *o = NULL;

	if (!cJSON_IsObject(tree))
		err_set(e, ERR_PROTOCOL, "%s: not an object", r->kind);
	else if ((kind && strcmp(kind, r->kind) != 0) ||
		 (version && strcmp(version, kind_api_version(k)) != 0))
		err_set(e, ERR_UNSUPPORTED, "expected %s of %s, got %s of %s", r->kind,
			kind_api_version(k), kind ? kind : "?", version ? version : "?");
	else if (!*text_of(json_get(tree, "metadata"), "name"))
		err_set(e, ERR_PROTOCOL, "%s: metadata.name is missing", r->kind);
	else if (r->namespaced && !*text_of(json_get(tree, "metadata"), "namespace"))
		err_set(e, ERR_PROTOCOL, "%s %s: metadata.namespace is missing", r->kind,
			text_of(json_get(tree, "metadata"), "name"));
	else {
		cJSON *right = put_right(k, tree);
		o = build(k, right ? right : tree);
		json_free(right);
	}
	return o;
}

struct obj *
obj_new(enum kind k, const char *text, size_t n, struct err *e)
{
	const cJSON *tree = json_read_object(text, n, e);
	struct obj *o;

	if (!tree) {
		err_wrap(e, "%s", kind_row(k)->kind);
		return NULL;
	}
	o = obj_of_tree(k, tree, e);
	json_free(tree);
	return o;
}

struct obj *
obj_ref(const struct obj *o)
{
	struct obj *mine = (struct obj *)o;

	mine->refs++;
	return mine;
}

void
obj_unref(struct obj *o)
{
	if (!o)
		return;
	must(o->refs > 0);
	if (--o->refs > 0)
		return;
	if (o->part->tree)
		json_follow(o->part->tree, NULL);
	for (struct row *r = o->part->rows, *next; r; r = next) {
		next = r->next;
		projection_unref(r->projection);
		free(r);
	}
	free(o);
}

const cJSON *
obj_tree(const struct obj *o)
{
	struct err e = { 0 };
	const cJSON *tree;

	if (o->part->tree)
		return json_share(o->part->tree);
	tree = json_read(o->text, o->len, &e);
	must(tree != NULL);
	json_follow(tree, &o->part->tree);
	return tree;
}

/* ---- rows ---- */

static cJSON *
column_value(const struct column *c, const cJSON *tree)
{
	const cJSON *v = *c->access ? json_path(tree, c->access) : tree;
	struct buf text;
	char hex[65];

	if (!v)
		return NULL;
	switch (c->form) {
	case FORM_VALUE:
		return json_clone(v);
	case FORM_LEN:
		if (!cJSON_IsArray(v) && !cJSON_IsObject(v))
			return NULL;
		return cJSON_CreateNumber(cJSON_GetArraySize(v));
	case FORM_HASH:
		buf_init(&text, 0);
		json_print_canonical(v, &text);
		hash_sha256_hex(text.at, text.len, hex);
		buf_fini(&text);
		return cJSON_CreateString(hex);
	}
	return NULL;
}

const char *
obj_row(const struct obj *o, const struct projection *p)
{
	struct row *r;

	if (!p)
		return o->text;
	for (r = o->part->rows; r; r = r->next)
		if (r->projection == p)
			return r->text;

	const cJSON *tree = obj_tree(o);
	cJSON *row = json_object();
	for (size_t i = 0; i < p->n; i++) {
		cJSON *v = column_value(&p->column[i], tree);
		if (v)
			json_put(row, p->column[i].name, v);
	}
	struct buf text;
	buf_init(&text, 0);
	json_print(row, &text);
	r = xmalloc(sizeof *r + text.len + 1);
	memcpy(r->text, text.at, text.len + 1);
	r->projection = (struct projection *)p;
	r->projection->refs++;
	r->next = o->part->rows;
	o->part->rows = r;
	buf_fini(&text);
	json_free(row);
	json_free(tree);
	return r->text;
}

/* ---- index values ---- */

void
obj_index_values(const struct obj *o, store_value_fn *fn, void *arg)
{
	const char *at = o->part->values, *end = at + o->part->values_len;
	struct buf v;

	if (*o->ns)
		fn(arg, STORE_NAMESPACE, o->ns);
	buf_init(&v, 0);
	for (; at < end; at += strlen(at) + 1) {
		char tag = *at;
		buf_reset(&v);
		if (tag == TAG_OWNER) {
			fn(arg, STORE_OWNER, at + 1);
		} else if (tag == TAG_CLUSTER) {
			ref_key(&v, o->ns, at + 1);
			fn(arg, STORE_CLUSTER, v.at);
		} else {
			ref_key(&v, o->ns, indexed_labels[tag - 'A']);
			buf_putc(&v, '=');
			buf_puts(&v, at + 1);
			fn(arg, STORE_LABEL, v.at);
		}
	}
	buf_fini(&v);
}

bool
store_label_indexed(const char *key)
{
	for (size_t i = 0; i < LABELS; i++)
		if (strcmp(indexed_labels[i], key) == 0)
			return true;
	return false;
}
