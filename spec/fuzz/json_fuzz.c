/* Whatever is read prints to what reads back as the same, in every style; patches do no harm. */
#include <stdlib.h>
#include <string.h>

#include "format/json.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);

static cJSON *
again(const struct buf *text)
{
	struct err e;
	cJSON *tree = json_parse(text->at, text->len, &e);

	must(tree != NULL);
	return tree;
}

static void
round_trip(const cJSON *tree, int (*print)(const cJSON *, struct buf *))
{
	struct buf out, second;
	cJSON *read;

	buf_init(&out, 0);
	buf_init(&second, 0);
	must(print(tree, &out) == 0);
	read = again(&out);
	must(json_equal(tree, read) && json_equal(read, tree));
	must(print(read, &second) == 0);
	must(strcmp(out.at, second.at) == 0);
	json_free(read);
	buf_fini(&second);
	buf_fini(&out);
}

/* The input as a list: a target, a merge patch and a list of operations. */
static void
patch(const cJSON *list)
{
	cJSON *target = json_clone(json_path(list, "[0]")), *before = json_clone(target);
	const cJSON *merge = json_path(list, "[1]"), *operations = json_path(list, "[2]");
	struct err e;

	if (target != NULL && operations != NULL) {
		if (json_patch(&target, operations, &e) != 0)
			must(json_equal(target, before));
		else
			round_trip(target, json_print);
	}
	if (target != NULL && merge != NULL) {
		json_merge_patch(&target, merge);
		round_trip(target, json_print_canonical);
	}
	json_free(before);
	json_free(target);
}

int
LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
	struct err e = { 0 };
	cJSON *tree = json_parse((const char *)bytes, n, &e), *copy;
	char path[64] = "";

	if (tree == NULL) {
		must(e.code == ERR_INVALID || e.code == ERR_TOO_LARGE);
		return 0;
	}
	round_trip(tree, json_print);
	round_trip(tree, json_print_pretty);
	round_trip(tree, json_print_canonical);
	copy = json_clone(tree);
	must(json_equal(tree, copy));
	json_free(copy);
	memcpy(path, bytes, n < sizeof(path) - 1 ? n : sizeof(path) - 1);
	json_str(tree, path, NULL);
	json_int(tree, path, 0);
	if (cJSON_IsArray(tree))
		patch(tree);
	json_free(tree);
	return 0;
}
