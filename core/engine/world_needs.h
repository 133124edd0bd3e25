#ifndef ENGINE_WORLD_NEEDS_H
#define ENGINE_WORLD_NEEDS_H
/*
 * world_needs: reads what needs(object) returned, strictly.
 *
 * An unknown key, kind or a wrong type is ERR_INVALID that names the item. Texts are lent by the
 * tree, `value` is owned.
 */
#include "kube/store.h"

struct world_need {
	const char *as;
	enum { NEED_LIST, NEED_ONE, NEED_PD, NEED_TIKV, NEED_SECRETS } form;
	enum kind kind;
	enum store_index index; /* lists */
	char *value;            /* as store_list() takes it; lists */
	const char *name, *uid; /* one */
	const struct projection *projection;
	const char *cluster; /* PD */
	bool all_stores;
	char *store; /* id, or NULL; owned */
	const char *address, *member;
	double fresh; /* seconds, 0: any age */
	const cJSON *wake;
	const char *instance;  /* TiKV */
	const cJSON *secrets;  /* names */
	const cJSON *settings; /* dotted names: of PD, or of the instance; NULL: none */
};

int world_need_read(struct world_need *out, const cJSON *item, const char *ns,
	struct projections *projections, struct err *e);
void world_need_fini(struct world_need *n);

#endif
