#ifndef BASE_TEXT_H
#define BASE_TEXT_H
/*
 * text: the few ways bytes and numbers become text that every layer needs.
 *
 * What text_quote() writes is a valid JSON string whatever the input: control characters are
 * escaped and bytes that are no UTF-8 become U+FFFD.
 */
#include <stddef.h>

#include "base/buf.h"

/* Length of the well-formed UTF-8 sequence at p (1 to 4), 0 when there is none. */
size_t text_utf8(const char *p, size_t n);
/* How many bytes at the start stand for themselves in JSON: printable ASCII but " and \. */
size_t text_plain(const char *p, size_t n);
/* The longest prefix of at most `max` bytes that does not cut a UTF-8 sequence. */
size_t text_cut(const char *p, size_t n, size_t max);
/* Append p as a JSON string with its quotes. */
int text_quote(struct buf *out, const char *p, size_t n);
/* Shortest text that reads back as the same finite double: 3, 0.1, 1e-7. From 1e15 on with an
 * exponent, so that it is never mistaken for an exact integer. */
size_t text_double(double v, char out[32]);
size_t text_int(long long v, char out[24]);

#endif
