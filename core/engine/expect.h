#ifndef ENGINE_EXPECT_H
#define ENGINE_EXPECT_H
/*
 * expect: writes not yet seen in a cache; holds a key until they are (R1).
 *
 * After a successful write the key may not run until the store of that kind has delivered the
 * returned resourceVersion (or a newer one) of that uid, or its removal, or has relisted since. On
 * time-out (10 s) the kind is listed again; the key is never let through on time alone. We wait
 * rather than lay our own writes over the cache (R2).
 *
 * The watch is often faster than the answer of the write. With expect_stores() a write that its
 * store already reflects is not waited for, and a kind that nobody watches holds nothing.
 */
#include <stdbool.h>
#include <stdint.h>

#include "kube/store.h"

struct expect;

struct expect *expect_new(void);
void expect_free(struct expect *x);
/* Where to look whether a write was seen before its answer came; store() gives NULL: not watched.
 */
void expect_stores(struct expect *x, struct store *(*store)(void *arg, enum kind k), void *arg);
/* A write for `key` returned rv for the object; rv NULL: it was deleted (or will be). */
void expect_wrote(struct expect *x, const char *key, enum kind kind, const char *object_key,
	const char *uid, const char *rv, int64_t now);
/* A store event. Calls `freed` for each key that waits for nothing more. */
typedef void expect_freed_fn(void *arg, const char *key);
void expect_saw(struct expect *x, const struct obj *old, const struct obj *now,
	expect_freed_fn *freed, void *arg);
void expect_relisted(
	struct expect *x, enum kind kind, int64_t list_started, expect_freed_fn *freed, void *arg);
/* Look into the stores for everything still open: a bookmark or a list may have passed it. */
void expect_look(struct expect *x, expect_freed_fn *freed, void *arg);
bool expect_holds(const struct expect *x, const char *key);
size_t expect_open(const struct expect *x); /* writes not yet seen */
/* Kinds with a write unseen since before `before`: bit (1 << kind). They need a relist. */
uint32_t expect_overdue(const struct expect *x, int64_t before);
void expect_forget(struct expect *x, const char *key);

#endif
