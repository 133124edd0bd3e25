#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pd/pd_priv.h"

/* ---- pd_check: which member, which cluster, which history ---- */

static void
check_end(struct pd_call *c, const struct err *e)
{
	cJSON *found = c->checked;

	c->checked = NULL;
	if (e->code == ERR_NONE)
		pd_remember(&c->pd->checked, c->url);
	c->pd->vouched = 0;
	pd_call_finish(c, found, -1, e);
	json_free(found);
}

static void
check_ask(struct pd_call *c, enum check check, const char *method, const char *path)
{
	struct err e = { 0 };

	c->check = check;
	c->method = method;
	free(c->path);
	c->path = xstrdup(path);
	free(c->body);
	c->body = strcmp(method, "POST") == 0 ? xstrdup("{}") : NULL;
	pd_call_aim(c, check == CHECK_FIND ? TO_ANY : TO_LEADER);
	if (c->todo_n > 0) {
		pd_call_ask(c);
		return;
	}
	err_set(&e, ERR_UNAVAILABLE, "PD has no leader that can be reached");
	check_end(c, &e);
}

/* The member that answered calls itself the leader. */
static int
check_members(struct pd_call *c, const cJSON *body, struct err *e)
{
	char cluster[24], id[24];
	const cJSON *leader = json_get(body, "leader"), *url;
	bool itself = false;

	if (pd_id(json_path(body, "header.cluster_id"), cluster) != 0)
		return err_set(e, ERR_PROTOCOL, "PD " MEMBERS ": header.cluster_id: is no id");
	if (pd_id(json_get(leader, "member_id"), id) != 0)
		return err_set(e, ERR_UNAVAILABLE, "PD " MEMBERS ": there is no leader");
	cJSON_ArrayForEach(url, json_get(leader, "client_urls"))
	{
		char *base = pd_base_url(json_text(url) != NULL ? json_text(url) : "");
		itself |= strcmp(base, c->url) == 0;
		free(base);
	}
	if (!itself)
		return err_set(e, ERR_UNAVAILABLE, "PD has another leader now: ask again");
	c->checked = json_object();
	json_put_str(c->checked, "cluster_id", cluster);
	json_put(c->checked, "leader", json_object());
	json_put_str((cJSON *)json_get(c->checked, "leader"), "id", id);
	json_put_str((cJSON *)json_get(c->checked, "leader"), "name", json_str(leader, "name", ""));
	return 0;
}

static int
check_etcd(struct pd_call *c, const cJSON *body, struct err *e)
{
	char id[24], number[24];

	if (pd_id(json_path(body, "header.member_id"), id) != 0 ||
		strcmp(id, json_str(c->checked, "leader.id", "")) != 0)
		return err_set(e, ERR_UNAVAILABLE,
			"PD's leader does not answer under its own URL: ask again");
	if (cJSON_GetArraySize(json_get(body, "errors")) > 0)
		return err_set(e, ERR_UNAVAILABLE, "PD's etcd reports an error: %.100s",
			json_str(body, "errors[0]", "?"));
	if (pd_id(json_path(body, "header.revision"), number) == 0)
		json_put_int(c->checked, "etcd_revision", strtoll(number, NULL, 10));
	if (pd_id(json_path(body, "header.raft_term"), number) == 0)
		json_put_int(c->checked, "term", strtoll(number, NULL, 10));
	return 0;
}

void
pd_check_next(struct pd_call *c, const cJSON *body, const struct err *why)
{
	struct err e = *why;

	switch (c->check) {
	case CHECK_FIND:
		if (e.code == ERR_NONE) {
			check_ask(c, CHECK_MEMBERS, "GET", MEMBERS);
			return;
		}
		break;
	case CHECK_MEMBERS:
		if (e.code == ERR_NONE && check_members(c, body, &e) == 0) {
			check_ask(c, CHECK_ETCD, "POST", "/v3/maintenance/status");
			return;
		}
		break;
	case CHECK_ETCD:
		if (e.code == ERR_NOT_FOUND)
			err_clear(&e); /* the gateway can be switched off */
		else if (e.code == ERR_NONE)
			check_etcd(c, body, &e);
		break;
	case CHECK_NONE:
		must(!"a check");
	}
	check_end(c, &e);
}

struct pd_call *
pd_check(struct pd *p, pd_done_fn *done, void *arg)
{
	bool known = p->leader[0] != '\0';
	struct pd_call *c = pd_call_new(p, known ? TO_LEADER : TO_ANY, "GET", MEMBERS, done, arg);

	c->check = known ? CHECK_MEMBERS : CHECK_FIND;
	return pd_call_begin(c);
}
