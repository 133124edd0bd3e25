#ifndef BASE_ERR_H
#define BASE_ERR_H
/*
 * err: an error as a value.
 *
 * A function that can fail returns 0, or -1 with *e filled. The code decides what the caller does
 * next (retry, relist, give up); the message is for people and reads "what: why: what to do".
 * Callers wrap on the way up, so the outermost context comes first. Messages longer than the
 * buffer are cut, never overrun. `e` may be NULL where nobody will look.
 */

enum err_code {
	ERR_NONE,
	ERR_INVALID,      /* the input is wrong: retrying the same thing is useless (400, 422) */
	ERR_NOT_FOUND,    /* 404 */
	ERR_EXISTS,       /* 409 AlreadyExists */
	ERR_CONFLICT,     /* 409 Conflict: decide anew from a newer world */
	ERR_EXPIRED,      /* 410 Gone / Expired: that resourceVersion is useless */
	ERR_TOO_NEW,      /* 504 with cause ResourceVersionTooLarge: ask with another version */
	ERR_UNAUTHORIZED, /* 401: fetch the credentials again */
	ERR_FORBIDDEN,    /* 403: a person must grant something */
	ERR_THROTTLED,    /* 429: wait retry_after_s */
	ERR_UNAVAILABLE,  /* refused, reset, 5xx: not carried out, or may be repeated */
	ERR_TIMEOUT,      /* no answer in time: the outcome of a write is unknown */
	ERR_PROTOCOL,     /* the peer sent something that is not the protocol */
	ERR_TOO_LARGE,    /* a size, depth or count limit was hit */
	ERR_CANCELLED,    /* the caller, a shutdown or a lost lease ended it */
	ERR_REFUSED,      /* a guard said no: the message starts with the rule's id */
	ERR_UNSUPPORTED,  /* the other side does not offer this */
	ERR_INTERNAL,     /* a bug on our side */
};

struct err {
	enum err_code code;
	int retry_after_s; /* from Retry-After, 0 when absent */
	int status;        /* HTTP status, 0 when there was none */
	char msg[512];
};

/* Fill *e and return -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "context: " before the message, keep the code, return -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *e);

/* Stable lower-case name of a code, for logs and metrics: "not_found". */
const char *err_name(enum err_code code);

/* Broken invariant: writes file, line and text to stderr and aborts; on in production too. */
#define must(cond) ((cond) ? (void)0 : err_must(#cond, __FILE__, __LINE__))
void err_must(const char *cond, const char *file, int line) __attribute__((noreturn));

#endif
