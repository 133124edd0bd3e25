#include "sim/apisim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "format/yaml.h"
#include "sim/apisim_priv.h"

static void
make_namespace(struct apisim *a, const char *name)
{
	char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":"
			       "{\"name\":\"%s\"}}",
		name);

	apisim_do(a, "POST", "/api/v1/namespaces?fieldManager=kube-apiserver", text, NULL, NULL,
		NULL);
	free(text);
}

struct apisim *
apisim_new(const struct apisim_conf *conf)
{
	struct apisim *a = xcalloc(1, sizeof(*a));

	a->conf = *conf;
	a->conf.hooks.committed = NULL; /* nobody wants to hear of what every server starts with */
	if (!a->conf.version)
		a->conf.version = "v1.36.3";
	if (!a->conf.bookmark_ms)
		a->conf.bookmark_ms = 60000;
	a->rv = 1;
	builtin_install(a);
	make_namespace(a, "default");
	make_namespace(a, "kube-system");
	make_namespace(a, "kube-public");
	make_namespace(a, "kube-node-lease");
	a->conf.hooks.committed = conf->hooks.committed;
	return a;
}

void
apisim_free(struct apisim *a)
{
	if (!a)
		return;
	while (a->resources) {
		struct res *r = a->resources;
		a->resources = r->next;
		res_free(r);
	}
	free(a);
}

struct apisim *
apisim_clone(const struct apisim *from, const struct apisim_conf *conf)
{
	struct apisim *a = xcalloc(1, sizeof(*a));

	a->conf = *conf;
	if (!a->conf.version)
		a->conf.version = "v1.36.3";
	if (!a->conf.bookmark_ms)
		a->conf.bookmark_ms = 60000;
	a->rv = from->rv;
	a->next_ip = from->next_ip;
	a->next_port = from->next_port;
	builtin_install(a);
	const struct res *crds = res_by_id(from, "customresourcedefinitions.apiextensions.k8s.io");
	for (size_t i = 0; i < crds->count; i++)
		crd_install(a, ver_tree(crds->live[i]));
	for (const struct res *r = from->resources; r; r = r->next) {
		struct res *to = res_by_id(a, r->id);
		must(to);
		to->live = xcalloc(r->count + 16, sizeof(struct ver *));
		to->cap = r->count + 16;
		to->forgotten = from->rv;
		for (; to->count < r->count; to->count++)
			to->live[to->count] = ver_ref(r->live[to->count]);
	}
	return a;
}

void
apisim_reseed(struct apisim *a, struct rng rng)
{
	a->conf.rng = rng;
}

void
now_text(struct apisim *a, char out[40])
{
	clock_format(loop_wall(a->conf.loop), 0, out, 40);
}

static int
hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 32;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* In place; plus: '+' is a space, as in queries. */
static void
unescape(char *s, bool plus)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
			*to++ = (char)(hex(s[1]) * 16 + hex(s[2]));
			s += 2;
		} else {
			*to++ = plus && *s == '+' ? ' ' : *s;
		}
	}
	*to = 0;
}

static void
take_query(struct call *c, char *query)
{
	char *rest = query, *pair;

	while ((pair = strsep(&rest, "&"))) {
		char *eq = strchr(pair, '=');
		if (!*pair || c->params == (int)(sizeof(c->param) / sizeof(*c->param)))
			continue;
		if (eq)
			*eq++ = 0;
		else
			eq = pair + strlen(pair);
		unescape(pair, true);
		unescape(eq, true);
		c->param[c->params++] = (struct param){ pair, eq };
	}
}

const char *
param_get(const struct call *c, const char *key)
{
	for (int i = 0; i < c->params; i++)
		if (!strcmp(c->param[i].key, key))
			return c->param[i].value;
	return "";
}

bool
param_true(const struct call *c, const char *key)
{
	const char *v = param_get(c, key);

	return !strcmp(v, "true") || !strcmp(v, "1") || !strcmp(v, "True");
}

cJSON *
call_body(struct call *c)
{
	const struct apisim_req *r = c->r;
	struct err e;
	const char *p = r->body;
	size_t n = r->body_len;

	if (r->tree)
		return json_clone(r->tree);

	if (r->content_type && !strncmp(r->content_type, "application/vnd.kubernetes.protobuf", 35))
		return proto_body(c);
	while (n && strchr(" \t\r\n", *p)) {
		p++;
		n--;
	}
	if (!n) {
		fail(c, 400, "BadRequest", "request body is empty");
		return NULL;
	}
	if (*p == '{' || *p == '[') {
		cJSON *tree = json_parse(r->body, r->body_len, &e);
		if (!tree)
			fail(c, 400, "BadRequest", "error decoding the request body: %s", e.msg);
		return tree;
	}
	cJSON *docs = yaml_parse("body", r->body, r->body_len, NULL, &e);
	cJSON *one = docs ? cJSON_DetachItemFromArray(docs, 0) : NULL;
	if (!docs)
		fail(c, 400, "BadRequest", "error decoding YAML: %s", e.msg);
	else if (!one)
		fail(c, 400, "BadRequest", "request body is empty");
	json_free(docs);
	return one;
}

static void
take_manager(struct call *c)
{
	const char *given = param_get(c, "fieldManager");
	const char *agent = c->r->user_agent ? c->r->user_agent : "";

	if (*given)
		snprintf(c->manager, sizeof(c->manager), "%s", given);
	else if (*agent)
		snprintf(c->manager, sizeof(c->manager), "%.*s", (int)strcspn(agent, "/"), agent);
	else
		snprintf(c->manager, sizeof(c->manager), "%s", c->r->user ? c->r->user : "sim");
}

static void
not_allowed(struct call *c)
{
	fail(c, 405, "MethodNotAllowed",
		"the server does not allow this method on the requested resource");
}

void
serve_resource(struct call *c)
{
	const char *m = c->r->method;
	bool get = !strcmp(m, "GET"), post = !strcmp(m, "POST"), put = !strcmp(m, "PUT");
	bool patch = !strcmp(m, "PATCH"), del = !strcmp(m, "DELETE");
	bool plain = !*c->sub, status = !strcmp(c->sub, "status");

	if (!strcmp(c->sub, "scale") && c->res->has_scale) {
		if (get || put || patch)
			write_scale(c);
		else
			not_allowed(c);
		return;
	}
	if (!strcmp(c->sub, "eviction") && !strcmp(c->res->id, "pods") && post) {
		write_evict(c);
		return;
	}
	bool finalize = !strcmp(c->sub, "finalize") && !strcmp(c->res->id, "namespaces");
	bool binding = !strcmp(c->sub, "binding") && !strcmp(c->res->id, "pods");
	if (!plain && !(status && c->res->has_status) && !finalize && !binding) {
		if (!strcmp(c->sub, "log"))
			fail(c, 404, "NotFound", "the simulated kubelet keeps no logs");
		else
			fail(c, 404, "NotFound",
				"the server could not find the requested resource");
		return;
	}
	if (get && !*c->name)
		param_true(c, "watch") ? watch_begin(c) : read_list(c);
	else if (get)
		read_one(c);
	else if (post && (!*c->name || binding))
		write_create(c);
	else if (put && *c->name)
		write_update(c);
	else if (patch && *c->name)
		write_patch(c);
	else if (del && plain && *c->name)
		write_delete(c);
	else if (del && plain)
		write_delete_collection(c);
	else
		not_allowed(c);
}

static void
take_form(struct call *c)
{
	const char *accept = c->r->accept ? c->r->accept : "";
	const char *end = strchr(accept, ',');
	size_t n = end ? (size_t)(end - accept) : strlen(accept);

	/* The first alternative is what the client wants most; all that want a table ask so. */
	if (memmem(accept, n, "as=Table", 8))
		c->form = FORM_TABLE;
	else if (memmem(accept, n, "as=PartialObjectMetadata", 24))
		c->form = FORM_META;
	else
		c->form = FORM_OBJECT;
}

/* The words after /api/v1 or /apis/group/version. */
static void
place(struct call *c, char **w, int n, const char *group, const char *version)
{
	bool in_ns = n >= 3 && !strcmp(w[0], "namespaces") && strcmp(w[2], "status") &&
		     strcmp(w[2], "finalize");

	if (in_ns) {
		c->ns = w[1];
		w += 2;
		n -= 2;
	}
	c->name = n > 1 ? w[1] : "";
	c->sub = n > 2 ? w[2] : "";
	c->res = n > 0 ? res_find(c->a, group, version, w[0]) : NULL;
	if (c->res && (n > 3 || (in_ns && !c->res->namespaced)))
		c->res = NULL;
}

/* Which resource, namespace, name and subresource the words of a path mean; res NULL: none. True
 * for a review, which is no resource. */
static bool
find(struct call *c)
{
	char *w[12];
	int n = 0;

	for (char *rest = c->words, *word; n < 12 && (word = strsep(&rest, "/"));) {
		if (!*word)
			continue;
		unescape(word, false);
		w[n++] = word;
	}
	if (n == 4 && !strcmp(w[0], "apis") &&
		(!strncmp(w[3], "selfsubject", 11) || !strcmp(w[3], "subjectaccessreviews")))
		return true;
	if (n > 2 && !strcmp(w[0], "api"))
		place(c, w + 2, n - 2, "", w[1]);
	else if (n > 3 && !strcmp(w[0], "apis"))
		place(c, w + 3, n - 3, w[1], w[2]);
	return false;
}

static void
route(struct call *c)
{
	if (!c->res) {
		static const char text[] = "404 page not found\n";
		reply_text(c, 404, "text/plain; charset=utf-8", text, sizeof(text) - 1);
		return;
	}
	take_form(c);
	take_manager(c);
	const char *dry = param_get(c, "dryRun");
	c->dry = !strcmp(dry, "All");
	if (*dry && !c->dry)
		fail(c, 422, "Invalid",
			" \"\" is invalid: dryRun: Unsupported value: \"%s\": supported values: "
			"\"All\"",
			dry);
	else if (strlen(c->manager) > 128)
		fail(c, 422, "Invalid",
			" \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes");
	else
		serve_resource(c);
}

static void
serve(struct call *c, const char *path)
{
	if (serve_discovery(c, path) || serve_openapi(c, path))
		return;
	if (find(c))
		serve_review(c);
	else
		route(c);
}

struct apisim_call *
apisim_request(struct apisim *a, const struct apisim_req *r)
{
	struct call c = { .a = a, .r = r, .ns = "", .name = "", .sub = "" };
	char *query = xstrdup(r->query ? r->query : "");

	c.words = xstrdup(r->path);
	buf_init(&c.warning, 4096);
	take_query(&c, query);
	serve(&c, r->path);
	if (c.fail)
		reply_fail(&c);
	free(c.words);
	free(query);
	buf_fini(&c.warning);
	return c.stream;
}

struct answer {
	int status;
	struct buf text;
};

static void
answer_head(void *arg, int status, const char *type, const char *warning)
{
	struct answer *an = arg;

	(void)type;
	(void)warning;
	an->status = status;
}

static void
answer_chunk(void *arg, const char *bytes, size_t n)
{
	struct answer *an = arg;

	buf_put(&an->text, bytes, n);
}

int
apisim_do(struct apisim *a, const char *method, const char *path_and_query, const char *body,
	const char *content_type, const char *user, char **answer)
{
	struct answer an = { 0 };
	size_t n = strcspn(path_and_query, "?");
	char *path = xstrndup(path_and_query, n);
	struct apisim_req r = {
		.method = method,
		.path = path,
		.query = path_and_query[n] ? path_and_query + n + 1 : "",
		.content_type = content_type,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.user = user,
		.on_head = answer_head,
		.on_chunk = answer_chunk,
		.arg = &an,
	};

	buf_init(&an.text, 0);
	struct apisim_call *stream = apisim_request(a, &r);
	if (stream) {
		apisim_cancel(a, stream);
		buf_reset(&an.text);
		an.status = 400;
	}
	free(path);
	if (answer)
		*answer = buf_take(&an.text);
	buf_fini(&an.text);
	return an.status;
}

int64_t
apisim_rv(const struct apisim *a)
{
	return a->rv;
}

void
apisim_compact(struct apisim *a, int64_t rv)
{
	for (struct res *r = a->resources; r; r = r->next) {
		watch_keep(r); /* an open watch that is up to date does not notice a compaction */
		res_forget(r, rv ? rv : a->rv);
	}
}

void
apisim_drop_watches(struct apisim *a, int error_status)
{
	for (struct res *r = a->resources; r; r = r->next)
		while (r->watches)
			watch_end(r->watches, error_status);
}

size_t
apisim_watches(const struct apisim *a)
{
	return a->watches;
}

const char *
apisim_object(
	const struct apisim *a, const char *resource, const char *ns, const char *name, size_t *len)
{
	struct res *r = res_by_id(a, resource);
	struct ver *v = r ? live_find(r, ns, name) : NULL;

	if (v && len)
		*len = v->len;
	return v ? v->text : NULL;
}

void
apisim_each(const struct apisim *a, const char *resource,
	void (*fn)(void *arg, const cJSON *object), void *arg)
{
	struct res *r = res_by_id(a, resource);

	for (size_t i = 0; r && i < r->count; i++)
		fn(arg, ver_tree(r->live[i]));
}

int
apisim_look(struct apisim *a, const char *path, bool *collection,
	void (*fn)(void *arg, int64_t rv, const cJSON *object), void *arg)
{
	struct apisim_req r = { .method = "GET", .path = path };
	struct call c = { .a = a, .r = &r, .ns = "", .name = "", .sub = "" };
	size_t ns = 0;
	int status = 404;

	c.words = xstrdup(path);
	find(&c);
	*collection = c.res && !*c.name;
	if (*collection) {
		status = 200;
		ns = strlen(c.ns);
		for (size_t i = 0; i < c.res->count; i++) {
			struct ver *v = c.res->live[i];
			if (!ns || (!strncmp(v->key, c.ns, ns) && v->key[ns] == '/'))
				fn(arg, v->rv, ver_tree(v));
		}
	} else if (c.res && !*c.sub) {
		struct ver *v = live_find(c.res, c.ns, c.name);
		if (v) {
			status = 200;
			fn(arg, v->rv, ver_tree(v));
		}
	}
	free(c.words);
	return status;
}

uint64_t
apisim_hash(const struct apisim *a)
{
	uint64_t h = hash_fnv("", 0, 0);

	for (struct res *r = a->resources; r; r = r->next)
		for (size_t i = 0; i < r->count; i++)
			h = hash_fnv(r->live[i]->text, r->live[i]->len, h);
	return h;
}
