#ifndef APP_CHANGE_H
#define APP_CHANGE_H
/*
 * change: what the everyday verbs have in common: one custom resource, one thin patch, one answer.
 *
 * A verb never does what the operator could do: it writes what a person wants, the server validates
 * it, and the line that follows says where to watch. --dry-run asks the server without writing.
 */
#include "app/client.h"

struct change {
	const struct args *args;
	struct client c;
	enum kind kind;
	cJSON *object; /* as it was read */
	bool dry;
};

extern const struct opt change_opts[]; /* --dry-run */

/* Read the object that argument 0 names: KIND/NAME of one of `kinds` (ended by KIND_COUNT), or NAME
 * alone where only one kind is possible. Returns 0, or the exit code after a word on stderr; then
 * there is nothing to close. */
int change_open(struct change *ch, const struct args *a, const enum kind *kinds);
/* change_open_at: the object is argument `at`, the last one.
 * Send a merge patch (taken), or a deletion of this very object. Prints "Kind name: <what>" and
 * what to watch; returns the exit code. */
int change_open_at(struct change *ch, const struct args *a, int at, const enum kind *kinds);
int change_patch(struct change *ch, cJSON *own_patch, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* What is at this JSON pointer becomes `own_value`, if the object is still the one that was read.
 */
int change_replace(struct change *ch, const char *pointer, cJSON *own_value, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int change_delete(struct change *ch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Nothing is to be done, or something stands against it: 0 and 1. */
int change_none(struct change *ch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int change_refused(struct change *ch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The restart of a group, in the order of an upgrade, or of one instance. */
int change_restart(struct change *ch, const struct args *a);
void change_close(struct change *ch);
const char *change_name(const struct change *ch);
/* {"metadata": {"annotations": {key: value}}}; value NULL takes it away. */
cJSON *change_annotation(const char *key, const char *value);

#endif
