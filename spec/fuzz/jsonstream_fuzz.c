/* However the bytes are cut, the same values come out, and the same end. The first two bytes choose
 * the framing and the cuts. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "format/json.h"
#include "format/jsonstream.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);

static int
note(void *arg, const char *text, size_t n, struct err *e)
{
	struct buf *seen = arg;

	(void)e;
	must(n > 0 && n <= 200);
	buf_put(seen, text, n);
	return buf_putc(seen, '\x1f');
}

/* Feed with pieces of pseudo-random length up to `most` and write down all that happened. */
static void
run(enum jsonstream_framing framing, const char *text, size_t n, unsigned most, struct buf *seen)
{
	struct jsonstream *s = jsonstream_new(framing, "items", 200, note, seen);
	unsigned state = most * 2654435761u + 1;
	struct err e = { 0 };
	char *rest = NULL;
	int rc = 0;

	while (n > 0 && rc == 0) {
		size_t piece;
		char *own;

		state = state * 1664525u + 1013904223u;
		piece = most == 0 ? n : 1 + (state >> 16) % most;
		if (piece > n)
			piece = n;
		own = malloc(piece); /* its own memory: a read past the piece shows */
		memcpy(own, text, piece);
		rc = jsonstream_feed(s, own, piece, &e);
		free(own);
		text += piece;
		n -= piece;
	}
	if (rc == 0)
		rc = jsonstream_end(s, &rest, &e);
	else
		must(jsonstream_feed(s, "", 1, &e) == -1 && jsonstream_end(s, &rest, &e) == -1);
	buf_printf(seen, "%d %s %s", rc, rc != 0 ? err_name(e.code) : "", rest != NULL ? rest : "");
	free(rest);
	jsonstream_free(s);
}

/* What the stream says of a LIST must agree with a tree of the whole of it. */
static void
compare(const char *text, size_t n, const struct buf *seen)
{
	cJSON *whole = json_parse(text, n, NULL);
	const cJSON *items = json_get(whole, "items");
	const char *at = seen->at;

	if (cJSON_IsObject(whole) && strstr(at, "\x1f"
						"0 ") != NULL)
		for (const cJSON *c = items != NULL ? items->child : NULL; c != NULL; c = c->next) {
			const char *end = strchr(at, '\x1f');
			cJSON *item = json_parse(at, (size_t)(end - at), NULL);

			must(item != NULL && json_equal(item, c));
			json_free(item);
			at = end + 1;
		}
	json_free(whole);
}

int
LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
	enum jsonstream_framing framing;
	struct buf once, cut;

	if (n < 2)
		return 0;
	framing = bytes[0] % 2 == 0 ? JSONSTREAM_LINES : JSONSTREAM_ITEMS;
	buf_init(&once, 0);
	buf_init(&cut, 0);
	run(framing, (const char *)bytes + 2, n - 2, 0, &once);
	run(framing, (const char *)bytes + 2, n - 2, 1 + bytes[1] % 16, &cut);
	must(once.len == cut.len && memcmp(once.at, cut.at, once.len) == 0);
	if (framing == JSONSTREAM_ITEMS)
		compare((const char *)bytes + 2, n - 2, &once);
	buf_fini(&once);
	buf_fini(&cut);
	return 0;
}
