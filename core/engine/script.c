#include "engine/script.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/script_priv.h"

#define DEBOUNCE_MS 200
#define POLICY_LABEL "tikv.org/policy"
#define BUNDLE_LABEL "tikv.org/scripts"

/* Given to each bundle: the names of all questions, whatever else their table holds. */
static const char known_module[] =
	"return { all = function()\n"
	"  local q, out = require('lib.questions'), {}\n"
	"  for k, v in pairs(type(q.all) == 'table' and q.all or q) do\n"
	"    if type(k) == 'string' and type(v) == 'table' then out[k] = true end\n"
	"  end\n"
	"  return out\n"
	"end }\n";

/* ---- compiling ---- */

struct vm *
script_vm(struct script *s, const char *tag, const struct sources *src, bool policy, struct err *e)
{
	struct vm_conf c = { .log = s->conf.log, .tag = tag };
	struct vm *vm;

	if (policy) {
		c.memory_max = 16u << 20;
		c.budget = 5000000;
	}
	vm = vm_new(&c, e);
	if (vm != NULL && vm_load(vm, src->at, src->n, e) != 0) {
		vm_free(vm);
		return NULL;
	}
	return vm;
}

int
script_child(struct script *s, int (*fn)(void *arg, struct buf *out), void *arg, struct err *e)
{
	struct buf out;
	int rc;

	buf_init(&out, 64 << 10);
	if (s->conf.in_child != NULL)
		rc = s->conf.in_child(s->conf.arg, fn, arg, &out, e);
	else
		rc = fn(arg, &out);
	if (rc != 0 && out.len > 0)
		err_set(e, ERR_INVALID, "%s", out.at);
	else if (rc != 0 && e->code == ERR_NONE)
		err_set(e, ERR_INVALID, "the self-test failed without a word");
	buf_fini(&out);
	return rc == 0 ? 0 : -1;
}

static int
check_bundle(void *arg, struct buf *out)
{
	struct vm *vm = arg;
	struct err e = { 0 };
	cJSON *answer = NULL;
	enum vm_end end = VM_ERROR;

	if (vm_require(vm, "lib.pass", &e) == 0)
		end = vm_call(vm, "lib.pass", "check", NULL, 0, &answer, &e);
	json_free(answer);
	if (end == VM_OK)
		return 0;
	buf_puts(out, e.msg);
	return -1;
}

static cJSON *
questions_of(struct vm *vm)
{
	struct err e = { 0 };
	cJSON *known = NULL;

	if (vm_require(vm, "engine.known", &e) != 0 ||
		vm_call(vm, "engine.known", "all", NULL, 0, &known, &e) != VM_OK ||
		!cJSON_IsObject(known)) {
		json_free(known);
		return json_object();
	}
	return known;
}

static void
swap(struct script *s, struct vm *vm, const char *name)
{
	vm_free(s->active.vm);
	s->active.vm = vm;
	memcpy(s->active.name, name, sizeof s->active.name);
	json_free(s->known);
	s->known = questions_of(vm);
	if (s->conf.metrics != NULL)
		metric_add(s->conf.metrics, "tikv_operator_script_swaps_total", "", 1);
	log_write(s->conf.log, LOG_INFO, "scripts active", "generation", name, NULL);
}

/* Try what is offered now. The running generation stays unless all of it is fine. */
static int
look(struct script *s, struct err *e)
{
	struct sources src = { 0 };
	char name[65];
	struct vm *vm = NULL;
	int rc = sources_collect(s, &src, e);

	if (rc == 0) {
		sources_hash(&src, name);
		bool runs = s->active.vm != NULL && strcmp(name, s->active.name) == 0;
		if (runs || (s->active.vm != NULL && strcmp(name, s->tried) == 0)) {
			sources_fini(&src);
			memcpy(s->tried, name, sizeof name);
			return runs ? 0 : err_set(e, ERR_EXISTS, "tried already");
		}
		memcpy(s->tried, name, sizeof name);
		sources_put(&src, "engine.known", "(engine)", known_module, strlen(known_module));
		vm = script_vm(s, name, &src, false, e);
		rc = vm != NULL ? 0 : -1;
	}
	sources_fini(&src);
	if (rc == 0)
		rc = script_child(s, check_bundle, vm, e);
	if (rc == 0) /* what the child did is not seen here: modules are loaded once more */
		rc = vm_require(vm, "lib.pass", e);
	if (rc != 0) {
		vm_free(vm);
		return -1;
	}
	swap(s, vm, name);
	return 1;
}

/* ---- states ---- */

void
origin_fini(struct origin *o)
{
	obj_unref(o->object);
	free(o->reason);
	free(o->name);
	free(o->told);
}

static void
unmetered(struct script *s, const char *key)
{
	struct buf label;

	if (s->conf.metrics == NULL)
		return;
	buf_init(&label, 0);
	metric_label(&label, "configmap", key);
	metric_drop(s->conf.metrics, label.at);
	buf_fini(&label);
}

/* One line that still says where: "too many instructions (5000000) at p/policy.lua:3". */
char *
script_line(const char *why)
{
	size_t n = strcspn(why, "\n");
	const char *line = strstr(why, ".lua:"), *at = strstr(why, "\n  at ");

	while (at != NULL && strncmp(at + 6, "(engine)", 8) == 0)
		at = strstr(at + 1, "\n  at ");
	if (at == NULL || (line != NULL && line < why + n))
		return xstrndup(why, n);
	at += 3;
	return xasprintf("%.*s %.*s", (int)n, why, (int)strcspn(at, "\n"), at);
}

/* Told once: what is told is written to the ConfigMap, and that comes back as an event. */
void
origin_state(struct script *s, struct origin *o, const char *state, const char *reason)
{
	const char *name = o->name != NULL ? o->name : "";
	char *why = script_line(reason); /* the log has the traceback */
	char *tell = xasprintf("%s %s %s", state, name, why);
	bool same = o->told != NULL && strcmp(o->told, tell) == 0;
	struct buf labels;

	free(o->told);
	o->told = tell;
	if (!same)
		log_write(s->conf.log, strcmp(state, "rejected") == 0 ? LOG_WARN : LOG_INFO,
			"script state", "configmap", o->object->key, "state", state, "reason",
			reason, NULL);
	free(o->reason); /* `reason` may be it */
	o->reason = why;
	o->state = state;
	if (same)
		return;
	unmetered(s, o->object->key);
	if (s->conf.metrics != NULL) {
		buf_init(&labels, 0);
		metric_label(&labels, "configmap", o->object->key);
		metric_label(&labels, "state", state);
		metric_set(s->conf.metrics, "tikv_operator_policy_info", labels.at, 1);
		buf_fini(&labels);
	}
	if (s->conf.on_state != NULL)
		s->conf.on_state(s->conf.arg, o->object, state, name, why);
}

static bool
names_dir(const struct script *s, const char *why)
{
	return s->conf.lua_dir != NULL && strstr(why, s->conf.lua_dir) != NULL;
}

static void
look_bundle(struct script *s)
{
	struct err e = { 0 };
	int rc = look(s, &e);

	if (e.code == ERR_EXISTS)
		return;
	for (struct map_iter it = { 0 }; map_next(s->bundles, &it);) {
		struct origin *o = it.value;
		char *mark = xasprintf("%s/", o->object->name);
		bool blamed = strncmp(e.msg, mark, strlen(mark)) == 0 ||
			      (map_count(s->bundles) == 1 && !names_dir(s, e.msg));
		free(mark);
		if (rc >= 0) {
			free(o->name);
			o->name = xstrdup(s->active.name);
			origin_state(s, o, "active", "");
		} else {
			origin_state(s, o, blamed ? "rejected" : "held", e.msg);
		}
	}
	if (rc < 0)
		log_write(s->conf.log, LOG_ERROR, "scripts rejected", "why", e.msg, NULL);
	if (rc != 1)
		return;
	for (struct map_iter it = { 0 }; map_next(s->policies, &it);) {
		struct policy *p = it.value;
		p->dirty = true;
		p->origin.tried[0] = '\0'; /* the questions may be others now */
	}
	if (s->conf.on_swap != NULL)
		s->conf.on_swap(s->conf.arg);
}

static void
on_timer(void *arg)
{
	struct script *s = arg;
	bool swapped = false;

	s->timer = NULL;
	if (s->dirty)
		look_bundle(s);
	s->dirty = false;
	for (struct map_iter it = { 0 }; map_next(s->policies, &it);) {
		struct policy *p = it.value;
		const struct vm *was = p->vm;
		bool looked = p->dirty;
		if (looked)
			policy_look(s, p);
		/* Whoever waits for one of which nothing runs says why it does not. */
		swapped |= p->vm != was || (looked && p->vm == NULL);
	}
	if (swapped && s->conf.on_swap != NULL)
		s->conf.on_swap(s->conf.arg);
}

static void
soon(struct script *s, int64_t ms)
{
	loop_cancel(s->conf.loop, s->timer);
	s->timer = loop_after(s->conf.loop, ms, on_timer, s);
}

/* ---- ConfigMaps ---- */

static bool
labelled(const struct obj *o, const char *label)
{
	const cJSON *t;
	bool yes;

	if (o == NULL || strstr(o->text, label) == NULL)
		return false;
	t = obj_tree(o);
	yes = json_get(json_path(t, "metadata.labels"), label) != NULL;
	json_free(t);
	return yes;
}

static void
bundle_event(struct script *s, const struct obj *old, const struct obj *now)
{
	const char *key = now != NULL ? now->key : old->key;
	struct origin *o = map_get(s->bundles, key);

	if (strcmp(now != NULL ? now->ns : old->ns, s->conf.ns != NULL ? s->conf.ns : "") != 0)
		return;
	if (labelled(now, BUNDLE_LABEL)) {
		if (o == NULL) {
			o = xcalloc(1, sizeof *o);
			map_put(s->bundles, key, o);
		}
		obj_unref(o->object);
		o->object = obj_ref(now);
	} else if (o != NULL) {
		unmetered(s, key);
		map_del(s->bundles, key);
	} else {
		return;
	}
	s->dirty = true;
	soon(s, DEBOUNCE_MS);
}

static void
policy_event(struct script *s, const struct obj *old, const struct obj *now)
{
	const char *key = now != NULL ? now->key : old->key;
	struct policy *p = map_get(s->policies, key);

	if (!labelled(now, POLICY_LABEL)) {
		if (p == NULL)
			return;
		unmetered(s, key);
		map_del(s->policies, key);
		if (s->conf.on_swap != NULL)
			s->conf.on_swap(s->conf.arg);
		return;
	}
	if (p == NULL) {
		p = xcalloc(1, sizeof *p);
		map_put(s->policies, key, p);
	}
	obj_unref(p->origin.object);
	p->origin.object = obj_ref(now);
	p->dirty = true;
	soon(s, DEBOUNCE_MS);
}

void
script_settle(struct script *s)
{
	if (s->timer == NULL)
		return;
	loop_cancel(s->conf.loop, s->timer);
	on_timer(s);
}

void
script_configmap(struct script *s, const struct obj *old, const struct obj *now)
{
	if (old == NULL && now == NULL)
		return;
	bundle_event(s, old, now);
	policy_event(s, old, now);
}

/* ---- life ---- */

static void
bundle_free(void *value)
{
	origin_fini(value);
	free(value);
}

struct script *
script_new(const struct script_conf *c, struct err *e)
{
	struct script *s = xcalloc(1, sizeof *s);

	s->conf = *c;
	s->policies = map_new(policy_free);
	s->bundles = map_new(bundle_free);
	if (c->metrics != NULL) {
		metric_family(c->metrics, "tikv_operator_policy_info", METRIC_GAUGE,
			"Labelled ConfigMaps by state.", NULL);
		metric_family(c->metrics, "tikv_operator_policy_errors_total", METRIC_COUNTER,
			"Answers of policies that failed and held a step.", NULL);
		metric_family(c->metrics, "tikv_operator_script_swaps_total", METRIC_COUNTER,
			"Generations of scripts that became active.", NULL);
	}
	if (look(s, e) < 0) {
		script_free(s);
		return NULL;
	}
	return s;
}

void
script_free(struct script *s)
{
	if (s == NULL)
		return;
	loop_cancel(s->conf.loop, s->timer);
	vm_free(s->active.vm);
	json_free(s->known);
	json_free(s->asked);
	json_free(s->answers);
	map_free(s->policies);
	map_free(s->bundles);
	free(s);
}

void
script_reload(struct script *s)
{
	s->dirty = true;
	s->tried[0] = '\0';
	soon(s, 0);
}

const struct generation *
script_active(const struct script *s)
{
	return &s->active;
}

/* ---- running ---- */

enum vm_end
script_needs(struct script *s, const cJSON *object, cJSON **needs, struct err *e)
{
	*needs = NULL;
	vm_on_ask(s->active.vm, NULL, NULL);
	return vm_call(s->active.vm, "lib.pass", "needs", &object, 1, needs, e);
}

enum vm_end
script_run(
	struct script *s, const cJSON *world, const char *const *refs, cJSON **plan, struct err *e)
{
	static const char *const seen[] = { "now", "clock", "kind", "object", "deleting", "pd" };
	bool asks = s->answers != NULL || (refs != NULL && refs[0] != NULL);
	enum vm_end end;

	*plan = NULL;
	json_free(s->asked);
	s->asked = asks ? json_array() : NULL;
	vm_on_ask(s->active.vm, asks ? (s->answers != NULL ? policy_recall : policy_ask) : NULL, s);
	if (asks) {
		s->refs = refs;
		s->glimpse = json_object();
		for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
			const cJSON *v = json_get(world, seen[i]);
			if (v != NULL)
				json_put(s->glimpse, seen[i], json_clone(v));
		}
	}
	end = vm_call(s->active.vm, "lib.pass", "run", &world, 1, plan, e);
	json_free(s->glimpse);
	s->glimpse = NULL;
	s->refs = NULL;
	return end;
}

const cJSON *
script_asked(const struct script *s)
{
	return s->asked;
}

void
script_answer(struct script *s, const cJSON *asked)
{
	json_free(s->answers);
	s->answers = asked != NULL ? json_clone(asked) : NULL;
}

static cJSON *
report_of(const struct origin *o)
{
	cJSON *out = json_object();

	json_put_str(out, "configmap", o->object->key);
	json_put_str(out, "state", o->state != NULL ? o->state : "pending");
	json_put_str(out, "name", o->name != NULL ? o->name : "");
	json_put_str(out, "reason", o->reason != NULL ? o->reason : "");
	return out;
}

cJSON *
script_report(const struct script *s)
{
	cJSON *out = json_object(), *list = json_array();

	json_put_str(out, "generation", s->active.name);
	for (struct map_iter it = { 0 }; map_next(s->bundles, &it);)
		json_add(list, report_of(it.value));
	json_put(out, "scripts", list);
	list = json_array();
	for (struct map_iter it = { 0 }; map_next(s->policies, &it);) {
		const struct policy *p = it.value;
		cJSON *row = report_of(&p->origin);
		json_put(row, "questions",
			p->questions != NULL ? json_clone(p->questions) : json_array());
		json_add(list, row);
	}
	json_put(out, "policies", list);
	return out;
}
