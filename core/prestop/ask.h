#ifndef PRESTOP_ASK_H
#define PRESTOP_ASK_H
/*
 * ask: one HTTP request to a program of the same pod, over TLS where a certificate is given.
 *
 * Only 127.0.0.1 is ever asked, so no name is resolved and the program can be linked statically.
 * Every request has its own connection and ends within ten seconds.
 */
#include <stddef.h>

struct ask_at {
	int port;
	const char *cacert, *cert, *key; /* cacert NULL: plain HTTP */
};

/* The status, or -1 with a word in `why`. `body` gets what fits, ended by NUL. */
int ask(const struct ask_at *at, const char *method, const char *path, char *body, size_t size,
	const char **why);

#endif
