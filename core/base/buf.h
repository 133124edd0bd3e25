#ifndef BASE_BUF_H
#define BASE_BUF_H
/*
 * buf: growable bytes with a hard cap.
 *
 * `at` is always NUL-terminated (the NUL is not counted in len), so it can be read as a C string
 * when the content has no NUL. A write that would pass `max` changes nothing and returns -1;
 * the buffer then stays usable and `full` is set until buf_reset().
 */
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *at;
	size_t len;
	size_t cap;
	size_t max; /* 0 = no cap */
	bool full;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_reset(struct buf *b); /* empty, keep the memory */
int buf_put(struct buf *b, const void *p, size_t n);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
/* Room for n more bytes to be written at the returned place and then counted in len by the caller
 * (who keeps the NUL); NULL when that would pass the cap. */
char *buf_room(struct buf *b, size_t n);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(struct buf *b, size_t n); /* remove n bytes from the front */
/* Give the content away as a malloc'ed C string (never NULL); the buffer is empty afterwards. */
char *buf_take(struct buf *b);

#endif
