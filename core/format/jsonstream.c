#include "format/jsonstream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "format/json.h"

#define KEEP_MAX (256u << 10) /* a larger buffer is given back after its value */

/* What may come next in a LIST, outside a token. */
enum place {
	AT_START,
	AT_FIRST_KEY,
	AT_KEY,
	AT_COLON,
	AT_VALUE,
	AT_ARRAY,
	AT_FIRST_ITEM,
	AT_ITEM,
	AFTER_ITEM,
	AFTER_VALUE,
	AT_END,
};

struct jsonstream {
	enum jsonstream_framing framing;
	char *array_name;
	size_t max_value;
	jsonstream_value_fn *on_value;
	void *arg;

	struct buf held; /* the beginning of a token or line that came in earlier chunks */
	size_t fed;      /* bytes of earlier chunks */
	bool failed;
	struct err why;

	enum place place;
	struct buf rest;
	bool seen_array;
	bool named; /* the key just read is the array's */

	/* A token is a key or a whole value. */
	bool in_token, in_string, escaped;
	int depth;
	char closer[JSON_DEPTH_MAX];
};

struct jsonstream *
jsonstream_new(enum jsonstream_framing framing, const char *array_name, size_t max_value,
	jsonstream_value_fn *on_value, void *arg)
{
	struct jsonstream *s = xcalloc(1, sizeof(*s));

	must(framing == JSONSTREAM_LINES || array_name != NULL);
	s->framing = framing;
	s->array_name = xstrdup(array_name != NULL ? array_name : "");
	s->max_value = max_value > 0 && max_value < JSON_SIZE_MAX ? max_value : JSON_SIZE_MAX;
	s->on_value = on_value;
	s->arg = arg;
	buf_init(&s->held, s->max_value);
	buf_init(&s->rest, s->max_value);
	return s;
}

void
jsonstream_free(struct jsonstream *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->held);
	buf_fini(&s->rest);
	free(s->array_name);
	free(s);
}

static int
fail(struct jsonstream *s, enum err_code code, const char *what)
{
	s->failed = true;
	if (code == ERR_TOO_LARGE)
		return err_set(&s->why, code, "JSON stream: %s: the limit is %zu bytes", what,
			s->max_value);
	return err_set(&s->why, code, "JSON stream: %s", what);
}

static int
fail_at(struct jsonstream *s, size_t at, const char *what)
{
	s->failed = true;
	return err_set(&s->why, ERR_PROTOCOL, "JSON stream at byte %zu: %s", s->fed + at, what);
}

static int
deliver(struct jsonstream *s, const char *text, size_t n)
{
	err_clear(&s->why);
	if (s->on_value(s->arg, text, n, &s->why) == 0)
		return 0;
	s->failed = true;
	if (s->why.code == ERR_NONE)
		err_set(&s->why, ERR_CANCELLED, "JSON stream: stopped by its reader");
	return -1;
}

static int
hold(struct jsonstream *s, const char *text, size_t n)
{
	return buf_put(&s->held, text, n) == 0 ? 0 : fail(s, ERR_TOO_LARGE, "a value is too large");
}

static void
let_go(struct jsonstream *s)
{
	if (s->held.cap > KEEP_MAX)
		buf_fini(&s->held);
	else
		buf_reset(&s->held);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int
deliver_line(struct jsonstream *s, const char *text, size_t n)
{
	while (n > 0 && is_space(text[n - 1]))
		n--;
	while (n > 0 && is_space(*text)) {
		text++;
		n--;
	}
	return n > 0 ? deliver(s, text, n) : 0;
}

static int
feed_lines(struct jsonstream *s, const char *chunk, size_t n)
{
	while (n > 0) {
		const char *end = memchr(chunk, '\n', n);
		size_t len = end != NULL ? (size_t)(end - chunk) : n;
		int rc;

		if (len > s->max_value)
			return fail(s, ERR_TOO_LARGE, "a value is too large");
		if ((end == NULL || s->held.len > 0) && hold(s, chunk, len) != 0)
			return -1;
		if (end == NULL)
			return 0;
		if (s->held.len > 0) {
			rc = deliver_line(s, s->held.at, s->held.len);
			let_go(s);
		} else {
			rc = deliver_line(s, chunk, len);
		}
		if (rc != 0)
			return -1;
		chunk += len + 1;
		n -= len + 1;
	}
	return 0;
}

/* Move on to the end of the token. Returns the byte after it; NULL when the chunk ended first or
 * the nesting is broken (then failed is set). */
static const char *
scan_token(struct jsonstream *s, const char *chunk, const char *p, const char *end)
{
	for (; p < end; p++) {
		if (s->in_string) {
			if (s->escaped) {
				s->escaped = false;
			} else if (*p == '\\') {
				s->escaped = true;
			} else if (*p == '"') {
				s->in_string = false;
				if (s->depth == 0)
					return p + 1;
			}
			continue;
		}
		switch (*p) {
		case '"':
			s->in_string = true;
			break;
		case '{':
		case '[':
			if (s->depth == JSON_DEPTH_MAX) {
				fail_at(s, (size_t)(p - chunk), "nested too deep");
				return NULL;
			}
			s->closer[s->depth++] = *p == '{' ? '}' : ']';
			break;
		case '}':
		case ']':
			if (s->depth == 0)
				return p;
			if (s->closer[--s->depth] != *p) {
				fail_at(s, (size_t)(p - chunk), "brackets do not match");
				return NULL;
			}
			if (s->depth == 0)
				return p + 1;
			break;
		case ',':
		case ':':
		case ' ':
		case '\t':
		case '\r':
		case '\n':
			if (s->depth == 0)
				return p;
			break;
		default:
			break;
		}
	}
	return NULL;
}

/* Is this key, in quotes, the array's? Escapes are rare enough for the slow way. */
static bool
is_array_name(const struct jsonstream *s, const char *key, size_t n)
{
	size_t len = strlen(s->array_name);
	cJSON *text;
	bool same;

	if (memchr(key, '\\', n) == NULL)
		return n == len + 2 && memcmp(key + 1, s->array_name, len) == 0;
	text = json_parse(key, n, NULL);
	same = text != NULL && strcmp(json_text(text), s->array_name) == 0;
	json_free(text);
	return same;
}

static int
keep(struct jsonstream *s, char before, const char *text, size_t n)
{
	if (buf_putc(&s->rest, before) != 0 || buf_put(&s->rest, text, n) != 0)
		return fail(s, ERR_TOO_LARGE, "what surrounds the list is too large");
	return 0;
}

static int
end_token(struct jsonstream *s, const char *text, size_t n)
{
	switch (s->place) {
	case AT_FIRST_KEY:
	case AT_KEY:
		s->place = AT_COLON;
		s->named = is_array_name(s, text, n);
		if (s->named) {
			if (s->seen_array)
				return fail(s, ERR_PROTOCOL, "the list comes twice");
			s->seen_array = true;
			return 0;
		}
		return keep(s, s->rest.len > 0 ? ',' : '{', text, n);
	case AT_VALUE:
		s->place = AFTER_VALUE;
		return keep(s, ':', text, n);
	case AT_ARRAY:
		s->place = AFTER_VALUE;
		if (n == 4 && memcmp(text, "null", 4) == 0)
			return 0;
		return fail(s, ERR_PROTOCOL, "what should be a list is none");
	case AT_FIRST_ITEM:
	case AT_ITEM:
		s->place = AFTER_ITEM;
		return deliver(s, text, n);
	case AT_START:
	case AT_COLON:
	case AFTER_ITEM:
	case AFTER_VALUE:
	case AT_END:
		break;
	}
	return fail(s, ERR_INTERNAL, "a token where none can be");
}

static int
expect(struct jsonstream *s, size_t at, bool is_it, enum place next, const char *otherwise)
{
	if (!is_it)
		return fail_at(s, at, otherwise);
	s->place = next;
	return 0;
}

/* One character that is no space, outside a token. */
static int
step(struct jsonstream *s, char c, size_t at)
{
	switch (s->place) {
	case AT_START:
		return expect(s, at, c == '{', AT_FIRST_KEY, "an object was expected");
	case AT_FIRST_KEY:
	case AT_KEY:
		if (c == '}' && s->place == AT_FIRST_KEY) {
			s->place = AT_END;
			return 0;
		}
		s->in_token = true;
		return expect(s, at, c == '"', s->place, "a key was expected");
	case AT_COLON:
		return expect(
			s, at, c == ':', s->named ? AT_ARRAY : AT_VALUE, "a colon was expected");
	case AT_ARRAY:
		if (c == '[') {
			s->place = AT_FIRST_ITEM;
			return 0;
		}
		break;
	case AT_FIRST_ITEM:
		if (c == ']') {
			s->place = AFTER_VALUE;
			return 0;
		}
		break;
	case AT_VALUE:
	case AT_ITEM:
		break;
	case AFTER_ITEM:
		return expect(s, at, c == ',' || c == ']', c == ',' ? AT_ITEM : AFTER_VALUE,
			"a comma or ] was expected");
	case AFTER_VALUE:
		return expect(s, at, c == ',' || c == '}', c == ',' ? AT_KEY : AT_END,
			"a comma or } was expected");
	case AT_END:
		return fail_at(s, at, "bytes after the end");
	}
	s->in_token = true;
	return expect(
		s, at, strchr(",:]}", c) == NULL || c == '\0', s->place, "a value was expected");
}

static int
feed_items(struct jsonstream *s, const char *chunk, size_t n)
{
	const char *p = chunk, *end = chunk + n;

	while (p < end) {
		const char *start, *stop;
		size_t room;
		int rc;

		if (!s->in_token) {
			if (is_space(*p)) {
				p++;
				continue;
			}
			if (step(s, *p, (size_t)(p - chunk)) != 0)
				return -1;
			if (!s->in_token) {
				p++;
				continue;
			}
		}
		start = p;
		/* No further than the limit, so that a chunk's size decides nothing; the byte after
		 * it may show that a number has ended. */
		room = s->max_value - s->held.len + 1;
		stop = scan_token(s, chunk, p, (size_t)(end - p) > room ? p + room : end);
		if (s->failed)
			return -1;
		if (stop == NULL ? (size_t)(end - p) >= room : (size_t)(stop - p) >= room)
			return fail(s, ERR_TOO_LARGE, "a value is too large");
		if (stop == NULL)
			return hold(s, start, (size_t)(end - start));
		p = stop;
		s->in_token = false;
		if (s->held.len == 0) {
			rc = end_token(s, start, (size_t)(stop - start));
		} else {
			if (hold(s, start, (size_t)(stop - start)) != 0)
				return -1;
			rc = end_token(s, s->held.at, s->held.len);
			let_go(s);
		}
		if (rc != 0)
			return -1;
	}
	return 0;
}

static int
tell(const struct jsonstream *s, struct err *e)
{
	if (e != NULL)
		*e = s->why;
	return -1;
}

int
jsonstream_feed(struct jsonstream *s, const char *chunk, size_t n, struct err *e)
{
	int rc;

	if (s->failed)
		return tell(s, e);
	if (n == 0)
		return 0;
	rc = s->framing == JSONSTREAM_LINES ? feed_lines(s, chunk, n) : feed_items(s, chunk, n);
	s->fed += n;
	return rc == 0 ? 0 : tell(s, e);
}

/* The last line may lack its newline, but only where its end is beyond doubt: "12" could go on. */
static int
end_lines(struct jsonstream *s)
{
	cJSON *whole;
	bool sure;

	while (s->held.len > 0 && is_space(s->held.at[s->held.len - 1]))
		s->held.len--;
	if (s->held.len == 0)
		return 0;
	whole = json_parse(s->held.at, s->held.len, NULL);
	sure = cJSON_IsObject(whole) || cJSON_IsArray(whole) || cJSON_IsString(whole);
	json_free(whole);
	if (!sure)
		return fail(s, ERR_UNAVAILABLE, "it ended inside a value");
	return deliver_line(s, s->held.at, s->held.len);
}

int
jsonstream_end(struct jsonstream *s, char **rest, struct err *e)
{
	if (rest != NULL)
		*rest = NULL;
	if (s->failed)
		return tell(s, e);
	if (s->framing == JSONSTREAM_LINES) {
		if (end_lines(s) != 0)
			return tell(s, e);
	} else if (s->place != AT_END) {
		fail(s, ERR_UNAVAILABLE, "it ended inside a value");
		return tell(s, e);
	} else if (rest != NULL) {
		s->rest.max = 0;
		buf_putc(&s->rest, s->rest.len > 0 ? '}' : '{');
		if (s->rest.len == 1)
			buf_putc(&s->rest, '}');
		*rest = buf_take(&s->rest);
	}
	s->failed = true;
	err_set(&s->why, ERR_INTERNAL, "JSON stream: fed after its end");
	return 0;
}
