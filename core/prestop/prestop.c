/*
 * prestop: runs in the pods of PD and TiKV before their program gets SIGTERM. Linked statically: an
 * init container copies it from the operator's image into a volume of the pod.
 *
 *   prestop copy FOLDER                       the program itself, into the folder
 *   prestop tikv --port N [TLS]               until the store leads nothing, or its leaders stay
 *   prestop pd --port N --name NAME [TLS]     until another member leads
 *   TLS: --cacert FILE --cert FILE --key FILE
 *
 * Who makes the leaders leave is the operator, or PD: this only waits. It always ends with 0 but
 * for a wrong command line: a hook that fails stops the pod all the same, and says nothing better.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "prestop/ask.h"

#define BODY (8u << 20) /* TiKV's metrics */
#define ERRORS 5        /* in a row: nobody answers any more */
#define STILL 30        /* looks at a number that does not fall */
#define MOVES 15        /* seconds that PD may take to find another leader */

struct args {
	struct ask_at at;
	const char *name;
};

/* What is written to the pod's log: the main program is process 1 and its output is the log. */
static void
say(const char *fmt, ...)
{
	FILE *log = fopen("/proc/1/fd/1", "w");
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fprintf(log != NULL ? log : stdout, "prestop: %s\n", text);
	if (log != NULL)
		fclose(log);
}

static void
wait_a_second(void)
{
	const struct timespec second = { 1, 0 };

	nanosleep(&second, NULL);
}

static char *
room(void)
{
	char *body = malloc(BODY);

	if (body == NULL)
		abort();
	return body;
}

/* ---- copy ---- */

static int
copy_to(const char *folder)
{
	char path[4096], block[65536];
	ssize_t n = 0;
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;

	snprintf(path, sizeof path, "%s/prestop", folder);
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	while (from >= 0 && to >= 0 && (n = read(from, block, sizeof block)) > 0) {
		if (write(to, block, (size_t)n) != n)
			n = -1;
		if (n < 0)
			break;
	}
	if (from < 0 || to < 0 || n != 0 || fchmod(to, 0755) != 0 || close(to) != 0) {
		fprintf(stderr, "prestop: %s: %s\n", path, strerror(errno));
		return 1;
	}
	close(from);
	return 0;
}

/* ---- tikv ---- */

/* Leaders by the store's own word, -1: it does not say. */
static long
leaders(const struct ask_at *at, char *body, const char **why)
{
	static const char gauge[] = "\ntikv_raftstore_region_count{type=\"leader\"} ";
	int status = ask(at, "GET", "/metrics", body, BODY, why);
	const char *found = status == 200 ? strstr(body, gauge) : NULL;

	if (status == 200 && found == NULL)
		*why = "its metrics do not say how many leaders there are";
	return found != NULL ? (long)strtod(found + sizeof gauge - 1, NULL) : -1;
}

static int
wait_for_leaders(const struct args *a)
{
	char *body = room();
	const char *why = "";
	long least = -1, n = 0;
	int still = 0, errors = 0;

	while (still <= STILL && errors <= ERRORS) {
		n = leaders(&a->at, body, &why);
		if (n == 0)
			break;
		errors = n < 0 ? errors + 1 : 0;
		if (n > 0 && (least < 0 || n < least)) {
			least = n;
			still = 0;
		} else if (n > 0) {
			still++;
		}
		wait_a_second();
	}
	if (n == 0)
		say("the store leads nothing any more");
	else if (errors > ERRORS)
		say("the store does not answer (%s): it stops as it is", why);
	else
		say("%ld leaders have stayed for %d seconds: the store stops with them", least,
			STILL);
	free(body);
	return 0;
}

/* ---- pd ---- */

/* Does the member of this name lead? -1: unknown. */
static int
leads(const struct args *a, char *body, const char **why)
{
	char want[300], *name;

	if (ask(&a->at, "GET", "/pd/api/v1/leader", body, BODY, why) != 200)
		return -1;
	name = strstr(body, "\"name\"");
	if (name == NULL || (name = strchr(name + 6, '"')) == NULL)
		return -1;
	snprintf(want, sizeof want, "\"%s\"", a->name);
	return strncmp(name, want, strlen(want)) == 0;
}

static int
resign(const struct args *a)
{
	char *body = room();
	const char *why = "";
	int is = leads(a, body, &why);

	if (is == 1) {
		say("%s leads PD and resigns", a->name);
		(void)ask(&a->at, "POST", "/pd/api/v1/leader/resign", body, BODY, &why);
		for (int i = 0; i < MOVES && (is = leads(a, body, &why)) != 0; i++)
			wait_a_second();
	}
	say(is == 0       ? "another member leads PD"
		: is == 1 ? "nobody else leads PD: it stops as leader"
			  : "PD does not say who leads: it stops as it is");
	free(body);
	return 0;
}

/* ---- main ---- */

static bool
read_args(struct args *a, int argc, char **argv)
{
	static const char *const names[] = { "--port", "--name", "--cacert", "--cert", "--key" };
	const char *value[5] = { NULL };

	for (int i = 0; i + 1 < argc; i += 2) {
		int n = 0;
		while (n < 5 && strcmp(names[n], argv[i]) != 0)
			n++;
		if (n == 5)
			return false;
		value[n] = argv[i + 1];
	}
	*a = (struct args){ .at = { .port = value[0] != NULL ? atoi(value[0]) : 0,
				    .cacert = value[2],
				    .cert = value[3],
				    .key = value[4] },
		.name = value[1] };
	return argc % 2 == 0 && a->at.port > 0 && a->at.port < 65536 &&
	       (value[2] != NULL) == (value[3] != NULL) && (value[3] != NULL) == (value[4] != NULL);
}

int
main(int argc, char **argv)
{
	struct args a;

	if (argc == 3 && strcmp(argv[1], "copy") == 0)
		return copy_to(argv[2]);
	if (argc > 2 && read_args(&a, argc - 2, argv + 2)) {
		if (strcmp(argv[1], "tikv") == 0)
			return wait_for_leaders(&a);
		if (strcmp(argv[1], "pd") == 0 && a.name != NULL)
			return resign(&a);
	}
	fprintf(stderr, "prestop: copy FOLDER | tikv --port N | pd --port N --name NAME "
			"[--cacert FILE --cert FILE --key FILE]\n");
	return 2;
}
