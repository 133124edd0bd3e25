#include "app/figures.h"

#include <stdlib.h>
#include <string.h>

#include "app/live.h"
#include "base/clock.h"

static void
how_old(const cJSON *page, const char *status_time)
{
	char age[32];
	int64_t at;

	if (page != NULL) {
		clock_age(json_int(page, "age_ms", 0), age, sizeof age);
		printf(" (live, %s old)\n", age);
	} else if (status_time != NULL && clock_parse(status_time, &at) == 0) {
		clock_age(clock_wall(clock_system()) - at, age, sizeof age);
		printf(" (from status, %s old)\n", age);
	} else {
		printf(" (from status)\n");
	}
}

/* Bytes as people say them; texts of status are so already. */
static void
size_text(const cJSON *o, const char *path, char *out, size_t n)
{
	static const char *const unit[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi" };
	const cJSON *v = json_path(o, path);
	double bytes = cJSON_IsNumber(v) ? v->valuedouble : 0;
	int i = 0;

	if (json_text(v) != NULL && strspn(json_text(v), "0123456789") != strlen(json_text(v))) {
		snprintf(out, n, "%s", json_text(v));
		return;
	}
	if (json_text(v) != NULL)
		bytes = strtod(json_text(v), NULL);
	for (; bytes >= 10240 && i < 5; i++)
		bytes /= 1024;
	snprintf(out, n, v != NULL ? "%.0f%s" : "?", bytes, unit[i]);
}

static void
store_row(const cJSON *o, const cJSON *page)
{
	const char *id = json_str(o, "status.id", "");
	const cJSON *s = live_store(page, id);
	char capacity[32], available[32];

	if (*id == '\0')
		return;
	size_text(s != NULL ? s : o, s != NULL ? "capacity" : "status.capacity", capacity,
		sizeof capacity);
	size_text(s != NULL ? s : o, s != NULL ? "available" : "status.available", available,
		sizeof available);
	printf("%-10s %s, %s (%s), %d leaders, %d regions, %s of %s free", "Store:", id,
		s != NULL ? json_str(s, "state", "?") : json_str(o, "status.storeState", "?"),
		s != NULL ? json_str(s, "node_state", "?") : json_str(o, "status.state", "?"),
		(int)(s != NULL ? json_int(s, "leaders", 0) : json_int(o, "status.leaders", 0)),
		(int)(s != NULL ? json_int(s, "regions", 0) : json_int(o, "status.regions", 0)),
		available, capacity);
	if (s != NULL && json_get(s, "heartbeat_age") != NULL)
		printf(", heartbeat %d s ago", (int)json_int(s, "heartbeat_age", 0));
	how_old(s != NULL ? page : NULL, json_str(o, "status.figuresTime", NULL));
}

static void
member_row(const cJSON *o, const cJSON *page)
{
	const char *id = json_str(o, "status.id", "");
	const cJSON *m = live_member(page, id);
	bool leads = m != NULL ? strcmp(json_str(page, "snapshot.leader.id", ""), id) == 0
			       : json_bool(o, "status.isLeader", false);
	bool healthy =
		m != NULL ? json_bool(m, "healthy", false) : json_bool(o, "status.healthy", false);

	if (*id == '\0')
		return;
	printf("%-10s %s, %s, %s", "Member:", id, leads ? "leader" : "follower",
		healthy ? "healthy" : "not healthy");
	how_old(m != NULL ? page : NULL, NULL);
}

static void
counts_row(const char *label, const cJSON *counts)
{
	const cJSON *m;
	bool any = false;

	printf("%-10s", label);
	cJSON_ArrayForEach(m, counts)
	{
		if (!cJSON_IsNumber(m) || m->valuedouble == 0)
			continue;
		printf("%s %d %s", any ? "," : "", (int)m->valuedouble, m->string);
		any = true;
	}
	if (!any)
		printf(" none");
}

static void
cluster_rows(const cJSON *o, const cJSON *page)
{
	const char *id = json_str(o, "status.id", "");

	if (*id == '\0')
		return;
	printf("%-10s %s at %s, leader %s", "PD:", id, json_str(o, "status.pd", "?"),
		page != NULL ? json_str(page, "snapshot.leader.name", "none")
			     : json_str(o, "status.pdStatus.leader", "none"));
	how_old(page, NULL);
	counts_row("Stores:",
		page != NULL ? json_path(page, "snapshot.counts") : json_path(o, "status.stores"));
	how_old(page, NULL);
	if (page == NULL)
		return;
	counts_row("Regions:", json_path(page, "snapshot.regions"));
	how_old(page, NULL);
	if (*json_str(page, "trouble", "") != '\0')
		printf("%-10s %s\n", "Trouble:", json_str(page, "trouble", ""));
	if (*json_str(page, "history", "") != '\0')
		printf("%-10s %s\n", "History:", json_str(page, "history", ""));
	if (json_bool(page, "snapshot.halted", false))
		printf("%-10s scheduling is halted in PD\n", "Halted:");
}

void
figures_print(struct client *c, enum kind k, const cJSON *o)
{
	struct live live;
	cJSON *page;

	if (k != KIND_TIKV && k != KIND_PD && k != KIND_CLUSTER)
		return;
	live_init(&live, c);
	page = live_pd(&live, k == KIND_CLUSTER ? json_str(o, "metadata.name", "")
						: json_str(o, "spec.cluster.name", ""));
	if (k == KIND_TIKV)
		store_row(o, page);
	else if (k == KIND_PD)
		member_row(o, page);
	else
		cluster_rows(o, page);
	json_free(page);
	live_fini(&live);
}
