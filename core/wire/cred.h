#ifndef WIRE_CRED_H
#define WIRE_CRED_H
/*
 * cred: who we are and whom we trust, for one server.
 *
 * A cred is read by the transport at each request: header and TLS material. Sources: a kubeconfig,
 * the in-cluster ServiceAccount, or PEM texts from a Secret. Token files are read again when
 * older than 50 s, and at once after a 401; unreadable or empty files keep the old value (C2, C4 of
 * the client checklist). A change of certificate or CA bumps `version`, upon which the transport
 * opens new connections. Certificate and key change together or not at all.
 *
 * An exec plug-in runs when the kubeconfig is read, when its answer expired and after a 401; it may
 * block for 10 s. A plug-in that fails, or whose answers are refused, runs every 10 s at most.
 * Impersonation and the old auth-provider are refused with an error.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

struct cred;

struct cred_view {                 /* borrowed until the next call on the cred */
	const char *authorization; /* "Bearer ...", or "Basic ...", or NULL */
	const char *ca_pem;        /* NULL: system trust */
	const char *cert_pem, *key_pem;
	const char *server_name; /* tls-server-name, or NULL */
	const char *proxy_url;   /* or NULL: environment */
	bool insecure;
	uint64_t version;
};

struct cred_cluster {  /* where the server is and what the context says */
	char *server;  /* https://host:port[/prefix], no trailing slash */
	char *ns;      /* namespace of the context, "default" when unset */
	char *context; /* name, "" in-cluster */
};

/* KUBECONFIG semantics: `paths` is a colon-separated list merged left to right, NULL: $KUBECONFIG,
 * then ~/.kube/config. context NULL: current-context. Errors name file and field. */
struct cred *cred_kubeconfig(const char *paths, const char *context, const struct clock *clock,
	struct cred_cluster *out, struct err *e);
/* root: NULL for /var/run/secrets/kubernetes.io/serviceaccount. Needs KUBERNETES_SERVICE_HOST. */
struct cred *cred_in_cluster(
	const char *root, const struct clock *clock, struct cred_cluster *out, struct err *e);
/* PEM texts are copied; any may be NULL. */
struct cred *cred_pem(const char *ca, const char *cert, const char *key, bool insecure);
void cred_free(struct cred *c);
void cred_cluster_fini(struct cred_cluster *c);

struct cred_view cred_view(const struct cred *c); /* refreshes what is due */
void cred_unauthorized(const struct cred *c);     /* a 401 came: drop cached tokens */
/* What went wrong when it was refreshed last ("/x/token: no such file"), NULL when nothing did. */
const char *cred_problem(const struct cred *c);

#endif
