#include "app/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUT_MAX (1 << 20)
#define MORE_MEMORY (256L << 20)

/* Limits count from what the process has used so far, which fork() inherits for memory only. */
static void
limit(void)
{
	struct rlimit cpu = { CHILD_CPU_S, CHILD_CPU_S + 1 }, core = { 0, 0 };
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
#ifndef __SANITIZE_ADDRESS__ /* its shadow needs terabytes of address space */
	struct rlimit as;
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f != NULL) {
		if (fscanf(f, "%ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	as.rlim_cur = as.rlim_max = (rlim_t)(pages * sysconf(_SC_PAGESIZE) + MORE_MEMORY);
	setrlimit(RLIMIT_AS, &as);
#endif
	alarm(CHILD_CPU_S * 2); /* a child that sleeps uses no CPU */
}

static void
child(int fd, int (*fn)(void *, struct buf *), void *arg2)
{
	struct buf out;
	limit();
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	buf_init(&out, OUT_MAX);
	int r = fn(arg2, &out);
	for (size_t at = 0; at < out.len;) {
		ssize_t n = write(fd, out.at + at, out.len - at);
		if (n < 0 && errno != EINTR)
			_exit(3);
		at += n > 0 ? (size_t)n : 0;
	}
	_exit(r == 0 ? 0 : 1);
}

int
child_run(void *arg, int (*fn)(void *arg2, struct buf *out), void *arg2, struct buf *out,
	struct err *e)
{
	(void)arg;
	int fd[2], status = 0;
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_set(e, ERR_INTERNAL, "self-test: pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0) {
		close(fd[0]);
		close(fd[1]);
		return err_set(e, ERR_INTERNAL, "self-test: fork: %s", strerror(errno));
	}
	if (pid == 0)
		child(fd[1], fn, arg2);
	close(fd[1]);
	char chunk[4096];
	for (ssize_t n; (n = read(fd[0], chunk, sizeof chunk)) != 0;) {
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && buf_put(out, chunk, (size_t)n) < 0)
			break;
	}
	close(fd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return err_set(e, ERR_TOO_LARGE,
			"self-test: killed by %s: it used too much time or memory",
			strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) != 0)
		return err_set(
			e, ERR_INVALID, "self-test: %.400s", out->len > 0 ? out->at : "failed");
	return 0;
}
