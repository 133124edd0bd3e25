#ifndef APP_WHOSE_H
#define APP_WHOSE_H
/*
 * whose: from any object that the operator makes or uses - pod, claim, volume, config map, service,
 * Job - to the PD, TiKV, group or Cluster that it belongs to.
 */
#include "app/client.h"

/* The kind that kubectl would take for a word, of all that can be explained: "po", "pvc", "tikv".
 */
int whose_kind(const char *word, size_t n, enum kind *out);
/* The object of ours that `o` belongs to, through any number of owners; the caller frees. NULL:
 * nobody's, or *e says why it could not be read. */
cJSON *whose(struct client *c, enum kind k, const cJSON *o, enum kind *of, struct err *e);
/* What stands out in the object itself, as lines: where it runs, what its containers say. */
void whose_print(enum kind k, const cJSON *o, FILE *out);

#endif
