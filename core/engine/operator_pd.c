#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/operator_priv.h"
#include "engine/ticks.h"

#define TLS_LOOK_MS 10000
#define TLS_AGE_MS 300000

struct pdfeed { /* the PD of one Cluster object */
	struct tikv_operator *o;
	char *ns, *name, *uid, *url;
	struct pdview *view;
	struct ticks *ticks;
	bool tls, insecure;
	char *ca_secret, *pair_secret;
	struct cred *cred;
	char *ca, *cert, *key; /* PEM of cred */
	char *new_ca;          /* while the second Secret is fetched */
	struct api_call *fetch;
	int64_t fetched;
	struct timer *timer;
};

/* ---- TLS material ---- */

static int
sextet(char c)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(letters, c) : NULL;

	return at ? (int)(at - letters) : -1;
}

/* The text of a Secret's member, malloc'ed; NULL when it is absent or is no base64 text. */
static char *
secret_text(const cJSON *secret, const char *member)
{
	const char *s = json_text(json_get(json_get(secret, "data"), member));
	char *out, *at;
	unsigned bits = 0;
	int n = 0;

	if (!s || !*s)
		return NULL;
	at = out = xmalloc(strlen(s) + 1);
	for (; *s && *s != '='; s++) {
		int v = sextet(*s);

		if (v < 0) {
			free(out);
			return NULL;
		}
		bits = bits << 6 | (unsigned)v;
		n += 6;
		if (n >= 8) {
			n -= 8;
			*at++ = (char)(bits >> n & 0xff);
		}
	}
	*at = 0;
	return out;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void endpoints(struct pdfeed *f);

/* Takes the texts. */
static void
use_tls(struct pdfeed *f, char *own_ca, char *own_cert, char *own_key)
{
	struct cred *old = f->cred;

	if (old && same_text(f->ca, own_ca) && same_text(f->cert, own_cert) &&
		same_text(f->key, own_key)) {
		free(own_ca);
		free(own_cert);
		free(own_key);
		return;
	}
	free(f->ca);
	free(f->cert);
	free(f->key);
	f->ca = own_ca;
	f->cert = own_cert;
	f->key = own_key;
	f->cred = cred_pem(f->ca, f->cert, f->key, f->insecure);
	pd_set_cred(pdview_pd(f->view), f->cred);
	cred_free(old);
	endpoints(f);
}

static void
tls_failed(struct pdfeed *f, const char *secret, const char *why)
{
	log_write(f->o->conf.log, LOG_WARN, "TLS material of PD can not be read", "cluster",
		f->name, "namespace", f->ns, "secret", secret, "why", why, NULL);
}

static void
on_pair(void *arg, const cJSON *body, const struct err *e)
{
	struct pdfeed *f = arg;
	char *ca = f->new_ca, *cert, *key;

	f->fetch = NULL;
	f->new_ca = NULL;
	if (e->code != ERR_NONE) {
		tls_failed(f, f->pair_secret, e->msg);
		free(ca);
		return;
	}
	cert = secret_text(body, "tls.crt");
	key = secret_text(body, "tls.key");
	if (!cert || !key) {
		tls_failed(f, f->pair_secret, "tls.crt or tls.key is missing");
		free(ca);
		free(cert);
		free(key);
		return;
	}
	use_tls(f, ca, cert, key);
}

static void
on_ca(void *arg, const cJSON *body, const struct err *e)
{
	struct pdfeed *f = arg;

	f->fetch = NULL;
	if (e->code != ERR_NONE) {
		tls_failed(f, f->ca_secret, e->msg);
		return;
	}
	free(f->new_ca);
	f->new_ca = secret_text(body, "ca.crt");
	if (!f->new_ca && !f->insecure) {
		tls_failed(f, f->ca_secret, "ca.crt is missing");
		return;
	}
	f->fetch = api_get(f->o->api, KIND_SECRET, f->ns, f->pair_secret, on_pair, f);
}

/* Read again when it is old, or when PD can not be reached with what we have. */
static void
on_tls_timer(void *arg)
{
	struct pdfeed *f = arg;
	int64_t now = loop_now(f->o->conf.loop);
	bool due = !f->cred || now - f->fetched >= TLS_AGE_MS || *pdview_trouble(f->view);

	f->timer = loop_after(f->o->conf.loop, TLS_LOOK_MS, on_tls_timer, f);
	if (f->fetch || !due)
		return;
	f->fetched = now;
	f->fetch = api_get(f->o->api, KIND_SECRET, f->ns, f->ca_secret, on_ca, f);
}

/* ---- views ---- */

static struct pdfeed *find(const struct tikv_operator *o, const char *ns, const char *cluster);

static void
on_change(void *arg, const char *const *changed, size_t n)
{
	struct pdfeed *f = arg;

	if (f->o->ctl && find(f->o, f->ns, f->name) == f)
		ctl_pd_event(f->o->ctl, f->ns, f->name, changed, n);
}

static void
pdfeed_free(void *value)
{
	struct pdfeed *f = value;

	loop_cancel(f->o->conf.loop, f->timer);
	api_cancel(f->o->api, f->fetch);
	pdview_free(f->view);
	ticks_free(f->ticks);
	cred_free(f->cred);
	free(f->ca);
	free(f->cert);
	free(f->key);
	free(f->new_ca);
	free(f->ca_secret);
	free(f->pair_secret);
	free(f->ns);
	free(f->name);
	free(f->uid);
	free(f->url);
	free(f);
}

/* The stores that were read before their Cluster. */
static void
first_ticks(struct pdfeed *f, const char *cluster_key)
{
	struct store *s = feed_peek(f->o, KIND_TIKV);
	const struct obj **list = NULL;
	size_t n = s ? store_list(s, STORE_CLUSTER, cluster_key, &list) : 0;

	for (size_t i = 0; i < n; i++)
		ticks_event(f->ticks, NULL, list[i]);
	free(list);
	pdview_set_tick(f->view, ticks_slowest(f->ticks));
}

static struct pdfeed *
pdfeed_new(struct tikv_operator *o, const struct obj *cluster)
{
	struct pdfeed *f = xcalloc(1, sizeof(*f));
	struct pd_conf pc = { .loop = o->conf.loop,
		.http = o->conf.http,
		.log = o->conf.log,
		.metrics = o->conf.metrics };
	struct pdview_conf vc = { .loop = o->conf.loop,
		.log = o->conf.log,
		.metrics = o->conf.metrics,
		.on_change = on_change,
		.arg = f };
	char *pool = xasprintf("pd/%s", cluster->key);

	f->o = o;
	f->ns = xstrdup(cluster->ns);
	f->name = xstrdup(cluster->name);
	f->uid = xstrdup(cluster->uid);
	f->url = xstrdup("");
	pc.pool = pool;
	vc.pd = pd_new(&pc);
	vc.rng = rng_fork(&o->rng, pool);
	f->view = pdview_new(&vc);
	f->ticks = ticks_new();
	first_ticks(f, cluster->key);
	free(pool);
	return f;
}

/* With TLS nothing is asked before the certificates are here. */
static void
endpoints(struct pdfeed *f)
{
	const char *url = f->url;

	pdview_set_endpoints(f->view, &url, *url && (!f->tls || f->cred) ? 1 : 0);
}

static char *
secret_name(const struct pdfeed *f, const cJSON *tree, const char *path)
{
	const char *name = json_str(tree, path, "");

	return *name ? xstrdup(name) : xasprintf("%s-cluster-client-secret", f->name);
}

static void
pdfeed_update(struct pdfeed *f, const cJSON *tree)
{
	const char *url = json_str(tree, "status.pd", ""), *id = json_str(tree, "status.id", "");

	f->tls = json_bool(tree, "spec.tlsCluster.enabled", false);
	f->insecure = json_bool(tree, "spec.security.tls.client.insecureSkipTLSVerify", false);
	free(f->ca_secret);
	free(f->pair_secret);
	f->ca_secret = secret_name(f, tree, "spec.security.tls.client.ca.name");
	f->pair_secret = secret_name(f, tree, "spec.security.tls.client.certKeyPair.name");
	if (*id)
		pdview_expect_cluster(f->view, id);
	if (strcmp(url, f->url) != 0) {
		free(f->url);
		f->url = xstrdup(url);
		endpoints(f);
	}
	if (f->tls && *f->url && !f->timer)
		f->timer = loop_after(f->o->conf.loop, 0, on_tls_timer, f);
}

/* ---- history ---- */

static bool
confirms(const cJSON *cluster, const char *what)
{
	const char *word = json_text(
		json_get(json_path(cluster, "metadata.annotations"), "core.tikv.org/confirm"));

	return word && strcmp(word, what) == 0;
}

static bool
leaves(const cJSON *tikv)
{
	const char *state = json_str(tikv, "status.storeState", "");

	/* What leaves may be buried, and its record purged, while nobody looked. */
	return strcmp(state, "Offline") == 0 || strcmp(state, "Tombstone") == 0 ||
	       json_bool(tikv, "spec.offline", false) ||
	       json_path(tikv, "metadata.deletionTimestamp") != NULL;
}

static void
recall_living(const struct pdfeed *f, const char *id, const char *value, cJSON *out)
{
	struct store *s = feed_peek(f->o, KIND_TIKV);
	const struct obj **list = NULL;
	size_t n = s ? store_list(s, STORE_CLUSTER, value, &list) : 0;

	for (size_t i = 0; i < n; i++) {
		const cJSON *t = obj_tree(list[i]);
		const char *store = json_str(t, "status.id", "");

		if (*store && strcmp(json_str(t, "status.clusterID", ""), id) == 0 && !leaves(t))
			json_put_bool(out, store, true);
		json_free(t);
	}
	free(list);
}

static void
recall_removed(const struct pdfeed *f, const char *id, const char *value, cJSON *out)
{
	struct store *s = feed_peek(f->o, KIND_CLAIM);
	const struct obj **list = NULL;
	size_t n = s ? store_list(s, STORE_LABEL, value, &list) : 0;

	for (size_t i = 0; i < n; i++) {
		const cJSON *t = obj_tree(list[i]);
		const char *at = json_text(json_get(
			json_path(t, "metadata.annotations"), "core.tikv.org/removed-stores"));
		const char *pd = json_text(
			json_get(json_path(t, "metadata.labels"), "core.tikv.org/cluster-id"));

		for (; at && pd && strcmp(pd, id) == 0 && *at; at += *at == ',') {
			size_t len = strcspn(at, ",");
			char *store = xstrndup(at, len);

			if (len > 0)
				json_put_bool(out, store, false);
			free(store);
			at += len;
		}
		json_free(t);
	}
	free(list);
}

/* PD may have been restored from a backup while this process did not run: what objects and disks
 * say of stores is what it must agree with (G8). */
static void
recall(struct pdfeed *f)
{
	struct store *s = feed_peek(f->o, KIND_CLUSTER);
	const struct obj *cluster = s ? store_get(s, f->ns, f->name) : NULL;
	const cJSON *tree = cluster ? obj_tree(cluster) : NULL;
	cJSON *out;
	const char *id = json_str(tree, "status.id", "");
	char *value = xasprintf("%s/%s", f->ns, f->name);
	char *label = xasprintf("%s/core.tikv.org/cluster=%s", f->ns, f->name);

	if (*id && !confirms(tree, "history")) {
		out = json_object();
		recall_living(f, id, value, out);
		recall_removed(f, id, label, out);
		pdview_recall(f->view, out);
	}
	free(value);
	free(label);
	json_free(tree);
}

/* A person's word counts once: the Cluster's controller takes the annotation away (G8, G9). */
static void
confirmations(struct pdfeed *f, const struct obj *old, const cJSON *now)
{
	const cJSON *was = old && strcmp(old->uid, f->uid) == 0 ? obj_tree(old) : NULL;

	if (confirms(now, "history") && !confirms(was, "history"))
		pdview_confirm(f->view);
	if (confirms(now, "breaker") && !confirms(was, "breaker"))
		guard_reset(f->o->guard, f->ns, f->name);
	json_free(was);
}

/* A plan that speaks to this PD may still be under way: it is freed when none is. */
static void
retire(struct tikv_operator *o, const char *key)
{
	struct pdfeed *f = map_take(o->pds, key);
	char *name;

	if (exec_active(o->exec) == 0) {
		pdfeed_free(f);
		return;
	}
	loop_cancel(o->conf.loop, f->timer);
	f->timer = NULL;
	pdview_set_endpoints(f->view, NULL, 0);
	name = xasprintf("%s %s", key, f->uid);
	map_put(o->retired, name, f);
	free(name);
}

void
pds_cluster(struct tikv_operator *o, const struct obj *old, const struct obj *now)
{
	const struct obj *any = now ? now : old;
	struct pdfeed *f = map_get(o->pds, any->key);
	const cJSON *tree;

	if (exec_active(o->exec) == 0)
		map_clear(o->retired);
	if (!now) {
		if (f && strcmp(f->uid, old->uid) == 0)
			retire(o, old->key);
		return;
	}
	if (f && strcmp(f->uid, now->uid) != 0) {
		retire(o, now->key);
		f = NULL;
	}
	if (!f) {
		f = pdfeed_new(o, now);
		map_put(o->pds, now->key, f);
		if (o->synced)
			recall(f);
	}
	tree = obj_tree(now);
	pdfeed_update(f, tree);
	confirmations(f, old, tree);
	json_free(tree);
}

void
pds_recall(struct tikv_operator *o)
{
	for (struct map_iter it = { 0 }; map_next(o->pds, &it);)
		recall(it.value);
}

static struct pdfeed *
find(const struct tikv_operator *o, const char *ns, const char *cluster)
{
	struct buf key;
	struct pdfeed *f;

	buf_init(&key, 0);
	ref_key(&key, ns, cluster);
	f = map_get(o->pds, key.at);
	buf_fini(&key);
	return f;
}

void
pds_store(struct tikv_operator *o, const struct obj *old, const struct obj *now)
{
	const struct obj *any = now ? now : old;
	struct pdfeed *f;
	const cJSON *tree;

	if (old && now && old->generation == now->generation)
		return;
	tree = obj_tree(any);
	f = find(o, any->ns, json_str(tree, "spec.cluster.name", ""));
	json_free(tree);
	if (f && ticks_event(f->ticks, old, now))
		pdview_set_tick(f->view, ticks_slowest(f->ticks));
}

struct pdview *
pds_view(void *arg, const char *ns, const char *cluster)
{
	struct pdfeed *f = find(arg, ns, cluster);

	return f ? f->view : NULL;
}

void
pds_busy(void *arg, const char *ns, const char *cluster, const char *key, bool busy)
{
	struct pdfeed *f = find(arg, ns, cluster);

	if (f)
		pdview_want(f->view, busy ? PDVIEW_BUSY : PDVIEW_IDLE, key);
}

bool
pds_since(void *arg, const char *ns, const char *cluster, int64_t mono_ms)
{
	const struct tikv_operator *o = arg;
	struct pdfeed *f = find(o, ns, cluster);
	int64_t age = f ? pdview_age_ms(f->view) : -1;

	return !f || (age >= 0 && loop_now(o->conf.loop) - age >= mono_ms);
}

/* Where PD says that the store of this instance answers. */
void
pds_tikv_target(void *arg, const char *ns, const char *instance, struct tikv_target *out)
{
	struct tikv_operator *o = arg;
	struct store *s = feed_peek(o, KIND_TIKV);
	const struct obj *kv = s ? store_get(s, ns, instance) : NULL;
	const cJSON *tree = kv ? obj_tree(kv) : NULL;
	struct pdfeed *f = tree ? find(o, ns, json_str(tree, "spec.cluster.name", "")) : NULL;
	const cJSON *store = f ? pdview_store(f->view, json_str(tree, "status.id", "")) : NULL;
	const char *address = json_str(store, "status_address", "");

	*out = (struct tikv_target){ 0 };
	if (*address) {
		out->url = xasprintf("%s://%s", f->tls ? "https" : "http", address);
		out->since = xasprintf("%s %lld", json_str(store, "id", ""),
			(long long)json_int(store, "started_at", 0));
		out->cred = f->cred ? cred_pem(f->ca, f->cert, f->key, f->insecure) : NULL;
	}
	json_free(tree);
}

static void
on_tikv_change(void *arg, const char *ns, const char *instance)
{
	struct tikv_operator *o = arg;

	if (o->ctl)
		ctl_tikv_event(o->ctl, ns, instance);
}

static void
on_secret(void *arg, const char *ns, const char *name)
{
	struct tikv_operator *o = arg;

	if (o->ctl)
		ctl_secret_event(o->ctl, ns, name);
}

cJSON *
pds_secrets(void *arg, const char *ns, const char *cluster, const cJSON *names)
{
	struct tikv_operator *o = arg;
	struct pdfeed *f = find(o, ns, cluster);
	cJSON *out = json_object();
	const cJSON *it;

	if (!f || !f->tls)
		return out;
	if (!o->secrets) /* the API client comes after the feeds */
		o->secrets = secrets_new(&(struct secrets_conf){
			.loop = o->conf.loop, .api = o->api, .arg = o, .on_change = on_secret });
	cJSON_ArrayForEach(it, names)
		json_put(out, json_text(it), secrets_ask(o->secrets, ns, json_text(it)));
	return out;
}

struct tikvview *
pds_tikv_view(void *arg)
{
	struct tikv_operator *o = arg;

	return o->tikvs;
}

void
pds_new(struct tikv_operator *o)
{
	o->pds = map_new(pdfeed_free);
	o->retired = map_new(pdfeed_free);
	o->tikvs = tikvview_new(&(struct tikvview_conf){ .loop = o->conf.loop,
		.http = o->conf.http,
		.log = o->conf.log,
		.arg = o,
		.target = pds_tikv_target,
		.on_change = on_tikv_change });
}

void
pds_free(struct tikv_operator *o)
{
	tikvview_free(o->tikvs);
	secrets_free(o->secrets);
	map_free(o->pds);
	map_free(o->retired);
}
