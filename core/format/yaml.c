#include "format/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "format/json_node.h"
#include "format/yaml_scalar.h"

#define EXPANDED_MAX (16u << 20)
#define NODE_WEIGHT 32 /* of a node in that limit, besides its texts */
#define FEW_KEYS 16

struct loader {
	const char *name;
	yaml_parser_t parser;
	struct map *anchors; /* of this document; nodes are lent */
	cJSON *dead;         /* merged mappings: an anchor may still point to them */
	size_t weight;
	int depth;
	struct err *e;
};

/* A mapping under construction. */
struct mapping {
	cJSON *made;
	struct map *keys; /* when there are more than a few */
	size_t count;
};

static cJSON *load_node(struct loader *l, const yaml_event_t *event);

static int
fail(struct loader *l, yaml_mark_t mark, enum err_code code, const char *what)
{
	return err_set(l->e, code, "%s:%zu:%zu: %s", l->name, mark.line + 1, mark.column + 1, what);
}

/* The next event, which the caller deletes; -1 when libyaml does not understand the text. */
static int
next(struct loader *l, yaml_event_t *event)
{
	const yaml_parser_t *p = &l->parser;
	char what[200];

	if (yaml_parser_parse(&l->parser, event))
		return 0;
	must(p->error != YAML_MEMORY_ERROR);
	if (p->error == YAML_READER_ERROR)
		return err_set(l->e, ERR_INVALID, "%s:%zu: %s (byte %zu)", l->name,
			p->mark.line + 1, p->problem, p->problem_offset);
	snprintf(what, sizeof(what), "%s%s%s", p->problem != NULL ? p->problem : "invalid YAML",
		p->context != NULL ? " " : "", p->context != NULL ? p->context : "");
	return fail(l, p->problem_mark, ERR_INVALID, what);
}

static int
charge(struct loader *l, size_t weight, yaml_mark_t mark)
{
	l->weight += weight;
	if (l->weight > EXPANDED_MAX)
		return fail(l, mark, ERR_TOO_LARGE, "more than 16 MiB after expansion");
	return 0;
}

/* Account for a copy of a tree before it is made: -1 when it would be too large or too deep. */
static int
charge_copy(struct loader *l, const cJSON *tree, int depth, yaml_mark_t mark)
{
	size_t n = NODE_WEIGHT;

	if (cJSON_IsObject(tree) || cJSON_IsArray(tree))
		depth++;
	if (depth > JSON_DEPTH_MAX)
		return fail(l, mark, ERR_TOO_LARGE, "nested too deep");
	if (tree->valuestring != NULL)
		n += strlen(tree->valuestring);
	if (tree->string != NULL)
		n += strlen(tree->string);
	if (charge(l, n, mark) != 0)
		return -1;
	for (const cJSON *c = tree->child; c != NULL; c = c->next)
		if (charge_copy(l, c, depth, mark) != 0)
			return -1;
	return 0;
}

static cJSON *
load_alias(struct loader *l, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	const cJSON *node = map_get(l->anchors, name);
	char what[160];

	if (node == NULL) {
		snprintf(what, sizeof(what), "no anchor \"%.100s\" before this alias", name);
		fail(l, event->start_mark, ERR_INVALID, what);
		return NULL;
	}
	if (charge_copy(l, node, l->depth, event->start_mark) != 0)
		return NULL;
	return json_clone(node);
}

static cJSON *
load_scalar(struct loader *l, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	const char *tag = (const char *)event->data.scalar.tag, *why;
	size_t n = event->data.scalar.length;
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	cJSON *made;

	if (charge(l, NODE_WEIGHT + n, event->start_mark) != 0)
		return NULL;
	made = yaml_scalar(text, n, plain, tag, &why);
	if (made == NULL)
		fail(l, event->start_mark, ERR_INVALID, why);
	return made;
}

static int
check_tag(struct loader *l, const yaml_char_t *tag, const char *core, yaml_mark_t mark)
{
	if (tag == NULL || strcmp((const char *)tag, core) == 0)
		return 0;
	return fail(l, mark, ERR_INVALID, "only the core tags are known");
}

static int
enter(struct loader *l, yaml_mark_t mark)
{
	if (l->depth == JSON_DEPTH_MAX)
		return fail(l, mark, ERR_TOO_LARGE, "nested too deep");
	l->depth++;
	return charge(l, NODE_WEIGHT, mark);
}

static cJSON *
load_sequence(struct loader *l, const yaml_event_t *start)
{
	cJSON *made, *item;

	if (check_tag(l, start->data.sequence_start.tag, YAML_SEQ_TAG, start->start_mark) != 0 ||
		enter(l, start->start_mark) != 0)
		return NULL;
	made = json_array();
	for (;;) {
		yaml_event_t event;
		bool end;

		if (next(l, &event) != 0)
			goto bad;
		end = event.type == YAML_SEQUENCE_END_EVENT;
		item = end ? NULL : load_node(l, &event);
		yaml_event_delete(&event);
		if (end)
			break;
		if (item == NULL)
			goto bad;
		json_link(made, item);
	}
	l->depth--;
	return made;
bad:
	json_free(made);
	return NULL;
}

static bool
has_key(const struct mapping *m, const char *key)
{
	return m->keys != NULL ? map_has(m->keys, key) : json_get(m->made, key) != NULL;
}

/* The key is known to be new. */
static void
add_member(struct mapping *m, const char *key, cJSON *own_value)
{
	own_value->string = xstrdup(key);
	json_link(m->made, own_value);
	if (m->keys == NULL && ++m->count > FEW_KEYS) {
		m->keys = map_new(NULL);
		for (const cJSON *c = m->made->child; c != NULL; c = c->next)
			map_put(m->keys, c->string, NULL);
	} else if (m->keys != NULL) {
		map_put(m->keys, key, NULL);
	}
}

static int
merge_one(struct loader *l, struct mapping *m, const cJSON *from, yaml_mark_t mark)
{
	if (!cJSON_IsObject(from))
		return fail(l, mark, ERR_INVALID, "<< takes a mapping or a list of mappings");
	for (const cJSON *c = from->child; c != NULL; c = c->next) {
		if (has_key(m, c->string))
			continue;
		if (charge_copy(l, c, l->depth, mark) != 0)
			return -1;
		add_member(m, c->string, json_clone(c));
	}
	return 0;
}

/* What the mapping says itself comes first, then the merged ones in their order. */
static int
merge(struct loader *l, struct mapping *m, const cJSON *from, yaml_mark_t mark)
{
	if (!cJSON_IsArray(from))
		return merge_one(l, m, from, mark);
	for (const cJSON *c = from->child; c != NULL; c = c->next)
		if (merge_one(l, m, c, mark) != 0)
			return -1;
	return 0;
}

/* The text of a key, malloc'ed. */
static char *
load_key(struct loader *l, const yaml_event_t *event, bool *is_merge)
{
	cJSON *scalar;
	char *key = NULL;

	*is_merge = false;
	if (event->type == YAML_ALIAS_EVENT) {
		scalar = load_alias(l, event);
	} else if (event->type == YAML_SCALAR_EVENT) {
		*is_merge = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
			    event->data.scalar.tag == NULL &&
			    strcmp((const char *)event->data.scalar.value, "<<") == 0;
		scalar = load_scalar(l, event);
		if (scalar != NULL && event->data.scalar.anchor != NULL) {
			json_add(l->dead, scalar);
			map_put(l->anchors, (const char *)event->data.scalar.anchor, scalar);
			scalar = json_clone(scalar);
		}
	} else {
		fail(l, event->start_mark, ERR_INVALID, "a key must be a plain text");
		return NULL;
	}
	if (scalar == NULL)
		return NULL;
	if (cJSON_IsString(scalar))
		key = xstrdup(scalar->valuestring);
	else if (cJSON_IsBool(scalar) || yaml_is_integer(scalar))
		key = json_string(scalar);
	else
		fail(l, event->start_mark, ERR_INVALID, "a key must be a plain text: quote it");
	json_free(scalar);
	return key;
}

static int
fail_twice(struct loader *l, yaml_mark_t mark, const char *key)
{
	char what[160];

	snprintf(what, sizeof(what), "duplicate key \"%.*s\"", (int)text_cut(key, strlen(key), 100),
		key);
	return fail(l, mark, ERR_INVALID, what);
}

/* One key and its value; *merged takes the value of <<. */
static int
load_member(struct loader *l, struct mapping *m, const yaml_event_t *at, cJSON **merged)
{
	yaml_event_t event;
	bool is_merge;
	char *key = load_key(l, at, &is_merge);
	cJSON *value = NULL;

	if (key == NULL)
		return -1;
	if (is_merge ? *merged != NULL : has_key(m, key)) {
		fail_twice(l, at->start_mark, key);
	} else if (next(l, &event) == 0) {
		value = load_node(l, &event);
		yaml_event_delete(&event);
	}
	if (value != NULL && is_merge)
		*merged = json_add(l->dead, value);
	else if (value != NULL)
		add_member(m, key, value);
	free(key);
	return value != NULL ? 0 : -1;
}

static cJSON *
load_mapping(struct loader *l, const yaml_event_t *start)
{
	struct mapping m = { 0 };
	cJSON *merged = NULL;
	bool end = false;
	int rc = 0;

	if (check_tag(l, start->data.mapping_start.tag, YAML_MAP_TAG, start->start_mark) != 0 ||
		enter(l, start->start_mark) != 0)
		return NULL;
	m.made = json_object();
	while (rc == 0 && !end) {
		yaml_event_t event;

		rc = next(l, &event);
		if (rc != 0)
			break;
		end = event.type == YAML_MAPPING_END_EVENT;
		if (!end)
			rc = load_member(l, &m, &event, &merged);
		yaml_event_delete(&event);
	}
	if (rc == 0 && merged != NULL)
		rc = merge(l, &m, merged, start->start_mark);
	map_free(m.keys);
	l->depth--;
	if (rc == 0)
		return m.made;
	json_free(m.made);
	return NULL;
}

static cJSON *
load_node(struct loader *l, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL;
	cJSON *made = NULL;

	switch ((int)event->type) { /* libyaml's other events do not begin a node */
	case YAML_ALIAS_EVENT:
		return load_alias(l, event);
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		made = load_scalar(l, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		made = load_sequence(l, event);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		made = load_mapping(l, event);
		break;
	}
	if (made != NULL && anchor != NULL)
		map_put(l->anchors, (const char *)anchor, made);
	return made;
}

static bool
is_nothing(const yaml_event_t *event)
{
	return event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 &&
	       event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       event->data.scalar.tag == NULL && event->data.scalar.anchor == NULL;
}

/* One document, after its start. */
static int
load_document(struct loader *l, cJSON *documents, int **lines, size_t *count)
{
	yaml_event_t event;
	cJSON *made;

	if (next(l, &event) != 0)
		return -1;
	if (is_nothing(&event)) {
		yaml_event_delete(&event);
		return 0;
	}
	made = load_node(l, &event);
	if (made != NULL) {
		json_link(documents, made);
		*lines = xrealloc(*lines, (*count + 1) * sizeof(**lines));
		(*lines)[(*count)++] = (int)event.start_mark.line + 1;
	}
	yaml_event_delete(&event);
	return made != NULL ? 0 : -1;
}

static int
load_stream(struct loader *l, cJSON *documents, int **lines)
{
	size_t count = 0;
	int rc = 0;
	bool end = false;

	while (rc == 0 && !end) {
		yaml_event_t event;

		rc = next(l, &event);
		if (rc != 0)
			break;
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT)
			rc = load_document(l, documents, lines, &count);
		else if (event.type == YAML_DOCUMENT_END_EVENT)
			map_clear(l->anchors);
		yaml_event_delete(&event);
	}
	return rc;
}

cJSON *
yaml_parse(const char *name, const char *text, size_t n, int **lines, struct err *e)
{
	struct loader l = { .name = name, .e = e };
	cJSON *documents;
	int *first_lines = NULL, rc;

	if (lines != NULL)
		*lines = NULL;
	if (n > EXPANDED_MAX) {
		err_set(e, ERR_TOO_LARGE, "%s: more than 16 MiB", name);
		return NULL;
	}
	must(yaml_parser_initialize(&l.parser));
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, n);
	l.anchors = map_new(NULL);
	l.dead = json_array();
	documents = json_array();
	rc = load_stream(&l, documents, &first_lines);
	yaml_parser_delete(&l.parser);
	map_free(l.anchors);
	json_free(l.dead);
	if (rc == 0 && lines != NULL)
		*lines = first_lines != NULL ? first_lines : xmalloc(sizeof(int));
	else
		free(first_lines);
	if (rc == 0)
		return documents;
	json_free(documents);
	return NULL;
}
