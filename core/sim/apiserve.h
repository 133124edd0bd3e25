#ifndef SIM_APISERVE_H
#define SIM_APISERVE_H
/*
 * apiserve: an apisim behind HTTPS, for the playground and for kubectl.
 *
 * Makes its own CA and server certificate. Any client certificate or bearer token is accepted; the
 * token's text or the certificate's name is the user. Watches stream. Bodies up to 16 MiB.
 */
#include "sim/apisim.h"
#include "wire/httpd.h"
#include "wire/loop.h"

struct apiserve;

/* loop must be the real one (wire/loop_event.h). port 0: any. */
struct apiserve *apiserve_new(
	struct loop *event_loop, struct apisim *a, const char *addr, int port, struct err *e);
/* Asked for each request below a pod's proxy, which apisim does not have; true: it is taken. NULL:
 * none. */
typedef bool apiserve_proxy_fn(void *arg, struct httpd_req *r, const struct httpd_in *in);
void apiserve_on_proxy(struct apiserve *s, apiserve_proxy_fn *fn, void *arg);
void apiserve_free(struct apiserve *s); /* before the apisim */
int apiserve_port(const struct apiserve *s);
const char *apiserve_ca(const struct apiserve *s); /* PEM */
/* A kubeconfig (YAML text) that reaches it with a token for that user. */
int apiserve_kubeconfig(const struct apiserve *s, const char *user, struct buf *out);

#endif
