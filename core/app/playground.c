#include "app/playground.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/attach.h"
#include "app/luadir.h"
#include "app/relay.h"
#include "app/verbs.h"
#include "base/embed.h"
#include "base/log.h"
#include "base/mem.h"
#include "wire/loop_event.h"

#define CHILD_CHECK_MS 200
#define BODY_MAX (16u << 20)
#define NODES_MAX 1000

const struct opt playground_opts[] = {
	{ "demo", 0, OPT_FLAG, NULL, NULL, "play a guided tour and end" },
	{ "port", 0, OPT_INT, "PORT", "0", "port of the API server (0: any free one)" },
	{ "nodes", 0, OPT_INT, "N", "6", "number of simulated nodes, over three zones" },
	{ "empty", 0, OPT_FLAG, NULL, NULL, "start without the example cluster `basic`" },
	{ "no-operator", 0, OPT_FLAG, NULL, NULL, "do not start the operator" },
	{ "write-kubeconfig", 0, OPT_TEXT, "FILE", NULL,
		"write the kubeconfig there (removed at the end)" },
	{ "lua-dir", 0, OPT_TEXT, "DIR", NULL, "give the operator the scripts of a folder" },
	{ "log-level", 0, OPT_TEXT, "LEVEL", "error", "of the operator, on stderr" },
	{ "attach", 0, OPT_FLAG, NULL, NULL,
		"only play PD and TiKV, for the pods of a real API server" },
	{ "attach-kubeconfig", 0, OPT_TEXT, "FILE", NULL, "kubeconfig of that server" },
	{ "pd-tls", 0, OPT_TEXT, "DIR", NULL,
		"also play PD over TLS, with tls.crt, tls.key and ca.crt of a folder" },
	{ "pd-port", 0, OPT_INT, "PORT", "0",
		"port that plays every PD and TiKV (0: any free one)" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

struct held { /* an answer that comes later */
	struct playground *p;
	struct httpd_req *r;
	struct net_out out;
	struct timer *timer;
	char *type;
};

static void
free_held(struct held *h)
{
	loop_cancel(h->p->loop, h->timer);
	buf_fini(&h->out.body);
	free(h->type);
	free(h);
}

static void
on_held_gone(void *arg)
{
	free_held(arg);
}

static void
on_held_due(void *arg)
{
	struct held *h = arg;
	h->timer = NULL;
	httpd_on_gone(h->r, NULL, NULL);
	httpd_reply(h->r, h->out.status, NULL, 0, h->type, h->out.body.at, h->out.body.len);
	free_held(h);
}

/* A request to any simulated PD or TiKV; the Host header says which. */
static void
on_host_request(void *arg, struct httpd_req *r, const struct httpd_in *in)
{
	struct playground *p = arg;
	struct net_in ask = { .who = "operator",
		.method = in->method,
		.host = in->host,
		.path = in->path,
		.query = in->query,
		.body = in->body,
		.body_len = in->body_len,
		.content_type = in->header(in, "content-type") };
	struct held *h = xcalloc(1, sizeof *h);
	h->p = p;
	h->r = r;
	buf_init(&h->out.body, 0);
	if (!net_ask(p->world.net, &ask, &h->out) || h->out.status == 0) {
		const char *text = "no such PD or TiKV runs here\n";
		httpd_reply(r, 502, NULL, 0, "text/plain", text, strlen(text));
		free_held(h);
		return;
	}
	h->type = xstrdup(h->out.content_type != NULL ? h->out.content_type : "application/json");
	httpd_on_gone(r, on_held_gone, h);
	if (h->out.status > 0)
		h->timer = loop_after(p->loop, h->out.delay_ms, on_held_due, h);
}

static int
write_file(const char *path, const char *text, struct err *e)
{
	FILE *f = fopen(path, "we");
	if (f == NULL)
		return err_set(e, ERR_INVALID, "%s: %s: name a file that can be written", path,
			strerror(errno));
	fputs(text, f);
	return fclose(f) == 0 ? 0 : err_set(e, ERR_INVALID, "%s: %s", path, strerror(errno));
}

static int
write_kubeconfig(struct playground *p, const char *path, struct err *e)
{
	struct buf text;
	if (path != NULL) {
		p->kubeconfig = xstrdup(path);
	} else {
		const char *tmp = getenv("TMPDIR");
		p->dir = xasprintf("%s/tikv-playground-XXXXXX", tmp != NULL ? tmp : "/tmp");
		if (mkdtemp(p->dir) == NULL)
			return err_set(e, ERR_INVALID, "%s: %s", p->dir, strerror(errno));
		p->kubeconfig = xasprintf("%s/kubeconfig", p->dir);
	}
	buf_init(&text, 0);
	(void)apiserve_kubeconfig(p->serve, "system:admin", &text);
	int r = write_file(p->kubeconfig, text.at, e);
	buf_fini(&text);
	return r;
}

int
playground_operator(
	struct playground *p, const char *log_level, const char *lua_dir, int port, struct err *e)
{
	char *config = xasprintf("--kubeconfig=%s", p->kubeconfig);
	char *connect = xasprintf("--connect-to=::127.0.0.1:%d", httpd_port(p->hosts));
	char *level = xasprintf("--log-level=%s", log_level);
	char *listen = xasprintf("--listen=127.0.0.1:%d", port);
	char *lua = lua_dir != NULL ? xasprintf("--lua-dir=%s", lua_dir) : NULL;
	char *argv[] = { "tikv-operator", "run", config, connect, level, "--log-format=text",
		"--lease-namespace=tikv-system", listen, lua, NULL };
	int parent = getpid();
	int pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setpgid(0, 0); /* Ctrl-C goes to the parent, which ends the child in order */
		unsetenv("KUBECONFIG");
		if (getppid() == parent)
			execv("/proc/self/exe", argv);
		_exit(127);
	}
	free(config);
	free(connect);
	free(level);
	free(listen);
	free(lua);
	if (pid < 0)
		return err_set(e, ERR_INTERNAL, "fork: %s", strerror(errno));
	p->operator_pid = pid;
	return 0;
}

void
playground_end(struct playground *p, int code)
{
	p->code = code;
	p->ended = true;
	loop_event_stop(p->loop);
}

static void
on_interrupt(void *arg)
{
	playground_end(arg, 0);
}

static void
on_child_check(void *arg)
{
	struct playground *p = arg;
	int status;
	if (p->ended) /* stop() waits for the child now */
		return;
	if (p->operator_pid > 0 && waitpid(p->operator_pid, &status, WNOHANG) == p->operator_pid) {
		p->operator_pid = 0;
		fprintf(stderr,
			"tikv-operator playground: the operator ended (status %d): "
			"--log-level=info tells more\n",
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
		playground_end(p, 1);
		return;
	}
	loop_after(p->loop, CHILD_CHECK_MS, on_child_check, p);
}

static char *
read_file(const char *dir, const char *name, struct err *e)
{
	char *path = xasprintf("%s/%s", dir, name), *text = NULL;
	size_t n = 0;
	FILE *f = fopen(path, "re");
	if (f == NULL || getdelim(&text, &n, '\0', f) < 0) {
		err_set(e, ERR_INVALID, "--pd-tls: %s: %s", path, strerror(errno));
		free(text);
		text = NULL;
	}
	if (f != NULL)
		fclose(f);
	free(path);
	return text;
}

static int
serve_tls(struct playground *p, const char *dir, struct err *e)
{
	char *cert = read_file(dir, "tls.crt", e), *key = read_file(dir, "tls.key", e);
	char *ca = read_file(dir, "ca.crt", e);
	if (cert != NULL && key != NULL && ca != NULL) {
		struct httpd_tls tls = { .cert = cert, .key = key, .client_ca = ca };
		p->tls_hosts =
			httpd_new(p->loop, "127.0.0.1", 0, &tls, BODY_MAX, on_host_request, p, e);
	}
	free(cert);
	free(key);
	free(ca);
	return p->tls_hosts != NULL ? 0 : -1;
}

static int
start(struct playground *p, const struct args *a, struct err *e)
{
	bool attach = args_flag(a, "attach");
	const char *lua_dir = args_text(a, "lua-dir");
	struct vm_source *scripts = NULL;
	size_t count = 0;
	if (lua_dir != NULL && luadir_read(NULL, lua_dir, &scripts, &count, e) < 0)
		return err_wrap(e, "--lua-dir");
	luadir_free(scripts, count);
	struct outside_conf conf = { .loop = p->loop,
		.seed = rng_entropy(),
		.nodes = (int)args_int(a, "nodes"),
		.attached = attach };
	if (outside_init(&p->world, &conf, e) < 0)
		return err_wrap(e, "simulated world");
	if (args_text(a, "pd-tls") != NULL && serve_tls(p, args_text(a, "pd-tls"), e) < 0)
		return -1;
	p->hosts = httpd_new(p->loop, "127.0.0.1", (int)args_int(a, "pd-port"), NULL, BODY_MAX,
		on_host_request, p, e);
	if (p->hosts == NULL)
		return -1;
	if (attach)
		return attach_start(p, args_text(a, "attach-kubeconfig"), e);
	p->serve = apiserve_new(p->loop, p->world.api, "127.0.0.1", (int)args_int(a, "port"), e);
	if (p->serve == NULL || write_kubeconfig(p, args_text(a, "write-kubeconfig"), e) < 0)
		return -1;
	static const char ns[] = "{apiVersion: v1, kind: Namespace, metadata: {name: tikv-system}}";
	if (outside_apply(&p->world, "", "namespace", ns, strlen(ns), e) < 0)
		return -1;
	const struct embed_file *example = embed_find("examples/basic/cluster.yaml");
	if (!args_flag(a, "empty") && !args_flag(a, "demo") &&
		outside_apply(&p->world, "default", example->path, example->text, example->len, e) <
			0)
		return -1;
	if (args_flag(a, "no-operator"))
		return 0;
	int port = relay_free_port(p->loop, e);
	if (port < 0 || playground_operator(p, args_text(a, "log-level"), lua_dir, port, e) < 0)
		return -1;
	p->relay = relay_new(p, port, e);
	if (p->relay == NULL)
		return -1;
	loop_after(p->loop, CHILD_CHECK_MS, on_child_check, p);
	return 0;
}

static void
stop(struct playground *p)
{
	int status;
	p->ended = true;
	if (p->operator_pid > 0) {
		/* The child gives its lease back through us: serve it until it is gone. */
		bool gone = false;
		kill(p->operator_pid, SIGTERM);
		for (int i = 0; i < 50 && !gone; i++) {
			loop_event_run_for(p->loop, 50);
			gone = waitpid(p->operator_pid, &status, WNOHANG) != 0;
		}
		if (!gone) {
			kill(p->operator_pid, SIGKILL);
			(void)waitpid(p->operator_pid, &status, 0);
		}
	}
	attach_stop(p);
	relay_free(p->relay);
	if (p->serve != NULL)
		apiserve_free(p->serve);
	if (p->hosts != NULL)
		httpd_free(p->hosts);
	if (p->tls_hosts != NULL)
		httpd_free(p->tls_hosts);
	if (p->world.api != NULL)
		outside_fini(&p->world);
	if (p->kubeconfig != NULL)
		unlink(p->kubeconfig);
	if (p->dir != NULL)
		rmdir(p->dir);
	free(p->kubeconfig);
	free(p->dir);
	loop_event_free(p->loop);
}

/* What the child would refuse is refused before there is one. */
static int
check_options(const struct args *a)
{
	enum log_level level;
	if (args_count(a) > 0)
		return verb_usage_error(a, "takes no arguments: %s", args_at(a, 0));
	if (args_int(a, "nodes") < 1 || args_int(a, "nodes") > NODES_MAX)
		return verb_usage_error(a, "--nodes %s: 1 to %d", args_text(a, "nodes"), NODES_MAX);
	if (args_int(a, "port") < 0 || args_int(a, "port") > 65535)
		return verb_usage_error(a, "--port %s: 0 to 65535", args_text(a, "port"));
	if (args_int(a, "pd-port") < 0 || args_int(a, "pd-port") > 65535)
		return verb_usage_error(a, "--pd-port %s: 0 to 65535", args_text(a, "pd-port"));
	if (log_level_of(args_text(a, "log-level"), &level) < 0)
		return verb_usage_error(
			a, "--log-level %s: debug, info, warn or error", args_text(a, "log-level"));
	if (args_flag(a, "demo") && (args_flag(a, "attach") || args_flag(a, "no-operator")))
		return verb_usage_error(a, "--demo needs its own server and operator");
	return 0;
}

/* The first line is for scripts, what follows for people. */
static void
print_ready(const struct playground *p)
{
	if (p->attach != NULL) {
		printf("ready: --connect-to ::127.0.0.1:%d", httpd_port(p->hosts));
		if (p->tls_hosts != NULL)
			printf(" tls %d", httpd_port(p->tls_hosts));
		putchar('\n');
		return;
	}
	printf("ready: export KUBECONFIG=%s\n", p->kubeconfig);
	printf("then:  kubectl get tikv-all; kubectl tikv status; kubectl tikv plan --connect-to "
	       "::127.0.0.1:%d\n",
		httpd_port(p->hosts));
}

int
playground_main(struct args *a)
{
	struct err e = { 0 };
	int wrong = check_options(a);
	if (wrong != 0)
		return wrong;
	struct playground p = { .loop = loop_event_new() };
	struct demo *demo = NULL;
	loop_event_signal(p.loop, SIGINT, on_interrupt, &p);
	loop_event_signal(p.loop, SIGTERM, on_interrupt, &p);
	loop_event_signal(p.loop, SIGHUP, on_interrupt, &p); /* the terminal was closed */
	if (start(&p, a, &e) < 0) {
		p.code = verb_fail(a, &e);
	} else {
		if (args_flag(a, "demo"))
			demo = demo_new(&p, isatty(STDOUT_FILENO));
		else
			print_ready(&p);
		fflush(stdout);
		loop_event_run(p.loop);
	}
	if (demo != NULL)
		demo_free(demo);
	stop(&p);
	return p.code;
}
