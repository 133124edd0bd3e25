#include "base/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

struct family {
	enum metric_type type;
	char *help;
	double *bounds;
	size_t bound_count;
	struct map *series; /* label text to struct series */
};

struct series {
	double value;   /* for a histogram: the sum of what was observed */
	uint64_t count; /* histogram only */
	uint64_t bucket[];
};

struct metrics {
	struct map *families;
};

static void
family_free(void *value)
{
	struct family *f = value;

	map_free(f->series);
	free(f->help);
	free(f->bounds);
	free(f);
}

struct metrics *
metrics_new(void)
{
	struct metrics *m = xmalloc(sizeof(*m));

	m->families = map_new(family_free);
	return m;
}

void
metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	map_free(m->families);
	free(m);
}

void
metric_family(struct metrics *m, const char *name, enum metric_type type, const char *help,
	const double *bounds)
{
	struct family *f = map_get(m->families, name);

	if (f != NULL) {
		must(f->type == type);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->type = type;
	f->help = xstrdup(help);
	f->series = map_new(free);
	if (type == METRIC_HISTOGRAM && bounds != NULL) {
		while (bounds[f->bound_count] > 0) {
			must(f->bound_count == 0 ||
				bounds[f->bound_count] > bounds[f->bound_count - 1]);
			f->bound_count++;
		}
		f->bounds = xmalloc(f->bound_count * sizeof(*bounds));
		memcpy(f->bounds, bounds, f->bound_count * sizeof(*bounds));
	}
	map_put(m->families, name, f);
}

static struct series *
series_of(struct metrics *m, const char *family, const char *labels, bool histogram)
{
	struct family *f = map_get(m->families, family);
	struct series *s;

	must(f != NULL && (f->type == METRIC_HISTOGRAM) == histogram);
	if (labels == NULL)
		labels = "";
	s = map_get(f->series, labels);
	if (s == NULL) {
		s = xcalloc(1, sizeof(*s) + f->bound_count * sizeof(s->bucket[0]));
		map_put(f->series, labels, s);
	}
	return s;
}

void
metric_add(struct metrics *m, const char *family, const char *labels, double by)
{
	series_of(m, family, labels, false)->value += by;
}

void
metric_set(struct metrics *m, const char *family, const char *labels, double to)
{
	series_of(m, family, labels, false)->value = to;
}

void
metric_observe(struct metrics *m, const char *family, const char *labels, double value)
{
	struct series *s = series_of(m, family, labels, true);
	const struct family *f = map_get(m->families, family);

	s->value += value;
	s->count++;
	for (size_t i = 0; i < f->bound_count; i++)
		if (value <= f->bounds[i]) {
			s->bucket[i]++;
			return;
		}
}

double
metric_value(const struct metrics *m, const char *family, const char *labels)
{
	const struct family *f = map_get(m->families, family);
	const struct series *s =
		f != NULL ? map_get(f->series, labels != NULL ? labels : "") : NULL;

	if (s == NULL)
		return 0;
	return f->type == METRIC_HISTOGRAM ? (double)s->count : s->value;
}

/* A part counts only where a label begins, so name="a" does not take othername="a" with it. */
static bool
has_part(const char *labels, const char *part)
{
	for (const char *at = labels; (at = strstr(at, part)) != NULL; at++)
		if (at == labels || at[-1] == ',')
			return true;
	return false;
}

void
metric_drop(struct metrics *m, const char *label_part)
{
	if (*label_part == '\0')
		return;
	for (struct map_iter f = { 0 }; map_next(m->families, &f);) {
		struct map *series = ((struct family *)f.value)->series;

		for (struct map_iter s = { 0 }; map_next(series, &s);)
			if (has_part(s.key, label_part))
				map_del(series, s.key);
	}
}

int
metric_label(struct buf *out, const char *key, const char *value)
{
	if (out->len > 0 && buf_putc(out, ',') != 0)
		return -1;
	if (buf_puts(out, key) != 0 || buf_puts(out, "=\"") != 0)
		return -1;
	for (; *value != '\0'; value++) {
		int rc;

		switch (*value) {
		case '\\':
			rc = buf_put(out, "\\\\", 2);
			break;
		case '"':
			rc = buf_put(out, "\\\"", 2);
			break;
		case '\n':
			rc = buf_put(out, "\\n", 2);
			break;
		default:
			rc = buf_putc(out, *value);
		}
		if (rc != 0)
			return -1;
	}
	return buf_putc(out, '"');
}

static const char *
number(double v, char text[32])
{
	if (isnan(v))
		return "NaN";
	if (isinf(v))
		return v > 0 ? "+Inf" : "-Inf";
	text_double(v, text);
	return text;
}

static int
print_line(struct buf *out, const char *name, const char *suffix, const char *labels,
	const char *le, double value)
{
	char text[32];
	const char *comma = *labels != '\0' && le != NULL ? "," : "";

	if (buf_printf(out, "%s%s", name, suffix) != 0)
		return -1;
	if (le != NULL && buf_printf(out, "{%s%sle=\"%s\"}", labels, comma, le) != 0)
		return -1;
	if (le == NULL && *labels != '\0' && buf_printf(out, "{%s}", labels) != 0)
		return -1;
	return buf_printf(out, " %s\n", number(value, text));
}

static int
print_histogram(struct buf *out, const char *name, const struct family *f, const char *labels,
	const struct series *s)
{
	uint64_t below = 0;
	char text[32];

	for (size_t i = 0; i < f->bound_count; i++) {
		below += s->bucket[i];
		if (print_line(out, name, "_bucket", labels, number(f->bounds[i], text),
			    (double)below) != 0)
			return -1;
	}
	if (print_line(out, name, "_bucket", labels, "+Inf", (double)s->count) != 0 ||
		print_line(out, name, "_sum", labels, NULL, s->value) != 0)
		return -1;
	return print_line(out, name, "_count", labels, NULL, (double)s->count);
}

static int
print_help(struct buf *out, const char *help)
{
	for (; *help != '\0'; help++) {
		int rc = *help == '\\'   ? buf_puts(out, "\\\\")
			 : *help == '\n' ? buf_puts(out, "\\n")
					 : buf_putc(out, *help);

		if (rc != 0)
			return -1;
	}
	return 0;
}

static const char *
type_name(enum metric_type type)
{
	switch (type) {
	case METRIC_COUNTER:
		return "counter";
	case METRIC_GAUGE:
		return "gauge";
	case METRIC_HISTOGRAM:
		return "histogram";
	}
	return "untyped";
}

int
metrics_print(const struct metrics *m, struct buf *out)
{
	for (struct map_iter it = { 0 }; map_next(m->families, &it);) {
		const struct family *f = it.value;

		if (map_count(f->series) == 0)
			continue;
		if (buf_printf(out, "# HELP %s ", it.key) != 0 || print_help(out, f->help) != 0 ||
			buf_printf(out, "\n# TYPE %s %s\n", it.key, type_name(f->type)) != 0)
			return -1;
		for (struct map_iter s = { 0 }; map_next(f->series, &s);) {
			int rc = f->type == METRIC_HISTOGRAM
					 ? print_histogram(out, it.key, f, s.key, s.value)
					 : print_line(out, it.key, "", s.key, NULL,
						   ((struct series *)s.value)->value);

			if (rc != 0)
				return -1;
		}
	}
	return 0;
}
