#ifndef ENGINE_GAUGES_H
#define ENGINE_GAUGES_H
/*
 * gauges: the state of clusters, groups and instances as Prometheus text, made when somebody asks.
 *
 * Nothing is kept between two scrapes, so nothing grows and nothing is stale. The number of series
 * is bounded: a few per cluster and group, counts of instances by phase, and single instances only
 * where they wait, at most GAUGES_WAITING of them, the longest waits first. What PD says comes from
 * its newest snapshot; while PD is unknown those series are absent, which an alert can see.
 */
#include "engine/operator.h"

#define GAUGES_WAITING 100

/* Appends to `out`. Only the leader tells: two processes would say it twice. */
int operator_gauges(struct tikv_operator *o, struct buf *out);

#endif
