#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
/*
 * clock: monotonic and wall time from one replaceable source.
 *
 * mono_ms counts suspended time too (CLOCK_BOOTTIME): a lease must not survive a laptop lid. It is
 * the only time used for deadlines. wall_ms is milliseconds since 1970 and is used for what people
 * read and for timestamps in objects, never to judge an age that another clock wrote.
 */
#include <stddef.h>
#include <stdint.h>

struct clock {
	int64_t (*mono_ms)(void *self);
	int64_t (*wall_ms)(void *self);
	void *self;
};

const struct clock *clock_system(void);
int64_t clock_mono(const struct clock *c);
int64_t clock_wall(const struct clock *c);

/* RFC 3339. `out` takes at least 32 bytes. micro: 2026-01-02T03:04:05.678000Z, else seconds. */
void clock_format(int64_t wall_ms, int micro, char *out, size_t n);
/* Parse RFC 3339 (fractions, Z or offset). Returns 0, or -1 when it is none. */
int clock_parse(const char *s, int64_t *wall_ms);
/* "3m", "2h5m", "45s", as kubectl prints ages. */
void clock_age(int64_t ms, char *out, size_t n);

#endif
