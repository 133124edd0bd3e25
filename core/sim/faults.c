#include "sim/faults.h"

#include <string.h>

void
faults_init(struct faults *f, struct loop *loop, struct rng rng)
{
	memset(f, 0, sizeof *f);
	f->loop = loop;
	/* About a third of the kinds at once; one schedule in ten has all of them. */
	for (int i = 0; i < FAULT_COUNT; i++) {
		f->rng[i] = rng_fork(&rng, fault_name((enum fault)i));
		if (rng_below(&rng, 3) == 0)
			f->on |= UINT64_C(1) << i;
	}
	if (rng_below(&rng, 10) == 0)
		f->on = (UINT64_C(1) << FAULT_COUNT) - 1;
}

bool
faults_roll(struct faults *f, enum fault kind, int one_in)
{
	if (f->stopped || !(f->on >> kind & 1) || rng_below(&f->rng[kind], (uint64_t)one_in) != 0)
		return false;
	uint64_t hit = f->hits[kind]++;
	return f->skip == NULL || hit > 63 || !(f->skip[kind] >> hit & 1);
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

/* Of "/api/v1/namespaces/a/pods/b/status" it is "pods". */
static void
plural_of(const char *path, char *out, size_t n)
{
	const char *at = strstr(path, "/namespaces/");
	*out = '\0';
	if (at == NULL || (at = strchr(at + 12, '/')) == NULL)
		return;
	size_t len = strcspn(++at, "/");
	if (len < n) {
		memcpy(out, at, len);
		out[len] = '\0';
	}
}

static bool
is_denied(struct faults *f, const struct net_point *p)
{
	char plural[64];
	plural_of(p->path, plural, sizeof plural);
	if (*plural == '\0' || strcmp(plural, "leases") == 0)
		return false;
	if (loop_now(f->loop) > f->denied_until && faults_roll(f, FAULT_API_DENIED, 40)) {
		memcpy(f->denied, plural, sizeof f->denied);
		f->denied_until = loop_now(f->loop) + 1000 +
				  (int64_t)rng_below(&f->rng[FAULT_API_DENIED], 30000);
	}
	return loop_now(f->loop) <= f->denied_until && strcmp(f->denied, plural) == 0;
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
	else if (is_write(p) && is_denied(f, p))
		v = (struct net_verdict){ .fault = NET_STATUS,
			.status = rng_below(&f->rng[FAULT_API_DENIED], 2) ? 403 : 422 };
	else if (is_write(p) && faults_roll(f, FAULT_WRITE_LATE, 50))
		v.delay_ms = (int64_t)rng_below(&f->rng[FAULT_WRITE_LATE], 60000);
	else if (faults_roll(f, FAULT_ANSWER_LATE, 30))
		v.delay_ms = (int64_t)rng_below(&f->rng[FAULT_ANSWER_LATE], 4000);
	return v;
}

struct net_verdict
faults_verdict(void *arg, const struct net_point *p)
{
	struct faults *f = arg;
	struct net_verdict v = { .fault = NET_PASS };
	bool api = strncmp(p->host, "apisim", 6) == 0;
	if (!api && f->pd_dead && p->kind == NET_AT_REQUEST)
		v.fault = NET_REFUSE;
	if (f->stopped || v.fault != NET_PASS)
		return v;
	switch (p->kind) {
	case NET_AT_REQUEST:
		if (api)
			return at_api_request(f, p);
		if (faults_roll(f, FAULT_PD_AWAY, 4))
			v.fault = rng_below(&f->rng[FAULT_PD_AWAY], 2) ? NET_HANG : NET_REFUSE;
		else if (faults_roll(f, FAULT_PD_ERROR, 4))
			v = (struct net_verdict){ .fault = NET_STATUS,
				.status = rng_below(&f->rng[FAULT_PD_ERROR], 2) ? 500 : 200 };
		/* 200 is all that TiKV says when it took a change: a lie, and no fault */
		if (v.fault == NET_STATUS && is_write(p) && strcmp(p->path, "/config") == 0)
			v.status = 500;
		return v;
	case NET_AT_ANSWER:
		if (api && !p->stream && is_write(p) && faults_roll(f, FAULT_ANSWER_LOST, 30))
			v.fault = rng_below(&f->rng[FAULT_ANSWER_LOST], 2) ? NET_HANG : NET_RESET;
		else if (faults_roll(f, FAULT_ANSWER_LATE, 30))
			v.delay_ms = (int64_t)rng_below(&f->rng[FAULT_ANSWER_LATE], 4000);
		else if (faults_roll(f, FAULT_PIECES, 3))
			v.piece = 1 + (size_t)rng_below(&f->rng[FAULT_PIECES], 700);
		return v;
	case NET_AT_CHUNK:
		if (faults_roll(f, FAULT_WATCH_CUT, 60)) {
			v.fault = rng_below(&f->rng[FAULT_WATCH_CUT], 2) ? NET_RESET : NET_EOF;
			v.cut_at = (size_t)rng_below(&f->rng[FAULT_WATCH_CUT], p->len + 1);
		} else if (faults_roll(f, FAULT_WATCH_SLOW, 20)) {
			v.delay_ms = (int64_t)rng_below(&f->rng[FAULT_WATCH_SLOW], 8000);
		}
		return v;
	}
	return v;
}
