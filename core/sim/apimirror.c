#include <string.h>

#include "sim/apisim_priv.h"

int
apisim_mirror(struct apisim *a, const char *resource, const cJSON *object, bool removed)
{
	struct apisim_req request = { .user = "mirror" };
	struct call c = { .a = a, .r = &request, .ns = "", .name = "", .sub = "" };
	struct res *res = res_by_id(a, resource);
	const char *ns = json_str(object, "metadata.namespace", ""),
		   *name = json_str(object, "metadata.name", "");
	struct buf key;

	if (!res || !*name)
		return -1;
	struct ver *old = live_find(res, ns, name);
	if (removed && !old)
		return 0;
	buf_init(&key, 0);
	key_of(&key, res, ns, name);
	commit(&c, res, old, key.at, json_clone(object), removed);
	buf_fini(&key);
	return 0;
}
