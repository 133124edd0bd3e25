#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/exec_priv.h"

#define NEVER_A_VERSION "1" /* etcd spends it before the first object */

#define OWNER_UID "core\\.tikv\\.org/owner-uid"
#define RETIRED "core\\.tikv\\.org/retired"

static void
expect(struct exec_run *r, enum kind k, const char *ns, const char *name, const char *uid,
	const char *rv)
{
	struct buf key;

	buf_init(&key, 0);
	if (ref_key(&key, kind_row(k)->namespaced ? ns : "", name) == 0)
		expect_wrote(
			r->x->conf.expect, r->key, k, key.at, uid, rv, loop_now(r->x->conf.loop));
	buf_fini(&key);
}

/* What an apply, patch or creation answered is ours, or the next pass must not go on. */
static int
check_answer(struct exec_run *r, const struct action *a, const cJSON *body, struct err *e)
{
	const char *uid = json_str(body, "metadata.uid", ""), *owner;
	const cJSON *controller;

	if (uid[0] == '\0' || !rv_valid(json_str(body, "metadata.resourceVersion", "")))
		return err_set(e, ERR_PROTOCOL, "%s %s: the answer is no object",
			kind_row(a->of)->kind, a->name);
	if (a->uid[0] != '\0' && strcmp(a->uid, uid) != 0)
		return err_set(e, ERR_CONFLICT, "%s %s: the answer has uid %.40s instead of %.40s",
			kind_row(a->of)->kind, a->name, uid, a->uid);
	if (!a->creates)
		return 0;
	controller = ref_controller(body);
	owner = a->of == KIND_CLAIM ? json_str(body, "metadata.annotations." OWNER_UID, "")
				    : json_str(controller, "uid", "");
	if (strcmp(owner, r->subject->uid) != 0)
		return err_set(e, ERR_CONFLICT,
			"%s %s: belongs to another owner after its creation", kind_row(a->of)->kind,
			a->name);
	return 0;
}

/* The pod that comes next in the plan need not wait until the cache shows its new claim. */
static void
note_made(struct exec_run *r, const struct action *a, const cJSON *body)
{
	if (a->kind != ACTION_APPLY || !a->creates || a->of != KIND_CLAIM ||
		json_path(body, "metadata.labels." RETIRED) != NULL)
		return;
	r->made = xrealloc(r->made, (r->made_n + 1) * sizeof(*r->made));
	r->made[r->made_n++] = xstrdup(a->name);
}

static void
on_written(void *arg, const cJSON *body, const struct err *why)
{
	struct exec_run *r = arg;
	const struct action *a = exec_action(r);
	struct guard_subject s = exec_subject(r);
	struct err e = *why;

	r->api = NULL;
	if (e.code == ERR_NONE && check_answer(r, a, body, &e) != 0)
		guard_note(r->x->conf.guard, &s, a, false);
	if (e.code == ERR_NONE) {
		expect(r, a->of, a->ns, a->name, json_str(body, "metadata.uid", ""),
			json_str(body, "metadata.resourceVersion", ""));
		guard_note(r->x->conf.guard, &s, a, true);
		note_made(r, a, body);
		if (strcmp(json_str(body, "metadata.uid", ""), r->subject->uid) == 0) {
			free(r->subject_rv);
			r->subject_rv = xstrdup(json_str(body, "metadata.resourceVersion", ""));
		}
		if (a->kind == ACTION_PATCH_META && strcmp(a->uid, r->subject->uid) == 0 &&
			json_get(a->tree, "remove_finalizers") != NULL)
			r->subject_gone = true;
	}
	exec_step_done(r, &e);
}

static void
on_deleted(void *arg, const cJSON *body, const struct err *why)
{
	struct exec_run *r = arg;
	const struct action *a = exec_action(r);
	struct guard_subject s = exec_subject(r);

	(void)body;
	r->api = NULL;
	if (why->code == ERR_NONE) {
		expect(r, a->of, a->ns, a->name, a->uid, NULL);
		guard_note(r->x->conf.guard, &s, a, true);
	}
	exec_step_done(r, why);
}

static void
apply(struct exec_run *r)
{
	const struct action *a = exec_action(r);

	r->api = api_apply(
		r->x->conf.api, a->of, a->ns, a->name, NULL, a->object, true, on_written, r);
}

/* Under this name is our own object, which the cache does not show: it has lost its labels. */
static bool
is_our_own(const struct exec_run *r, const struct action *a, const cJSON *body)
{
	const char *owner = a->of == KIND_CLAIM
				    ? json_str(body, "metadata.annotations." OWNER_UID, "")
				    : json_str(ref_controller(body), "uid", "");

	return strcmp(owner, r->subject->uid) == 0 &&
	       json_path(body, "metadata.deletionTimestamp") == NULL;
}

static void
apply_to(struct exec_run *r, const cJSON *live)
{
	const struct action *a = exec_action(r);
	cJSON *object = json_clone(a->object);

	json_put_str(
		(cJSON *)json_get(object, "metadata"), "uid", json_str(live, "metadata.uid", ""));
	r->api =
		api_apply(r->x->conf.api, a->of, a->ns, a->name, NULL, object, true, on_written, r);
	json_free(object);
}

/* The cache holds only what carries our label, and somebody else's object of this name would become
 * ours by a plain apply. What is there already is looked at, and taken only when it is our own. */
static void
on_found(void *arg, const cJSON *body, const struct err *why)
{
	struct exec_run *r = arg;
	const struct action *a = exec_action(r);
	struct guard_subject s = exec_subject(r);
	struct err e = *why;

	r->api = NULL;
	if (e.code == ERR_NONE && !is_our_own(r, a, body))
		err_set(&e, ERR_CONFLICT, "%s %s: is there already and not ours",
			kind_row(a->of)->kind, a->name);
	else if (e.code == ERR_NOT_FOUND)
		err_set(&e, ERR_CONFLICT, "%s %s: was there a moment ago", kind_row(a->of)->kind,
			a->name);
	if (e.code == ERR_NONE && guard_check(r->x->conf.guard, &s, a, &e) == 0)
		apply_to(r, body);
	else
		exec_step_done(r, &e);
}

static void
on_created(void *arg, const cJSON *body, const struct err *why)
{
	struct exec_run *r = arg;
	const struct action *a = exec_action(r);

	if (why->code != ERR_CONFLICT && why->code != ERR_EXISTS)
		on_written(arg, body, why);
	else
		r->api = api_get(r->x->conf.api, a->of, a->ns, a->name, on_found, r);
}

/* An apply that names a version no object can have creates, or answers 409: it never changes what
 * is there, however late it arrives (E6, A3). Seen on a real API server; a conformance case holds
 * it. */
static void
create(struct exec_run *r)
{
	const struct action *a = exec_action(r);
	cJSON *object = json_clone(a->object);

	json_put_str((cJSON *)json_get(object, "metadata"), "resourceVersion", NEVER_A_VERSION);
	r->api = api_apply(
		r->x->conf.api, a->of, a->ns, a->name, NULL, object, false, on_created, r);
	json_free(object);
}

static cJSON *
meta_patch(const struct action *a, cJSON **meta)
{
	cJSON *patch = json_object();

	*meta = json_put(patch, "metadata", json_object());
	json_put_str(*meta, "uid", a->uid);
	json_put_str(*meta, "resourceVersion", a->rv);
	return patch;
}

static void
put_texts(cJSON *meta, const char *member, const cJSON *set, const cJSON *remove)
{
	cJSON *out;
	const cJSON *m;

	if (set == NULL && remove == NULL)
		return;
	out = json_object();
	cJSON_ArrayForEach(m, set) json_put_str(out, m->string, m->valuestring);
	cJSON_ArrayForEach(m, remove) json_put(out, m->valuestring, cJSON_CreateNull());
	json_put(meta, member, out);
}

static bool
listed(const cJSON *list, const char *s)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, list)
	{
		if (cJSON_IsString(m) && strcmp(m->valuestring, s) == 0)
			return true;
	}
	return false;
}

/* Finalizers are a list: a merge patch writes all of it, so it is computed from the live object. */
static cJSON *
finalizers(const cJSON *now, const cJSON *add, const cJSON *remove)
{
	cJSON *out = json_array();
	const cJSON *m;

	cJSON_ArrayForEach(m, now)
	{
		if (cJSON_IsString(m) && !listed(remove, m->valuestring))
			json_add(out, cJSON_CreateString(m->valuestring));
	}
	cJSON_ArrayForEach(m, add)
	{
		if (!listed(out, m->valuestring))
			json_add(out, cJSON_CreateString(m->valuestring));
	}
	return out;
}

/* A merge patch replaces lists: all containers as they are, but for their images. */
static cJSON *
with_images(const cJSON *live, const cJSON *images)
{
	cJSON *spec = json_object(), *list = json_clone(json_path(live, "spec.containers")), *c;

	cJSON_ArrayForEach(c, list)
	{
		const char *image = json_text(json_get(images, json_str(c, "name", "")));
		if (image != NULL)
			json_put_str(c, "image", image);
	}
	json_put(spec, "containers", list);
	return spec;
}

static void
send_patch(struct exec_run *r, const cJSON *live)
{
	const struct action *a = exec_action(r);
	const cJSON *add = json_get(a->tree, "add_finalizers");
	const cJSON *remove = json_get(a->tree, "remove_finalizers");
	cJSON *meta, *patch = meta_patch(a, &meta);

	put_texts(meta, "labels", json_get(a->tree, "labels"), json_get(a->tree, "remove_labels"));
	put_texts(meta, "annotations", json_get(a->tree, "annotations"),
		json_get(a->tree, "remove_annotations"));
	if (add != NULL || remove != NULL)
		json_put(meta, "finalizers",
			finalizers(json_path(live, "metadata.finalizers"), add, remove));
	if (json_get(a->tree, "images") != NULL)
		json_put(patch, "spec", with_images(live, json_get(a->tree, "images")));
	r->api = api_merge(r->x->conf.api, a->of, a->ns, a->name, NULL, patch, on_written, r);
	json_free(patch);
}

static void
send_mark(struct exec_run *r, const cJSON *live)
{
	const struct action *a = exec_action(r);
	const char *key = json_str(a->tree, "key", "");
	cJSON *meta, *patch, *annotations;
	struct err none = { 0 };
	char now[32];

	if (json_get(json_path(live, "metadata.annotations"), key) != NULL) {
		exec_step_done(r, &none);
		return;
	}
	patch = meta_patch(a, &meta);
	clock_format(loop_wall(r->x->conf.loop), 0, now, sizeof now);
	annotations = json_object();
	json_put_str(annotations, key, now);
	json_put(meta, "annotations", annotations);
	r->api = api_merge(r->x->conf.api, a->of, a->ns, a->name, NULL, patch, on_written, r);
	json_free(patch);
}

/* The object as it is now; only the version that the plan was made for may be written. */
static void
on_live(void *arg, const cJSON *body, const struct err *why)
{
	struct exec_run *r = arg;
	const struct action *a = exec_action(r);
	struct guard_subject s = exec_subject(r);
	struct err e = *why;

	r->api = NULL;
	if (e.code == ERR_NONE &&
		(strcmp(json_str(body, "metadata.uid", ""), a->uid) != 0 ||
			strcmp(json_str(body, "metadata.resourceVersion", ""), a->rv) != 0))
		err_set(&e, ERR_CONFLICT, "%s %s: changed since the plan was made",
			kind_row(a->of)->kind, a->name);
	if (e.code == ERR_NONE)
		guard_check(r->x->conf.guard, &s, a, &e);
	if (e.code != ERR_NONE)
		exec_step_done(r, &e);
	else if (a->kind == ACTION_MARK)
		send_mark(r, body);
	else
		send_patch(r, body);
}

static void
emit(struct exec_run *r, const struct action *a)
{
	const cJSON *about;

	if (a->of != KIND_COUNT) {
		cJSON *meta = json_object(), *made = json_object();
		json_put_str(meta, "name", a->name);
		if (a->ns[0] != '\0')
			json_put_str(meta, "namespace", a->ns);
		if (a->uid[0] != '\0')
			json_put_str(meta, "uid", a->uid);
		json_put_str(made, "apiVersion", kind_api_version(a->of));
		json_put_str(made, "kind", kind_row(a->of)->kind);
		json_put(made, "metadata", meta);
		about = made;
	} else {
		about = obj_tree(r->subject);
	}
	events_emit(r->x->conf.events, about, json_str(a->tree, "type", "Normal"),
		json_str(a->tree, "reason", ""), json_str(a->tree, "message", ""));
	json_free(about);
}

int
exec_kube_send(struct exec_run *r, const struct action *a, struct err *e)
{
	struct api *api = r->x->conf.api;
	struct err none = { 0 };
	const cJSON *grace;

	switch (a->kind) {
	case ACTION_APPLY:
		if (a->creates)
			create(r);
		else
			apply(r);
		return 0;
	case ACTION_JOB:
		r->api = api_create(api, a->of, a->ns, a->object, on_written, r);
		return 0;
	case ACTION_DELETE:
		grace = json_get(a->tree, "grace");
		r->api = api_delete(api, a->of, a->ns, a->name, a->uid, a->rv,
			grace != NULL ? (int)grace->valuedouble : -1, on_deleted, r);
		return 0;
	case ACTION_PATCH_META:
		if (json_get(a->tree, "add_finalizers") != NULL ||
			json_get(a->tree, "remove_finalizers") != NULL ||
			json_get(a->tree, "images") != NULL)
			r->api = api_get(api, a->of, a->ns, a->name, on_live, r);
		else
			send_patch(r, NULL);
		return 0;
	case ACTION_MARK:
		r->api = api_get(api, a->of, a->ns, a->name, on_live, r);
		return 0;
	case ACTION_EVENT:
		emit(r, a);
		exec_step_done(r, &none);
		return 0;
	case ACTION_STATUS:
	case ACTION_PD_OFFLINE:
	case ACTION_PD_ONLINE:
	case ACTION_PD_EVICT_LEADERS:
	case ACTION_PD_RESTORE_LEADERS:
	case ACTION_PD_TRANSFER_LEADER:
	case ACTION_PD_REMOVE_MEMBER:
	case ACTION_PD_LABELS:
	case ACTION_PD_CONFIG:
	case ACTION_PD_STORE_LIMIT:
	case ACTION_PD_PURGE:
	case ACTION_TIKV_CONFIG:
	case ACTION_COUNT:
		break;
	}
	return err_set(e, ERR_INTERNAL, "%s does not go to the API server", action_name(a->kind));
}

static void
on_status(void *arg, const cJSON *body, const struct err *why)
{
	struct exec_run *r = arg;

	r->api = NULL;
	if (why->code == ERR_NONE)
		expect(r, r->subject->kind, r->ns, r->subject->name, r->subject->uid,
			json_str(body, "metadata.resourceVersion", NULL));
	exec_status_done(r, why);
}

/* The API server ignores the uid in a status of a custom object, but not the version: a late write
 * must reach neither a successor of that name nor a newer status. */
void
exec_kube_status(struct exec_run *r)
{
	enum kind k = r->subject->kind;
	cJSON *meta = json_object(), *object = json_object();

	json_put_str(meta, "name", r->subject->name);
	if (r->ns[0] != '\0')
		json_put_str(meta, "namespace", r->ns);
	json_put_str(meta, "uid", r->subject->uid);
	json_put_str(meta, "resourceVersion", r->subject_rv);
	json_put_str(object, "apiVersion", kind_api_version(k));
	json_put_str(object, "kind", kind_row(k)->kind);
	json_put(object, "metadata", meta);
	json_put(object, "status", json_clone(r->plan->status));
	r->api = api_apply(
		r->x->conf.api, k, r->ns, r->subject->name, "status", object, true, on_status, r);
	json_free(object);
}

static void
on_owner(void *arg, const cJSON *body, const struct err *why)
{
	struct exec_run *r = arg;
	const struct obj *s = r->subject;
	const char *rv = json_str(body, "metadata.resourceVersion", "");
	struct err e = *why;

	r->api = NULL;
	if (e.code != ERR_NONE)
		err_wrap(&e, "the owner %s %s", kind_row(s->kind)->kind, s->name);
	else if (strcmp(json_str(body, "metadata.uid", ""), s->uid) != 0)
		err_set(&e, ERR_CONFLICT, "%s %s: is another object now", kind_row(s->kind)->kind,
			s->name);
	else if (rv_compare(rv, s->rv) < 0)
		err_set(&e, ERR_CONFLICT,
			"%s %s: the API server is behind our view (%.30s < %.30s)",
			kind_row(s->kind)->kind, s->name, rv, s->rv);
	else if (json_int(body, "metadata.generation", 0) != s->generation ||
		 (json_path(body, "metadata.deletionTimestamp") != NULL) != s->deleting)
		err_set(&e, ERR_CONFLICT, "%s %s: changed since the plan was made",
			kind_row(s->kind)->kind, s->name);
	exec_owner_done(r, &e);
}

void
exec_kube_owner(struct exec_run *r)
{
	r->api = api_get(r->x->conf.api, r->subject->kind, r->ns, r->subject->name, on_owner, r);
}
