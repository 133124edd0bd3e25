/* Whatever is read is a JSON tree that prints to YAML and JSON which read back as the same. */
#include <stdlib.h>

#include "format/json.h"
#include "format/yaml.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);

static void
reads_back(const cJSON *tree)
{
	struct buf out;
	struct err e;
	cJSON *again;

	buf_init(&out, 0);
	must(yaml_print(tree, &out) == 0);
	again = yaml_parse("again", out.at, out.len, NULL, &e);
	must(again != NULL && json_equal(again->child, tree) && again->child->next == NULL);
	json_free(again);
	buf_reset(&out);
	must(json_print(tree, &out) == 0);
	again = json_parse(out.at, out.len, &e);
	must(again != NULL && json_equal(again, tree));
	json_free(again);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
	struct err e = { 0 };
	int *lines = NULL, count = 0, last = 0;
	cJSON *documents = yaml_parse("fuzz", (const char *)bytes, n, &lines, &e), *tree;

	if (documents == NULL) {
		must(e.code == ERR_INVALID || e.code == ERR_TOO_LARGE);
		must(lines == NULL);
	} else {
		for (const cJSON *c = documents->child; c != NULL; c = c->next) {
			must(lines[count] >= last);
			last = lines[count++];
			reads_back(c);
		}
		free(lines);
		json_free(documents);
	}
	/* JSON is YAML, apart from the very long keys. */
	tree = n < 900 ? json_parse((const char *)bytes, n, NULL) : NULL;
	if (tree != NULL)
		reads_back(tree);
	json_free(tree);
	return 0;
}
