#include "app/change.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define QUERY "?fieldManager=kubectl-tikv"
#define DRY "&dryRun=All"

const struct opt change_opts[] = {
	{ "dry-run", 0, OPT_FLAG, NULL, NULL, "let the server check it, and write nothing" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

const char *
change_name(const struct change *ch)
{
	return json_str(ch->object, "metadata.name", "");
}

/* "tikv, pd or cluster" */
static void
kind_words(const enum kind *kinds, char *out, size_t n)
{
	size_t at = 0;
	out[0] = '\0';
	for (int i = 0; kinds[i] != KIND_COUNT && at < n; i++) {
		const char *before = i == 0 ? "" : kinds[i + 1] == KIND_COUNT ? " or " : ", ";
		int k = snprintf(out + at, n - at, "%s%s", before, kind_row(kinds[i])->kind);
		at += k > 0 ? (size_t)k : 0;
	}
}

static bool
among(const enum kind *kinds, enum kind k)
{
	for (; *kinds != KIND_COUNT; kinds++)
		if (*kinds == k)
			return true;
	return false;
}

/* The kind and name that argument `at` means; 0 or an exit code. */
static int
target(const struct args *a, int at, const enum kind *kinds, enum kind *k, const char **name)
{
	const char *word = args_at(a, at), *slash = word != NULL ? strchr(word, '/') : NULL;
	bool only_one = kinds[1] == KIND_COUNT;
	char words[128];

	kind_words(kinds, words, sizeof words);
	if (word == NULL || *word == '\0')
		return verb_usage_error(a, "name one %s", words);
	if (slash == NULL && only_one) {
		*k = kinds[0];
		*name = word;
		return 0;
	}
	if (slash == NULL || slash[1] == '\0')
		return verb_usage_error(a, "%s: write KIND/NAME, the kind is %s", word, words);
	if (client_kind(word, (size_t)(slash - word), k) < 0 || !among(kinds, *k))
		return verb_usage_error(a, "%s: the kind is %s", word, words);
	*name = slash + 1;
	return 0;
}

int
change_open(struct change *ch, const struct args *a, const enum kind *kinds)
{
	return change_open_at(ch, a, 0, kinds);
}

int
change_open_at(struct change *ch, const struct args *a, int at, const enum kind *kinds)
{
	struct err e = { 0 };
	const char *name = NULL;

	memset(ch, 0, sizeof *ch);
	int r = target(a, at, kinds, &ch->kind, &name);
	if (r != 0)
		return r;
	if (args_count(a) > at + 1)
		return verb_usage_error(a, "%s: one object at a time", args_at(a, at + 1));
	ch->args = a;
	ch->dry = args_flag(a, "dry-run");
	if (client_open(&ch->c, a, &e) < 0)
		return verb_fail(a, &e);
	ch->object = client_get(&ch->c, ch->kind, name, &e);
	if (ch->object != NULL)
		return 0;
	if (e.status == 404)
		err_set(&e, ERR_NOT_FOUND,
			"%s %s: not in namespace %s: kubectl get %s -A lists them",
			kind_row(ch->kind)->kind, name, ch->c.ns, kind_row(ch->kind)->plural);
	client_close(&ch->c);
	return verb_fail(a, &e);
}

void
change_close(struct change *ch)
{
	json_free(ch->object);
	client_close(&ch->c);
}

cJSON *
change_annotation(const char *key, const char *value)
{
	cJSON *patch = json_object(), *meta = json_object(), *annotations = json_object();

	if (value != NULL)
		json_put_str(annotations, key, value);
	else
		json_put(annotations, key, cJSON_CreateNull());
	json_put(meta, "annotations", annotations);
	json_put(patch, "metadata", meta);
	return patch;
}

static void
say(const struct change *ch, const char *fmt, va_list ap)
{
	printf("%s %s: ", kind_row(ch->kind)->kind, change_name(ch));
	vprintf(fmt, ap);
	printf("%s\n", ch->dry ? " (dry run: nothing was written)" : "");
}

/* Where the effect shows: the tree of the Cluster, and the one object. */
static void
watch_line(const struct change *ch)
{
	const char *cluster = ch->kind == KIND_CLUSTER
				      ? change_name(ch)
				      : json_str(ch->object, "spec.cluster.name", "");
	if (ch->dry)
		return;
	printf("Watch: kubectl tikv status %s -n %s -w\n", cluster, ch->c.ns);
	if (ch->kind != KIND_CLUSTER)
		printf("Why:   kubectl tikv explain %s/%s -n %s\n", kind_row(ch->kind)->plural,
			change_name(ch), ch->c.ns);
}

static int
request(struct change *ch, const char *method, const char *type, const cJSON *body)
{
	struct err e = { 0 };
	struct buf path;

	buf_init(&path, 0);
	(void)ref_path(&path, ch->kind, ch->c.ns, change_name(ch), NULL);
	(void)buf_puts(&path, QUERY);
	if (ch->dry)
		(void)buf_puts(&path, DRY);
	cJSON *answer = client_do(&ch->c, method, path.at, type, body, &e);
	buf_fini(&path);
	json_free(answer);
	if (answer != NULL)
		return 0;
	err_wrap(&e, "%s %s", kind_row(ch->kind)->kind, change_name(ch));
	return verb_fail(ch->args, &e);
}

int
change_patch(struct change *ch, cJSON *own_patch, const char *fmt, ...)
{
	int r = request(ch, "PATCH", "application/merge-patch+json", own_patch);
	va_list ap;

	json_free(own_patch);
	if (r != 0)
		return r;
	va_start(ap, fmt);
	say(ch, fmt, ap);
	va_end(ap);
	watch_line(ch);
	return 0;
}

static cJSON *
operation(const char *op, const char *pointer, cJSON *own_value)
{
	cJSON *o = json_object();

	json_put_str(o, "op", op);
	json_put_str(o, "path", pointer);
	json_put(o, "value", own_value);
	return o;
}

int
change_replace(struct change *ch, const char *pointer, cJSON *own_value, const char *fmt, ...)
{
	const char *rv = json_str(ch->object, "metadata.resourceVersion", "");
	cJSON *patch = json_array();
	va_list ap;

	json_add(patch, operation("test", "/metadata/resourceVersion", cJSON_CreateString(rv)));
	json_add(patch, operation("replace", pointer, own_value));
	int r = request(ch, "PATCH", "application/json-patch+json", patch);
	json_free(patch);
	if (r != 0)
		return r;
	va_start(ap, fmt);
	say(ch, fmt, ap);
	va_end(ap);
	watch_line(ch);
	return 0;
}

int
change_delete(struct change *ch, const char *fmt, ...)
{
	cJSON *options = json_object(), *pre = json_object();
	va_list ap;

	json_put_str(options, "apiVersion", "v1");
	json_put_str(options, "kind", "DeleteOptions");
	json_put_str(pre, "uid", json_str(ch->object, "metadata.uid", ""));
	json_put(options, "preconditions", pre);
	int r = request(ch, "DELETE", "application/json", options);
	json_free(options);
	if (r != 0)
		return r;
	va_start(ap, fmt);
	say(ch, fmt, ap);
	va_end(ap);
	watch_line(ch);
	return 0;
}

int
change_none(struct change *ch, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("%s %s: ", kind_row(ch->kind)->kind, change_name(ch));
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	return 0;
}

int
change_refused(struct change *ch, const char *fmt, ...)
{
	struct err e = { 0 };
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_set(&e, ERR_INVALID, "%s %s: %s", kind_row(ch->kind)->kind, change_name(ch), text);
	return verb_fail(ch->args, &e);
}
