#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/recover.h"
#include "base/mem.h"
#include "kube/ref.h"

#define FORCE "core.tikv.org/force-new-cluster"
#define MERGE "application/merge-patch+json"

struct scene {
	struct recovery r;
	cJSON *pds, *pods;
	const cJSON *survivor;
	int members, running;
};

static bool
of_cluster(const cJSON *o, const char *cluster)
{
	return strcmp(json_str(o, "spec.cluster.name", ""), cluster) == 0;
}

static const cJSON *
pod_of(const struct scene *s, const cJSON *pd)
{
	const char *name = json_str(pd, "status.pod", "");
	const cJSON *p;

	cJSON_ArrayForEach(p, json_get(s->pods, "items"))
	{
		if (strcmp(json_str(p, "metadata.name", ""), name) == 0)
			return p;
	}
	return NULL;
}

static bool
runs(const struct scene *s, const cJSON *pd)
{
	return strcmp(json_str(pod_of(s, pd), "status.phase", ""), "Running") == 0;
}

/* Those that were members once; the survivor is named, or the only one that runs. */
static int
look(struct scene *s, struct err *e)
{
	const char *cluster = args_at(s->r.args, 1), *named = args_text(s->r.args, "survivor");
	const cJSON *o, *only = NULL;

	cJSON_ArrayForEach(o, json_get(s->pds, "items"))
	{
		const char *name = json_str(o, "metadata.name", "");
		if (!of_cluster(o, cluster) || json_str(o, "status.id", "")[0] == '\0')
			continue;
		s->members++;
		s->running += runs(s, o);
		printf("  %s, member %s: %s\n", name, json_str(o, "status.id", ""),
			runs(s, o) ? "its pod runs" : "its pod does not run");
		if (named != NULL ? strcmp(name, named) == 0 : runs(s, o))
			only = o;
	}
	if (named != NULL && only == NULL)
		return err_set(
			e, ERR_NOT_FOUND, "%s: is no member of PD that was ever recorded", named);
	if (named == NULL && s->running > 1)
		return err_set(e, ERR_INVALID,
			"%d members run: name the one whose disk goes on with --survivor; the "
			"newest "
			"is the one that led last (status.isLeader)",
			s->running);
	s->survivor = only;
	return 0;
}

/* No disk of PD is left: what a person can do. Ids beyond any that were given are needed. */
static void
print_rebuild(const struct scene *s)
{
	const char *id = recovery_id(&s->r);

	printf("No member runs. If a disk of one is left, bring its pod up (kubectl tikv explain "
	       "pd/NAME says why it\ndoes not run) and come back. If none is left, PD has to be "
	       "made anew outside of this Cluster's\nrecord, with its old identity:\n"
	       "  1. kubectl tikv pause %s\n"
	       "  2. start one empty pd-server under the address %s\n"
	       "  3. pd-recover -endpoints %s -cluster-id %s -alloc-id 1000000000\n"
	       "     (alloc-id: more than any id that PD ever gave; PD's old log says "
	       "\"idAllocator\n"
	       "     allocates a new id\"; a large one costs nothing)\n"
	       "  4. restart that pd-server; stores register again with their old ids\n"
	       "  5. kubectl tikv resume %s\n",
		args_at(s->r.args, 1), json_str(s->r.cluster, "status.pd", "?"),
		json_str(s->r.cluster, "status.pd", "?"), id, args_at(s->r.args, 1));
}

static int
force(struct scene *s, struct err *e)
{
	struct client *c = &s->r.c;
	const char *name = json_str(s->survivor, "metadata.name", "");
	cJSON *patch = json_object(), *meta = json_put(patch, "metadata", json_object()), *done;
	struct buf path;

	json_put_str(json_put(meta, "annotations", json_object()), FORCE,
		json_str(s->survivor, "status.id", ""));
	buf_init(&path, 0);
	(void)ref_path(&path, KIND_PD, c->ns, name, NULL);
	(void)buf_puts(&path, "?fieldManager=kubectl-tikv");
	done = client_do(c, "PATCH", path.at, MERGE, patch, e);
	buf_fini(&path);
	json_free(patch);
	if (done == NULL)
		return -1;
	json_free(done);
	if (pod_of(s, s->survivor) == NULL)
		return 0;
	/* It reads its configuration when it starts. */
	buf_init(&path, 0);
	(void)ref_path(&path, KIND_POD, c->ns, json_str(s->survivor, "status.pod", ""), NULL);
	done = client_do(c, "DELETE", path.at, NULL, NULL, e);
	buf_fini(&path);
	if (done == NULL && e->status != 404)
		return -1;
	json_free(done);
	return 0;
}

static void
print_after(const struct scene *s)
{
	const char *cluster = args_at(s->r.args, 1);

	printf("PD %s starts as the only member. Next:\n"
	       "  kubectl tikv status %s -w            until PD leads again\n"
	       "  kubectl annotate cluster %s core.tikv.org/confirm=history\n"
	       "                                       if its status says PDHistoryChanged: what "
	       "this "
	       "disk has is what counts now\n"
	       "The other members were left behind; each is replaced after "
	       "failover.memberDownSeconds "
	       "(kubectl delete pd NAME: at once).\n",
		json_str(s->survivor, "metadata.name", ""), cluster, cluster);
}

/* A PD that answers with a leader has its majority. */
static bool
quorate(struct recovery *r)
{
	struct err e = { 0 };
	cJSON *check = recovery_reach(r, &e) == 0 ? recovery_check(r, &e) : NULL;
	bool yes = check != NULL && json_path(check, "leader.id") != NULL;

	json_free(check);
	return yes;
}

static int
recover(struct scene *s, struct err *e)
{
	struct client *c = &s->r.c;

	if (quorate(&s->r))
		return err_set(e, ERR_REFUSED,
			"PD answers and has a leader: nothing is to be recovered; single members "
			"are "
			"replaced by failover");
	s->pds = client_list(c, KIND_PD, NULL, e);
	if (s->pds != NULL)
		s->pods = client_list(c, KIND_POD, "app.kubernetes.io/managed-by=tikv-operator", e);
	if (s->pods == NULL)
		return -1;
	printf("PD cluster %s does not answer with a leader. Its members:\n", recovery_id(&s->r));
	if (look(s, e) != 0)
		return -1;
	if (s->survivor == NULL) {
		print_rebuild(s);
		return 1;
	}
	if (s->running * 2 > s->members)
		printf("Pods of %d of %d members run: if their disks are intact a majority comes "
		       "back by "
		       "itself.\nGo on only when you know that they are not.\n",
			s->running, s->members);
	printf("%s goes on alone, as PD cluster %s with the ids that its disk has; what only the "
	       "others knew is lost.\n",
		json_str(s->survivor, "metadata.name", ""), recovery_id(&s->r));
	if (!recovery_confirmed(&s->r, "the PD cluster id", recovery_id(&s->r)))
		return args_text(s->r.args, "confirm") != NULL ? 1 : 0;
	if (force(s, e) != 0)
		return -1;
	print_after(s);
	return 0;
}

int
recover_pd(struct args *a)
{
	struct scene s = { 0 };
	struct err e = { 0 };
	int rc;

	if (args_count(a) > 2)
		return verb_usage_error(a, "%s: one Cluster at a time", args_at(a, 2));
	rc = recovery_open(&s.r, a);
	if (rc != 0)
		return rc;
	rc = recover(&s, &e);
	json_free(s.pds);
	json_free(s.pods);
	recovery_close(&s.r);
	return rc < 0 ? verb_fail(a, &e) : rc;
}
