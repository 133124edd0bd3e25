#ifndef BASE_METRIC_H
#define BASE_METRIC_H
/*
 * metric: counters, gauges and histograms, written as Prometheus text (version 0.0.4).
 *
 * A family is registered once with its help text; a series is a family plus label values. Label
 * text is given ready made and escaped by metric_label(): `kind="TiKV",result="ok"`. Series of an
 * object that is gone are removed with metric_drop() by a label prefix, so nothing grows for ever.
 * Using a family that was not registered, or as another type, is a broken invariant. A family
 * without series is not printed. metric_value() of a histogram is its number of observations.
 */
#include <stdint.h>

#include "base/buf.h"

struct metrics;
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* bounds: ascending upper bounds for a histogram, ended by a value <= 0; NULL otherwise. */
void metric_family(struct metrics *m, const char *name, enum metric_type type, const char *help,
	const double *bounds);
void metric_add(struct metrics *m, const char *family, const char *labels, double by);
void metric_set(struct metrics *m, const char *family, const char *labels, double to);
void metric_observe(struct metrics *m, const char *family, const char *labels, double value);
double metric_value(
	const struct metrics *m, const char *family, const char *labels); /* 0 if none */
void metric_drop(struct metrics *m, const char *label_part); /* series with a label starting so */
int metric_label(struct buf *out, const char *key, const char *value); /* adds a comma if needed */
int metrics_print(const struct metrics *m, struct buf *out);

#endif
