#ifndef APP_CLIENT_H
#define APP_CLIENT_H
/*
 * client: one connection to an API server for the verbs of the command line, used synchronously.
 *
 * Opens what --kubeconfig, --context and -n say (in-cluster when there is no kubeconfig but a
 * ServiceAccount). client_do() runs the loop until the answer is there; Ctrl-C ends the process.
 */
#include "app/verb.h"
#include "kube/api.h"
#include "wire/loop_event.h"

struct client {
	struct loop *loop;
	struct http *http;
	struct cred *cred;
	struct cred_cluster at;
	struct api *api;
	const char *ns; /* -n, or the context's */
};

int client_open(struct client *c, const struct args *a, struct err *e);
void client_close(struct client *c);
/* Any request. Returns the tree (the caller frees), or NULL with *e. body NULL: none. */
cJSON *client_do(struct client *c, const char *method, const char *path, const char *content_type,
	const cJSON *body, struct err *e);
cJSON *client_get(struct client *c, enum kind k, const char *name, struct err *e);
/* A list of the namespace; *items is inside the returned tree. label_selector may be NULL. */
cJSON *client_list(struct client *c, enum kind k, const char *label_selector, struct err *e);
/* The kind that kubectl would take for `word` (n bytes): "tikv", "TiKVs", "kv"; -1: none of ours.
 */
int client_kind(const char *word, size_t n, enum kind *out);

#endif
