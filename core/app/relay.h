#ifndef APP_RELAY_H
#define APP_RELAY_H
/*
 * relay: the one pod of a playground that is a real process: the operator. The API server's pod
 * proxy reaches it, as it would in a cluster, so that `status` and `explain` show live figures
 * there too.
 */
#include "app/playground.h"

struct relay;

/* The pod that stands for the operator, in tikv-system; requests to its proxy go to 127.0.0.1:port.
 */
struct relay *relay_new(struct playground *p, int port, struct err *e);
void relay_free(struct relay *r); /* before the server */
/* A port of loopback that is free now; -1 with *e. */
int relay_free_port(struct loop *l, struct err *e);

#endif
