#include <stdlib.h>
#include <string.h>

#include "app/luadir.h"
#include "app/verbs.h"
#include "base/clock.h"
#include "sim/schedule.h"

const struct opt simulate_opts[] = {
	{ "seed", 0, OPT_INT, "N", "1", "first seed; schedule i uses seed + i" },
	{ "schedules", 0, OPT_INT, "N", "100", "how many schedules to run" },
	{ "seconds", 0, OPT_INT, "S", "0", "stop after so many seconds (0: when all are done)" },
	{ "shrink", 0, OPT_FLAG, NULL, NULL,
		"leave out what a red --seed does not need, then print its trace" },
	{ "first", 0, OPT_FLAG, NULL, NULL, "stop at the first failure" },
	{ "each-write", 0, OPT_FLAG, NULL, NULL,
		"targeted: crash the operator after every single write" },
	{ "no-faults", 0, OPT_FLAG, NULL, NULL, "operations without faults" },
	{ "policy", 0, OPT_TEXT, "DIR", NULL,
		"your own scripts (controllers/, lib/) instead of the built-in ones" },
	{ "trace", 0, OPT_FLAG, NULL, NULL, "print the operator's log (use with --schedules 1)" },
	{ "verify", 0, OPT_FLAG, NULL, NULL,
		"run every schedule twice: the event hashes must be equal" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

static void
print_line(void *arg, const char *line)
{
	(void)arg;
	puts(line);
}

static void
report(const struct schedule_conf *c, const struct schedule_result *r)
{
	printf("seed %llu: %s\n", (unsigned long long)c->seed, r->why);
	printf("  faults:");
	for (int i = 0; i < FAULT_COUNT; i++)
		if (r->hits[i] > 0)
			printf(" %s x%llu", fault_name((enum fault)i),
				(unsigned long long)r->hits[i]);
	printf("\n  again: tikv-operator simulate --seed %llu --schedules 1 --trace%s",
		(unsigned long long)c->seed, c->no_faults ? " --no-faults" : "");
	if (c->crash_after_write > 0)
		printf("   (crash after write %d)", c->crash_after_write);
	putchar('\n');
	(void)fflush(stdout);
}

struct totals {
	int run, failed;
	uint64_t hash;
	uint64_t hits[FAULT_COUNT];
	double slowest;
};

static int
one(const struct schedule_conf *c, bool verify, struct totals *t, struct schedule_result *r,
	struct err *e)
{
	if (schedule_run(c, r, e) < 0)
		return -1;
	if (verify && r->ok) {
		struct schedule_result again;
		if (schedule_run(c, &again, e) < 0)
			return -1;
		if (again.hash != r->hash) {
			r->ok = false;
			snprintf(r->why, sizeof r->why,
				"determinism: event hash %016llx, then %016llx",
				(unsigned long long)r->hash, (unsigned long long)again.hash);
		}
	}
	t->run++;
	t->hash ^= r->hash + 0x9e3779b97f4a7c15u + (t->hash << 6) + (t->hash >> 2);
	if (r->virtual_s > t->slowest)
		t->slowest = r->virtual_s;
	for (int i = 0; i < FAULT_COUNT; i++)
		t->hits[i] += r->hits[i];
	if (!r->ok) {
		t->failed++;
		report(c, r);
	}
	return 0;
}

static int
run_random(struct args *a, struct schedule_conf *c, struct totals *t, struct err *e)
{
	int64_t n = args_int(a, "schedules"), began = clock_mono(clock_system());
	uint64_t seed = (uint64_t)args_int(a, "seed");
	struct schedule_result r;
	for (int64_t i = 0; i < n; i++) {
		c->seed = seed + (uint64_t)i;
		if (one(c, args_flag(a, "verify"), t, &r, e) < 0)
			return -1;
		if (t->failed > 0 && args_flag(a, "first"))
			break;
		if (args_int(a, "seconds") > 0 &&
			clock_mono(clock_system()) - began > args_int(a, "seconds") * 1000)
			break;
	}
	return 0;
}

/* Sieve's intermediate states: a clean run tells how many writes there are; then die after each. */
static int
run_each_write(struct args *a, struct schedule_conf *c, struct totals *t, struct err *e)
{
	struct schedule_result r;
	int64_t began = clock_mono(clock_system());
	c->seed = (uint64_t)args_int(a, "seed");
	c->no_faults = true;
	if (one(c, false, t, &r, e) < 0)
		return -1;
	int writes = r.writes;
	for (int i = 1; i <= writes; i++) {
		if (args_int(a, "seconds") > 0 &&
			clock_mono(clock_system()) - began > args_int(a, "seconds") * 1000)
			break;
		c->crash_after_write = i;
		if (one(c, false, t, &r, e) < 0)
			return -1;
		if (t->failed > 0 && args_flag(a, "first"))
			break;
	}
	return 0;
}

/* Red by the same invariant as before? */
static bool
still_red(const struct schedule_conf *c, const char *why)
{
	struct schedule_result r;
	struct err e = { 0 };
	size_t n = strcspn(why, ":");
	return schedule_run(c, &r, &e) == 0 && !r.ok && strncmp(r.why, why, n + 1) == 0;
}

/* Leave one bit out after the other; what is still red without it never mattered. */
static void
leave_out(struct schedule_conf *c, const char *why, uint64_t *bits, uint64_t candidates)
{
	for (int i = 0; i < 64; i++) {
		if (!(candidates >> i & 1))
			continue;
		*bits |= UINT64_C(1) << i;
		if (!still_red(c, why))
			*bits &= ~(UINT64_C(1) << i);
	}
}

static int
run_shrink(struct args *a, struct schedule_conf *c, struct totals *t, struct err *e)
{
	struct schedule_result r, small;
	void (*log)(void *arg, const char *line) = c->log;
	c->seed = (uint64_t)args_int(a, "seed");
	c->log = NULL;
	if (schedule_run(c, &r, e) < 0)
		return -1;
	t->run = 1;
	if (r.ok)
		return 0;
	leave_out(c, r.why, &c->without.kinds, r.faults_on);
	leave_out(c, r.why, &c->without.operations, (UINT64_C(1) << r.operations) - 1);
	for (int i = 0; i < FAULT_COUNT; i++)
		if (!(c->without.kinds >> i & 1)) {
			uint64_t hits = r.hits[i] > 63 ? 63 : r.hits[i];
			leave_out(c, r.why, &c->without.hits[i], (UINT64_C(1) << hits) - 1);
		}
	c->log = log != NULL ? log : print_line;
	if (schedule_run(c, &small, e) < 0)
		return -1;
	t->failed = 1;
	report(c, &small);
	return 0;
}

int
simulate_main(struct args *a)
{
	struct err e = { 0 };
	struct vm_source *scripts = NULL;
	size_t count = 0;
	struct totals t = { 0 };
	if (args_count(a) > 0)
		return verb_usage_error(a, "takes no arguments: %s", args_at(a, 0));
	if (args_text(a, "policy") != NULL &&
		luadir_read(NULL, args_text(a, "policy"), &scripts, &count, &e) < 0)
		return verb_fail(a, &e);
	struct schedule_conf c = { .no_faults = args_flag(a, "no-faults"),
		.scripts = scripts,
		.script_count = count,
		.log = args_flag(a, "trace") ? print_line : NULL };
	int64_t began = clock_mono(clock_system());
	int r = args_flag(a, "shrink")       ? run_shrink(a, &c, &t, &e)
		: args_flag(a, "each-write") ? run_each_write(a, &c, &t, &e)
					     : run_random(a, &c, &t, &e);
	double took = (double)(clock_mono(clock_system()) - began) / 1000;
	luadir_free(scripts, count);
	if (r < 0)
		return verb_fail(a, &e);
	printf("%d schedules, %d failed, %.1f s (%.0f a minute), slowest convergence %.0f virtual "
	       "s, hash %016llx\n",
		t.run, t.failed, took, took > 0 ? t.run * 60 / took : 0, t.slowest,
		(unsigned long long)t.hash);
	printf("faults:");
	for (int i = 0; i < FAULT_COUNT; i++)
		printf(" %s %llu", fault_name((enum fault)i), (unsigned long long)t.hits[i]);
	putchar('\n');
	return t.failed > 0 ? 1 : 0;
}
