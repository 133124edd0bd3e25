#ifndef KUBE_VERDICT_H
#define KUBE_VERDICT_H
/*
 * verdict: what a failed LIST or WATCH means for what comes next (L5, W6, W7, T6).
 */
#include <stdbool.h>

#include "base/err.h"

enum verdict {
	VERDICT_RESUME,  /* watch again from the last resourceVersion; for a list: the same again */
	VERDICT_LIST,    /* list again, not older than what was seen */
	VERDICT_QUORUM,  /* that version leads nowhere: list without one */
	VERDICT_EXPIRED, /* the version is too old: list */
	VERDICT_DENIED,  /* not there, or not ours to read: slowly, and touch nothing */
	VERDICT_LOGIN,   /* as RESUME, with fresh credentials */
	VERDICT_INTERNAL, /* as RESUME for a while, then LIST */
};

enum verdict verdict_of_list(const struct err *e);
enum verdict verdict_of_stream(const struct err *e, bool begun); /* begun: status 200 had come */

#endif
