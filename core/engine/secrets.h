#ifndef ENGINE_SECRETS_H
#define ENGINE_SECRETS_H
/*
 * secrets: whether Secrets are there, and which keys they have, looked up one by one.
 *
 * Nothing is watched and no content is kept: the operator may read Secrets by name, never list
 * them. Each is read every few seconds while somebody asks: only who wants to make a pod does. What
 * can not be read is unknown, not absent.
 */
#include "kube/api.h"

struct secrets;

struct secrets_conf {
	struct loop *loop;
	struct api *api;
	void *arg;
	void (*on_change)(void *arg, const char *ns, const char *name);
};

struct secrets *secrets_new(const struct secrets_conf *c);
void secrets_free(struct secrets *s);
/* {known=false, reason (absent: it is being read)} or {known=true, there, keys[]}; the caller
 * frees. */
cJSON *secrets_ask(struct secrets *s, const char *ns, const char *name);

#endif
