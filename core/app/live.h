#ifndef APP_LIVE_H
#define APP_LIVE_H
/*
 * live: what the running operator knows of PD, for people who look: through the API server's pod
 * proxy.
 *
 * Status keeps figures only as far as they matter, so they may be minutes old. The operator polls
 * PD and shows its newest snapshot under /debug/pd; its pods are found by their labels. Whoever may
 * not read pods or their proxy gets nothing here and is told so by the age of the figures.
 */
#include "app/client.h"

struct live {
	struct client *c;
	cJSON *pods; /* candidates; NULL before they were looked for */
	char *path;  /* of the one that answered, up to "/debug/" */
};

void live_init(struct live *l, struct client *c);
void live_fini(struct live *l);
/* {age_ms, trouble, settled, snapshot} of a Cluster of the client's namespace; the caller frees.
 * NULL: nobody says. */
cJSON *live_pd(struct live *l, const char *cluster);
/* The store or member inside such a page; NULL when it is not there. */
const cJSON *live_store(const cJSON *page, const char *id);
const cJSON *live_member(const cJSON *page, const char *id);

#endif
