#include <stdlib.h>
#include <string.h>

#include "app/client.h"
#include "app/luadir.h"
#include "app/verbs.h"
#include "base/mem.h"
#include "engine/operator.h"
#include "wire/http_curl.h"

#define SYNC_MS 30000
#define CHECK_MS 50
#define PD_MS 5000 /* how long PD may take to answer before plans are made without it */

const struct opt plan_opts[] = {
	{ "lua-dir", 0, OPT_TEXT, "DIR", NULL, "scripts to try instead of the built-in ones" },
	{ "connect-to", 0, OPT_LIST, "HOST:PORT:ADDR:PORT", NULL,
		"as in curl, for PD and TiKV connections only" },
	{ "output", 'o', OPT_TEXT, "json", NULL,
		"print worlds, plans and the guard's answers as JSON" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

struct planning {
	struct client c;
	struct tikv_operator *op;
	const cJSON *clusters; /* lent by the list of Clusters */
	enum kind kind;        /* of the one object that is wanted */
	int64_t began, synced;
	bool ready;
};

/* Whether PD of every Cluster has answered. */
static bool
pd_known(struct planning *p)
{
	bool known = true;
	for (const cJSON *o = p->clusters->child; o != NULL; o = o->next) {
		char *path = xasprintf("pd/%s/%s", p->c.ns, json_str(o, "metadata.name", ""));
		cJSON *page = operator_debug(p->op, path);
		known = known && page != NULL && json_get(page, "snapshot") != NULL;
		json_free(page);
		free(path);
	}
	return known;
}

static void
on_check(void *arg)
{
	struct planning *p = arg;
	int64_t now = loop_now(p->c.loop);
	if (p->synced == 0 && operator_synced(p->op))
		p->synced = now;
	p->ready = p->synced != 0 && (now - p->synced >= PD_MS || pd_known(p));
	if (p->ready || now - p->began > SYNC_MS)
		loop_event_stop(p->c.loop);
	else
		loop_after(p->c.loop, CHECK_MS, on_check, p);
}

static void
print_plan(const char *title, const cJSON *dry)
{
	const cJSON *verdict = json_path(dry, "plan.verdict"), *actions = json_get(dry, "guard");
	const char *error = json_str(dry, "error", NULL);
	if (error != NULL) {
		printf("%s: no plan: %s\n", title, error);
		return;
	}
	printf("%s: %s", title, json_str(verdict, "kind", "?"));
	if (*json_str(verdict, "reason", "") != '\0')
		printf(" (%s: %s)", json_str(verdict, "reason", ""),
			json_str(verdict, "message", ""));
	putchar('\n');
	for (const cJSON *x = actions != NULL ? actions->child : NULL; x != NULL; x = x->next) {
		printf("  %-20s %s %s", json_str(x, "action", "?"), json_str(x, "kind", ""),
			json_str(x, "name", ""));
		if (!json_bool(x, "allowed", true))
			printf("  refused by the guard: %s", json_str(x, "refusal", ""));
		putchar('\n');
	}
}

static int
plan_one(struct planning *p, enum kind k, const char *name, cJSON *all)
{
	struct err e = { 0 };
	char *title = xasprintf("%s/%s", kind_row(k)->kind, name);
	cJSON *dry = ctl_dry_run(operator_ctl(p->op), k, p->c.ns, name, &e);
	bool failed = dry == NULL || json_get(dry, "error") != NULL;
	if (dry == NULL) {
		printf("%s: no plan: %s\n", title, e.msg);
	} else if (all != NULL) {
		json_put_str(dry, "object", title);
		json_add(all, dry);
	} else {
		print_plan(title, dry);
		json_free(dry);
	}
	free(title);
	return failed ? -1 : 0;
}

/* The number of plans made, -1 when one could not be made or the lists could not be read. */
static int
plan_all(struct planning *p, const char *name, bool json, struct err *e)
{
	int made = 0, failed = 0;
	cJSON *all = json ? json_array() : NULL;
	for (int k = KIND_CLUSTER; k <= KIND_TIKV; k++) {
		if (name != NULL && (enum kind)k != p->kind)
			continue;
		cJSON *list = client_list(&p->c, (enum kind)k, NULL, e);
		const cJSON *items = list != NULL ? json_get(list, "items") : NULL;
		failed += list == NULL;
		for (const cJSON *o = items != NULL ? items->child : NULL; o != NULL; o = o->next) {
			const char *is = json_str(o, "metadata.name", "");
			if (name != NULL && strcmp(name, is) != 0)
				continue;
			failed += plan_one(p, (enum kind)k, is, all) < 0;
			made++;
		}
		json_free(list);
	}
	if (json) {
		struct buf out;
		buf_init(&out, 0);
		(void)json_print_pretty(all, &out);
		printf("%s\n", out.at);
		buf_fini(&out);
		json_free(all);
	}
	return failed > 0 ? -1 : made;
}

static void
tell_unknown(struct planning *p)
{
	if (!pd_known(p))
		fprintf(stderr, "PD does not answer from here: what needs it waits in these plans: "
				"--connect-to names a way to PD\n");
}

int
plan_main(struct args *a)
{
	struct err e = { 0 };
	struct planning p = { 0 };
	struct http *http = NULL;
	const char *word = args_at(a, 0), *slash = word != NULL ? strchr(word, '/') : NULL;
	const char *format = args_text(a, "output"), *only = slash != NULL ? slash + 1 : NULL;
	if (args_count(a) > 1)
		return verb_usage_error(a, "name at most one object");
	if (format != NULL && strcmp(format, "json") != 0)
		return verb_usage_error(a, "--output %s: json", format);
	if (word != NULL && (slash == NULL || slash[1] == '\0' ||
				    client_kind(word, (size_t)(slash - word), &p.kind) < 0))
		return verb_usage_error(
			a, "%s: not KIND/NAME: write for example tikv/basic-0", word);
	if (client_open(&p.c, a, &e) < 0)
		return verb_fail(a, &e);
	cJSON *clusters = client_list(&p.c, KIND_CLUSTER, NULL, &e);
	if (clusters == NULL) {
		client_close(&p.c);
		return verb_fail(a, &e);
	}
	p.clusters = json_get(clusters, "items");
	struct log *log = log_new(clock_system(), LOG_ERROR, 0, NULL, NULL);
	struct metrics *metrics = metrics_new();
	int r = 1, made;
	http = http_curl_new(p.c.loop, args_list(a, "connect-to"), &e);
	struct operator_conf c = { .loop = p.c.loop,
		.http = http,
		.cred = p.c.cred,
		.server = p.c.at.server,
		.ns = p.c.ns,
		.watch_ns = args_text(a, "namespace"),
		.identity = "plan",
		.no_lease = true,
		.read_only = true,
		.lua_dir = args_text(a, "lua-dir"),
		.seed = rng_entropy(),
		.log = log,
		.metrics = metrics,
		.read_dir = luadir_read };
	if (http != NULL)
		p.op = operator_new(&c, &e);
	if (p.op != NULL) {
		p.began = loop_now(p.c.loop);
		operator_start(p.op);
		loop_after(p.c.loop, CHECK_MS, on_check, &p);
		loop_event_run(p.c.loop);
		if (!p.ready)
			err_set(&e, ERR_TIMEOUT,
				"the caches did not fill in %d s: check permissions",
				SYNC_MS / 1000);
	}
	if (!p.ready) {
		r = verb_fail(a, &e);
	} else {
		tell_unknown(&p);
		made = plan_all(&p, only, format != NULL, &e);
		if (made < 0 && e.code != ERR_NONE)
			r = verb_fail(a, &e);
		else if (made == 0)
			fprintf(stderr, "No %s in namespace %s: kubectl get tikv-all -A\n",
				word != NULL ? word : "object", p.c.ns);
		else
			r = made < 0 ? 1 : 0;
	}
	if (p.op != NULL)
		operator_free(p.op);
	if (http != NULL)
		http_curl_free(http);
	json_free(clusters);
	client_close(&p.c);
	metrics_free(metrics);
	log_free(log);
	return r;
}
