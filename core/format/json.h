#ifndef FORMAT_JSON_H
#define FORMAT_JSON_H
/*
 * json: cJSON made strict and exact.
 *
 * Trees are cJSON nodes and are freed with json_free(). What cJSON gets wrong is put right here:
 *   - the whole input must be one value; trailing bytes, NUL bytes, invalid UTF-8, duplicate keys,
 *     NaN and lone surrogates are errors that name byte and line;
 *   - integers of more than 15 digits become cJSON_Raw nodes holding their digits, so PD's 64-bit
 *     ids survive; json_print() writes them back unchanged, json_text() reads them;
 *   - depth and size are bounded before anything is built;
 *   - member order is kept; an empty list stays a list.
 * Numbers print with the shortest text that reads back as the same double; 3.0 prints as 3.
 * What is printed is always valid JSON, whatever was put into a tree: bytes that are no UTF-8
 * become U+FFFD, NaN and infinities become null. \u0000 is refused when read: a C string can not
 * hold it. Printing fails only when `out` is full.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_DEPTH_MAX 100
#define JSON_SIZE_MAX (64u << 20)

cJSON *json_parse(const char *text, size_t n, struct err *e); /* NULL on error */
void json_free(const cJSON *tree);                            /* NULL is fine */
/* The same for a tree that is only looked at: all of it is one block of memory, so reading and
 * freeing cost a third. Nothing of it may be changed or put into another tree; json_clone() may. */
const cJSON *json_read(const char *text, size_t n, struct err *e);
/* The same without metadata.managedFields, which is passed over unread. */
const cJSON *json_read_object(const char *text, size_t n, struct err *e);
const cJSON *json_share(const cJSON *root); /* one more owner, who calls json_free() too */
/* *slot becomes the tree, and NULL when its last owner has freed it. NULL: no longer. */
void json_follow(const cJSON *root, const cJSON **slot);
/* A node that stands for a value by its compact text, which must outlive it: for what is only
 * printed or cloned, or read by somebody who knows. Paths do not lead into it. */
cJSON *json_lent(const char *text);
bool json_is_lent(const cJSON *node);
int json_print(const cJSON *tree, struct buf *out);        /* compact */
int json_print_pretty(const cJSON *tree, struct buf *out); /* four spaces, as kubectl -o json */
/* Keys sorted at every level: equal trees give equal bytes. For hashes and comparisons. */
int json_print_canonical(const cJSON *tree, struct buf *out);
char *json_string(const cJSON *tree); /* compact, malloc'ed */

bool json_equal(const cJSON *a, const cJSON *b); /* members in any order, lists in order */
cJSON *json_clone(const cJSON *tree);

/* Reading. A missing or wrongly typed member gives NULL / the fallback; none of these fails. */
const cJSON *json_get(const cJSON *object, const char *key);
/* "status.conditions[type=Ready].status", "spec.ports[0].port"; a dot in a key is written "\\.",
 * and so are [ ] = and the backslash. The first match counts; an empty path is the tree itself. */
const cJSON *json_path(const cJSON *tree, const char *path);
const char *json_text(const cJSON *node); /* text of a string or raw integer, else NULL */
const char *json_str(const cJSON *tree, const char *path, const char *fallback);
int64_t json_int(const cJSON *tree, const char *path, int64_t fallback);
bool json_bool(const cJSON *tree, const char *path, bool fallback);

/* Building. Each takes ownership of `own_` and returns it (or the node it made), so that calls
 * nest: json_put(json_put(o, "a", json_object()), "b", ...). A NULL value is not added. */
cJSON *json_object(void);
cJSON *json_array(void);
cJSON *json_put(cJSON *object, const char *key, cJSON *own_value); /* replaces; keeps the place */
cJSON *json_put_str(cJSON *object, const char *key, const char *value); /* NULL: not added */
cJSON *json_put_int(cJSON *object, const char *key, int64_t value);     /* raw beyond 15 digits */
cJSON *json_put_bool(cJSON *object, const char *key, bool value);
cJSON *json_add(cJSON *array, cJSON *own_value);
bool json_drop(cJSON *object, const char *key);

/* RFC 7386 merge patch, in place; *target may be replaced. */
void json_merge_patch(cJSON **target, const cJSON *patch);
/* RFC 6902; *target is unchanged on error. */
int json_patch(cJSON **target, const cJSON *operations, struct err *e);

#endif
