#ifndef APP_CHILD_H
#define APP_CHILD_H
/*
 * child: run a function in a forked child under CPU and memory limits.
 *
 * The real side of script.h's seam: the only defence against a C call that no hook can stop. The
 * child touches neither sockets nor stdio and leaves by _exit; what it wrote to `out` comes back
 * through a pipe. It blocks the loop for as long as the child runs: at most CHILD_CPU_S seconds.
 */
#include "base/buf.h"
#include "base/err.h"

#define CHILD_CPU_S 2

/* 0: fn returned 0. -1: it failed, was killed, or said too much; *e tells. */
int child_run(void *arg, int (*fn)(void *arg2, struct buf *out), void *arg2, struct buf *out,
	struct err *e);

#endif
