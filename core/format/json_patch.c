#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/json_node.h"

/* What "copy" operations may add to a tree: a few of them double it each time. */
#define COPY_MAX (16u << 20)
#define OPERATIONS_MAX 10000 /* as the API server */

/* RFC 7386. */

static void
merge_members(cJSON *target, const cJSON *patch)
{
	for (const cJSON *p = patch->child; p != NULL; p = p->next) {
		cJSON *old;

		if (cJSON_IsNull(p)) {
			json_drop(target, p->string);
			continue;
		}
		if (!cJSON_IsObject(p)) {
			json_put(target, p->string, json_clone(p));
			continue;
		}
		old = (cJSON *)json_get(target, p->string);
		if (old == NULL || !cJSON_IsObject(old))
			old = json_put(target, p->string, json_object());
		merge_members(old, p);
	}
}

void
json_merge_patch(cJSON **target, const cJSON *patch)
{
	if (!cJSON_IsObject(patch)) {
		cJSON *made = json_clone(patch);

		json_free(*target);
		*target = made;
		return;
	}
	if (!cJSON_IsObject(*target)) {
		json_free(*target);
		*target = json_object();
	}
	merge_members(*target, patch);
}

/* RFC 6902. */

struct patching {
	cJSON *root;
	size_t copied;
	size_t index; /* of the operation, for errors */
	struct err *e;
};

static int
fail(struct patching *p, enum err_code code, const char *path, const char *what)
{
	return err_set(p->e, code, "JSON patch: operation %zu: %s: %s", p->index, path, what);
}

/* The last piece of a pointer, unescaped (malloc'ed), and the node that should hold it. NULL with
 * the error set when there is no such node. The pointer is not "". */
static char *
walk(struct patching *p, const char *pointer, cJSON **parent)
{
	cJSON *at = p->root;

	if (*pointer != '/') {
		fail(p, ERR_INVALID, pointer, "a path begins with /");
		return NULL;
	}
	for (;;) {
		size_t len = strcspn(++pointer, "/"), n = 0;
		char *piece = xmalloc(len + 1);
		cJSON *next = NULL;

		for (size_t i = 0; i < len; i++) {
			char c = pointer[i];

			if (c == '~' && i + 1 < len &&
				(pointer[i + 1] == '0' || pointer[i + 1] == '1'))
				c = pointer[++i] == '0' ? '~' : '/';
			piece[n++] = c;
		}
		piece[n] = '\0';
		pointer += len;
		if (*pointer == '\0') {
			*parent = at;
			return piece;
		}
		if (cJSON_IsObject(at)) {
			next = (cJSON *)json_get(at, piece);
		} else if (cJSON_IsArray(at) && n > 0 && n < 10 &&
			   strspn(piece, "0123456789") == n && (n == 1 || piece[0] != '0')) {
			next = cJSON_GetArrayItem(at, atoi(piece));
		}
		if (next == NULL) {
			fail(p, ERR_INVALID, piece, "the path leads nowhere");
			free(piece);
			return NULL;
		}
		free(piece);
		at = next;
	}
}

/* Place in an array; `count` itself is allowed where something is added. -1 when it is none. */
static int
index_of(const cJSON *array, const char *piece, bool adding)
{
	int count = cJSON_GetArraySize(array), at;
	size_t n = strlen(piece);

	if (adding && strcmp(piece, "-") == 0)
		return count;
	if (n == 0 || n > 9 || strspn(piece, "0123456789") != n || (n > 1 && piece[0] == '0'))
		return -1;
	at = atoi(piece);
	return at < count || (adding && at == count) ? at : -1;
}

/* The node a pointer leads to, and its parent (NULL for the root). */
static cJSON *
resolve(struct patching *p, const char *pointer, cJSON **parent)
{
	cJSON *found = NULL;
	char *piece;

	*parent = NULL;
	if (*pointer == '\0')
		return p->root;
	piece = walk(p, pointer, parent);
	if (piece == NULL)
		return NULL;
	if (cJSON_IsObject(*parent)) {
		found = (cJSON *)json_get(*parent, piece);
	} else if (cJSON_IsArray(*parent)) {
		int at = index_of(*parent, piece, false);

		found = at >= 0 ? cJSON_GetArrayItem(*parent, at) : NULL;
	}
	free(piece);
	if (found == NULL)
		fail(p, ERR_INVALID, pointer, "there is nothing");
	return found;
}

static int
add(struct patching *p, const char *pointer, cJSON *own_value)
{
	cJSON *parent;
	char *piece;
	int rc = 0;

	if (*pointer == '\0') {
		json_free(p->root);
		p->root = own_value;
		return 0;
	}
	piece = walk(p, pointer, &parent);
	if (piece == NULL) {
		rc = -1;
	} else if (cJSON_IsObject(parent)) {
		json_put(parent, piece, own_value);
	} else if (cJSON_IsArray(parent)) {
		int at = index_of(parent, piece, true);

		if (at < 0)
			rc = fail(p, ERR_INVALID, pointer, "no such place in the list");
		else if (at == cJSON_GetArraySize(parent))
			json_add(parent, own_value);
		else
			json_link_before(parent, cJSON_GetArrayItem(parent, at), own_value);
	} else {
		rc = fail(p, ERR_INVALID, pointer, "its parent is neither object nor list");
	}
	free(piece);
	if (rc != 0)
		json_free(own_value);
	return rc;
}

/* Take a node out of the tree; NULL with the error set. */
static cJSON *
take(struct patching *p, const char *pointer)
{
	cJSON *parent, *found = resolve(p, pointer, &parent);

	if (found == NULL)
		return NULL;
	if (parent == NULL) {
		fail(p, ERR_INVALID, pointer, "the whole document can not be removed");
		return NULL;
	}
	cJSON_DetachItemViaPointer(parent, found);
	if ((found->type & cJSON_StringIsConst) == 0)
		free(found->string);
	found->type &= ~cJSON_StringIsConst;
	found->string = NULL;
	return found;
}

static int
replace(struct patching *p, const char *pointer, const cJSON *value)
{
	cJSON *parent, *old = resolve(p, pointer, &parent), *made;

	if (old == NULL)
		return -1;
	made = json_clone(value);
	if (parent == NULL) {
		json_free(p->root);
		p->root = made;
		return 0;
	}
	if (old->string != NULL)
		made->string = xstrdup(old->string);
	must(cJSON_ReplaceItemViaPointer(parent, old, made));
	return 0;
}

static size_t
weight(const cJSON *tree)
{
	size_t n = sizeof(*tree);

	if (tree->valuestring != NULL)
		n += strlen(tree->valuestring);
	if (tree->string != NULL)
		n += strlen(tree->string);
	for (const cJSON *c = tree->child; c != NULL; c = c->next)
		n += weight(c);
	return n;
}

static int
copy(struct patching *p, const char *from, const char *to)
{
	cJSON *parent, *found = resolve(p, from, &parent);

	if (found == NULL)
		return -1;
	p->copied += weight(found);
	if (p->copied > COPY_MAX)
		return fail(p, ERR_TOO_LARGE, to, "the operations copy too much");
	return add(p, to, json_clone(found));
}

static int
move(struct patching *p, const char *from, const char *to)
{
	size_t n = strlen(from);
	cJSON *parent, *taken;

	if (strcmp(from, to) == 0)
		return resolve(p, from, &parent) != NULL ? 0 : -1;
	if (strncmp(from, to, n) == 0 && to[n] == '/')
		return fail(p, ERR_INVALID, to, "a value can not be moved into itself");
	taken = take(p, from);
	return taken != NULL ? add(p, to, taken) : -1;
}

static int
depth_of(const cJSON *tree)
{
	int deepest = 0;

	for (const cJSON *c = tree->child; c != NULL; c = c->next) {
		int d = depth_of(c);

		if (d > deepest)
			deepest = d;
	}
	return cJSON_IsObject(tree) || cJSON_IsArray(tree) ? deepest + 1 : 0;
}

static int
apply(struct patching *p, const cJSON *operation)
{
	const char *op = json_text(json_get(operation, "op"));
	const char *path = json_text(json_get(operation, "path"));
	const char *from = json_text(json_get(operation, "from"));
	const cJSON *value = json_get(operation, "value");
	cJSON *parent, *found;

	if (op == NULL || path == NULL)
		return fail(p, ERR_INVALID, "?", "op and path are needed");
	if (strcmp(op, "remove") == 0) {
		found = take(p, path);
		json_free(found);
		return found != NULL ? 0 : -1;
	}
	if (strcmp(op, "move") == 0 || strcmp(op, "copy") == 0) {
		if (from == NULL)
			return fail(p, ERR_INVALID, path, "from is needed");
		return *op == 'm' ? move(p, from, path) : copy(p, from, path);
	}
	if (value == NULL)
		return fail(p, ERR_INVALID, path, "unknown operation or no value");
	if (strcmp(op, "add") == 0)
		return add(p, path, json_clone(value));
	if (strcmp(op, "replace") == 0)
		return replace(p, path, value);
	if (strcmp(op, "test") != 0)
		return fail(p, ERR_INVALID, path, "unknown operation or no value");
	found = resolve(p, path, &parent);
	if (found == NULL)
		return -1;
	return json_equal(found, value) ? 0 : fail(p, ERR_INVALID, path, "the test failed");
}

int
json_patch(cJSON **target, const cJSON *operations, struct err *e)
{
	struct patching p = { .root = json_clone(*target), .e = e };
	int rc = 0;

	if (!cJSON_IsArray(operations))
		rc = err_set(e, ERR_INVALID, "JSON patch: it is no list of operations");
	else if (cJSON_GetArraySize(operations) > OPERATIONS_MAX)
		rc = err_set(
			e, ERR_TOO_LARGE, "JSON patch: more than %d operations", OPERATIONS_MAX);
	for (const cJSON *o = rc == 0 ? operations->child : NULL; o != NULL && rc == 0;
		o = o->next, p.index++) {
		rc = apply(&p, o);
		/* Checked each time: the next operation walks the tree recursively. */
		if (rc == 0 && depth_of(p.root) > JSON_DEPTH_MAX)
			rc = fail(&p, ERR_TOO_LARGE, "", "the result is nested too deep");
	}
	if (rc != 0) {
		json_free(p.root);
		return -1;
	}
	json_free(*target);
	*target = p.root;
	return 0;
}
