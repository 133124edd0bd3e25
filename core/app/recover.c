#include "app/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/verbs.h"
#include "base/mem.h"
#include "wire/http_curl.h"

const struct opt recover_opts[] = {
	{ "confirm", 0, OPT_TEXT, "IDS", NULL,
		"your word: the ids that the dry run asks for; without it nothing is changed" },
	{ "survivor", 0, OPT_TEXT, "PD", NULL,
		"pd: the instance whose disk goes on; default: the only one that runs" },
	{ "timeout", 0, OPT_INT, "SECONDS", "600", "unsafe-stores: how long PD may take" },
	{ "connect-to", 0, OPT_LIST, "HOST:PORT:ADDR:PORT", NULL, "as in curl, for PD only" },
	{ "pd-cacert", 0, OPT_TEXT, "FILE", NULL, "CA of PD, for a Cluster with TLS" },
	{ "pd-cert", 0, OPT_TEXT, "FILE", NULL, "certificate to show PD" },
	{ "pd-key", 0, OPT_TEXT, "FILE", NULL, "its key" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

const char *
recovery_id(const struct recovery *r)
{
	return json_str(r->cluster, "status.id", "");
}

int
recovery_open(struct recovery *r, const struct args *a)
{
	struct err e = { 0 };
	const char *name = args_at(a, 1);

	memset(r, 0, sizeof *r);
	r->args = a;
	if (name == NULL)
		return verb_usage_error(a, "name the Cluster: recover %s CLUSTER", args_at(a, 0));
	if (client_open(&r->c, a, &e) < 0)
		return verb_fail(a, &e);
	r->cluster = client_get(&r->c, KIND_CLUSTER, name, &e);
	if (r->cluster != NULL && *recovery_id(r) == '\0')
		err_set(&e, ERR_NOT_FOUND,
			"Cluster %s: no PD cluster id is recorded: there is nothing to recover",
			name);
	if (r->cluster == NULL && e.status == 404)
		err_set(&e, ERR_NOT_FOUND,
			"Cluster %s: not in namespace %s: kubectl get clusters -A lists them", name,
			r->c.ns);
	if (e.code == ERR_NONE)
		return 0;
	recovery_close(r);
	return verb_fail(a, &e);
}

void
recovery_close(struct recovery *r)
{
	if (r->pd != NULL)
		pd_free(r->pd);
	if (r->http != NULL)
		http_curl_free(r->http);
	cred_free(r->cred);
	json_free(r->cluster);
	client_close(&r->c);
}

static char *
text_of(const char *path, struct err *e)
{
	struct buf b;
	char block[4096];
	size_t n;
	FILE *f = path != NULL ? fopen(path, "r") : NULL;

	if (path != NULL && f == NULL)
		err_set(e, ERR_NOT_FOUND, "%s: can not be read", path);
	if (f == NULL)
		return NULL;
	buf_init(&b, 0);
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		(void)buf_put(&b, block, n);
	fclose(f);
	return buf_take(&b);
}

int
recovery_reach(struct recovery *r, struct err *e)
{
	const char *url = json_str(r->cluster, "status.pd", "");
	char *ca, *cert, *key;

	if (*url == '\0')
		return err_set(e, ERR_NOT_FOUND, "the Cluster has no PD address yet");
	ca = text_of(args_text(r->args, "pd-cacert"), e);
	cert = text_of(args_text(r->args, "pd-cert"), e);
	key = text_of(args_text(r->args, "pd-key"), e);
	if (e->code == ERR_NONE && ca != NULL)
		r->cred = cred_pem(ca, cert, key, false);
	free(ca);
	free(cert);
	free(key);
	if (e->code != ERR_NONE)
		return -1;
	r->http = http_curl_new(r->c.loop, args_list(r->args, "connect-to"), e);
	if (r->http == NULL)
		return -1;
	r->pd = pd_new(&(struct pd_conf){
		.loop = r->c.loop, .http = r->http, .cred = r->cred, .pool = "pd-recover" });
	pd_set_endpoints(r->pd, &url, 1);
	return 0;
}

struct answer {
	struct recovery *r;
	cJSON *body;
	struct err *e;
};

static void
on_answer(void *arg, const cJSON *body, int64_t date_ms, const struct err *e)
{
	struct answer *x = arg;

	(void)date_ms;
	if (e->code != ERR_NONE)
		*x->e = *e;
	else
		x->body = body != NULL ? json_clone(body) : json_object();
	loop_event_stop(x->r->c.loop);
}

cJSON *
recovery_check(struct recovery *r, struct err *e)
{
	struct answer x = { r, NULL, e };

	(void)pd_check(r->pd, on_answer, &x);
	loop_event_run(r->c.loop);
	if (x.body != NULL && strcmp(json_str(x.body, "cluster_id", ""), recovery_id(r)) != 0) {
		err_set(e, ERR_REFUSED, "PD has cluster id %s, the Cluster has recorded %s",
			json_str(x.body, "cluster_id", "?"), recovery_id(r));
		json_free(x.body);
		return NULL;
	}
	return x.body;
}

cJSON *
recovery_read(struct recovery *r, const char *path, struct err *e)
{
	struct answer x = { r, NULL, e };

	(void)pd_read(r->pd, path, on_answer, &x);
	loop_event_run(r->c.loop);
	return x.body;
}

cJSON *
recovery_write(struct recovery *r, const char *path, const cJSON *body, struct err *e)
{
	struct answer x = { r, NULL, e };

	(void)pd_write(r->pd, "POST", path, body, on_answer, &x);
	loop_event_run(r->c.loop);
	return x.body;
}

static bool
typed(const char *what, const char *word)
{
	char line[256];

	if (!isatty(STDIN_FILENO))
		return false;
	printf("Type %s to go on, anything else to stop: ", what);
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return strcmp(line, word) == 0;
}

bool
recovery_confirmed(const struct recovery *r, const char *what, const char *word)
{
	const char *given = args_text(r->args, "confirm");

	if (given != NULL && strcmp(given, word) == 0)
		return true;
	if (given != NULL)
		fprintf(stderr, "--confirm %s: it is not %s %s: nothing was changed\n", given, what,
			word);
	else if (typed(what, word))
		return true;
	else
		printf("Nothing was changed. To go on: the same with --confirm %s\n", word);
	return false;
}

int
recover_main(struct args *a)
{
	const char *what = args_at(a, 0);

	if (what != NULL && strcmp(what, "pd") == 0)
		return recover_pd(a);
	if (what != NULL && strcmp(what, "unsafe-stores") == 0)
		return recover_stores(a);
	return verb_usage_error(a,
		"%s: recover pd CLUSTER, or recover unsafe-stores CLUSTER STORE...",
		what != NULL ? what : "recover what?");
}
