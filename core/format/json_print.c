#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "format/json_node.h"

enum style { COMPACT, PRETTY, CANONICAL };

static int print(const cJSON *node, struct buf *out, enum style style, int level);

static int
new_line(struct buf *out, int level)
{
	static const char spaces[] = "                                ";
	size_t n = (size_t)level * 4;

	if (buf_putc(out, '\n') != 0)
		return -1;
	for (size_t piece; n > 0; n -= piece) {
		piece = n < sizeof(spaces) - 1 ? n : sizeof(spaces) - 1;
		if (buf_put(out, spaces, piece) != 0)
			return -1;
	}
	return 0;
}

static int
print_number(double v, struct buf *out, enum style style)
{
	char text[32];

	if (!isfinite(v))
		return buf_put(out, "null", 4);
	if (v == 0 && style == CANONICAL)
		v = 0; /* -0 equals 0 */
	return buf_put(out, text, text_double(v, text));
}

static int
print_member(const cJSON *child, struct buf *out, enum style style, int level, bool keyed)
{
	if (style == PRETTY && new_line(out, level) != 0)
		return -1;
	if (keyed) {
		const char *key = child->string != NULL ? child->string : "";

		if (text_quote(out, key, strlen(key)) != 0 || buf_putc(out, ':') != 0 ||
			(style == PRETTY && buf_putc(out, ' ') != 0))
			return -1;
	}
	return print(child, out, style, level);
}

static int
print_sorted(const cJSON *object, struct buf *out, int level)
{
	size_t n;
	const cJSON **member = json_sorted(object, &n);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		if (i > 0)
			rc = buf_putc(out, ',');
		if (rc == 0)
			rc = print_member(member[i], out, CANONICAL, level, true);
	}
	free(member);
	return rc;
}

static int
print_container(const cJSON *node, struct buf *out, enum style style, int level)
{
	bool object = cJSON_IsObject(node);

	if (buf_putc(out, object ? '{' : '[') != 0)
		return -1;
	if (object && style == CANONICAL) {
		if (print_sorted(node, out, level + 1) != 0)
			return -1;
		return buf_putc(out, '}');
	}
	for (const cJSON *c = node->child; c != NULL; c = c->next) {
		if (c != node->child && buf_putc(out, ',') != 0)
			return -1;
		if (print_member(c, out, style, level + 1, object) != 0)
			return -1;
	}
	if (style == PRETTY && node->child != NULL && new_line(out, level) != 0)
		return -1;
	return buf_putc(out, object ? '}' : ']');
}

static int
print(const cJSON *node, struct buf *out, enum style style, int level)
{
	switch (node->type & 0xff) {
	case cJSON_Object:
	case cJSON_Array:
		return print_container(node, out, style, level);
	case cJSON_String:
		return text_quote(out, node->valuestring, strlen(node->valuestring));
	case cJSON_Raw:
		return buf_puts(out, node->valuestring);
	case cJSON_Number:
		return print_number(node->valuedouble, out, style);
	case cJSON_True:
		return buf_put(out, "true", 4);
	case cJSON_False:
		return buf_put(out, "false", 5);
	default: /* cJSON's types are bits, not an enum */
		return buf_put(out, "null", 4);
	}
}

int
json_print(const cJSON *tree, struct buf *out)
{
	return print(tree, out, COMPACT, 0);
}

int
json_print_pretty(const cJSON *tree, struct buf *out)
{
	return print(tree, out, PRETTY, 0);
}

int
json_print_canonical(const cJSON *tree, struct buf *out)
{
	return print(tree, out, CANONICAL, 0);
}

char *
json_string(const cJSON *tree)
{
	struct buf out;

	buf_init(&out, 0);
	json_print(tree, &out);
	return buf_take(&out);
}
