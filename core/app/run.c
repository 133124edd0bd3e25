#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/child.h"
#include "app/luadir.h"
#include "app/verbs.h"
#include "base/mem.h"
#include "engine/gauges.h"
#include "wire/http_curl.h"
#include "wire/httpd.h"
#include "wire/loop_event.h"

#define STOP_MS 10000 /* a graceful end must not take longer */
#define LUADIR_MS 500 /* how often --lua-dir is looked at */
#define TRIM_MS 60000 /* memory freed by bursts goes back to the system */
#define POD_NAMESPACE_FILE "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

const struct opt run_opts[] = {
	{ "listen", 0, OPT_TEXT, "ADDR:PORT", "127.0.0.1:8080",
		"health, metrics and debug; empty: none" },
	{ "lease-namespace", 0, OPT_TEXT, "NAME", NULL,
		"namespace of the lease and of tikv.org/scripts (default $POD_NAMESPACE, the "
		"ServiceAccount's, tikv-system)" },
	{ "lease-name", 0, OPT_TEXT, "NAME", "tikv-operator", "name of the lease" },
	{ "lua-dir", 0, OPT_TEXT, "DIR", NULL,
		"scripts that replace the built-in ones; reloaded on save" },
	{ "connect-to", 0, OPT_LIST, "HOST:PORT:ADDR:PORT", NULL,
		"as in curl, for PD and TiKV connections only; may be repeated" },
	{ "prestop-image", 0, OPT_TEXT, "IMAGE", NULL, "image with the pre-stop program" },
	{ "log-level", 0, OPT_TEXT, "LEVEL", "info", "debug, info, warn or error" },
	{ "log-format", 0, OPT_TEXT, "FORMAT", "json", "json or text" },
	{ "config", 0, OPT_TEXT, "FILE", NULL, "YAML file with any of these options" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

struct run {
	struct loop *loop;
	struct log *log;
	struct metrics *metrics;
	struct http *http;
	struct cred *cred;
	struct cred_cluster at;
	struct tikv_operator *op;
	struct httpd *httpd;
	const char *lua_dir;
	uint64_t lua_stamp;
	bool stopping;
	int code;
};

static void
reply(struct httpd_req *r, int status, const char *type, const char *text)
{
	httpd_reply(r, status, NULL, 0, type, text, strlen(text));
}

static void
reply_check(struct httpd_req *r, bool ok, const char *why)
{
	char *text = xasprintf("%s%s\n", ok ? "ok" : "not ok: ", ok ? "" : why);
	reply(r, ok ? 200 : 503, "text/plain; charset=utf-8", text);
	free(text);
}

static void
on_request(void *arg, struct httpd_req *r, const struct httpd_in *in)
{
	struct run *run = arg;
	const char *why = "";
	if (strcmp(in->method, "GET") != 0) {
		reply(r, 405, "text/plain", "only GET\n");
	} else if (strcmp(in->path, "/healthz") == 0 || strcmp(in->path, "/livez") == 0) {
		bool ok = operator_healthy(run->op, &why);
		reply_check(r, ok, why);
	} else if (strcmp(in->path, "/readyz") == 0) {
		bool ok = operator_ready(run->op, &why);
		reply_check(r, ok, why);
	} else if (strcmp(in->path, "/metrics") == 0) {
		struct buf text;
		buf_init(&text, 0);
		(void)metrics_print(run->metrics, &text);
		(void)operator_gauges(run->op, &text);
		httpd_reply(r, 200, NULL, 0, "text/plain; version=0.0.4; charset=utf-8", text.at,
			text.len);
		buf_fini(&text);
	} else if (strncmp(in->path, "/debug/", 7) == 0) {
		cJSON *page = operator_debug(run->op, in->path + 7);
		if (page == NULL) {
			reply(r, 404, "text/plain", "no such page\n");
			return;
		}
		struct buf text;
		buf_init(&text, 0);
		(void)json_print_pretty(page, &text);
		(void)buf_putc(&text, '\n');
		httpd_reply(r, 200, NULL, 0, "application/json", text.at, text.len);
		buf_fini(&text);
		json_free(page);
	} else {
		reply(r, 404, "text/plain", "/healthz /readyz /metrics /debug/\n");
	}
}

static void
end(void *arg)
{
	struct run *run = arg;
	loop_event_stop(run->loop);
}

static void
on_term(void *arg)
{
	struct run *run = arg;
	if (run->stopping) {
		run->code = 130;
		end(run);
		return;
	}
	run->stopping = true;
	log_write(run->log, LOG_INFO, "stopping: finishing what is under way", NULL);
	loop_after(run->loop, STOP_MS, end, run);
	operator_stop(run->op, end, run);
}

static void
on_hup(void *arg)
{
	struct run *run = arg;
	log_write(run->log, LOG_INFO, "scripts are read again", NULL);
	operator_reload(run->op);
}

static void
on_lost(void *arg, const char *why)
{
	struct run *run = arg;
	log_write(run->log, LOG_ERROR, "the lease is lost: ending", "why", why, NULL);
	run->code = 1;
	end(run);
}

static void
on_luadir_timer(void *arg)
{
	struct run *run = arg;
	uint64_t stamp = luadir_stamp(run->lua_dir);
	if (stamp != run->lua_stamp)
		operator_reload(run->op);
	run->lua_stamp = stamp;
	loop_after(run->loop, LUADIR_MS, on_luadir_timer, run);
}

static void
on_trim_timer(void *arg)
{
	struct run *run = arg;
	malloc_trim(0);
	loop_after(run->loop, TRIM_MS, on_trim_timer, run);
}

static char *
identity(void)
{
	char host[256] = "localhost", uuid[37];
	struct rng r;
	rng_seed(&r, rng_entropy());
	rng_uuid(&r, uuid);
	gethostname(host, sizeof host - 1);
	const char *pod = getenv("POD_NAME");
	return xasprintf("%s_%s", pod != NULL ? pod : host, uuid);
}

static int
listen_on(struct run *run, const char *where, struct err *e)
{
	const char *colon = strrchr(where, ':');
	if (*where == '\0')
		return 0;
	char *end = NULL;
	long port = colon != NULL ? strtol(colon + 1, &end, 10) : -1;
	if (port < 0 || port > 65535 || end == colon + 1 || *end != '\0')
		return err_set(e, ERR_INVALID,
			"--listen %s: not ADDR:PORT: write for example 0.0.0.0:8080", where);
	char *addr = xstrndup(where, (size_t)(colon - where));
	run->httpd = httpd_new(run->loop, *addr != '\0' ? addr : "0.0.0.0", (int)port, NULL,
		1 << 16, on_request, run, e);
	free(addr);
	if (run->httpd == NULL)
		return err_wrap(e, "--listen %s", where);
	char *text = xasprintf("%d", httpd_port(run->httpd));
	log_write(run->log, LOG_INFO, "listening", "port", text, NULL);
	free(text);
	return 0;
}

static int
open_cluster(struct run *run, const struct args *a, struct err *e)
{
	const char *file = args_text(a, "kubeconfig");
	bool in_cluster = file == NULL && getenv("KUBECONFIG") == NULL &&
			  getenv("KUBERNETES_SERVICE_HOST") != NULL;
	run->cred = in_cluster ? cred_in_cluster(NULL, clock_system(), &run->at, e)
			       : cred_kubeconfig(file, args_text(a, "context"), clock_system(),
					 &run->at, e);
	if (run->cred == NULL)
		return -1;
	run->http = http_curl_new(run->loop, args_list(a, "connect-to"), e);
	return run->http != NULL ? 0 : -1;
}

/* Where this pod lives, as client libraries find it; malloc'ed, NULL outside of a pod. */
static char *
pod_namespace(void)
{
	char name[64] = "";
	const char *said = getenv("POD_NAMESPACE");
	if (said != NULL && *said != '\0')
		return xstrdup(said);
	FILE *f = fopen(POD_NAMESPACE_FILE, "re");
	if (f == NULL)
		return NULL;
	if (fscanf(f, "%63s", name) != 1)
		*name = '\0';
	fclose(f);
	return *name != '\0' ? xstrdup(name) : NULL;
}

static int
start(struct run *run, const struct args *a, struct err *e)
{
	if (open_cluster(run, a, e) < 0)
		return -1;
	const char *ns = args_text(a, "lease-namespace");
	char *pod_ns = ns == NULL ? pod_namespace() : NULL;
	if (ns == NULL)
		ns = pod_ns;
	if (ns == NULL)
		ns = args_text(a, "namespace") != NULL ? args_text(a, "namespace") : "tikv-system";
	char *who = identity();
	struct operator_conf c = { .loop = run->loop,
		.http = run->http,
		.cred = run->cred,
		.server = run->at.server,
		.ns = ns,
		.watch_ns = args_text(a, "namespace"),
		.identity = who,
		.lease_name = args_text(a, "lease-name"),
		.lua_dir = args_text(a, "lua-dir"),
		.prestop_image = args_text(a, "prestop-image"),
		.seed = rng_entropy(),
		.log = run->log,
		.metrics = run->metrics,
		.read_dir = luadir_read,
		.in_child = child_run,
		.on_lost = on_lost,
		.arg = run };
	run->op = operator_new(&c, e);
	free(who);
	free(pod_ns);
	if (run->op == NULL || listen_on(run, args_text(a, "listen"), e) < 0)
		return -1;
	run->lua_dir = c.lua_dir;
	loop_event_signal(run->loop, SIGTERM, on_term, run);
	loop_event_signal(run->loop, SIGINT, on_term, run);
	loop_event_signal(run->loop, SIGHUP, on_hup, run);
	if (run->lua_dir != NULL) {
		run->lua_stamp = luadir_stamp(run->lua_dir);
		loop_after(run->loop, LUADIR_MS, on_luadir_timer, run);
	}
	loop_after(run->loop, TRIM_MS, on_trim_timer, run);
	operator_start(run->op);
	log_write(
		run->log, LOG_INFO, "started", "version", VERSION, "server", run->at.server, NULL);
	return 0;
}

int
run_main(struct args *a)
{
	struct err e = { 0 };
	enum log_level level;
	if (args_text(a, "config") != NULL && args_config_file(a, args_text(a, "config"), &e) < 0)
		return verb_fail(a, &e);
	if (log_level_of(args_text(a, "log-level"), &level) < 0)
		return verb_usage_error(
			a, "--log-level %s: debug, info, warn or error", args_text(a, "log-level"));
	const char *format = args_text(a, "log-format");
	if (strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
		return verb_usage_error(a, "--log-format %s: json or text", format);
	if (args_count(a) > 0)
		return verb_usage_error(a, "takes no arguments: %s", args_at(a, 0));
	/* One thread, small objects that live for long: fast bins only wait to be merged, and large
	 * buffers go back at once instead of leaving holes. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MXFAST, 0);
	mallopt(M_MMAP_THRESHOLD, 256 << 10);
	mallopt(M_TRIM_THRESHOLD, 512 << 10);
	struct run run = { .loop = loop_event_new() };
	run.log = log_new(clock_system(), level, strcmp(format, "json") == 0, NULL, NULL);
	run.metrics = metrics_new();
	if (start(&run, a, &e) < 0)
		run.code = verb_fail(a, &e);
	else
		loop_event_run(run.loop);
	if (run.httpd != NULL)
		httpd_free(run.httpd);
	if (run.op != NULL)
		operator_free(run.op);
	if (run.http != NULL)
		http_curl_free(run.http);
	if (run.cred != NULL)
		cred_free(run.cred);
	cred_cluster_fini(&run.at);
	loop_event_free(run.loop);
	metrics_free(run.metrics);
	log_free(run.log);
	return run.code;
}
