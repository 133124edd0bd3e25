#ifndef FORMAT_JSONSTREAM_H
#define FORMAT_JSONSTREAM_H
/*
 * jsonstream: cuts bytes that arrive in pieces into whole JSON values, without a tree.
 *
 * Two framings. JSONSTREAM_LINES: one value per line (a watch). JSONSTREAM_ITEMS: the elements of
 * one named array of a top-level object, one by one, and at the end the rest of the object with
 * that array left out (a LIST: "items" and then "metadata"), so that no tree of a whole list ever
 * exists. Chunks may be cut anywhere. A value above `max_value` bytes, broken nesting or bytes
 * after the end are errors (ERR_PROTOCOL, ERR_TOO_LARGE; an end inside a value is ERR_UNAVAILABLE:
 * ask again); once it failed it stays failed. Blank lines are skipped. The list itself may be null,
 * as Go writes an empty one. A last line without newline counts when it is whole. Values are cut
 * out, not checked: json_parse() does that. The stream must not be freed from within on_value.
 */
#include <stddef.h>

#include "base/err.h"

struct jsonstream;
enum jsonstream_framing { JSONSTREAM_LINES, JSONSTREAM_ITEMS };

/* Called for each whole value (not NUL-terminated; valid during the call). Non-zero stops. */
typedef int jsonstream_value_fn(void *arg, const char *text, size_t n, struct err *e);

struct jsonstream *jsonstream_new(enum jsonstream_framing framing, const char *array_name,
	size_t max_value, jsonstream_value_fn *on_value, void *arg);
void jsonstream_free(struct jsonstream *s);
int jsonstream_feed(struct jsonstream *s, const char *chunk, size_t n, struct err *e);
/* The input ended. An error when it ended inside a value. For ITEMS, *rest is the object without
 * the array (malloc'ed text, the caller frees); NULL for LINES. */
int jsonstream_end(struct jsonstream *s, char **rest, struct err *e);

#endif
