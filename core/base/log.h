#ifndef BASE_LOG_H
#define BASE_LOG_H
/*
 * log: one record per line, JSON or text, to a descriptor or a callback.
 *
 * Records carry time, level, message and key-value pairs. Values are always strings and are
 * escaped; a record is cut at 16 KiB. There is no global: a log is passed to whoever writes.
 * Secrets are the caller's business: never pass a token, a key or a Secret's content.
 */
#include "base/clock.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log;
typedef void log_sink_fn(void *arg, const char *line); /* one line, without its newline */

struct log *log_new(const struct clock *clock, enum log_level least, int json, log_sink_fn *sink,
	void *arg); /* sink NULL: stderr */
void log_free(struct log *l);
int log_on(const struct log *l, enum log_level level);

/* Pairs are (const char *key, const char *value), ended by NULL. A NULL log writes nothing. */
void log_write(struct log *l, enum log_level level, const char *msg, ...) __attribute__((sentinel));
int log_level_of(const char *name, enum log_level *out); /* "debug" ... ; -1 when unknown */

#endif
