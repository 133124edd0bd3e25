#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/recover.h"
#include "base/mem.h"
#include "kube/ref.h"

#define UNSAFE "/pd/api/v1/admin/unsafe/remove-failed-stores"

static const char *
state_of(const cJSON *item)
{
	return json_str(item, "store.state_name", "?");
}

static const cJSON *
find(const cJSON *stores, const char *id)
{
	const cJSON *s;
	char is[24];

	cJSON_ArrayForEach(s, json_get(stores, "stores"))
	{
		if (pd_id(json_path(s, "store.id"), is) == 0 && strcmp(is, id) == 0)
			return s;
	}
	return NULL;
}

/* "4,5" of the arguments, in their order; the caller frees. */
static char *
named(const struct args *a)
{
	struct buf b;

	buf_init(&b, 0);
	for (int i = 2; i < args_count(a); i++) {
		(void)buf_puts(&b, i > 2 ? "," : "");
		(void)buf_puts(&b, args_at(a, i));
	}
	return buf_take(&b);
}

static void
list_lost(const cJSON *stores)
{
	const cJSON *s;
	char id[24];

	cJSON_ArrayForEach(s, json_get(stores, "stores"))
	{
		if (strcmp(state_of(s), "Up") != 0 && pd_id(json_path(s, "store.id"), id) == 0)
			printf("  store %s at %s is %s\n", id, json_str(s, "store.address", "?"),
				state_of(s));
	}
}

/* Every store exists and does not serve, and more are lost than regions bear. */
static int
judge(const struct args *a, const cJSON *stores, int64_t copies, struct err *e)
{
	int lost = args_count(a) - 2;

	for (int i = 2; i < args_count(a); i++) {
		const cJSON *s = find(stores, args_at(a, i));
		if (s == NULL)
			return err_set(
				e, ERR_NOT_FOUND, "store %s: PD has no such store", args_at(a, i));
		if (strcmp(state_of(s), "Up") == 0 || strcmp(state_of(s), "Tombstone") == 0)
			return err_set(e, ERR_REFUSED,
				"store %s is %s: only a store that does not serve "
				"can be given up",
				args_at(a, i), state_of(s));
	}
	if (lost * 2 <= copies - copies % 2)
		return err_set(e, ERR_REFUSED,
			"%d of %lld copies lost is no lost majority: failover and kubectl tikv "
			"replace bring them back without loss",
			lost, (long long)copies);
	return 0;
}

/* What PD does, line by line, until it has finished. 0 when it succeeded. */
static int
follow(struct recovery *r, int64_t seconds, struct err *e)
{
	int shown = 0;

	for (int64_t left = seconds + 30; left > 0; left--) {
		cJSON *list = recovery_read(r, UNSAFE "/show", e);
		int n = 0;
		const char *info = "";
		const cJSON *x;
		if (list == NULL)
			return -1;
		cJSON_ArrayForEach(x, list)
		{
			info = json_str(x, "info", "");
			if (n++ >= shown)
				printf("  %s\n", info);
		}
		shown = n;
		fflush(stdout);
		bool over = strncmp(info, "Unsafe recovery Finished", 24) == 0 ||
			    strncmp(info, "Unsafe recovery finished", 24) == 0;
		bool failed = strncmp(info, "Unsafe recovery Failed", 22) == 0 ||
			      strncmp(info, "Unsafe recovery failed", 22) == 0;
		json_free(list);
		if (over)
			return 0;
		if (failed)
			return err_set(e, ERR_INVALID, "PD's recovery failed: see above");
		sleep(1);
	}
	return err_set(e, ERR_TIMEOUT, "PD has not finished: ask again at " UNSAFE "/show");
}

static cJSON *
request(const struct args *a)
{
	cJSON *body = json_object(), *list = json_put(body, "stores", json_array());

	for (int i = 2; i < args_count(a); i++)
		json_add(list, cJSON_CreateRaw(args_at(a, i)));
	json_put_int(body, "timeout", args_int(a, "timeout"));
	return body;
}

static int
give_up(struct recovery *r, struct err *e)
{
	cJSON *check = recovery_check(r, e), *body, *done = NULL;

	if (check == NULL)
		return -1;
	json_free(check);
	body = request(r->args);
	done = recovery_write(r, UNSAFE, body, e);
	json_free(body);
	if (done == NULL)
		return -1;
	json_free(done);
	printf("PD has begun:\n");
	return follow(r, args_int(r->args, "timeout"), e);
}

/* The same word for the operator: the instances of these stores may go, and others come. */
static int
tell_instances(struct recovery *r, struct err *e)
{
	cJSON *list = client_list(&r->c, KIND_TIKV, NULL, e);
	const cJSON *o;

	cJSON_ArrayForEach(o, json_get(list, "items"))
	{
		const char *id = json_str(o, "status.id", "");
		bool given_up = false;
		struct buf path;
		cJSON *patch, *done;
		for (int i = 2; i < args_count(r->args); i++)
			given_up |= strcmp(args_at(r->args, i), id) == 0;
		if (!given_up ||
			strcmp(json_str(o, "spec.cluster.name", ""), args_at(r->args, 1)) != 0)
			continue;
		patch = json_object();
		json_put_str(json_put(json_put(patch, "metadata", json_object()), "annotations",
				     json_object()),
			"core.tikv.org/destroyed", id);
		buf_init(&path, 0);
		(void)ref_path(&path, KIND_TIKV, r->c.ns, json_str(o, "metadata.name", ""), NULL);
		(void)buf_puts(&path, "?fieldManager=kubectl-tikv");
		done = client_do(&r->c, "PATCH", path.at, "application/merge-patch+json", patch, e);
		buf_fini(&path);
		json_free(patch);
		json_free(done);
		if (done == NULL)
			break;
	}
	json_free(list);
	return e->code == ERR_NONE ? 0 : -1;
}

static bool
all_ids(const struct args *a, const char **bad)
{
	for (int i = 2; i < args_count(a); i++) {
		*bad = args_at(a, i);
		if (strspn(*bad, "0123456789") != strlen(*bad) || **bad == '\0' || **bad == '0')
			return false;
	}
	return true;
}

/* From PD's answers to the deed. */
static int
recover(struct recovery *r, struct err *e)
{
	const struct args *a = r->args;
	cJSON *check, *stores = NULL, *rule = NULL;
	char *ids = named(a);
	int rc = -1;

	check = recovery_check(r, e);
	if (check != NULL)
		stores = recovery_read(r, "/pd/api/v1/stores?state=0&state=1&state=2", e);
	if (stores != NULL)
		rule = recovery_read(r, "/pd/api/v1/config/replicate", e);
	if (rule != NULL && args_count(a) == 2) {
		printf("Stores of PD cluster %s that do not serve:\n", recovery_id(r));
		list_lost(stores);
		printf("Name those that are lost for good: recover unsafe-stores %s STORE...\n",
			args_at(a, 1));
		rc = 0;
	} else if (rule != NULL && judge(a, stores, json_int(rule, "max-replicas", 3), e) == 0) {
		printf("Stores %s of PD cluster %s are given up for good. Regions with most copies "
		       "there go on\nfrom the newest copy that is left, or empty where none is: "
		       "writes that only they had are lost.\nPD moves nothing else until it has "
		       "finished.\n",
			ids, recovery_id(r));
		if (recovery_confirmed(r, "the store ids", ids))
			rc = give_up(r, e) == 0 ? tell_instances(r, e) : -1;
		else
			rc = args_text(a, "confirm") != NULL ? 1 : 0;
		if (rc == 0 && args_text(a, "confirm") != NULL)
			printf("Done. Other instances take the place of theirs, "
			       "whose claims are kept: "
			       "kubectl tikv status %s -w\n",
				args_at(a, 1));
	}
	json_free(check);
	json_free(stores);
	json_free(rule);
	free(ids);
	return rc;
}

int
recover_stores(struct args *a)
{
	struct recovery r;
	struct err e = { 0 };
	const char *bad = NULL;
	int rc;

	if (!all_ids(a, &bad))
		return verb_usage_error(a, "%s: is no store id", bad);
	rc = recovery_open(&r, a);
	if (rc != 0)
		return rc;
	rc = recovery_reach(&r, &e) == 0 ? recover(&r, &e) : -1;
	recovery_close(&r);
	return rc < 0 ? verb_fail(a, &e) : rc;
}
