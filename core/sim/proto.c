/*
 * proto: kubectl's typed commands (create configmap, delete, drain, auth can-i) send protobuf and
 * do not fall back. These messages are decoded by small tables; anything else is answered 415.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "sim/apisim_priv.h"

enum type { P_STR, P_BYTES, P_INT, P_BOOL, P_MSG, P_LIST, P_TEXTS, P_MAP, P_MAPBYTES };

struct field {
	unsigned no;
	enum type type;
	const char *name; /* NULL ends */
	const struct field *msg;
};

struct bytes {
	const unsigned char *p, *end;
};

static const struct field owner[] = { { 1, P_STR, "kind", NULL }, { 3, P_STR, "name", NULL },
	{ 4, P_STR, "uid", NULL }, { 5, P_STR, "apiVersion", NULL },
	{ 6, P_BOOL, "controller", NULL }, { 7, P_BOOL, "blockOwnerDeletion", NULL },
	{ 0, P_STR, NULL, NULL } };
static const struct field meta[] = { { 1, P_STR, "name", NULL }, { 2, P_STR, "generateName", NULL },
	{ 3, P_STR, "namespace", NULL }, { 5, P_STR, "uid", NULL },
	{ 6, P_STR, "resourceVersion", NULL }, { 11, P_MAP, "labels", NULL },
	{ 12, P_MAP, "annotations", NULL }, { 13, P_LIST, "ownerReferences", owner },
	{ 14, P_TEXTS, "finalizers", NULL }, { 0, P_STR, NULL, NULL } };
static const struct field only_meta[] = { { 1, P_MSG, "metadata", meta },
	{ 0, P_STR, NULL, NULL } };
static const struct field configmap[] = { { 1, P_MSG, "metadata", meta },
	{ 2, P_MAP, "data", NULL }, { 3, P_MAPBYTES, "binaryData", NULL },
	{ 4, P_BOOL, "immutable", NULL }, { 0, P_STR, NULL, NULL } };
static const struct field secret[] = { { 1, P_MSG, "metadata", meta },
	{ 2, P_MAPBYTES, "data", NULL }, { 3, P_STR, "type", NULL },
	{ 4, P_MAP, "stringData", NULL }, { 5, P_BOOL, "immutable", NULL },
	{ 0, P_STR, NULL, NULL } };
static const struct field preconditions[] = { { 1, P_STR, "uid", NULL },
	{ 2, P_STR, "resourceVersion", NULL }, { 0, P_STR, NULL, NULL } };
static const struct field options[] = { { 1, P_INT, "gracePeriodSeconds", NULL },
	{ 2, P_MSG, "preconditions", preconditions }, { 3, P_BOOL, "orphanDependents", NULL },
	{ 4, P_STR, "propagationPolicy", NULL }, { 5, P_TEXTS, "dryRun", NULL },
	{ 0, P_STR, NULL, NULL } };
static const struct field eviction[] = { { 1, P_MSG, "metadata", meta },
	{ 2, P_MSG, "deleteOptions", options }, { 0, P_STR, NULL, NULL } };
static const struct field type_meta[] = { { 1, P_STR, "apiVersion", NULL },
	{ 2, P_STR, "kind", NULL }, { 0, P_STR, NULL, NULL } };

static const struct {
	const char *kind;
	const struct field *fields;
} kinds[] = { { "Namespace", only_meta }, { "ServiceAccount", only_meta },
	{ "ConfigMap", configmap }, { "Secret", secret }, { "DeleteOptions", options },
	{ "Eviction", eviction }, { "SelfSubjectAccessReview", only_meta },
	{ "SelfSubjectRulesReview", only_meta }, { "SelfSubjectReview", only_meta } };

static int
varint(struct bytes *b, uint64_t *out)
{
	*out = 0;
	for (int shift = 0; b->p < b->end && shift < 64; shift += 7) {
		unsigned char byte = *b->p++;
		*out |= (uint64_t)(byte & 127) << shift;
		if (!(byte & 128))
			return 0;
	}
	return -1;
}

/* One field: a number, or a piece of bytes. */
static int
next(struct bytes *b, unsigned *no, uint64_t *number, struct bytes *piece)
{
	uint64_t tag;

	*piece = (struct bytes){ NULL, NULL };
	if (varint(b, &tag))
		return -1;
	*no = (unsigned)(tag >> 3);
	if ((tag & 7) == 0)
		return varint(b, number);
	if ((tag & 7) != 2 || varint(b, number) || *number > (uint64_t)(b->end - b->p))
		return -1;
	piece->p = b->p;
	piece->end = b->p + *number;
	b->p = piece->end;
	return 0;
}

static cJSON *
text_of(struct bytes b)
{
	char *s = xstrndup((const char *)b.p, (size_t)(b.end - b.p));
	cJSON *out = cJSON_CreateString(s);

	free(s);
	return out;
}

static cJSON *
base64_of(struct bytes b)
{
	size_t n = (size_t)(b.end - b.p);
	char *s = xmalloc((n + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)s, b.p, (int)n);
	cJSON *out = cJSON_CreateString(s);
	free(s);
	return out;
}

static int
map_entry(cJSON *map, struct bytes b, bool binary)
{
	struct bytes piece, key = { NULL, NULL }, value = { NULL, NULL };
	uint64_t number;
	unsigned no;

	while (b.p < b.end) {
		if (next(&b, &no, &number, &piece))
			return -1;
		if (no == 1)
			key = piece;
		else
			value = piece;
	}
	char *name = xstrndup(key.p ? (const char *)key.p : "", (size_t)(key.end - key.p));
	if (!value.p)
		value = (struct bytes){ (const unsigned char *)"", (const unsigned char *)"" };
	json_put(map, name, binary ? base64_of(value) : text_of(value));
	free(name);
	return 0;
}

static cJSON *
child(cJSON *out, const char *name, bool list)
{
	cJSON *at = (cJSON *)json_get(out, name);

	if (!at) {
		at = list ? json_array() : json_object();
		json_put(out, name, at);
	}
	return at;
}

static int
decode(struct bytes b, const struct field *fields, cJSON *out)
{
	struct bytes piece;
	uint64_t number;
	unsigned no;

	while (b.p < b.end) {
		const struct field *f = fields;
		if (next(&b, &no, &number, &piece))
			return -1;
		while (f->name && f->no != no)
			f++;
		if (!f->name)
			continue;
		cJSON *sub;
		switch (f->type) {
		case P_STR:
			if (piece.p < piece.end)
				json_put(out, f->name, text_of(piece));
			break;
		case P_BYTES:
			json_put(out, f->name, base64_of(piece));
			break;
		case P_INT:
			json_put_int(out, f->name, (int64_t)number);
			break;
		case P_BOOL:
			json_put_bool(out, f->name, number != 0);
			break;
		case P_TEXTS:
			json_add(child(out, f->name, true), text_of(piece));
			break;
		case P_MSG:
			if (decode(piece, f->msg, child(out, f->name, false)))
				return -1;
			break;
		case P_LIST:
			sub = json_object();
			json_add(child(out, f->name, true), sub);
			if (decode(piece, f->msg, sub))
				return -1;
			break;
		case P_MAP:
		case P_MAPBYTES:
			if (map_entry(child(out, f->name, false), piece, f->type == P_MAPBYTES))
				return -1;
			break;
		}
	}
	return 0;
}

cJSON *
proto_body(struct call *c)
{
	const unsigned char *p = (const unsigned char *)c->r->body;
	struct bytes all, piece, type = { NULL, NULL }, raw = { NULL, NULL };
	uint64_t number;
	unsigned no;
	cJSON *out = NULL;

	if (c->r->body_len < 4 || memcmp(p, "k8s", 4) != 0) {
		fail(c, 400, "BadRequest", "the body is no protobuf message of Kubernetes");
		return NULL;
	}
	all = (struct bytes){ p + 4, p + c->r->body_len };
	while (all.p < all.end) {
		if (next(&all, &no, &number, &piece))
			break;
		if (no == 1)
			type = piece;
		else if (no == 2)
			raw = piece;
	}
	cJSON *t = json_object();
	decode(type, type_meta, t);
	const char *kind = json_str(t, "kind", "");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds) && !out; i++) {
		if (strcmp(kinds[i].kind, kind))
			continue;
		out = json_object();
		json_put_str(out, "kind", kind);
		json_put_str(out, "apiVersion", json_str(t, "apiVersion", "v1"));
		if (decode(raw, kinds[i].fields, out)) {
			json_free(out);
			json_free(t);
			fail(c, 400, "BadRequest", "error decoding the protobuf body");
			return NULL;
		}
	}
	if (!out)
		fail(c, 415, "UnsupportedMediaType",
			"this server reads no protobuf %s: use kubectl apply or create -f", kind);
	json_free(t);
	return out;
}
