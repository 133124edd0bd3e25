#ifndef ENGINE_TICKS_H
#define ENGINE_TICKS_H
/*
 * ticks: how often the stores of one Cluster report their regions to PD (raftstore.
 * pd-heartbeat-tick-interval), as far as their objects say so.
 *
 * It decides how long a new leader of PD counts as one that knows little (pdview_set_tick). The
 * slowest store counts; what can not be read counts as TiKV's default of a minute. Only a person
 * writes spec.config: no script shortens the wait. A store remembers nothing while all are at the
 * default.
 */
#include "kube/store.h"

#define TICKS_DEFAULT_MS 60000

struct ticks;

struct ticks *ticks_new(void);
void ticks_free(struct ticks *t);
/* A TiKV came, changed or went. Returns whether ticks_slowest() may be another now. */
bool ticks_event(struct ticks *t, const struct obj *old, const struct obj *now);
int64_t ticks_slowest(const struct ticks *t); /* ms; 0: the default */
/* The interval that a config.toml sets, in ms; 0: none, or nothing that can be read. */
int64_t ticks_of(const char *toml);

#endif
