#ifndef PD_PD_H
#define PD_PD_H
/*
 * pd: the HTTP client of one PD cluster.
 *
 * Reads go to the last known leader, then to the other endpoints; an answer of a follower is used
 * only where it forwards. An answer counts only with the expected content type and shape; anything
 * else is ERR_PROTOCOL, naming path and field. Ids cross as decimal text (they exceed 2^53).
 *
 * Writes: pd_check() is the guard's precondition (G8): it reads cluster id and leader from the very
 * member that gets the write, and the write goes to that member only. Every write is idempotent and
 * conditional in meaning (store id and expected state are checked by the caller in fresh data).
 * Never a user text in `type` of /regions/store (recordings, fact 1).
 */
#include "base/log.h"
#include "base/metric.h"
#include "format/json.h"
#include "wire/cred.h"
#include "wire/http.h"
#include "wire/loop.h"

struct pd;
struct pd_call;

struct pd_conf {
	struct loop *loop;
	struct http *http;
	const struct cred *cred; /* NULL without TLS */
	const char *pool;        /* starts with "pd" so that connect-to rules apply; copied */
	int64_t timeout_ms;      /* 0: 5000 */
	struct log *log;
	struct metrics *metrics;
};

struct pd *pd_new(const struct pd_conf *c);
void pd_free(struct pd *p); /* cancels silently */
/* Base URLs, e.g. "http://basic-pd.ns:2379". Replaces the list; copied. */
void pd_set_endpoints(struct pd *p, const char *const *urls, size_t n);
void pd_set_cred(struct pd *p, const struct cred *cred);

/* body: tree of the answer, lent, NULL on error or when there is none. date_ms: PD's Date header.
 */
typedef void pd_done_fn(void *arg, const cJSON *body, int64_t date_ms, const struct err *e);

/* GET path ("/pd/api/v1/stores?state=0") from the leader. An answer of /members tells the leader's
 * URL for later calls. "Not bootstrapped" is ERR_UNSUPPORTED: pd_not_bootstrapped(). */
struct pd_call *pd_read(struct pd *p, const char *path, pd_done_fn *done, void *arg);
/* The same for a long list: its items come one by one, and `body` is the rest without the array.
 * item NULL: what came so far is void, the list starts again at another member. */
typedef int pd_item_fn(void *arg, const cJSON *item, struct err *e);
struct pd_call *pd_read_list(struct pd *p, const char *path, const char *array, pd_item_fn *item,
	pd_done_fn *done, void *arg);
/* From the leader itself, never from another member: paths that each member answers for itself.
 * method "POST" is for etcd's gateway, where reads are posts of {}. */
struct pd_call *pd_read_leader(
	struct pd *p, const char *method, const char *path, pd_done_fn *done, void *arg);
bool pd_not_bootstrapped(const struct err *e);
/* An id as decimal text, whether it came as number or text. -1 when it is none. */
int pd_id(const cJSON *node, char out[24]);
/* Read from the leader itself and remember its URL for pd_write(): body {cluster_id, leader {id,
 * name}, etcd_revision, term}; the last two are absent where etcd's gateway is off. */
struct pd_call *pd_check(struct pd *p, pd_done_fn *done, void *arg);
/* The caller compared the last check with what it knows. pd_vouched_ms: how long ago that was, -1
 * when never, or when another endpoint was checked or set since. */
void pd_vouch(struct pd *p);
int64_t pd_vouched_ms(const struct pd *p);
/* POST/DELETE to the member that the last pd_check() spoke to; it never forwards it. body may be
 * NULL. */
struct pd_call *pd_write(struct pd *p, const char *method, const char *path, const cJSON *body,
	pd_done_fn *done, void *arg);
void pd_cancel(struct pd *p, struct pd_call *c);
const char *pd_leader_url(const struct pd *p); /* "" when unknown */
uint64_t pd_calls(const struct pd *p);         /* requests sent so far */

#endif
