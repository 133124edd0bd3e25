#ifndef APP_FIGURES_H
#define APP_FIGURES_H
/*
 * figures: the lines of `explain` that PD knows better than status: the store, the member, the
 * counts of a Cluster. PD's newest where the operator can be asked (live.h), else what status
 * remembers, with its age.
 */
#include "app/client.h"

void figures_print(struct client *c, enum kind k, const cJSON *o); /* other kinds: nothing */

#endif
