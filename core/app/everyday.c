#include <stdlib.h>
#include <string.h>

#include "app/change.h"
#include "app/verbs.h"
#include "base/clock.h"
#include "base/mem.h"

#define ANNOTATION "core.tikv.org/"
#define RESTARTED_AT ANNOTATION "restartedAt" /* of a template: all its instances */
#define RESTART ANNOTATION "restart"
#define EVICT ANNOTATION "evict-leaders"
#define HOLD ANNOTATION "hold"
#define DESTROYED ANNOTATION "destroyed"

#define DRY_RUN                                                                                  \
	{                                                                                        \
		"dry-run", 0, OPT_FLAG, NULL, NULL, "let the server check it, and write nothing" \
	}
#define NO_MORE                                     \
	{                                           \
		NULL, 0, OPT_FLAG, NULL, NULL, NULL \
	}

const struct opt replace_opts[] = {
	{ "destroyed", 0, OPT_TEXT, "STORE", NULL,
		"your word that the disk of this store is lost for good" },
	DRY_RUN, NO_MORE
};
const struct opt evict_opts[] = {
	{ "off", 0, OPT_FLAG, NULL, NULL, "let leaders come back to the store" }, DRY_RUN, NO_MORE
};
const struct opt hold_opts[] = { { "why", 0, OPT_TEXT, "TEXT", "by hand",
					 "what others shall read in its status" },
	DRY_RUN, NO_MORE };
const struct opt scale_in_opts[] = { { "instance", 'i', OPT_LIST, "NAME|ORDINAL", NULL,
					     "one that leaves; give it several times for several" },
	DRY_RUN, NO_MORE };

static const enum kind clusters[] = { KIND_CLUSTER, KIND_COUNT },
		       stores[] = { KIND_TIKV, KIND_COUNT },
		       instances[] = { KIND_TIKV, KIND_PD, KIND_COUNT },
		       groups[] = { KIND_TIKVGROUP, KIND_PDGROUP, KIND_COUNT },
		       restartable[] = { KIND_TIKVGROUP, KIND_PDGROUP, KIND_TIKV, KIND_PD,
			       KIND_COUNT };

static const char *
annotation(const struct change *ch, const char *key)
{
	return json_text(json_get(json_path(ch->object, "metadata.annotations"), key));
}

/* ---- restart ---- */

int
change_restart(struct change *ch, const struct args *a)
{
	cJSON *patch = json_object(), *spec = json_object();
	char now[40];

	(void)a;
	clock_format(clock_wall(clock_system()), 0, now, sizeof now);
	if (ch->kind == KIND_TIKV || ch->kind == KIND_PD) {
		json_free(patch);
		json_free(spec);
		return change_patch(ch, change_annotation(RESTART, now),
			"it restarts gracefully, when the cluster can spare it");
	}
	json_put(spec, "template", change_annotation(RESTARTED_AT, now));
	json_put(patch, "spec", spec);
	return change_patch(ch, patch, "its %d instances restart, in the order of an upgrade",
		(int)json_int(ch->object, "spec.replicas", 1));
}

int
restart_main(struct args *a)
{
	struct change ch;
	int r = change_open(&ch, a, restartable);

	if (r != 0)
		return r;
	r = change_restart(&ch, a);
	change_close(&ch);
	return r;
}

/* ---- replace ---- */

static int
destroyed(struct change *ch, const char *store)
{
	const char *id = json_str(ch->object, "status.id", "");

	if (ch->kind != KIND_TIKV)
		return change_refused(ch, "--destroyed names a store: it is for tikv/NAME");
	if (*id == '\0')
		return change_refused(ch, "no store id is recorded: kubectl tikv explain tikv/%s",
			change_name(ch));
	if (strcmp(id, store) != 0)
		return change_refused(ch,
			"its store is %s, not %s: be sure which disk is lost, then give that id",
			id, store);
	return change_patch(ch, change_annotation(DESTROYED, store),
		"store %s counts as lost for good once its pod and volume are gone and PD calls it "
		"down",
		store);
}

int
replace_main(struct args *a)
{
	struct change ch;
	const char *store = args_text(a, "destroyed");
	int r = change_open(&ch, a, instances);

	if (r != 0)
		return r;
	if (store != NULL)
		r = destroyed(&ch, store);
	else if (json_path(ch.object, "metadata.deletionTimestamp") != NULL)
		r = change_none(&ch, "it is being replaced already");
	else
		r = change_delete(&ch, ch.kind == KIND_TIKV
					       ? "another store is added first, then it leaves, "
						 "region by region"
					       : "it leaves PD, and another member joins");
	change_close(&ch);
	return r;
}

/* ---- evict, hold, release ---- */

int
evict_main(struct args *a)
{
	struct change ch;
	bool off = args_flag(a, "off"), is;
	int r = change_open(&ch, a, stores);

	if (r != 0)
		return r;
	is = annotation(&ch, EVICT) != NULL;
	if (off && !is)
		r = change_none(&ch, "no eviction was asked for by this verb");
	else if (off)
		r = change_patch(&ch, change_annotation(EVICT, NULL), "leaders may come back");
	else if (is)
		r = change_none(&ch, "its leaders are being kept away already");
	else
		r = change_patch(&ch, change_annotation(EVICT, "true"),
			"its %d leaders move away, and stay away until evict --off",
			(int)json_int(ch.object, "status.leaders", 0));
	change_close(&ch);
	return r;
}

int
hold_main(struct args *a)
{
	struct change ch;
	int r = change_open(&ch, a, instances);

	if (r != 0)
		return r;
	if (*args_text(a, "why") == '\0')
		r = change_refused(&ch, "--why is empty: say it to those who wonder");
	else
		r = change_patch(&ch, change_annotation(HOLD, args_text(a, "why")),
			"no planned step and no failover touches it until it is released");
	change_close(&ch);
	return r;
}

int
release_main(struct args *a)
{
	struct change ch;
	int r = change_open(&ch, a, instances);

	if (r != 0)
		return r;
	if (annotation(&ch, HOLD) == NULL)
		r = change_none(&ch, "it is not held");
	else
		r = change_patch(
			&ch, change_annotation(HOLD, NULL), "it is treated as any other again");
	change_close(&ch);
	return r;
}

/* ---- scale-in ---- */

static bool
leaving(const cJSON *instance)
{
	return json_path(instance, "metadata.deletionTimestamp") != NULL ||
	       json_bool(instance, "spec.offline", false);
}

/* The instance that a name, or an ordinal of the group, means. */
static const cJSON *
instance_of(const cJSON *list, const char *group, const char *word)
{
	char *name = strspn(word, "0123456789") == strlen(word) ? xasprintf("%s-%s", group, word)
								: xstrdup(word);
	const cJSON *o, *found = NULL;

	cJSON_ArrayForEach(o, json_get(list, "items"))
	{
		if (strcmp(json_str(o, "metadata.name", ""), name) == 0)
			found = o;
	}
	free(name);
	return found;
}

static void
add_name(cJSON *names, const char *name)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, names)
	{
		if (strcmp(json_text(m), name) == 0)
			return;
	}
	json_add(names, cJSON_CreateString(name));
}

/* removeFirst: those asked for now, then those of before that are still there. A name that stays
 * behind would strike whoever gets the ordinal next. */
static cJSON *
remove_first(const struct change *ch, const cJSON *list, cJSON *own_names)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, json_path(ch->object, "spec.scalePolicy.removeFirst"))
	{
		char *word = json_text(m) != NULL ? xstrdup(json_text(m)) : json_string(m);
		const cJSON *o = instance_of(list, change_name(ch), word);
		if (o != NULL)
			add_name(own_names, json_str(o, "metadata.name", ""));
		free(word);
	}
	return own_names;
}

static cJSON *
scale_patch(const struct change *ch, int replicas, cJSON *own_first)
{
	cJSON *patch = json_object(), *spec = json_object(), *policy = json_object(),
	      *meta = json_object();

	/* counted from what was read: another's change in between is a conflict */
	json_put_str(meta, "resourceVersion", json_str(ch->object, "metadata.resourceVersion", ""));
	json_put(policy, "removeFirst", own_first);
	json_put(spec, "scalePolicy", policy);
	json_put_int(spec, "replicas", replicas);
	json_put(patch, "metadata", meta);
	json_put(patch, "spec", spec);
	return patch;
}

static int
scale_in(struct change *ch, const char *const *words)
{
	struct err e = { 0 };
	enum kind of = ch->kind == KIND_PDGROUP ? KIND_PD : KIND_TIKV;
	char *selector = xasprintf("core.tikv.org/group=%s", change_name(ch));
	cJSON *list = client_list(&ch->c, of, selector, &e), *names = json_array();
	int before = (int)json_int(ch->object, "spec.replicas", 1), after = before, r = -1;

	free(selector);
	if (list == NULL) {
		json_free(names);
		return verb_fail(ch->args, &e);
	}
	for (; *words != NULL && r < 0; words++) {
		const cJSON *o = instance_of(list, change_name(ch), *words);
		if (o == NULL) {
			r = change_refused(ch,
				"it has no instance %s: kubectl tikv status lists them", *words);
		} else if (leaving(o)) {
			r = change_none(ch, "%s leaves already", json_str(o, "metadata.name", ""));
		} else {
			int had = cJSON_GetArraySize(names);
			add_name(names, json_str(o, "metadata.name", ""));
			after -= cJSON_GetArraySize(names) - had;
		}
	}
	if (r < 0 && after < 1)
		r = change_refused(ch, "one stays: delete the %s if nothing of it is wanted",
			kind_row(ch->kind)->kind);
	if (r < 0) {
		char *text = json_string(names);
		r = change_patch(ch, scale_patch(ch, after, remove_first(ch, list, names)),
			"from %d to %d: %s leave", before, after, text);
		free(text);
	} else {
		json_free(names);
	}
	json_free(list);
	return r;
}

int
scale_in_main(struct args *a)
{
	struct change ch;
	const char *word = args_at(a, 0);
	const char *const *words = args_list(a, "instance");
	int r;

	if (*words == NULL)
		return verb_usage_error(a, "--instance: name who leaves; kubectl scale lets the "
					   "operator choose");
	r = change_open(&ch, a,
		word != NULL && strchr(word, '/') == NULL
			? (const enum kind[]){ KIND_TIKVGROUP, KIND_COUNT }
			: groups);
	if (r != 0)
		return r;
	r = scale_in(&ch, words);
	change_close(&ch);
	return r;
}

/* ---- pause, suspend, resume ---- */

static bool
paused(const struct change *ch)
{
	return json_bool(ch->object, "spec.paused", false);
}

static bool
suspended(const struct change *ch)
{
	return json_bool(ch->object, "spec.suspendAction.suspendCompute", false);
}

static cJSON *
cluster_patch(bool set_paused, bool set_suspended, bool value)
{
	cJSON *patch = json_object(), *spec = json_object();

	if (set_paused)
		json_put_bool(spec, "paused", value);
	if (set_suspended) {
		cJSON *action = json_object();
		json_put_bool(action, "suspendCompute", value);
		json_put(spec, "suspendAction", action);
	}
	json_put(patch, "spec", spec);
	return patch;
}

int
pause_main(struct args *a)
{
	struct change ch;
	int r = change_open(&ch, a, clusters);

	if (r != 0)
		return r;
	r = paused(&ch) ? change_none(&ch, "it is paused already")
			: change_patch(&ch, cluster_patch(true, false, true),
				  "nothing of it is changed until: kubectl tikv resume %s",
				  change_name(&ch));
	change_close(&ch);
	return r;
}

int
suspend_main(struct args *a)
{
	struct change ch;
	int r = change_open(&ch, a, clusters);

	if (r != 0)
		return r;
	r = suspended(&ch)
		    ? change_none(&ch, "it is suspended already")
		    : change_patch(&ch, cluster_patch(false, true, true),
			      "its pods stop, its disks stay; back again: kubectl tikv resume "
			      "%s",
			      change_name(&ch));
	change_close(&ch);
	return r;
}

int
resume_main(struct args *a)
{
	struct change ch;
	int r = change_open(&ch, a, clusters);

	if (r != 0)
		return r;
	if (!paused(&ch) && !suspended(&ch))
		r = change_none(&ch, "it is neither paused nor suspended");
	else
		r = change_patch(&ch, cluster_patch(paused(&ch), suspended(&ch), false),
			"%s%s%s no more", paused(&ch) ? "paused" : "",
			paused(&ch) && suspended(&ch) ? " and " : "",
			suspended(&ch) ? "suspended" : "");
	change_close(&ch);
	return r;
}
