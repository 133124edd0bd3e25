/* layers: base format wire kube pd vm engine
 * A plan is either taken whole and well formed, or refused with a reason. */
#include <string.h>

#include "engine/plan.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);

int
LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
	struct err e = { 0 };
	cJSON *tree = json_parse((const char *)bytes, n, &e);
	struct plan *p;

	if (tree == NULL)
		return 0;
	p = plan_decode(tree, "ns", &e);
	if (p == NULL) {
		must(e.code == ERR_INVALID && e.msg[0] != '\0');
		return 0;
	}
	must(p->actions <= 100);
	for (int i = 0; i < p->actions; i++) {
		const struct action *a = &p->action[i];
		must(a->kind < ACTION_COUNT && a->kind != ACTION_STATUS);
		must(a->of == KIND_COUNT || (a->name != NULL && a->name[0] != '\0'));
		must(a->of == KIND_COUNT || !kind_row(a->of)->namespaced ||
			strcmp(a->ns, "ns") == 0);
		must(a->creates == (a->object != NULL && a->uid[0] == '\0'));
	}
	plan_free(p);
	return 0;
}
