#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/fleet.h"
#include "app/luadir.h"
#include "app/verbs.h"
#include "base/clock.h"

const struct opt simulate_opts[] = {
	{ "seed", 0, OPT_INT, "N", "1", "first seed; schedule i uses seed + i" },
	{ "schedules", 0, OPT_INT, "N", "100", "how many schedules to run" },
	{ "seconds", 0, OPT_INT, "S", "0", "stop after so many seconds (0: when all are done)" },
	{ "jobs", 'j', OPT_INT, "N", "-1",
		"processes at a time (-1: as many as there are cores, 0: this one, without fork)" },
	{ "shrink", 0, OPT_FLAG, NULL, NULL,
		"leave out what a red --seed does not need, then print its trace" },
	{ "first", 0, OPT_FLAG, NULL, NULL, "stop at the first failure" },
	{ "each-write", 0, OPT_FLAG, NULL, NULL,
		"targeted: crash the operator after every single write" },
	{ "no-faults", 0, OPT_FLAG, NULL, NULL, "operations without faults" },
	{ "empty", 0, OPT_FLAG, NULL, NULL,
		"begin every schedule before the cluster is founded, not one in fifty" },
	{ "policy", 0, OPT_TEXT, "DIR", NULL,
		"your own scripts (controllers/, lib/) instead of the built-in ones" },
	{ "trace", 0, OPT_FLAG, NULL, NULL, "print the operator's log (use with --schedules 1)" },
	{ "verify", 0, OPT_FLAG, NULL, NULL,
		"run every schedule twice: the event hashes must be equal" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

struct simulation {
	struct args *a;
	struct fleet *fleet;
	int64_t began;
	int run, failed;
	uint64_t hash;
	uint64_t hits[FAULT_COUNT];
	double slowest;
};

static void
print_line(void *arg, const char *line)
{
	(void)arg;
	puts(line);
}

static void
report(struct simulation *s, const struct schedule_conf *c, const struct schedule_result *r)
{
	printf("seed %llu: %s\n", (unsigned long long)c->seed, r->why);
	printf("  faults:");
	for (int i = 0; i < FAULT_COUNT; i++)
		if (r->hits[i] > 0)
			printf(" %s x%llu", fault_name((enum fault)i),
				(unsigned long long)r->hits[i]);
	printf("\n  again: tikv-operator simulate --seed %llu --schedules 1 --trace%s%s",
		(unsigned long long)c->seed, c->no_faults ? " --no-faults" : "",
		args_flag(s->a, "empty") ? " --empty" : "");
	if (c->crash_after_write > 0)
		printf("   (crash after write %d)", c->crash_after_write);
	putchar('\n');
	(void)fflush(stdout);
}

static void
on_done(void *arg, const struct schedule_conf *c, const struct schedule_result *r)
{
	struct simulation *s = arg;
	s->run++;
	s->hash += (r->hash ^ c->seed) * UINT64_C(0x9e3779b97f4a7c15); /* in any order */
	if (r->virtual_s > s->slowest)
		s->slowest = r->virtual_s;
	for (int i = 0; i < FAULT_COUNT; i++)
		s->hits[i] += r->hits[i];
	if (!r->ok) {
		s->failed++;
		report(s, c, r);
	}
}

static enum schedule_start
start_of(const struct simulation *s, uint64_t seed)
{
	return args_flag(s->a, "empty") ? SCHEDULE_EMPTY : schedule_start_of(seed);
}

static bool
enough(const struct simulation *s)
{
	int64_t seconds = args_int(s->a, "seconds");
	return (s->failed > 0 && args_flag(s->a, "first")) ||
	       (seconds > 0 && clock_mono(clock_system()) - s->began > seconds * 1000);
}

static int
verify(struct simulation *s, const struct schedule_conf *c, struct err *e)
{
	struct schedule_result r, again;
	if (fleet_ask(s->fleet, start_of(s, c->seed), c, &r, e) < 0 ||
		fleet_ask(s->fleet, start_of(s, c->seed), c, &again, e) < 0)
		return -1;
	if (r.ok && again.hash != r.hash) {
		r.ok = false;
		snprintf(r.why, sizeof r.why, "determinism: event hash %016llx, then %016llx",
			(unsigned long long)r.hash, (unsigned long long)again.hash);
	}
	on_done(s, c, &r);
	return 0;
}

static int
run_random(struct simulation *s, struct schedule_conf *c, struct err *e)
{
	uint64_t seed = (uint64_t)args_int(s->a, "seed");
	for (int64_t i = 0; i < args_int(s->a, "schedules") && !enough(s); i++) {
		c->seed = seed + (uint64_t)i;
		int r = args_flag(s->a, "verify")
				? verify(s, c, e)
				: fleet_send(s->fleet, start_of(s, c->seed), c, e);
		if (r < 0)
			return -1;
	}
	return fleet_wait(s->fleet, e);
}

/* Sieve's intermediate states: a clean run tells how many writes there are; then die after each. */
static int
run_each_write(struct simulation *s, struct schedule_conf *c, struct err *e)
{
	struct schedule_result r;
	c->seed = (uint64_t)args_int(s->a, "seed");
	c->no_faults = true;
	if (fleet_ask(s->fleet, SCHEDULE_EMPTY, c, &r, e) < 0)
		return -1;
	on_done(s, c, &r);
	for (int i = 1; i <= r.writes && !enough(s); i++) {
		c->crash_after_write = i;
		if (fleet_send(s->fleet, SCHEDULE_EMPTY, c, e) < 0)
			return -1;
	}
	return fleet_wait(s->fleet, e);
}

/* Red by the same invariant as before? */
static bool
still_red(struct simulation *s, const struct schedule_conf *c, const char *why)
{
	struct schedule_result r;
	struct err e = { 0 };
	size_t n = strcspn(why, ":");
	return fleet_ask(s->fleet, start_of(s, c->seed), c, &r, &e) == 0 && !r.ok &&
	       strncmp(r.why, why, n + 1) == 0;
}

/* Leave one bit out after the other; what is still red without it never mattered. */
static void
leave_out(struct simulation *s, struct schedule_conf *c, const char *why, uint64_t *bits,
	uint64_t candidates)
{
	for (int i = 0; i < 64; i++) {
		if (!(candidates >> i & 1))
			continue;
		*bits |= UINT64_C(1) << i;
		if (!still_red(s, c, why))
			*bits &= ~(UINT64_C(1) << i);
	}
}

static int
run_shrink(struct simulation *s, struct schedule_conf *c, struct err *e)
{
	struct schedule_result r, small;
	c->seed = (uint64_t)args_int(s->a, "seed");
	c->log = NULL;
	if (fleet_ask(s->fleet, start_of(s, c->seed), c, &r, e) < 0)
		return -1;
	s->run = 1;
	if (r.ok)
		return 0;
	leave_out(s, c, r.why, &c->without.kinds, r.faults_on);
	leave_out(s, c, r.why, &c->without.operations, (UINT64_C(1) << r.operations) - 1);
	for (int i = 0; i < FAULT_COUNT; i++)
		if (!(c->without.kinds >> i & 1)) {
			uint64_t hits = r.hits[i] > 63 ? 63 : r.hits[i];
			leave_out(s, c, r.why, &c->without.hits[i], (UINT64_C(1) << hits) - 1);
		}
	c->log = print_line;
	if (fleet_ask(s->fleet, start_of(s, c->seed), c, &small, e) < 0)
		return -1;
	s->failed = 1;
	report(s, c, &small);
	return 0;
}

static void
summary(const struct simulation *s)
{
	double took = (double)(clock_mono(clock_system()) - s->began) / 1000;
	printf("%d schedules, %d failed, %.1f s (%.0f a minute), slowest convergence %.0f virtual "
	       "s, hash %016llx\n",
		s->run, s->failed, took, took > 0 ? s->run * 60 / took : 0, s->slowest,
		(unsigned long long)s->hash);
	printf("faults:");
	for (int i = 0; i < FAULT_COUNT; i++)
		printf(" %s %llu", fault_name((enum fault)i), (unsigned long long)s->hits[i]);
	putchar('\n');
}

int
simulate_main(struct args *a)
{
	struct err e = { 0 };
	struct vm_source *scripts = NULL;
	size_t count = 0;
	struct simulation s = { .a = a, .began = clock_mono(clock_system()) };
	int64_t jobs = args_int(a, "jobs");
	if (args_count(a) > 0)
		return verb_usage_error(a, "takes no arguments: %s", args_at(a, 0));
	if (jobs < -1 || jobs > 1024)
		return verb_usage_error(a, "--jobs: from -1 to 1024");
	if (args_text(a, "policy") != NULL &&
		luadir_read(NULL, args_text(a, "policy"), &scripts, &count, &e) < 0)
		return verb_fail(a, &e);
	struct schedule_conf c = { .no_faults = args_flag(a, "no-faults"),
		.log = args_flag(a, "trace") ? print_line : NULL };
	struct fleet_conf f = { .jobs = jobs < 0 ? (int)sysconf(_SC_NPROCESSORS_ONLN) : (int)jobs,
		.scripts = scripts,
		.script_count = count,
		.trace = args_flag(a, "trace") || args_flag(a, "shrink"),
		.done = on_done,
		.arg = &s };
	s.fleet = fleet_new(&f);
	int r = args_flag(a, "shrink")       ? run_shrink(&s, &c, &e)
		: args_flag(a, "each-write") ? run_each_write(&s, &c, &e)
					     : run_random(&s, &c, &e);
	fleet_free(s.fleet);
	luadir_free(scripts, count);
	if (r < 0)
		return verb_fail(a, &e);
	summary(&s);
	return s.failed > 0 ? 1 : 0;
}
