#ifndef PD_TIKVVIEW_H
#define PD_TIKVVIEW_H
/*
 * tikvview: the settings of running TiKV processes, read from their status ports while somebody
 * asks.
 *
 * Only the keys that are asked for are kept: a whole configuration is 100 KiB. A process is read
 * when it is asked for first, every `fresh` seconds from then on, after a change was sent to it,
 * and at once when another process answers for it; eight at a time. Who has not asked for an hour
 * is told once more and then forgotten. Unknown is a value: a process that does not answer has no
 * settings, its last ones are not shown as if they were true.
 *
 * TiKV writes a change into its configuration file after it took it. The file is a read-only
 * ConfigMap, so the answer is 500 though the change is in force: what a change did is found by
 * reading back, never by its answer.
 */
#include "base/log.h"
#include "format/json.h"
#include "wire/cred.h"
#include "wire/http.h"
#include "wire/loop.h"

struct tikvview;

/* Where an instance answers, and which process does; the caller owns all of it. */
struct tikv_target {
	char *url;         /* "http://host:20180"; NULL: nobody knows */
	char *since;       /* another text, another process */
	struct cred *cred; /* NULL without TLS */
};
void tikv_target_fini(struct tikv_target *t);

struct tikvview_conf {
	struct loop *loop;
	struct http *http;
	struct log *log;
	void *arg;
	void (*target)(void *arg, const char *ns, const char *instance, struct tikv_target *out);
	/* What is known of an instance is new, or it should be asked for again. */
	void (*on_change)(void *arg, const char *ns, const char *instance);
};

struct tikvview *tikvview_new(const struct tikvview_conf *c);
void tikvview_free(struct tikvview *v);

/* What is known now, for a world; the caller frees it. Keys: a list of dotted names.
 *   {known=false, reason}
 *   {known=true, age, since, values {key: value}, tried {key: {value, why}}}
 * `tried` has what was sent to this process, and its complaint. */
cJSON *tikvview_ask(struct tikvview *v, const char *ns, const char *instance, const cJSON *keys,
	double fresh_s);
/* The items were sent; why: the complaint, "" when there was none. It is read again. */
void tikvview_tried(struct tikvview *v, const char *ns, const char *instance, const cJSON *items,
	const char *why);

#endif
