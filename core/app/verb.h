#ifndef APP_VERB_H
#define APP_VERB_H
/*
 * verb: the command line: one table of verbs, their options, help and completion.
 *
 * GNU conventions: --name VALUE, --name=VALUE, -x, options and arguments in any order, `--` ends
 * options, every verb has --help with an example. Exit codes: 0 done, 1 it failed or the answer is
 * no, 2 the command line was wrong. Errors read "what: why: what to do" and go to stderr. Help,
 * completion and the config file all come from the same tables, so they can not disagree.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum opt_type { OPT_TEXT, OPT_INT, OPT_FLAG, OPT_LIST };

struct opt {
	const char *name; /* "kubeconfig"; NULL ends a table */
	char letter;      /* 'n', or 0 */
	enum opt_type type;
	const char *arg;      /* "FILE", NULL for flags */
	const char *fallback; /* shown in help and used when not given; NULL: none */
	const char *help;
};

struct args;

struct verb {
	const char *name, *summary;
	const char *usage;   /* what follows the verb: "[KIND/]NAME" */
	const char *text;    /* a paragraph, may be NULL */
	const char *example; /* lines */
	const struct opt *opts;
	bool client; /* also takes the client options: --kubeconfig, --context, -n */
	int (*run)(struct args *a);
};

extern const struct verb verbs[]; /* ended by a NULL name */

/* Values: lent for the life of args. */
const char *args_text(const struct args *a, const char *name); /* NULL when not given */
int64_t args_int(const struct args *a, const char *name);
bool args_flag(const struct args *a, const char *name);
const char *const *args_list(const struct args *a, const char *name); /* NULL-terminated */
int args_count(const struct args *a);                                 /* positional arguments */
const char *args_at(const struct args *a, int i);
/* Take options from a YAML file (names as on the command line); the command line wins. */
int args_config_file(struct args *a, const char *path, struct err *e);

int verb_main(int argc, char **argv);
/* Print "tikv-operator VERB: message" and return 2 (usage) or 1. */
int verb_usage_error(const struct args *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int verb_fail(const struct args *a, const struct err *e);
int verb_completion(FILE *out, const char *shell); /* bash, zsh, fish; -1 when unknown */

#endif
