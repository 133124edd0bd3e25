#ifndef PD_PD_PRIV_H
#define PD_PD_PRIV_H
/*
 * pd_priv: what requests (pd.c), errors of PD (pd_answer.c) and the check (pd_check.c) share.
 */
#include "format/jsonstream.h"
#include "pd/pd.h"

#define MEMBERS "/pd/api/v1/members"

enum target { TO_ANY, TO_LEADER, TO_CHECKED };
enum check { CHECK_NONE, CHECK_FIND, CHECK_MEMBERS, CHECK_ETCD };

struct pd_call {
	struct pd *pd;
	struct pd_call *next, **prev;
	enum target target;
	enum check check;
	const char *method;
	char *path, *url, *body, *array;
	char **todo; /* URLs still to be asked */
	size_t todo_n, todo_at;
	struct http_req *req;
	struct timer *timer;
	struct jsonstream *stream;
	struct buf error; /* body of a refused list */
	int status;
	cJSON *checked; /* what pd_check() has found so far */
	struct err err;
	pd_item_fn *item;
	pd_done_fn *done;
	void *arg;
};

struct pd {
	struct pd_conf conf;
	char *pool;
	char **url;
	size_t urls;
	char *leader, *checked;
	int64_t vouched; /* when pd_vouch() was called; 0: not for `checked` */
	uint64_t calls;
	struct pd_call *open;
};

char *pd_base_url(const char *url); /* without slashes at its end, malloc'ed */
void pd_remember(char **slot, const char *url);

struct pd_call *pd_call_new(struct pd *p, enum target target, const char *method, const char *path,
	pd_done_fn *done, void *arg);
void pd_call_aim(struct pd_call *c, enum target target); /* whom to ask, in order */
struct pd_call *pd_call_begin(struct pd_call *c);
void pd_call_ask(struct pd_call *c); /* the next one */
void pd_call_finish(struct pd_call *c, const cJSON *body, int64_t date_ms, const struct err *why);

/* *e from a status and one of PD's four shapes of error; -1. */
int pd_refused(struct pd_call *c, int status, const char *body, size_t n, struct err *e);
void pd_check_next(struct pd_call *c, const cJSON *body, const struct err *why);

#endif
