#include <string.h>

#include "base/text.h"
#include "format/yaml.h"
#include "format/yaml_scalar.h"

/* Longer keys are no "simple keys" any more (1,024 characters) and need a "? ". */
#define KEY_MAX 900

static int print(const cJSON *node, struct buf *out, int indent);

static int
spaces(struct buf *out, int n)
{
	for (; n > 0; n--)
		if (buf_putc(out, ' ') != 0)
			return -1;
	return 0;
}

static unsigned
code_point(const char *p, size_t len)
{
	unsigned c = (unsigned char)p[0] & (len == 1 ? 0x7f : 0xff >> (len + 1));

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

/* Characters that YAML does not allow as they are, or takes for the end of a line. */
static bool
needs_escape(unsigned c)
{
	return (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
	       c == 0xfffe || c == 0xffff;
}

/* JSON's way of quoting is YAML's too, apart from a few characters. */
static int
quote(struct buf *out, const char *text)
{
	struct buf json;
	int rc = 0;

	buf_init(&json, 0);
	text_quote(&json, text, strlen(text));
	for (size_t i = 0, len; i < json.len && rc == 0; i += len) {
		unsigned c;

		len = text_utf8(json.at + i, json.len - i);
		c = code_point(json.at + i, len);
		rc = needs_escape(c) ? buf_printf(out, "\\u%04x", c)
				     : buf_put(out, json.at + i, len);
	}
	buf_fini(&json);
	return rc;
}

static int
print_text(const char *text, struct buf *out)
{
	return yaml_is_plain(text) ? buf_puts(out, text) : quote(out, text);
}

/* Several lines that read best as they are. */
static bool
is_block(const char *text)
{
	size_t n = strlen(text);

	if (strchr(text, '\n') == NULL || *text == ' ' || *text == '\t' || *text == '\n')
		return false;
	for (size_t i = 0, len; i < n; i += len) {
		unsigned c;

		len = text_utf8(text + i, n - i);
		if (len == 0)
			return false;
		c = code_point(text + i, len);
		if ((c < 0x20 && c != '\n' && c != '\t') || needs_escape(c))
			return false;
	}
	return true;
}

static int
print_block(const char *text, struct buf *out, int indent)
{
	size_t n = strlen(text);
	const char *chomp = text[n - 1] != '\n' ? "|-" : n > 1 && text[n - 2] == '\n' ? "|+" : "|";

	if (buf_puts(out, chomp) != 0)
		return -1;
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		if (buf_putc(out, '\n') != 0 || (len > 0 && spaces(out, indent) != 0) ||
			buf_put(out, text, len) != 0)
			return -1;
		text += len;
		if (*text == '\n')
			text++;
	}
	return 0;
}

static int
print_key(const char *key, struct buf *out, int indent)
{
	size_t before = out->len;

	if (strlen(key) > KEY_MAX / 6) {
		/* How long it gets is known when it is written. */
		if (quote(out, key) != 0)
			return -1;
		if (out->len - before > KEY_MAX) {
			out->len = before;
			if (buf_puts(out, "? ") != 0 || quote(out, key) != 0 ||
				buf_putc(out, '\n') != 0 || spaces(out, indent) != 0)
				return -1;
		}
	} else if (print_text(key, out) != 0) {
		return -1;
	}
	return buf_putc(out, ':');
}

static bool
is_long(const cJSON *node)
{
	return (cJSON_IsObject(node) || cJSON_IsArray(node)) && node->child != NULL;
}

/* A value after its key. Lists stand below their key, not further in, as kubectl prints them. */
static int
print_value(const cJSON *value, struct buf *out, int indent)
{
	int inner = cJSON_IsArray(value) ? indent : indent + 2;

	if (!is_long(value))
		return buf_putc(out, ' ') == 0 ? print(value, out, indent + 2) : -1;
	if (buf_putc(out, '\n') != 0 || spaces(out, inner) != 0)
		return -1;
	return print(value, out, inner);
}

/* The caller has written the indentation of the first line; no newline is written at the end. */
static int
print_members(const cJSON *node, struct buf *out, int indent)
{
	bool object = cJSON_IsObject(node);

	for (const cJSON *c = node->child; c != NULL; c = c->next) {
		int rc;

		if (c != node->child && (buf_putc(out, '\n') != 0 || spaces(out, indent) != 0))
			return -1;
		if (object)
			rc = print_key(c->string, out, indent) == 0 ? print_value(c, out, indent)
								    : -1;
		else
			rc = buf_put(out, "- ", 2) == 0 ? print(c, out, indent + 2) : -1;
		if (rc != 0)
			return -1;
	}
	return 0;
}

static int
print(const cJSON *node, struct buf *out, int indent)
{
	if (is_long(node))
		return print_members(node, out, indent);
	if (!cJSON_IsString(node))
		return json_print(node, out);
	if (is_block(node->valuestring))
		return print_block(node->valuestring, out, indent > 0 ? indent : 2);
	return print_text(node->valuestring, out);
}

int
yaml_print(const cJSON *tree, struct buf *out)
{
	if (print(tree, out, 0) != 0)
		return -1;
	return buf_putc(out, '\n');
}
