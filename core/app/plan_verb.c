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
#define PD_MS 3000 /* PD is polled at least once before plans are made */

const struct opt plan_opts[] = {
	{ "lua-dir", 0, OPT_TEXT, "DIR", NULL, "scripts to try instead of the built-in ones" },
	{ "connect-to", 0, OPT_LIST, "HOST:PORT:ADDR:PORT", NULL,
		"as in curl, for PD and TiKV connections only" },
	{ "output", 'o', OPT_TEXT, "json", NULL, "print worlds and plans as JSON" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

struct planning {
	struct client c;
	struct tikv_operator *op;
	int64_t began, synced;
	bool ready;
};

static void
on_check(void *arg)
{
	struct planning *p = arg;
	int64_t now = loop_now(p->c.loop);
	if (p->synced == 0 && operator_synced(p->op))
		p->synced = now;
	p->ready = p->synced != 0 && now - p->synced >= PD_MS;
	if (p->ready || now - p->began > SYNC_MS)
		loop_event_stop(p->c.loop);
	else
		loop_after(p->c.loop, CHECK_MS, on_check, p);
}

static void
print_plan(const char *title, const cJSON *dry)
{
	const cJSON *plan = json_get(dry, "plan"), *verdict = json_get(plan, "verdict");
	printf("%s: %s", title, json_str(verdict, "kind", "?"));
	if (json_get(verdict, "reason") != NULL)
		printf(" (%s: %s)", json_str(verdict, "reason", ""),
			json_str(verdict, "message", ""));
	putchar('\n');
	const cJSON *list = json_get(dry, "actions");
	if (list == NULL)
		list = json_get(plan, "actions");
	for (const cJSON *x = list != NULL ? list->child : NULL; x != NULL; x = x->next) {
		const char *kind = json_str(x, "object.kind", json_str(x, "kind", ""));
		const char *name = json_str(x, "object.metadata.name", json_str(x, "name", ""));
		printf("  %-20s %s%s%s", json_str(x, "action", "?"), kind, *name != '\0' ? " " : "",
			name);
		if (json_get(x, "refused") != NULL)
			printf("  refused: %s", json_str(x, "refused", ""));
		putchar('\n');
	}
}

static int
plan_all(struct planning *p, const char *only, bool json)
{
	int made = 0;
	cJSON *all = json_array();
	for (int k = KIND_CLUSTER; k <= KIND_TIKV; k++) {
		struct err e = { 0 };
		cJSON *list = client_list(&p->c, (enum kind)k, NULL, &e);
		const cJSON *items = list != NULL ? json_get(list, "items") : NULL;
		for (const cJSON *o = items != NULL ? items->child : NULL; o != NULL; o = o->next) {
			const char *name = json_str(o, "metadata.name", "");
			char *title = xasprintf("%s/%s", kind_row((enum kind)k)->kind, name);
			cJSON *dry = NULL;
			if (only == NULL || strcasecmp(only, title) == 0) {
				dry = ctl_dry_run(
					operator_ctl(p->op), (enum kind)k, p->c.ns, name, &e);
				made++;
				if (dry == NULL)
					printf("%s: no plan: %s\n", title, e.msg);
				else if (!json)
					print_plan(title, dry);
			}
			if (dry != NULL) {
				json_put_str(dry, "object", title);
				json_add(all, dry);
			}
			free(title);
		}
		json_free(list);
	}
	if (json) {
		struct buf out;
		buf_init(&out, 0);
		(void)json_print_pretty(all, &out);
		printf("%s\n", out.at);
		buf_fini(&out);
	}
	json_free(all);
	return made;
}

int
plan_main(struct args *a)
{
	struct err e = { 0 };
	struct planning p = { 0 };
	struct http *http = NULL;
	if (client_open(&p.c, a, &e) < 0)
		return verb_fail(a, &e);
	struct log *log = log_new(clock_system(), LOG_ERROR, 0, NULL, NULL);
	struct metrics *metrics = metrics_new();
	int r = 1;
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
	if (!p.ready)
		r = verb_fail(a, &e);
	else if (plan_all(&p, args_at(a, 0), args_text(a, "output") != NULL) == 0)
		fprintf(stderr, "No %s in namespace %s\n",
			args_at(a, 0) != NULL ? args_at(a, 0) : "object", p.c.ns);
	else
		r = 0;
	if (p.op != NULL)
		operator_free(p.op);
	if (http != NULL)
		http_curl_free(http);
	client_close(&p.c);
	metrics_free(metrics);
	log_free(log);
	return r;
}
