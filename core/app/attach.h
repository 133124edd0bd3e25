#ifndef APP_ATTACH_H
#define APP_ATTACH_H
/*
 * attach: mirrors the pods, config maps, claims, nodes and secrets' names of a real API server into
 * the simulated one, so that the simulated PD and TiKV live for pods that run there.
 *
 * Reads only. Objects keep their uids; a removed one is removed.
 */
#include "app/playground.h"

int attach_start(struct playground *p, const char *kubeconfig, struct err *e);
void attach_stop(struct playground *p); /* no-op when nothing was attached */

#endif
