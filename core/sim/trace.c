#include "sim/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"

#define PATH_MAX_LEN 300
#define VALUE_MAX_LEN 160

static void
put_value(struct buf *out, const cJSON *v)
{
	if (v == NULL) {
		(void)buf_puts(out, "none");
		return;
	}
	char *text = json_string(v);
	size_t n = strlen(text);
	(void)buf_put(out, text, n < VALUE_MAX_LEN ? n : VALUE_MAX_LEN);
	if (n > VALUE_MAX_LEN)
		(void)buf_puts(out, "...");
	free(text);
}

static bool
is_noise(const char *path)
{
	return strcmp(path, "metadata.managedFields") == 0 ||
	       strcmp(path, "metadata.resourceVersion") == 0;
}

static void diff(struct buf *out, const char *path, const cJSON *old, const cJSON *now);

static void
diff_members(struct buf *out, const char *path, const cJSON *old, const cJSON *now)
{
	char below[PATH_MAX_LEN];
	for (const cJSON *o = old->child; o != NULL; o = o->next) {
		snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", o->string);
		diff(out, below, o, json_get(now, o->string));
	}
	for (const cJSON *n = now->child; n != NULL; n = n->next)
		if (json_get(old, n->string) == NULL) {
			snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", n->string);
			diff(out, below, NULL, n);
		}
}

static void
diff(struct buf *out, const char *path, const cJSON *old, const cJSON *now)
{
	if (is_noise(path) || (old != NULL && now != NULL && json_equal(old, now)))
		return;
	if (cJSON_IsObject(old) && cJSON_IsObject(now)) {
		diff_members(out, path, old, now);
		return;
	}
	char below[PATH_MAX_LEN];
	if (cJSON_IsArray(old) && cJSON_IsArray(now) &&
		cJSON_GetArraySize(old) == cJSON_GetArraySize(now)) {
		int i = 0;
		for (const cJSON *o = old->child, *n = now->child; o != NULL;
			o = o->next, n = n->next) {
			snprintf(below, sizeof below, "%s[%d]", path, i++);
			diff(out, below, o, n);
		}
		return;
	}
	if (out->len > 0)
		(void)buf_puts(out, "; ");
	(void)buf_puts(out, path);
	(void)buf_puts(out, ": ");
	put_value(out, old);
	(void)buf_puts(out, " -> ");
	put_value(out, now);
}

void
trace_diff(struct buf *out, const cJSON *old, const cJSON *now)
{
	struct buf text;
	buf_init(&text, 0);
	diff(&text, "", old, now);
	(void)buf_put(out, text.at != NULL ? text.at : "", text.len);
	buf_fini(&text);
}

void
trace_commit(struct buf *out, const struct apisim_commit *c)
{
	const char *did = c->now == NULL ? "removes" : c->old == NULL ? "creates" : "changes";
	(void)buf_puts(out, c->user);
	(void)buf_putc(out, ' ');
	(void)buf_puts(out, did);
	(void)buf_putc(out, ' ');
	(void)buf_puts(out, c->resource);
	(void)buf_putc(out, ' ');
	(void)buf_puts(out, c->ns);
	(void)buf_putc(out, '/');
	(void)buf_puts(out, c->name);
	if (*c->subresource) {
		(void)buf_putc(out, '/');
		(void)buf_puts(out, c->subresource);
	}
	if (c->old != NULL && c->now != NULL) {
		(void)buf_puts(out, ": ");
		trace_diff(out, c->old, c->now);
	}
}
