#include "app/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SELECTOR "app.kubernetes.io/name=tikv-operator,app.kubernetes.io/component=operator"
#define HOME "tikv-system" /* of manifests/ */
#define PORT 8080

void
live_init(struct live *l, struct client *c)
{
	*l = (struct live){ .c = c };
}

void
live_fini(struct live *l)
{
	json_free(l->pods);
	free(l->path);
	*l = (struct live){ .c = l->c };
}

static void
find_in(struct live *l, const char *ns)
{
	struct err e = { 0 };
	struct buf path;
	cJSON *list, *pod;

	buf_init(&path, 0);
	(void)ref_path(&path, KIND_POD, ns, NULL, NULL);
	(void)buf_puts(&path, "?labelSelector=");
	(void)http_escape(&path, SELECTOR);
	list = client_do(l->c, "GET", path.at, NULL, NULL, &e);
	cJSON_ArrayForEach(pod, json_get(list, "items"))
	{
		if (strcmp(json_str(pod, "status.phase", ""), "Running") == 0)
			json_add(l->pods, json_clone(pod));
	}
	json_free(list);
	buf_fini(&path);
}

/* All namespaces, or what a person with fewer rights may see. */
static void
find(struct live *l)
{
	l->pods = json_array();
	find_in(l, NULL);
	if (l->pods->child == NULL)
		find_in(l, HOME);
	if (l->pods->child == NULL && strcmp(l->c->ns, HOME) != 0)
		find_in(l, l->c->ns);
}

static int
http_port(const cJSON *pod)
{
	const cJSON *container, *port;

	cJSON_ArrayForEach(container, json_path(pod, "spec.containers"))
	{
		cJSON_ArrayForEach(port, json_get(container, "ports"))
		{
			if (strcmp(json_str(port, "name", ""), "http") == 0)
				return (int)json_int(port, "containerPort", PORT);
		}
	}
	return PORT;
}

static cJSON *
page(struct live *l, const char *base, const char *cluster)
{
	struct err e = { 0 };
	char *path = xasprintf("%s/debug/pd/%s/%s", base, l->c->ns, cluster);
	cJSON *answer = client_do(l->c, "GET", path, NULL, NULL, &e);

	free(path);
	if (answer != NULL && json_get(answer, "snapshot") != NULL)
		return answer;
	json_free(answer); /* one that stands by asks no PD */
	return NULL;
}

cJSON *
live_pd(struct live *l, const char *cluster)
{
	const cJSON *pod;
	cJSON *answer;

	if (l->path != NULL)
		return page(l, l->path, cluster);
	if (l->pods != NULL)
		return NULL;
	find(l);
	cJSON_ArrayForEach(pod, l->pods)
	{
		char *base = xasprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy",
			json_str(pod, "metadata.namespace", ""), json_str(pod, "metadata.name", ""),
			http_port(pod));
		answer = page(l, base, cluster);
		if (answer != NULL) {
			l->path = base;
			return answer;
		}
		free(base);
	}
	return NULL;
}

static const cJSON *
with_id(const cJSON *list, const char *id)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, list)
	{
		if (*id != '\0' && strcmp(json_str(m, "id", ""), id) == 0)
			return m;
	}
	return NULL;
}

const cJSON *
live_store(const cJSON *live_page, const char *id)
{
	return with_id(json_path(live_page, "snapshot.stores"), id);
}

const cJSON *
live_member(const cJSON *live_page, const char *id)
{
	return with_id(json_path(live_page, "snapshot.members"), id);
}
