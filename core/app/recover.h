#ifndef APP_RECOVER_H
#define APP_RECOVER_H
/*
 * recover: what the two ways of recovery have in common: a person's word, and one PD asked at a
 * time.
 *
 * Both lose something for good, so both are a dry run until the ids that are given up or relied on
 * are typed, or given with --confirm. Nothing here is done by the operator on its own.
 */
#include "app/client.h"
#include "pd/pd.h"

struct recovery {
	const struct args *args;
	struct client c;
	cJSON *cluster; /* as it was read */
	struct http *http;
	struct cred *cred; /* of PD, NULL without TLS */
	struct pd *pd;
};

/* Read the Cluster that argument 1 names. 0, or the exit code after a word on stderr. */
int recovery_open(struct recovery *r, const struct args *a);
void recovery_close(struct recovery *r);
const char *recovery_id(const struct recovery *r); /* the recorded PD cluster id */
/* PD itself, under the Cluster's URL. 0, or -1 with *e. */
int recovery_reach(struct recovery *r, struct err *e);
/* One question to PD, answered before it returns: a tree (the caller frees), or NULL with *e. */
cJSON *recovery_check(struct recovery *r, struct err *e);
cJSON *recovery_read(struct recovery *r, const char *path, struct err *e);
cJSON *recovery_write(struct recovery *r, const char *path, const cJSON *body, struct err *e);
/* A person says `word`: by --confirm, or typed when there is a terminal. Else it was a dry run. */
bool recovery_confirmed(const struct recovery *r, const char *what, const char *word);

int recover_stores(struct args *a);
int recover_pd(struct args *a);

#endif
