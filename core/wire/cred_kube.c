/*
 * Kubeconfig files: merging, contexts, and what a user and a cluster say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "format/yaml.h"
#include "wire/cred_priv.h"

/* A named entry and where it was written, for relative paths and for messages. */
struct entry {
	const cJSON *body; /* lent by the document */
	char *where;       /* "/x/config: users[0].user" */
	const char *file;
};

struct config {
	cJSON **documents;
	char **files;
	size_t count;
	struct map *clusters, *users, *contexts;
	const char *current, *current_file;
};

static void
entry_free(void *p)
{
	struct entry *entry = p;

	free(entry->where);
	free(entry);
}

static void
config_init(struct config *k)
{
	*k = (struct config){ 0 };
	k->clusters = map_new(entry_free);
	k->users = map_new(entry_free);
	k->contexts = map_new(entry_free);
}

static void
config_fini(struct config *k)
{
	map_free(k->clusters);
	map_free(k->users);
	map_free(k->contexts);
	for (size_t i = 0; i < k->count; i++) {
		json_free(k->documents[i]);
		free(k->files[i]);
	}
	free(k->documents);
	free(k->files);
}

/* The first file that has a name wins. */
static int
add_entries(struct map *to, const cJSON *document, const char *file, const char *list,
	const char *member, struct err *e)
{
	const cJSON *items = json_get(document, list), *item;
	int i = 0;

	if (!items || cJSON_IsNull(items))
		return 0;
	if (!cJSON_IsArray(items))
		return err_set(e, ERR_INVALID, "%s: %s: not a list", file, list);
	cJSON_ArrayForEach(item, items)
	{
		const char *name = json_str(item, "name", NULL);
		if (!name)
			return err_set(e, ERR_INVALID, "%s: %s[%d].name: missing", file, list, i);
		if (!map_has(to, name)) {
			struct entry *entry = xcalloc(1, sizeof(*entry));
			entry->body = json_get(item, member);
			entry->file = file;
			entry->where = xasprintf("%s: %s[%d].%s", file, list, i, member);
			map_put(to, name, entry);
		}
		i++;
	}
	return 0;
}

static int
load_file(struct config *k, const char *path, struct err *e)
{
	char *text = cred_read_file(path, e);

	if (!text)
		return -1;
	cJSON *documents = yaml_parse(path, text, strlen(text), NULL, e);
	free(text);
	if (!documents)
		return -1;
	k->documents = xrealloc(k->documents, (k->count + 1) * sizeof(*k->documents));
	k->files = xrealloc(k->files, (k->count + 1) * sizeof(*k->files));
	k->documents[k->count] = documents;
	const char *file = k->files[k->count++] = xstrdup(path);
	const cJSON *document = cJSON_GetArrayItem(documents, 0);
	if (!document)
		return 0;
	if (!cJSON_IsObject(document))
		return err_set(e, ERR_INVALID, "%s: not a kubeconfig: check the path", file);
	if (add_entries(k->clusters, document, file, "clusters", "cluster", e) ||
		add_entries(k->users, document, file, "users", "user", e) ||
		add_entries(k->contexts, document, file, "contexts", "context", e))
		return -1;
	const char *current = json_str(document, "current-context", "");
	if (!k->current && *current) {
		k->current = current;
		k->current_file = file;
	}
	return 0;
}

static char *
default_paths(void)
{
	const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");

	if (list && *list)
		return xstrdup(list);
	return xasprintf("%s/.kube/config", home ? home : "");
}

/* A list may name files that do not exist, as with kubectl; a single file must exist. */
static int
load_all(struct config *k, const char *paths, struct err *e)
{
	bool list = strchr(paths, ':') != NULL;
	char *copy = xstrdup(paths), *save = NULL;
	int failed = 0;

	for (char *path = strtok_r(copy, ":", &save); path && !failed;
		path = strtok_r(NULL, ":", &save)) {
		struct err why = { 0 };
		failed = load_file(k, path, &why);
		if (failed && list && why.code == ERR_NOT_FOUND)
			failed = 0;
		else if (failed)
			err_set(e, why.code, "%s%s", why.msg,
				why.code == ERR_NOT_FOUND ? ": check --kubeconfig or KUBECONFIG"
							  : "");
	}
	free(copy);
	if (!failed && k->count == 0)
		return err_set(e, ERR_NOT_FOUND,
			"%s: no such file: check --kubeconfig or KUBECONFIG", paths);
	return failed;
}

/* *out is lent, NULL when the field is absent or empty. */
static int
text_of(const struct entry *entry, const char *field, const char **out, struct err *e)
{
	const cJSON *node = json_get(entry->body, field);

	*out = NULL;
	if (!node || cJSON_IsNull(node))
		return 0;
	if (!cJSON_IsString(node))
		return err_set(
			e, ERR_INVALID, "%s.%s: not a text: put it in quotes", entry->where, field);
	if (*node->valuestring)
		*out = node->valuestring;
	return 0;
}

static char *
folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return xstrdup(".");
	return slash == file ? xstrdup("/") : xstrndup(file, (size_t)(slash - file));
}

static char *
resolve(const struct entry *entry, const char *path)
{
	if (*path == '/')
		return xstrdup(path);
	char *folder = folder_of(entry->file);
	char *full = xasprintf("%s/%s", folder, path);
	free(folder);
	return full;
}

/* FIELD-data holds base64 and wins over FIELD, a path. */
static int
source_of(const struct entry *entry, const char *field, struct cred_source *s, struct err *e)
{
	const char *inlined, *path;
	char name[64];
	struct err why = { 0 };

	snprintf(name, sizeof(name), "%s-data", field);
	if (text_of(entry, name, &inlined, e) || text_of(entry, field, &path, e))
		return -1;
	if (inlined) {
		s->text = cred_base64_decode(inlined);
		return s->text ? 0
			       : err_set(e, ERR_INVALID, "%s.%s: not base64", entry->where, name);
	}
	if (!path)
		return 0;
	s->path = resolve(entry, path);
	s->text = cred_read_file(s->path, &why);
	return s->text ? 0
		       : err_set(e, ERR_INVALID, "%s.%s: %s: check the path", entry->where, field,
				 why.msg);
}

static int
read_cluster(struct cred *c, const struct entry *entry, struct cred_cluster *out, struct err *e)
{
	const char *server, *server_name, *proxy;

	if (text_of(entry, "server", &server, e) ||
		text_of(entry, "tls-server-name", &server_name, e) ||
		text_of(entry, "proxy-url", &proxy, e) ||
		source_of(entry, "certificate-authority", &c->ca, e))
		return -1;
	if (!server)
		return err_set(e, ERR_INVALID, "%s.server: missing", entry->where);
	if (strncmp(server, "https://", 8) && strncmp(server, "http://", 7))
		return err_set(e, ERR_INVALID, "%s.server: \"%s\": not an https:// address",
			entry->where, server);
	c->insecure = json_bool(entry->body, "insecure-skip-tls-verify", false);
	if (c->insecure && c->ca.text)
		return err_set(e, ERR_INVALID,
			"%s.insecure-skip-tls-verify: true together with a certificate-authority: "
			"remove one of them",
			entry->where);
	if (c->ca.text && !cred_pem_is_ca(c->ca.text))
		return err_set(e, ERR_INVALID, "%s.certificate-authority%s: no certificate in it",
			entry->where, c->ca.path ? "" : "-data");
	c->server_name = server_name ? xstrdup(server_name) : NULL;
	c->proxy_url = proxy ? xstrdup(proxy) : NULL;
	size_t n = strlen(server);
	while (n > 0 && server[n - 1] == '/')
		n--;
	out->server = xstrndup(server, n);
	return 0;
}

static int
refuse_unsupported(const struct entry *entry, struct err *e)
{
	static const char *const fields[] = { "as", "as-groups", "as-uid", "as-user-extra" };

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (json_get(entry->body, fields[i]))
			return err_set(e, ERR_UNSUPPORTED,
				"%s.%s: impersonation is not supported: use the other user's "
				"credentials",
				entry->where, fields[i]);
	if (json_get(entry->body, "auth-provider"))
		return err_set(e, ERR_UNSUPPORTED, "%s.auth-provider: not supported: use exec",
			entry->where);
	return 0;
}

static int
read_token(struct cred *c, const struct entry *entry, struct err *e)
{
	const char *token, *file;
	struct err why = { 0 };

	if (text_of(entry, "token", &token, e) || text_of(entry, "tokenFile", &file, e))
		return -1;
	c->token.text = token ? xstrdup(token) : NULL;
	if (!file)
		return 0;
	c->token.path = resolve(entry, file);
	char *text = cred_read_file(c->token.path, &why);
	if (text) {
		text = cred_trim(text);
		if (*text) {
			free(c->token.text);
			c->token.text = text;
			return 0;
		}
		free(text);
		err_set(&why, ERR_INVALID, "%s: empty", c->token.path);
	}
	return token ? 0
		     : err_set(e, ERR_INVALID, "%s.tokenFile: %s: check the path", entry->where,
			       why.msg);
}

static int
read_pair(struct cred *c, const struct entry *entry, struct err *e)
{
	if (source_of(entry, "client-certificate", &c->cert, e) ||
		source_of(entry, "client-key", &c->key, e))
		return -1;
	if (!c->cert.text && !c->key.text)
		return 0;
	if (!c->cert.text || !c->key.text)
		return err_set(e, ERR_INVALID, "%s.%s: missing", entry->where,
			c->cert.text ? "client-key" : "client-certificate");
	if (!cred_pem_is_pair(c->cert.text, c->key.text))
		return err_set(e, ERR_INVALID,
			"%s.client-certificate%s: no certificate that fits client-key",
			entry->where, c->cert.path ? "" : "-data");
	return 0;
}

static int
read_basic(struct cred *c, const struct entry *entry, struct err *e)
{
	const char *name, *password;

	if (text_of(entry, "username", &name, e) || text_of(entry, "password", &password, e))
		return -1;
	if (!name)
		return 0;
	char *pair = xasprintf("%s:%s", name, password ? password : "");
	char *coded = cred_base64_encode(pair);
	c->basic = xasprintf("Basic %s", coded);
	free(coded);
	free(pair);
	return 0;
}

/* spec.cluster of KUBERNETES_EXEC_INFO. */
static char *
cluster_info(const struct cred *c, const struct cred_cluster *out)
{
	cJSON *o = json_object();

	json_put_str(o, "server", out->server);
	json_put_str(o, "tls-server-name", c->server_name);
	if (c->insecure)
		json_put_bool(o, "insecure-skip-tls-verify", true);
	char *ca = c->ca.text ? cred_base64_encode(c->ca.text) : NULL;
	json_put_str(o, "certificate-authority-data", ca);
	json_put_str(o, "proxy-url", c->proxy_url);
	char *text = json_string(o);
	free(ca);
	json_free(o);
	return text;
}

static int
read_exec(struct cred *c, const struct entry *entry, const struct cred_cluster *out, struct err *e)
{
	const cJSON *spec = json_get(entry->body, "exec");

	/* A static token wins, as with kubectl. */
	if (!spec || c->token.text || c->basic)
		return 0;
	char *name = xasprintf("%s.exec", entry->where);
	char *folder = folder_of(entry->file);
	c->exec = cred_exec_new(spec, name, folder, e);
	free(folder);
	free(name);
	if (!c->exec)
		return -1;
	if (json_bool(spec, "provideClusterInfo", false))
		c->exec->cluster = cluster_info(c, out);
	return cred_exec_run(c, e);
}

static int
read_user(struct cred *c, const struct entry *entry, const struct cred_cluster *out, struct err *e)
{
	if (refuse_unsupported(entry, e) || read_token(c, entry, e) || read_pair(c, entry, e) ||
		read_basic(c, entry, e) || read_exec(c, entry, out, e))
		return -1;
	return 0;
}

static int
unknown_name(const struct map *known, const char *where, const char *what, const char *name,
	struct err *e)
{
	struct buf have;

	buf_init(&have, 200);
	for (struct map_iter it = { 0 }; map_next(known, &it);)
		if (buf_printf(&have, "%s\"%s\"", have.len ? ", " : "", it.key))
			break;
	err_set(e, ERR_NOT_FOUND, "%s: \"%s\": no such %s: have %s", where, name, what,
		have.len ? have.at : "none");
	buf_fini(&have);
	return -1;
}

static int
read_context(
	struct cred *c, struct config *k, const char *name, struct cred_cluster *out, struct err *e)
{
	const char *where = name ? "--context" : NULL, *cluster, *user, *ns;
	char *field = NULL;
	int failed = -1;

	if (!name && !k->current)
		return err_set(e, ERR_NOT_FOUND,
			"%s: current-context: not set: name one with --context", k->files[0]);
	if (!name) {
		name = k->current;
		where = field = xasprintf("%s: current-context", k->current_file);
	}
	const struct entry *context = map_get(k->contexts, name);
	if (!context) {
		unknown_name(k->contexts, where, "context", name, e);
		goto out;
	}
	if (text_of(context, "cluster", &cluster, e) || text_of(context, "user", &user, e) ||
		text_of(context, "namespace", &ns, e))
		goto out;
	free(field);
	field = xasprintf("%s.cluster", context->where);
	const struct entry *cluster_entry = map_get(k->clusters, cluster ? cluster : "");
	if (!cluster_entry) {
		unknown_name(k->clusters, field, "cluster", cluster ? cluster : "", e);
		goto out;
	}
	out->context = xstrdup(name);
	out->ns = xstrdup(ns ? ns : "default");
	failed = read_cluster(c, cluster_entry, out, e);
	if (failed || !user)
		goto out;
	const struct entry *user_entry = map_get(k->users, user);
	free(field);
	field = xasprintf("%s.user", context->where);
	failed = user_entry ? read_user(c, user_entry, out, e)
			    : unknown_name(k->users, field, "user", user, e);
out:
	free(field);
	return failed;
}

struct cred *
cred_kubeconfig(const char *paths, const char *context, const struct clock *clock,
	struct cred_cluster *out, struct err *e)
{
	struct cred *c = cred_alloc(clock);
	char *list = paths ? xstrdup(paths) : default_paths();
	struct config k;

	*out = (struct cred_cluster){ 0 };
	config_init(&k);
	c->read_at = clock_mono(clock);
	if (load_all(&k, list, e) || read_context(c, &k, context, out, e)) {
		cred_cluster_fini(out);
		cred_free(c);
		c = NULL;
	} else {
		cred_set_authorization(c);
	}
	config_fini(&k);
	free(list);
	return c;
}
