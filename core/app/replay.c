#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/child.h"
#include "app/luadir.h"
#include "app/verbs.h"
#include "base/mem.h"
#include "wire/loop_event.h"

#define RECORD_MAX (32u << 20)
#define LINES_MAX 30 /* of one difference */

const struct opt replay_opts[] = {
	{ "lua-dir", 0, OPT_TEXT, "DIR", NULL, "scripts to run instead of the built-in ones" },
	{ "output", 'o', OPT_TEXT, "json", NULL, "print both plans as JSON" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

/* ---- what is different ---- */

struct diff {
	int lines;
	bool differs;
};

static char *
brief(const cJSON *v)
{
	char *text = v != NULL ? json_string(v) : xstrdup("nothing");

	if (strlen(text) > 120)
		strcpy(text + 117, "...");
	return text;
}

static void
say(struct diff *d, const char *path, const cJSON *was, const cJSON *now)
{
	char *a, *b;

	d->differs = true;
	if (d->lines++ >= LINES_MAX) {
		if (d->lines == LINES_MAX + 1)
			printf("      ...\n");
		return;
	}
	a = brief(was);
	b = brief(now);
	printf("      %s: %s -> %s\n", path, a, b);
	free(a);
	free(b);
}

static void
compare(struct diff *d, const char *path, const cJSON *was, const cJSON *now)
{
	bool lists = cJSON_IsArray(was) && cJSON_IsArray(now);
	bool objects = cJSON_IsObject(was) && cJSON_IsObject(now);
	const cJSON *m, *n;
	int i = 0;

	if (was == NULL || now == NULL || (!lists && !objects)) {
		if (was != now && (was == NULL || now == NULL || !json_equal(was, now)))
			say(d, path, was, now);
		return;
	}
	for (m = was->child, n = now->child; lists && (m != NULL || n != NULL); i++) {
		char *below = xasprintf("%s[%d]", path, i);
		compare(d, below, m, n);
		free(below);
		m = m != NULL ? m->next : NULL;
		n = n != NULL ? n->next : NULL;
	}
	for (m = objects ? was->child : NULL; m != NULL; m = m->next) {
		char *below = xasprintf("%s%s%s", path, *path != '\0' ? "." : "", m->string);
		compare(d, below, m, json_get(now, m->string));
		free(below);
	}
	for (n = objects ? now->child : NULL; n != NULL; n = n->next) {
		char *below = xasprintf("%s%s%s", path, *path != '\0' ? "." : "", n->string);
		if (json_get(was, n->string) == NULL)
			compare(d, below, NULL, n);
		free(below);
	}
}

/* ---- plans ---- */

static char *
title(const cJSON *action)
{
	static const char *const names[] = { "object.metadata.name", "name", "instance", "store_id",
		"member", "reason" };
	const char *kind = json_str(action, "object.kind", json_str(action, "kind", ""));
	const char *name = "";

	for (size_t i = 0; i < sizeof names / sizeof *names && *name == '\0'; i++) {
		const char *text = json_text(json_path(action, names[i]));
		name = text != NULL ? text : "";
	}
	return xasprintf("%s %s%s%s", json_str(action, "action", "?"), kind,
		*kind != '\0' && *name != '\0' ? " " : "", name);
}

/* The n-th action of a title has the n-th of the same title as its partner. */
static const cJSON *
partner(const cJSON *list, const char *wanted, int nth)
{
	const cJSON *a;

	cJSON_ArrayForEach(a, list)
	{
		char *t = title(a);
		bool same = strcmp(t, wanted) == 0;
		free(t);
		if (same && nth-- == 0)
			return a;
	}
	return NULL;
}

static int
nth_of(const cJSON *list, const cJSON *action, const char *wanted)
{
	int n = 0;

	for (const cJSON *a = list->child; a != action; a = a->next) {
		char *t = title(a);
		n += strcmp(t, wanted) == 0;
		free(t);
	}
	return n;
}

/* Every action of `list`, and how it is in the other one. True: something is different. */
static bool
walk(const cJSON *list, const cJSON *other, bool now)
{
	bool differs = false;
	const cJSON *a;

	cJSON_ArrayForEach(a, list)
	{
		char *t = title(a);
		const cJSON *b = partner(other, t, nth_of(list, a, t));
		if (b == NULL) {
			printf("%c   %s\n", now ? '+' : '-', t);
			differs = true;
		} else if (now) {
			struct diff d = { 0 };
			printf("%c   %s\n", json_equal(a, b) ? ' ' : '~', t);
			compare(&d, "", b, a);
			differs |= d.differs;
		}
		free(t);
	}
	return differs;
}

static bool
same_order(const cJSON *was, const cJSON *now)
{
	const cJSON *a = was != NULL ? was->child : NULL, *b = now != NULL ? now->child : NULL;

	for (; a != NULL && b != NULL && json_equal(a, b); a = a->next)
		b = b->next;
	return a == NULL && b == NULL;
}

static void
print_verdict(char mark, const cJSON *plan)
{
	const cJSON *v = json_get(plan, "verdict");

	printf("%c %s", mark, json_str(v, "kind", "?"));
	if (json_get(v, "reason") != NULL)
		printf(" (%s: %s)", json_str(v, "reason", ""), json_str(v, "message", ""));
	putchar('\n');
}

static bool
judge(const cJSON *was, const cJSON *now)
{
	const cJSON *a = json_get(was, "actions"), *b = json_get(now, "actions");
	struct diff verdict = { 0 }, status = { 0 };
	bool differs;

	if (!json_equal(json_get(was, "verdict"), json_get(now, "verdict")))
		print_verdict('-', was);
	print_verdict(
		json_equal(json_get(was, "verdict"), json_get(now, "verdict")) ? ' ' : '+', now);
	compare(&verdict, "verdict", json_get(was, "verdict"), json_get(now, "verdict"));
	differs = walk(a, b, false);
	differs |= walk(b, a, true);
	if (!differs && !same_order(a, b)) {
		printf("~   the same actions in another order\n");
		differs = true;
	}
	compare(&status, "status", json_get(was, "status"), json_get(now, "status"));
	return !differs && !verdict.differs && !status.differs;
}

/* ---- the verb ---- */

static cJSON *
read_record(const char *path, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	struct buf text;
	char chunk[8192];
	cJSON *pass = NULL;
	size_t n;

	if (f == NULL) {
		err_set(e, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
		return NULL;
	}
	buf_init(&text, RECORD_MAX);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && buf_put(&text, chunk, n) == 0)
		;
	if (f != stdin)
		fclose(f);
	pass = json_parse(text.at != NULL ? text.at : "", text.len, e);
	buf_fini(&text);
	if (pass == NULL) {
		err_wrap(e, "%s: not a recorded pass", path);
	} else if (json_get(pass, "key") == NULL) {
		err_set(e, ERR_INVALID,
			"%s: not a recorded pass: save what /debug/pass/KIND/NAMESPACE/NAME says",
			path);
	} else if (json_get(pass, "world") == NULL) {
		err_set(e, ERR_INVALID,
			"%s: the pass was kept as one line only, it settled with nothing to do: "
			"nothing to run again",
			path);
	} else {
		return pass;
	}
	json_free(pass);
	return NULL;
}

static struct script *
open_scripts(struct script_conf *c, const struct args *a, struct err *e)
{
	*c = (struct script_conf){ .loop = loop_event_new(),
		.lua_dir = args_text(a, "lua-dir"),
		.ns = "",
		.log = log_new(clock_system(), LOG_ERROR, false, NULL, NULL),
		.read_dir = luadir_read,
		.in_child = child_run };
	return script_new(c, e);
}

/* Exit code: 0 the same, 1 something else. */
static int
replay(struct script *s, const cJSON *pass, bool json)
{
	const cJSON *was = json_get(pass, "plan");
	struct err e = { 0 };
	cJSON *now = NULL;
	bool same;

	script_answer(s, json_get(pass, "asked"));
	if (script_run(s, json_get(pass, "world"), NULL, &now, &e) != VM_OK) {
		json_free(now);
		now = NULL;
	}
	if (json) {
		cJSON *out = json_object();
		struct buf text;
		same = was != NULL ? json_equal(was, now) : now == NULL;
		json_put_str(out, "key", json_str(pass, "key", ""));
		json_put_bool(out, "same", same);
		json_put(out, "recorded", was != NULL ? json_clone(was) : NULL);
		json_put(out, "plan", now != NULL ? json_clone(now) : NULL);
		json_put_str(out, "error", now == NULL ? e.msg : NULL);
		buf_init(&text, 0);
		(void)json_print_pretty(out, &text);
		printf("%s\n", text.at);
		buf_fini(&text);
		json_free(out);
		json_free(now);
		return same ? 0 : 1;
	}
	printf("%s: recorded with %.12s, run with %.12s\n", json_str(pass, "key", ""),
		json_str(pass, "generation", "?"), script_active(s)->name);
	if (was == NULL && now == NULL) {
		printf("  fails again: %s\n", e.msg);
		same = true;
	} else if (now == NULL) {
		printf("+ fails: %s\n", e.msg);
		same = false;
	} else if (was == NULL) {
		printf("- failed: %s\n", json_str(pass, "outcome", ""));
		same = false;
		(void)judge(now, now);
	} else {
		same = judge(was, now);
	}
	printf("%s\n", same ? "the same plan" : "another plan");
	json_free(now);
	return same ? 0 : 1;
}

int
replay_main(struct args *a)
{
	struct script_conf c = { 0 };
	struct err e = { 0 };
	struct script *s;
	cJSON *pass;
	int r;

	if (args_count(a) != 1)
		return verb_usage_error(a, "name one file (- is standard input)");
	pass = read_record(args_at(a, 0), &e);
	if (pass == NULL)
		return verb_fail(a, &e);
	s = open_scripts(&c, a, &e);
	r = s != NULL ? replay(s, pass, args_text(a, "output") != NULL) : verb_fail(a, &e);
	script_free(s);
	log_free(c.log);
	loop_event_free(c.loop);
	json_free(pass);
	return r;
}
