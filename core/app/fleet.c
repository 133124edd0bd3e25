#include "app/fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

#define CPU_S 300 /* of one schedule; a thousand times what it needs */

struct place {
	pid_t pid; /* 0: free */
	int fd;
	struct schedule_conf conf;
};

struct fleet {
	struct fleet_conf conf;
	struct schedule *world[SCHEDULE_STARTS]; /* made when first needed */
	struct place *place;
	int busy;
};

struct fleet *
fleet_new(const struct fleet_conf *c)
{
	struct fleet *f = xcalloc(1, sizeof *f);
	f->conf = *c;
	f->place = xcalloc((size_t)c->jobs + 1, sizeof *f->place);
	return f;
}

void
fleet_free(struct fleet *f)
{
	for (int i = 0; i < f->conf.jobs; i++) {
		if (f->place[i].pid == 0)
			continue;
		kill(f->place[i].pid, SIGKILL);
		waitpid(f->place[i].pid, NULL, 0);
		close(f->place[i].fd);
	}
	for (int i = 0; i < SCHEDULE_STARTS; i++)
		if (f->world[i] != NULL)
			schedule_free(f->world[i]);
	free(f->place);
	free(f);
}

static struct schedule *
make(struct fleet *f, enum schedule_start start, struct err *e)
{
	struct schedule_world w = { .start = start,
		.scripts = f->conf.scripts,
		.script_count = f->conf.script_count,
		.trace = f->conf.trace };
	return schedule_new(&w, e);
}

static void
child(struct schedule *world, const struct schedule_conf *c, int fd)
{
	struct rlimit cpu = { CPU_S, CPU_S + 1 };
	struct schedule_result r;
	setrlimit(RLIMIT_CPU, &cpu);
	schedule_run(world, c, &r);
	(void)fflush(stdout);
	_exit(write(fd, &r, sizeof r) == sizeof r ? 0 : 2);
}

/* The end of one child. */
static int
collect(struct fleet *f, struct place *p, struct schedule_result *r, struct err *e)
{
	int status = 0;
	ssize_t n;
	while ((n = read(p->fd, r, sizeof *r)) < 0 && errno == EINTR)
		;
	close(p->fd);
	while (waitpid(p->pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(e, ERR_INTERNAL, "waitpid: %s", strerror(errno));
	p->pid = 0;
	f->busy--;
	if (n == sizeof *r)
		return 0;
	memset(r, 0, sizeof *r);
	if (WIFSIGNALED(status))
		snprintf(
			r->why, sizeof r->why, "the process died: %s", strsignal(WTERMSIG(status)));
	else
		snprintf(r->why, sizeof r->why, "the process ended with %d", WEXITSTATUS(status));
	return 0;
}

static int
one_done(struct fleet *f, struct err *e)
{
	siginfo_t who = { 0 };
	struct schedule_result r;
	while (waitid(P_ALL, 0, &who, WEXITED | WNOWAIT) < 0)
		if (errno != EINTR)
			return err_set(e, ERR_INTERNAL, "waitid: %s", strerror(errno));
	for (int i = 0; i < f->conf.jobs; i++) {
		struct place *p = &f->place[i];
		if (p->pid != who.si_pid)
			continue;
		if (collect(f, p, &r, e) < 0)
			return -1;
		f->conf.done(f->conf.arg, &p->conf, &r);
		return 0;
	}
	return err_set(e, ERR_INTERNAL, "a stranger's child ended");
}

static int
launch(struct fleet *f, enum schedule_start start, const struct schedule_conf *c, struct place *p,
	struct err *e)
{
	int fd[2];
	if (f->world[start] == NULL && (f->world[start] = make(f, start, e)) == NULL)
		return -1;
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_set(e, ERR_INTERNAL, "pipe: %s", strerror(errno));
	(void)fflush(stdout);
	p->conf = *c;
	p->fd = fd[0];
	p->pid = fork();
	if (p->pid == 0)
		child(f->world[start], c, fd[1]);
	close(fd[1]);
	if (p->pid < 0) {
		p->pid = 0;
		close(fd[0]);
		return err_set(e, ERR_INTERNAL, "fork: %s", strerror(errno));
	}
	f->busy++;
	return 0;
}

int
fleet_send(struct fleet *f, enum schedule_start start, const struct schedule_conf *c, struct err *e)
{
	if (f->conf.jobs == 0) {
		struct schedule_result r;
		if (fleet_ask(f, start, c, &r, e) < 0)
			return -1;
		f->conf.done(f->conf.arg, c, &r);
		return 0;
	}
	if (f->busy == f->conf.jobs && one_done(f, e) < 0)
		return -1;
	for (int i = 0; i < f->conf.jobs; i++)
		if (f->place[i].pid == 0)
			return launch(f, start, c, &f->place[i], e);
	return 0;
}

int
fleet_wait(struct fleet *f, struct err *e)
{
	while (f->busy > 0)
		if (one_done(f, e) < 0)
			return -1;
	return 0;
}

int
fleet_ask(struct fleet *f, enum schedule_start start, const struct schedule_conf *c,
	struct schedule_result *r, struct err *e)
{
	must(f->busy == 0);
	if (f->conf.jobs > 0)
		return launch(f, start, c, &f->place[0], e) < 0 ? -1
								: collect(f, &f->place[0], r, e);
	struct schedule *s = make(f, start, e);
	if (s == NULL)
		return -1;
	schedule_run(s, c, r);
	schedule_free(s);
	return 0;
}
