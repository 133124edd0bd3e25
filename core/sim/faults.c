#include "sim/faults.h"

#include <string.h>

void
faults_init(struct faults *f, struct rng rng, bool none)
{
	memset(f, 0, sizeof *f);
	f->rng = rng;
	if (none)
		return;
	/* About a third of the kinds at once; one schedule in ten has all of them. */
	for (int i = 0; i < FAULT_COUNT; i++)
		if (rng_below(&f->rng, 3) == 0)
			f->on |= UINT64_C(1) << i;
	if (rng_below(&f->rng, 10) == 0)
		f->on = (UINT64_C(1) << FAULT_COUNT) - 1;
}

bool
faults_roll(struct faults *f, enum fault kind, int one_in)
{
	if (f->stopped || !(f->on >> kind & 1) || rng_below(&f->rng, (uint64_t)one_in) != 0)
		return false;
	f->hits[kind]++;
	return true;
}

const char *
fault_name(enum fault kind)
{
#define FAULT_TEXT(name, text) [FAULT_##name] = #name,
	static const char *const names[] = { FAULTS(FAULT_TEXT) };
#undef FAULT_TEXT
	return names[kind];
}

static bool
is_write(const struct net_point *p)
{
	return strcmp(p->method, "GET") != 0;
}

static struct net_verdict
at_api_request(struct faults *f, const struct net_point *p)
{
	struct net_verdict v = { .fault = NET_PASS };
	if (faults_roll(f, FAULT_API_REFUSED, 40))
		v.fault = NET_REFUSE;
	else if (faults_roll(f, FAULT_API_ERROR, 40))
		v = (struct net_verdict){ .fault = NET_STATUS, .status = 500 };
	else if (faults_roll(f, FAULT_API_BUSY, 40))
		v = (struct net_verdict){ .fault = NET_STATUS, .status = 429, .retry_after_s = 1 };
	else if (is_write(p) && faults_roll(f, FAULT_API_CONFLICT, 30))
		v = (struct net_verdict){ .fault = NET_STATUS, .status = 409 };
	else if (faults_roll(f, FAULT_ANSWER_LATE, 30))
		v.delay_ms = (int64_t)rng_below(&f->rng, 4000);
	return v;
}

struct net_verdict
faults_verdict(void *arg, const struct net_point *p)
{
	struct faults *f = arg;
	struct net_verdict v = { .fault = NET_PASS };
	bool api = strncmp(p->host, "apisim", 6) == 0;
	if (f->stopped)
		return v;
	switch (p->kind) {
	case NET_AT_REQUEST:
		if (api)
			return at_api_request(f, p);
		if (faults_roll(f, FAULT_PD_AWAY, 4))
			v.fault = rng_below(&f->rng, 2) ? NET_HANG : NET_REFUSE;
		else if (faults_roll(f, FAULT_PD_ERROR, 4))
			v = (struct net_verdict){ .fault = NET_STATUS,
				.status = rng_below(&f->rng, 2) ? 500 : 200 };
		return v;
	case NET_AT_ANSWER:
		if (api && !p->stream && is_write(p) && faults_roll(f, FAULT_ANSWER_LOST, 30))
			v.fault = rng_below(&f->rng, 2) ? NET_HANG : NET_RESET;
		else if (faults_roll(f, FAULT_ANSWER_LATE, 30))
			v.delay_ms = (int64_t)rng_below(&f->rng, 4000);
		else if (faults_roll(f, FAULT_PIECES, 3))
			v.piece = 1 + (size_t)rng_below(&f->rng, 700);
		return v;
	case NET_AT_CHUNK:
		if (faults_roll(f, FAULT_WATCH_CUT, 60)) {
			v.fault = rng_below(&f->rng, 2) ? NET_RESET : NET_EOF;
			v.cut_at = (size_t)rng_below(&f->rng, p->len + 1);
		} else if (faults_roll(f, FAULT_WATCH_SLOW, 20)) {
			v.delay_ms = (int64_t)rng_below(&f->rng, 8000);
		}
		return v;
	}
	return v;
}
