#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#define RECORD_MAX (16u << 10)
#define MESSAGE_MAX (2u << 10) /* escaped, at most six times as long: always fits */
#define VALUE_MAX (8u << 10)
#define TAIL_MAX 24 /* room for the mark of a cut record and the end */

struct log {
	const struct clock *clock;
	enum log_level least;
	int json;
	log_sink_fn *sink;
	void *arg;
};

static void
to_stderr(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

struct log *
log_new(const struct clock *clock, enum log_level least, int json, log_sink_fn *sink, void *arg)
{
	struct log *l = xmalloc(sizeof(*l));

	*l = (struct log){ clock, least, json, sink != NULL ? sink : to_stderr, arg };
	return l;
}

void
log_free(struct log *l)
{
	free(l);
}

int
log_on(const struct log *l, enum log_level level)
{
	return l != NULL && level >= l->least;
}

static const char *
level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARN:
		return "warn";
	case LOG_ERROR:
		return "error";
	}
	return "unknown";
}

int
log_level_of(const char *name, enum log_level *out)
{
	for (enum log_level level = LOG_DEBUG; level <= LOG_ERROR; level++)
		if (strcasecmp(name, level_name(level)) == 0) {
			*out = level;
			return 0;
		}
	return -1;
}

/* In text a value needs quotes when it has anything that could be taken for structure. */
static int
is_plain(const char *s)
{
	if (*s == '\0')
		return 0;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f || *s == '"' ||
			*s == '=' || *s == '\\')
			return 0;
	return 1;
}

static int
put_pair(struct buf *out, int json, const char *key, const char *value)
{
	size_t key_len = text_cut(key, strlen(key), 256), len;

	if (value == NULL)
		value = "";
	len = text_cut(value, strlen(value), VALUE_MAX);
	if (json) {
		if (buf_putc(out, ',') != 0 || text_quote(out, key, key_len) != 0 ||
			buf_putc(out, ':') != 0)
			return -1;
		return text_quote(out, value, len);
	}
	if (buf_putc(out, ' ') != 0 ||
		(is_plain(key) ? buf_put(out, key, key_len) : text_quote(out, key, key_len)) != 0 ||
		buf_putc(out, '=') != 0)
		return -1;
	return is_plain(value) ? buf_put(out, value, len) : text_quote(out, value, len);
}

/* A message in text is read by people: only what would break the line is escaped. */
static void
put_message(struct buf *out, const char *msg, size_t len)
{
	struct buf quoted;

	buf_init(&quoted, 0);
	text_quote(&quoted, msg, len);
	if (memchr(quoted.at, '\\', quoted.len) == NULL)
		buf_put(out, quoted.at + 1, quoted.len - 2);
	else
		buf_put(out, quoted.at, quoted.len);
	buf_fini(&quoted);
}

void
log_write(struct log *l, enum log_level level, const char *msg, ...)
{
	char now[40];
	struct buf out;
	const char *key;
	int cut = 0;
	va_list ap;

	if (!log_on(l, level))
		return;
	clock_format(clock_wall(l->clock), 1, now, sizeof(now));
	buf_init(&out, RECORD_MAX - TAIL_MAX);
	if (l->json) {
		buf_printf(
			&out, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", now, level_name(level));
		text_quote(&out, msg, text_cut(msg, strlen(msg), MESSAGE_MAX));
	} else {
		buf_printf(&out, "%s %-5s ", now, level_name(level));
		put_message(&out, msg, text_cut(msg, strlen(msg), MESSAGE_MAX));
	}
	va_start(ap, msg);
	while ((key = va_arg(ap, const char *)) != NULL) {
		const char *value = va_arg(ap, const char *);
		size_t before = out.len;

		if (value != NULL && strlen(value) > VALUE_MAX)
			cut = 1;
		if (put_pair(&out, l->json, key, value) != 0) {
			out.len = before;
			out.at[before] = '\0';
			cut = 1;
		}
	}
	va_end(ap);
	out.max = RECORD_MAX;
	if (cut)
		put_pair(&out, l->json, "cut", "true");
	if (l->json)
		buf_putc(&out, '}');
	l->sink(l->arg, out.at);
	buf_fini(&out);
}
