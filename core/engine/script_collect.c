#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/script_priv.h"

static void
source_free(struct vm_source *s)
{
	free((char *)s->name);
	free((char *)s->path);
	free((char *)s->text);
}

void
sources_put(struct sources *s, const char *name, const char *path, const char *text, size_t n)
{
	struct vm_source fresh = { xstrdup(name), xstrdup(path), xstrndup(text, n), n };
	size_t at = 0;

	while (at < s->n && strcmp(s->at[at].name, name) < 0)
		at++;
	if (at < s->n && strcmp(s->at[at].name, name) == 0) {
		source_free(&s->at[at]);
		s->at[at] = fresh;
		return;
	}
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : 32;
		s->at = xrealloc(s->at, s->cap * sizeof *s->at);
	}
	memmove(&s->at[at + 1], &s->at[at], (s->n - at) * sizeof *s->at);
	s->at[at] = fresh;
	s->n++;
}

void
sources_hash(const struct sources *s, char out[65])
{
	struct buf b;

	buf_init(&b, 0);
	for (size_t i = 0; i < s->n; i++) {
		buf_printf(&b, "%zu %s %zu ", strlen(s->at[i].name), s->at[i].name, s->at[i].len);
		buf_put(&b, s->at[i].text, s->at[i].len);
	}
	hash_sha256_hex(b.at != NULL ? b.at : "", b.len, out);
	buf_fini(&b);
}

void
sources_fini(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++)
		source_free(&s->at[i]);
	free(s->at);
	*s = (struct sources){ 0 };
}

/* "lua/controllers/tikv.lua" is "controllers.tikv"; NULL: no file of a bundle. */
static char *
module_of(const char *path)
{
	size_t n = strlen(path);
	char *name;

	if (n < 9 || strncmp(path, "lua/", 4) != 0 || strcmp(path + n - 4, ".lua") != 0)
		return NULL;
	if (strncmp(path, "lua/controllers/", 16) != 0 && strncmp(path, "lua/lib/", 8) != 0)
		return NULL;
	name = xstrndup(path + 4, n - 8);
	for (char *c = name; *c != '\0'; c++)
		*c = *c == '/' ? '.' : *c;
	return name;
}

static void
collect_embedded(struct sources *out)
{
	for (const struct embed_file *f = embed_files; f->path != NULL; f++) {
		char *name = module_of(f->path);
		if (name != NULL)
			sources_put(out, name, f->path, f->text, f->len);
		free(name);
	}
}

static int
collect_dir(struct script *s, struct sources *out, struct err *e)
{
	struct vm_source *list = NULL;
	size_t n = 0;

	if (s->conf.lua_dir == NULL || s->conf.read_dir == NULL)
		return 0;
	if (s->conf.read_dir(s->conf.arg, s->conf.lua_dir, &list, &n, e) != 0)
		return err_wrap(e, "scripts of %s", s->conf.lua_dir);
	for (size_t i = 0; i < n; i++) {
		sources_put(out, list[i].name, list[i].path, list[i].text, list[i].len);
		source_free(&list[i]);
	}
	free(list);
	return 0;
}

static int
collect_configmap(const struct obj *o, struct sources *out, struct err *e)
{
	const cJSON *tree = obj_tree(o);
	const cJSON *m;
	int rc = 0;

	cJSON_ArrayForEach(m, json_get(tree, "data"))
	{
		size_t n = strlen(m->string);
		bool fits = (strncmp(m->string, "controllers.", 12) == 0 ||
				    strncmp(m->string, "lib.", 4) == 0) &&
			    n > 8 && strcmp(m->string + n - 4, ".lua") == 0;
		if (!fits || !cJSON_IsString(m)) {
			rc = err_set(e, ERR_INVALID,
				"%s: %s: a key must be controllers.NAME.lua or lib.NAME.lua",
				o->key, m->string);
			break;
		}
		char *name = xstrndup(m->string, n - 4);
		char *path = xasprintf("%s/%s", o->name, m->string);
		sources_put(out, name, path, m->valuestring, strlen(m->valuestring));
		free(name);
		free(path);
	}
	json_free(tree);
	return rc;
}

/* By name: in which order they came must not matter. NULL begins and ends. */
static const struct origin *
origin_after(const struct map *bundles, const struct origin *last)
{
	const struct origin *next = NULL;

	for (struct map_iter it = { 0 }; map_next(bundles, &it);) {
		const struct origin *o = it.value;
		if ((last == NULL || strcmp(o->object->name, last->object->name) > 0) &&
			(next == NULL || strcmp(o->object->name, next->object->name) < 0))
			next = o;
	}
	return next;
}

int
sources_collect(struct script *s, struct sources *src, struct err *e)
{
	collect_embedded(src);
	if (collect_dir(s, src, e) != 0)
		return -1;
	for (const struct origin *o = NULL; (o = origin_after(s->bundles, o)) != NULL;)
		if (collect_configmap(o->object, src, e) != 0)
			return -1;
	return 0;
}
