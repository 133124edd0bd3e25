#include "wire/cred.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/cred_priv.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define RERUN_MS 10000 /* a plug-in whose answers are refused is not run more often */

struct cred *
cred_alloc(const struct clock *clock)
{
	struct cred *c = xcalloc(1, sizeof(*c));

	c->clock = clock;
	c->version = 1;
	return c;
}

static void
source_fini(struct cred_source *s)
{
	free(s->text);
	free(s->path);
}

void
cred_free(struct cred *c)
{
	if (!c)
		return;
	source_fini(&c->token);
	source_fini(&c->ca);
	source_fini(&c->cert);
	source_fini(&c->key);
	cred_exec_free(c->exec);
	free(c->basic);
	free(c->authorization);
	free(c->server_name);
	free(c->proxy_url);
	free(c->problem);
	free(c);
}

void
cred_cluster_fini(struct cred_cluster *c)
{
	free(c->server);
	free(c->ns);
	free(c->context);
	*c = (struct cred_cluster){ 0 };
}

void
cred_set_authorization(struct cred *c)
{
	free(c->authorization);
	c->authorization = NULL;
	if (c->token.text && *c->token.text)
		c->authorization = xasprintf("Bearer %s", c->token.text);
	else if (c->basic)
		c->authorization = xstrdup(c->basic);
}

static void
note_problem(struct cred *c, const struct err *e)
{
	free(c->problem);
	c->problem = e->code == ERR_NONE ? NULL : xstrdup(e->msg);
}

static void
replace(struct cred_source *s, char *own_text)
{
	free(s->text);
	s->text = own_text;
}

static void
refresh_token(struct cred *c, struct err *e)
{
	if (!c->token.path)
		return;
	char *text = cred_read_file(c->token.path, e);
	if (!text)
		return;
	text = cred_trim(text);
	if (!*text) {
		err_set(e, ERR_INVALID, "%s: empty: the old token is kept", c->token.path);
		free(text);
		return;
	}
	replace(&c->token, text);
	cred_set_authorization(c);
}

static void
refresh_ca(struct cred *c, struct err *e)
{
	if (!c->ca.path)
		return;
	char *text = cred_read_file(c->ca.path, e);
	if (!text)
		return;
	if (!cred_pem_is_ca(text)) {
		err_set(e, ERR_INVALID, "%s: no certificate in it: the old CA is kept", c->ca.path);
		free(text);
	} else if (c->ca.text && !strcmp(text, c->ca.text)) {
		free(text);
	} else {
		replace(&c->ca, text);
		c->version++;
	}
}

/* Both files change, one after the other: a half-changed pair waits for the next look. */
static void
refresh_pair(struct cred *c, struct err *e)
{
	if (!c->cert.path && !c->key.path)
		return;
	char *cert = c->cert.path ? cred_read_file(c->cert.path, e) : xstrdup(c->cert.text);
	char *key = c->key.path ? cred_read_file(c->key.path, e) : xstrdup(c->key.text);
	bool same = cert && key && c->cert.text && c->key.text && !strcmp(cert, c->cert.text) &&
		    !strcmp(key, c->key.text);

	if (cert && key && !same && cred_pem_is_pair(cert, key)) {
		replace(&c->cert, cert);
		replace(&c->key, key);
		c->version++;
		return;
	}
	if (cert && key && !same)
		err_set(e, ERR_INVALID, "%s: does not fit its key: the old certificate is kept",
			c->cert.path ? c->cert.path : c->key.path);
	free(cert);
	free(key);
}

static bool
exec_is_due(const struct cred *c)
{
	const struct cred_exec *x = c->exec;

	if (!x)
		return false;
	if (c->stale || !x->have_answer)
		return !x->after_refusal || clock_mono(c->clock) - x->ran_at >= RERUN_MS;
	return x->expires_wall_ms >= 0 && x->expires_wall_ms <= clock_wall(c->clock) &&
	       clock_mono(c->clock) - x->ran_at >= (x->after_refusal ? RERUN_MS : 0);
}

static void
refresh(struct cred *c)
{
	struct err e = { 0 };
	bool files = c->stale || clock_mono(c->clock) - c->read_at >= CRED_FILE_MS;
	bool plugin = exec_is_due(c);

	if (!files && !plugin)
		return;
	if (files) {
		c->read_at = clock_mono(c->clock);
		refresh_token(c, &e);
		refresh_ca(c, &e);
		refresh_pair(c, &e);
	}
	if (plugin) {
		bool refused = c->stale;
		int failed = cred_exec_run(c, &e);
		/* A plug-in that fails is not asked at every request either. */
		c->exec->after_refusal = refused || failed;
	}
	c->stale = false;
	note_problem(c, &e);
}

struct cred_view
cred_view(const struct cred *c)
{
	/* Looking at a cred is what keeps it fresh; callers only ever see the view. */
	if (c->clock)
		refresh((struct cred *)c);
	return (struct cred_view){
		.authorization = c->authorization,
		.ca_pem = c->ca.text,
		.cert_pem = c->cert.text,
		.key_pem = c->key.text,
		.server_name = c->server_name,
		.proxy_url = c->proxy_url,
		.insecure = c->insecure,
		.version = c->version,
	};
}

void
cred_unauthorized(const struct cred *c)
{
	((struct cred *)c)->stale = true;
}

const char *
cred_problem(const struct cred *c)
{
	return c->problem;
}

struct cred *
cred_pem(const char *ca, const char *cert, const char *key, bool insecure)
{
	struct cred *c = cred_alloc(NULL);

	c->ca.text = ca ? xstrdup(ca) : NULL;
	c->cert.text = cert ? xstrdup(cert) : NULL;
	c->key.text = key ? xstrdup(key) : NULL;
	c->insecure = insecure;
	return c;
}

struct cred *
cred_in_cluster(
	const char *root, const struct clock *clock, struct cred_cluster *out, struct err *e)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"),
		   *port = getenv("KUBERNETES_SERVICE_PORT");
	struct err first = { 0 };

	*out = (struct cred_cluster){ 0 };
	if (!root)
		root = SERVICE_ACCOUNT;
	if (!host || !*host) {
		err_set(e, ERR_NOT_FOUND,
			"KUBERNETES_SERVICE_HOST: not set: not in a cluster: use --kubeconfig");
		return NULL;
	}
	struct cred *c = cred_alloc(clock);
	c->token.path = xasprintf("%s/token", root);
	c->ca.path = xasprintf("%s/ca.crt", root);
	c->read_at = clock_mono(clock);
	refresh_token(c, &first);
	if (first.code == ERR_NONE)
		refresh_ca(c, &first);
	if (first.code != ERR_NONE) {
		err_set(e, first.code, "%s: is a service account mounted?", first.msg);
		cred_free(c);
		return NULL;
	}
	c->version = 1;
	bool v6 = strchr(host, ':') && *host != '[';
	out->server = xasprintf("https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
		port && *port ? port : "443");
	char *path = xasprintf("%s/namespace", root);
	char *ns = cred_read_file(path, NULL);
	free(path);
	ns = cred_trim(ns ? ns : xstrdup(""));
	out->ns = *ns ? xstrdup(ns) : xstrdup("default");
	free(ns);
	out->context = xstrdup("");
	return c;
}
