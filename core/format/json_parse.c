#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "format/json_block.h"
#include "format/json_node.h"

/* One pass straight into cJSON nodes: the input is read once, nothing is built twice, and every
 * error knows its place. cJSON's own parser would need a second pass for each rule of json.h. */

#define FEW_KEYS 16 /* up to here a new key is compared with each of its object */

struct member {
	const char *key;
	size_t at; /* byte of the key in the text */
};

struct reader {
	const char *text, *at, *end;
	struct err *e;
	struct json_block *block; /* NULL: each node and text is an allocation */
	const char *inside;       /* the key whose value is being read, or NULL */
	bool skips;               /* metadata.managedFields */
	int depth;
	struct member *members; /* of the objects being read, innermost last */
	size_t member_count, member_cap;
};

static cJSON *read_value(struct reader *r);

static cJSON *
new_node(struct reader *r, int type)
{
	return r->block ? json_block_node(r->block, type) : json_node(type);
}

static char *
new_text(struct reader *r, size_t n)
{
	return r->block ? json_block_text(r->block, n) : xmalloc(n);
}

/* What is given up: memory of a block goes with the block. */
static void
drop_node(struct reader *r, cJSON *n)
{
	if (!r->block)
		json_free(n);
}

static void
drop_text(struct reader *r, char *text)
{
	if (!r->block)
		free(text);
}

static int
fail(struct reader *r, const char *at, enum err_code code, const char *what)
{
	size_t line = 1;

	for (const char *p = r->text; p < at; p++)
		line += *p == '\n';
	return err_set(r->e, code, "invalid JSON at line %zu, byte %zu: %s", line,
		(size_t)(at - r->text), what);
}

static int
fail_here(struct reader *r, const char *what)
{
	if (r->at == r->end)
		what = "the text ends inside a value";
	return fail(r, r->at, ERR_INVALID, what);
}

static void
skip_space(struct reader *r)
{
	while (r->at < r->end &&
		(*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
		r->at++;
}

static int
hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v |= (c | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

static char *
put_utf8(char *to, int c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* r->at is on the character after "\u". Returns the code point, -1 with the error set. */
static int
read_unicode(struct reader *r)
{
	const char *start = r->at - 2;
	int c = hex4(r->at, r->end), low;

	if (c < 0)
		return fail(r, start, ERR_INVALID, "\\u needs four hexadecimal digits");
	if (c == 0)
		return fail(r, start, ERR_INVALID, "\\u0000 can not be part of a text");
	r->at += 4;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
		return fail(r, start, ERR_INVALID, "a surrogate without its other half");
	low = hex4(r->at + 2, r->end);
	if (low < 0xdc00 || low > 0xdfff)
		return fail(r, start, ERR_INVALID, "a surrogate without its other half");
	r->at += 6;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

/* One escape sequence; r->at is on the backslash. */
static char *
read_escape(struct reader *r, char *to)
{
	int c;

	if (r->end - r->at < 2) {
		r->at = r->end;
		fail_here(r, "");
		return NULL;
	}
	c = r->at[1];
	switch (c) {
	case '"':
	case '\\':
	case '/':
		break;
	case 'b':
		c = '\b';
		break;
	case 'f':
		c = '\f';
		break;
	case 'n':
		c = '\n';
		break;
	case 'r':
		c = '\r';
		break;
	case 't':
		c = '\t';
		break;
	case 'u':
		r->at += 2;
		c = read_unicode(r);
		return c < 0 ? NULL : put_utf8(to, c);
	default:
		fail(r, r->at, ERR_INVALID, "unknown escape sequence");
		return NULL;
	}
	r->at += 2;
	*to++ = (char)c;
	return to;
}

/* The string has escapes: from `start` on; r->at is on the first of them. The raw text up to the
 * closing quote is never shorter than what it stands for. */
static char *
read_escaped(struct reader *r, const char *start)
{
	const char *quote = r->at;
	char *made, *to;

	while (quote < r->end && *quote != '"')
		quote += *quote == '\\' ? 2 : 1;
	if (quote >= r->end)
		quote = r->end;
	made = new_text(r, (size_t)(quote - start) + 1);
	memcpy(made, start, (size_t)(r->at - start));
	to = made + (r->at - start);
	while (r->at < r->end && *r->at != '"') {
		unsigned char c = (unsigned char)*r->at;
		size_t len;

		if (c == '\\') {
			to = read_escape(r, to);
			if (to == NULL)
				goto bad;
			continue;
		}
		len = c < 0x20 ? 0 : text_utf8(r->at, (size_t)(r->end - r->at));
		if (len == 0) {
			fail(r, r->at, ERR_INVALID,
				c < 0x20 ? "a control character in a text" : "not UTF-8");
			goto bad;
		}
		memcpy(to, r->at, len);
		to += len;
		r->at += len;
	}
	if (r->at >= r->end) {
		fail_here(r, "");
		goto bad;
	}
	r->at++;
	*to = '\0';
	return made;
bad:
	drop_text(r, made);
	return NULL;
}

/* r->at is on the opening quote. NULL with the error set. */
static char *
read_string(struct reader *r)
{
	const char *start = ++r->at, *p = start, *end = r->end;
	size_t len;
	char *made;

	for (;;) {
		p += text_plain(p, (size_t)(end - p));
		if (p == end || (unsigned char)*p < 0x80)
			break;
		len = text_utf8(p, (size_t)(end - p));
		if (len == 0)
			break;
		p += len;
	}
	r->at = p;
	if (p == end || *p != '"')
		return read_escaped(r, start);
	r->at++;
	len = (size_t)(p - start);
	made = new_text(r, len + 1);
	memcpy(made, start, len);
	made[len] = '\0';
	return made;
}

static cJSON *
number_node(struct reader *r, double v)
{
	cJSON *n = new_node(r, cJSON_Number);

	n->valuedouble = v;
	n->valueint = v >= 2147483647.0    ? 2147483647
		      : v <= -2147483648.0 ? -2147483647 - 1
					   : (int)v;
	return n;
}

static size_t
digits(struct reader *r)
{
	const char *start = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return (size_t)(r->at - start);
}

static cJSON *
read_fraction(struct reader *r, const char *start)
{
	char small[64], *text = small;
	size_t len = (size_t)(r->at - start);
	double v;

	if (len >= sizeof(small))
		text = xmalloc(len + 1);
	memcpy(text, start, len);
	text[len] = '\0';
	v = strtod(text, NULL);
	if (text != small)
		free(text);
	if (!isfinite(v)) {
		fail(r, start, ERR_INVALID, "a number too large for a double");
		return NULL;
	}
	return number_node(r, v);
}

static cJSON *
read_number(struct reader *r)
{
	const char *start = r->at, *first;
	size_t n;

	if (*r->at == '-')
		r->at++;
	first = r->at;
	n = digits(r);
	if (n == 0) {
		fail_here(r, "a digit is missing");
		return NULL;
	}
	if (n > 1 && *first == '0') {
		fail(r, first, ERR_INVALID, "a number with a leading zero");
		return NULL;
	}
	if (r->at == r->end || (*r->at != '.' && *r->at != 'e' && *r->at != 'E')) {
		int64_t v = 0;

		if (n > 15) {
			cJSON *raw = new_node(r, cJSON_Raw);
			size_t len = (size_t)(r->at - start);

			raw->valuestring = new_text(r, len + 1);
			memcpy(raw->valuestring, start, len);
			raw->valuestring[len] = '\0';
			return raw;
		}
		for (const char *p = first; p < r->at; p++)
			v = v * 10 + (*p - '0');
		return number_node(r, first > start ? -(double)v : (double)v);
	}
	if (*r->at == '.') {
		r->at++;
		if (digits(r) == 0) {
			fail_here(r, "a digit is missing");
			return NULL;
		}
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		if (digits(r) == 0) {
			fail_here(r, "a digit is missing");
			return NULL;
		}
	}
	return read_fraction(r, start);
}

static int
by_key_and_place(const void *a, const void *b)
{
	const struct member *m = a, *n = b;
	int order = strcmp(m->key, n->key);

	return order != 0 ? order : (m->at > n->at) - (m->at < n->at);
}

static int
fail_duplicate(struct reader *r, const struct member *m)
{
	char what[160];

	snprintf(what, sizeof(what), "duplicate key \"%.*s\"",
		(int)text_cut(m->key, strlen(m->key), 100), m->key);
	return fail(r, r->text + m->at, ERR_INVALID, what);
}

/* Remember a key of the object whose members begin at `base`. */
static int
note_key(struct reader *r, size_t base, const char *key, size_t at)
{
	size_t n = r->member_count - base;

	if (r->member_count == r->member_cap) {
		r->member_cap = r->member_cap > 0 ? r->member_cap * 2 : 64;
		r->members = xrealloc(r->members, r->member_cap * sizeof(*r->members));
	}
	r->members[r->member_count++] = (struct member){ key, at };
	if (n >= FEW_KEYS)
		return 0;
	for (struct member *m = r->members + base; n > 0; m++, n--)
		if (m->key[0] == key[0] && strcmp(m->key, key) == 0)
			return fail_duplicate(r, &r->members[r->member_count - 1]);
	return 0;
}

/* The object is complete: look at the keys that were too many to compare one by one. */
static int
forget_keys(struct reader *r, size_t base)
{
	size_t n = r->member_count - base;
	struct member *m;
	const struct member *twice = NULL;

	r->member_count = base;
	if (n <= FEW_KEYS)
		return 0;
	m = r->members + base;
	qsort(m, n, sizeof(*m), by_key_and_place);
	for (size_t i = 1; i < n; i++)
		if (strcmp(m[i - 1].key, m[i].key) == 0 && (twice == NULL || m[i].at < twice->at))
			twice = &m[i];
	return twice != NULL ? fail_duplicate(r, twice) : 0;
}

/* Who wrote which field is half of many objects, and nobody here asks. */
static bool
is_skipped(const struct reader *r, const char *key)
{
	return r->skips && r->depth <= 3 && r->at < r->end && *r->at == '[' && r->inside &&
	       strcmp(r->inside, "metadata") == 0 && strcmp(key, "managedFields") == 0;
}

/* Past a list whose content does not matter; r->at is on its bracket. */
static int
skip_list(struct reader *r)
{
	int open = 0;

	for (bool text = false; r->at < r->end; r->at++) {
		char c = *r->at;

		if (text && c == '\\')
			r->at++;
		else if (c == '"')
			text = !text;
		else if (!text && (c == '[' || c == '{'))
			open++;
		else if (!text && (c == ']' || c == '}') && --open == 0)
			break;
	}
	if (r->at >= r->end) {
		r->at = r->end;
		return fail_here(r, "");
	}
	r->at++;
	return 0;
}

static int
read_member(struct reader *r, cJSON *object, size_t base)
{
	size_t at = (size_t)(r->at - r->text);
	const char *outer = r->inside;
	cJSON *value;
	char *key;

	if (r->at == r->end || *r->at != '"')
		return fail_here(r, "a key in quotes is missing");
	key = read_string(r);
	if (key == NULL)
		return -1;
	if (note_key(r, base, key, at) != 0)
		goto bad;
	skip_space(r);
	if (r->at == r->end || *r->at != ':') {
		fail_here(r, "a colon is missing");
		goto bad;
	}
	r->at++;
	skip_space(r);
	if (is_skipped(r, key)) {
		int rc = skip_list(r);

		drop_text(r, key);
		return rc;
	}
	r->inside = key;
	value = read_value(r);
	r->inside = outer;
	if (value == NULL)
		goto bad;
	value->string = key;
	json_link(object, value);
	return 0;
bad:
	drop_text(r, key);
	return -1;
}

static int
read_element(struct reader *r, cJSON *array)
{
	cJSON *value = read_value(r);

	if (value == NULL)
		return -1;
	json_link(array, value);
	return 0;
}

/* An object or array; r->at is on its opening bracket. */
static cJSON *
read_container(struct reader *r)
{
	bool object = *r->at == '{';
	char close = object ? '}' : ']';
	size_t base = r->member_count;
	cJSON *made;

	if (r->depth == JSON_DEPTH_MAX) {
		fail(r, r->at, ERR_TOO_LARGE, "nested too deep");
		return NULL;
	}
	r->depth++;
	r->at++;
	made = new_node(r, object ? cJSON_Object : cJSON_Array);
	skip_space(r);
	if (r->at < r->end && *r->at == close) {
		r->at++;
		r->depth--;
		return made;
	}
	for (;;) {
		if ((object ? read_member(r, made, base) : read_element(r, made)) != 0)
			goto bad;
		skip_space(r);
		if (r->at < r->end && *r->at == close)
			break;
		if (r->at == r->end || *r->at != ',') {
			fail_here(
				r, object ? "a comma or } is missing" : "a comma or ] is missing");
			goto bad;
		}
		r->at++;
		if (object)
			skip_space(r);
	}
	r->at++;
	r->depth--;
	if (forget_keys(r, base) != 0)
		goto bad;
	return made;
bad:
	drop_node(r, made);
	return NULL;
}

static cJSON *
read_word(struct reader *r, const char *word, int type)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) {
		fail(r, r->at, ERR_INVALID, "a value is missing");
		return NULL;
	}
	r->at += n;
	return new_node(r, type);
}

static cJSON *
read_value(struct reader *r)
{
	cJSON *made;

	skip_space(r);
	if (r->at == r->end) {
		fail_here(r, "");
		return NULL;
	}
	switch (*r->at) {
	case '{':
	case '[':
		return read_container(r);
	case '"':
		made = new_node(r, cJSON_String);
		made->valuestring = read_string(r);
		if (made->valuestring == NULL) {
			drop_node(r, made);
			return NULL;
		}
		return made;
	case 't':
		made = read_word(r, "true", cJSON_True);
		if (made != NULL)
			made->valueint = 1;
		return made;
	case 'f':
		return read_word(r, "false", cJSON_False);
	case 'n':
		return read_word(r, "null", cJSON_NULL);
	default:
		if (*r->at == '-' || (*r->at >= '0' && *r->at <= '9'))
			return read_number(r);
		fail(r, r->at, ERR_INVALID, "a value is missing");
		return NULL;
	}
}

static cJSON *
read_all(struct reader *r, const char *text, size_t n)
{
	cJSON *tree;

	if (n > JSON_SIZE_MAX) {
		err_set(r->e, ERR_TOO_LARGE, "invalid JSON: %zu bytes, at most %u are read", n,
			JSON_SIZE_MAX);
		return NULL;
	}
	r->text = r->at = n ? text : ""; /* it may have been NULL */
	r->end = r->at + n;
	tree = read_value(r);
	free(r->members);
	if (tree == NULL)
		return NULL;
	skip_space(r);
	if (r->at < r->end) {
		fail(r, r->at, ERR_INVALID, "more bytes after the value");
		drop_node(r, tree);
		return NULL;
	}
	return tree;
}

cJSON *
json_parse(const char *text, size_t n, struct err *e)
{
	struct reader r = { .e = e };

	return read_all(&r, text, n);
}

static const cJSON *
read_block(const char *text, size_t n, bool skips, struct err *e)
{
	struct reader r = { .e = e, .skips = skips };
	const cJSON *tree;

	if (n <= JSON_SIZE_MAX)
		r.block = json_block_new(n);
	tree = read_all(&r, text, n);
	if (tree == NULL && r.block)
		json_block_free(r.block);
	return tree;
}

const cJSON *
json_read(const char *text, size_t n, struct err *e)
{
	return read_block(text, n, false, e);
}

const cJSON *
json_read_object(const char *text, size_t n, struct err *e)
{
	return read_block(text, n, true, e);
}

void
json_free(const cJSON *tree)
{
	if (tree != NULL && json_block_is_root(tree))
		json_block_free(json_block_of(tree));
	else
		cJSON_Delete((cJSON *)tree);
}
