#include <string.h>

#include "pd/pdview_priv.h"

/* What others ask of the last snapshot. */

#define SETTLED_AGE_MS 30000
#define BALANCE_LEADER "balance-leader-scheduler"

struct pd *
pdview_pd(struct pdview *v)
{
	return v->pd;
}

const cJSON *
pdview_snapshot(const struct pdview *v)
{
	return v->snapshot;
}

const cJSON *
pdview_store(const struct pdview *v, const char *id)
{
	return map_get(v->by_id, id);
}

const cJSON *
pdview_store_at(const struct pdview *v, const char *address)
{
	return map_get(v->by_address, address);
}

const cJSON *
pdview_member(const struct pdview *v, const char *name)
{
	return map_get(v->by_name, name);
}

int64_t
pdview_age_ms(const struct pdview *v)
{
	return v->committed < 0 ? -1 : loop_now(v->conf.loop) - v->committed;
}

const char *
pdview_trouble(const struct pdview *v)
{
	return v->trouble;
}

static bool
balances(const struct pdview *v)
{
	const cJSON *m;

	if (!json_bool(v->snapshot, "bootstrapped", false))
		return true; /* there is nothing to schedule yet */
	cJSON_ArrayForEach(m, json_get(v->snapshot, "schedulers"))
	{
		if (strcmp(m->valuestring, BALANCE_LEADER) == 0)
			return true;
	}
	return false;
}

bool
pdview_settled(const struct pdview *v)
{
	int64_t now = loop_now(v->conf.loop);

	return v->snapshot != NULL && v->history == NULL && v->trouble[0] == '\0' &&
	       now - v->committed <= SETTLED_AGE_MS && now - v->identity_at <= SETTLED_AGE_MS &&
	       v->committed - v->leader_since >= v->tick_ms * 5 / 2 && balances(v);
}

bool
pdview_history_changed(const struct pdview *v, const char **why)
{
	if (why != NULL)
		*why = v->history != NULL ? v->history : "";
	return v->history != NULL;
}

const cJSON *
pdview_was_tried(const struct pdview *v)
{
	return v->tried;
}
