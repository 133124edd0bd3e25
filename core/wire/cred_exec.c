/*
 * Exec plug-ins: client.authentication.k8s.io v1 and v1beta1.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "format/json.h"
#include "wire/cred_priv.h"

#define RUN_MS 10000
#define OUTPUT_MAX (1u << 20)
#define API_GROUP "client.authentication.k8s.io/"

extern char **environ;

static void
list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

void
cred_exec_free(struct cred_exec *x)
{
	if (!x)
		return;
	list_free(x->args);
	list_free(x->env);
	free(x->name);
	free(x->command);
	free(x->api_version);
	free(x->cluster);
	free(x);
}

static char **
list_add(char **list, size_t count, char *own_text)
{
	list = xrealloc(list, (count + 2) * sizeof(*list));
	list[count] = own_text;
	list[count + 1] = NULL;
	return list;
}

static int
check_spec(const cJSON *spec, const char *name, struct err *e)
{
	const char *api = json_str(spec, "apiVersion", ""),
		   *command = json_str(spec, "command", "");

	if (strcmp(api, API_GROUP "v1") && strcmp(api, API_GROUP "v1beta1"))
		return err_set(e, ERR_UNSUPPORTED, "%s.apiVersion: \"%s\": use " API_GROUP "v1",
			name, api);
	if (!*command)
		return err_set(e, ERR_INVALID, "%s.command: missing", name);
	if (!strcmp(json_str(spec, "interactiveMode", ""), "Always"))
		return err_set(e, ERR_UNSUPPORTED,
			"%s.interactiveMode: Always: there is no terminal: use a token", name);
	return 0;
}

struct cred_exec *
cred_exec_new(const cJSON *spec, const char *name, const char *folder, struct err *e)
{
	const cJSON *item;
	size_t args = 1, env = 0;

	if (check_spec(spec, name, e))
		return NULL;
	struct cred_exec *x = xcalloc(1, sizeof(*x));
	const char *command = json_str(spec, "command", "");
	x->name = xstrdup(name);
	x->api_version = xstrdup(json_str(spec, "apiVersion", ""));
	x->expires_wall_ms = -1;
	bool relative = strchr(command, '/') && *command != '/';
	x->command = relative ? xasprintf("%s/%s", folder, command) : xstrdup(command);
	x->args = list_add(NULL, 0, xstrdup(x->command));
	cJSON_ArrayForEach(item, json_get(spec, "args"))
	{
		if (cJSON_IsString(item))
			x->args = list_add(x->args, args++, xstrdup(item->valuestring));
	}
	x->env = list_add(NULL, 0, NULL);
	cJSON_ArrayForEach(item, json_get(spec, "env"))
	{
		x->env = list_add(x->env, env++,
			xasprintf(
				"%s=%s", json_str(item, "name", ""), json_str(item, "value", "")));
	}
	return x;
}

static bool
overridden(char *const *env, const char *entry)
{
	size_t n = strcspn(entry, "=") + 1;

	if (!strncmp(entry, "KUBERNETES_EXEC_INFO=", 21))
		return true;
	for (; *env; env++)
		if (!strncmp(*env, entry, n))
			return true;
	return false;
}

static char **
environment(const struct cred_exec *x)
{
	char **list = NULL;
	size_t n = 0;

	for (char **p = environ; *p; p++)
		if (!overridden(x->env, *p))
			list = list_add(list, n++, xstrdup(*p));
	for (char **p = x->env; *p; p++)
		list = list_add(list, n++, xstrdup(*p));
	return list_add(list, n,
		xasprintf("KUBERNETES_EXEC_INFO={\"apiVersion\":\"%s\",\"kind\":\"ExecCredential\","
			  "\"spec\":{\"interactive\":false%s%s}}",
			x->api_version, x->cluster ? ",\"cluster\":" : "",
			x->cluster ? x->cluster : ""));
}

static int
start(const struct cred_exec *x, int out_fd, int err_fd, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t none, pipes;
	char **env = environment(x);

	sigemptyset(&none);
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out_fd, 1);
	posix_spawn_file_actions_adddup2(&files, err_fd, 2);
	posix_spawnattr_init(&how);
	posix_spawnattr_setflags(
		&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&how, 0);
	posix_spawnattr_setsigdefault(&how, &pipes);
	posix_spawnattr_setsigmask(&how, &none);
	int no = posix_spawnp(pid, x->command, &files, &how, x->args, env);
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	list_free(env);
	return no;
}

/* Read both pipes until they are closed. -1 when the time is over. */
static int
read_both(int out_fd, int err_fd, struct buf *out, struct buf *said, int64_t end)
{
	const struct clock *clock = clock_system();
	struct pollfd fds[] = { { .fd = out_fd, .events = POLLIN },
		{ .fd = err_fd, .events = POLLIN } };
	struct buf *to[] = { out, said };
	char chunk[4096];

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int64_t left = end - clock_mono(clock);
		if (left <= 0)
			return -1;
		if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
			return -1;
		for (int i = 0; i < 2; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			ssize_t n = read(fds[i].fd, chunk, sizeof(chunk));
			if (n > 0)
				buf_put(to[i], chunk, (size_t)n);
			else if (n == 0 || errno != EINTR)
				fds[i].fd = -1;
		}
	}
	return 0;
}

/* A plug-in that closed its output but does not end is as late as one that says nothing. */
static int
wait_until(pid_t pid, int64_t end)
{
	struct pollfd ended = { .fd = pidfd_open(pid, 0), .events = POLLIN };
	int64_t left = end - clock_mono(clock_system());
	int ready = ended.fd < 0 ? 1 : poll(&ended, 1, left < 0 ? 0 : (int)left);

	if (ended.fd >= 0)
		close(ended.fd);
	return ready > 0 ? 0 : -1;
}

/* One run, at most ten seconds: standard output in *out, or an error with what it said. */
static int
run(const struct cred_exec *x, struct buf *out, struct err *e)
{
	int answer[2], complaint[2], status = 0;
	char why[128];
	struct buf said;
	pid_t pid;

	if (pipe2(answer, O_CLOEXEC))
		return err_set(e, ERR_UNAVAILABLE, "%s: no pipe", x->name);
	if (pipe2(complaint, O_CLOEXEC)) {
		close(answer[0]);
		close(answer[1]);
		return err_set(e, ERR_UNAVAILABLE, "%s: no pipe", x->name);
	}
	int no = start(x, answer[1], complaint[1], &pid);
	close(answer[1]);
	close(complaint[1]);
	int failed = -1;
	buf_init(&said, 4096);
	if (no) {
		err_set(e, ERR_NOT_FOUND, "%s.command: %s: %s: is the plug-in installed?", x->name,
			x->command, strerror_r(no, why, sizeof(why)));
	} else {
		int64_t end = clock_mono(clock_system()) + RUN_MS;
		failed =
			read_both(answer[0], complaint[0], out, &said, end) || wait_until(pid, end);
		if (failed)
			kill(-pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (failed) {
			err_set(e, ERR_TIMEOUT, "%s: %s: no answer within %d s", x->name,
				x->command, RUN_MS / 1000);
		} else if (status) {
			char *text = cred_trim(buf_take(&said));
			failed = err_set(e, ERR_UNAUTHORIZED, "%s: %s: exit status %d: %.200s",
				x->name, x->command, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
				text);
			free(text);
		}
	}
	buf_fini(&said);
	close(answer[0]);
	close(complaint[0]);
	return failed;
}

static int
adopt(struct cred *c, const cJSON *answer, struct err *e)
{
	struct cred_exec *x = c->exec;
	const char *token = json_str(answer, "status.token", NULL);
	const char *cert = json_str(answer, "status.clientCertificateData", NULL);
	const char *key = json_str(answer, "status.clientKeyData", NULL);
	const char *until = json_str(answer, "status.expirationTimestamp", NULL);
	int64_t expires = -1;

	if (strcmp(json_str(answer, "kind", ""), "ExecCredential") ||
		strcmp(json_str(answer, "apiVersion", ""), x->api_version))
		return err_set(e, ERR_PROTOCOL, "%s: %s: did not print an ExecCredential of %s",
			x->name, x->command, x->api_version);
	if (!token && !(cert && key))
		return err_set(e, ERR_PROTOCOL, "%s: %s: printed neither a token nor a certificate",
			x->name, x->command);
	if ((cert || key) && !(cert && key && cred_pem_is_pair(cert, key)))
		return err_set(e, ERR_PROTOCOL, "%s: %s: certificate and key do not fit", x->name,
			x->command);
	if (until && clock_parse(until, &expires))
		return err_set(e, ERR_PROTOCOL, "%s: %s: expirationTimestamp \"%.40s\": not a time",
			x->name, x->command, until);
	x->expires_wall_ms = expires;
	free(c->token.text);
	c->token.text = token ? xstrdup(token) : NULL;
	cred_set_authorization(c);
	if (cert && (!c->cert.text || strcmp(cert, c->cert.text) || strcmp(key, c->key.text))) {
		free(c->cert.text);
		free(c->key.text);
		c->cert.text = xstrdup(cert);
		c->key.text = xstrdup(key);
		c->version++;
	}
	return 0;
}

int
cred_exec_run(struct cred *c, struct err *e)
{
	struct cred_exec *x = c->exec;
	struct err why = { 0 };
	struct buf out;
	cJSON *answer = NULL;

	buf_init(&out, OUTPUT_MAX);
	int failed = run(x, &out, e);
	if (!failed && !(answer = json_parse(out.at ? out.at : "", out.len, &why)))
		failed = err_set(e, ERR_PROTOCOL, "%s: %s: printed no JSON: %s", x->name,
			x->command, why.msg);
	if (!failed)
		failed = adopt(c, answer, e);
	json_free(answer);
	buf_fini(&out);
	x->ran_at = clock_mono(c->clock);
	x->have_answer |= !failed;
	return failed;
}
