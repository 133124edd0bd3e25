#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t
read_ms(clockid_t id)
{
	struct timespec t = { 0 };

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t
system_mono(void *self)
{
	(void)self;
	return read_ms(CLOCK_BOOTTIME);
}

static int64_t
system_wall(void *self)
{
	(void)self;
	return read_ms(CLOCK_REALTIME);
}

const struct clock *
clock_system(void)
{
	static const struct clock real = { system_mono, system_wall, NULL };

	return &real;
}

int64_t
clock_mono(const struct clock *c)
{
	return c->mono_ms(c->self);
}

int64_t
clock_wall(const struct clock *c)
{
	return c->wall_ms(c->self);
}

void
clock_format(int64_t wall_ms, int micro, char *out, size_t n)
{
	time_t s = (time_t)(wall_ms / 1000);
	int ms = (int)(wall_ms % 1000);
	struct tm tm = { 0 };
	size_t len;

	if (n == 0)
		return;
	if (ms < 0) {
		ms += 1000;
		s--;
	}
	out[0] = '\0';
	if (gmtime_r(&s, &tm) == NULL)
		return;
	len = strftime(out, n, "%Y-%m-%dT%H:%M:%S", &tm);
	if (micro)
		snprintf(out + len, n - len, ".%03d000Z", ms);
	else
		snprintf(out + len, n - len, "Z");
}

/* Exactly n digits at *s, which then moves past them; -1 when there are fewer. */
static int
digits(const char **s, int n)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

static int
literal(const char **s, char lower)
{
	if ((**s | 0x20) != (lower | 0x20))
		return -1;
	(*s)++;
	return 0;
}

static int
parse_zone(const char **s, int *offset_s)
{
	int sign = **s == '-' ? -1 : 1, hours, minutes;

	*offset_s = 0;
	if (**s == 'Z' || **s == 'z') {
		(*s)++;
		return 0;
	}
	if (**s != '+' && **s != '-')
		return -1;
	(*s)++;
	hours = digits(s, 2);
	if (hours < 0 || hours > 23 || *(*s)++ != ':')
		return -1;
	minutes = digits(s, 2);
	if (minutes < 0 || minutes > 59)
		return -1;
	*offset_s = sign * (hours * 3600 + minutes * 60);
	return 0;
}

static int
days_of(int year, int month)
{
	if (month == 2)
		return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

int
clock_parse(const char *s, int64_t *wall_ms)
{
	struct tm tm = { 0 };
	int ms = 0, scale = 100, offset;

	if ((tm.tm_year = digits(&s, 4)) < 0 || *s++ != '-' || (tm.tm_mon = digits(&s, 2)) < 1 ||
		*s++ != '-' || (tm.tm_mday = digits(&s, 2)) < 1 || literal(&s, 't') != 0 ||
		(tm.tm_hour = digits(&s, 2)) < 0 || *s++ != ':' ||
		(tm.tm_min = digits(&s, 2)) < 0 || *s++ != ':' || (tm.tm_sec = digits(&s, 2)) < 0)
		return -1;
	if (tm.tm_mon > 12 || tm.tm_mday > days_of(tm.tm_year, tm.tm_mon) || tm.tm_hour > 23 ||
		tm.tm_min > 59 || tm.tm_sec > 60)
		return -1;
	if (*s == '.') {
		if (*++s < '0' || *s > '9')
			return -1;
		for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
			ms += (*s - '0') * scale;
	}
	if (parse_zone(&s, &offset) != 0 || *s != '\0')
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*wall_ms = ((int64_t)timegm(&tm) - offset) * 1000 + ms;
	return 0;
}

void
clock_age(int64_t ms, char *out, size_t n)
{
	long long s = (long long)(ms < 0 ? 0 : ms / 1000), m = s / 60, h = s / 3600, d = h / 24;
	long long big, small = 0;
	char unit[3] = "";

	if (s < 120) {
		big = s, unit[0] = 's';
	} else if (m < 180) {
		big = m, unit[0] = 'm', unit[1] = 's';
		small = m < 10 ? s % 60 : 0;
	} else if (h < 48) {
		big = h, unit[0] = 'h', unit[1] = 'm';
		small = h < 8 ? m % 60 : 0;
	} else if (d < 730) {
		big = d, unit[0] = 'd', unit[1] = 'h';
		small = d < 8 ? h % 24 : 0;
	} else {
		big = d / 365, unit[0] = 'y', unit[1] = 'd';
		small = d < 8 * 365 ? d % 365 : 0;
	}
	if (small > 0)
		snprintf(out, n, "%lld%c%lld%c", big, unit[0], small, unit[1]);
	else
		snprintf(out, n, "%lld%c", big, unit[0]);
}
