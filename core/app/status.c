#include <string.h>
#include <unistd.h>

#include "app/tree.h"
#include "app/verbs.h"
#include "format/yaml.h"

#define WATCH_S 2

const struct opt status_opts[] = {
	{ "output", 'o', OPT_TEXT, "json|yaml", NULL, "print the tree as JSON or YAML" },
	{ "watch", 'w', OPT_FLAG, NULL, NULL, "print again every two seconds until Ctrl-C" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

static int
print(const struct tree *t, const char *cluster, const char *format, const char *ns)
{
	if (format != NULL) {
		struct buf out;
		cJSON *all = tree_json(t, cluster);
		buf_init(&out, 0);
		(void)(strcmp(format, "yaml") == 0 ? yaml_print(all, &out)
						   : json_print_pretty(all, &out));
		printf("%s\n", out.at);
		buf_fini(&out);
		json_free(all);
		return 0;
	}
	int n = tree_print(t, cluster, clock_wall(clock_system()), isatty(STDOUT_FILENO), stdout);
	if (n == 0 && cluster != NULL)
		fprintf(stderr, "No Cluster %s in namespace %s: kubectl get clusters -A\n", cluster,
			ns);
	else if (n == 0)
		fprintf(stderr,
			"No Cluster in namespace %s: kubectl apply -f examples/basic makes one\n",
			ns);
	return n > 0 ? 0 : 1;
}

int
status_main(struct args *a)
{
	struct err e = { 0 };
	struct client c;
	const char *format = args_text(a, "output");
	if (args_count(a) > 1)
		return verb_usage_error(a, "name at most one Cluster");
	if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "yaml") != 0)
		return verb_usage_error(a, "--output %s: json or yaml", format);
	if (client_open(&c, a, &e) < 0)
		return verb_fail(a, &e);
	int r;
	do {
		struct tree t;
		if (tree_read(&t, &c, &e) < 0) {
			r = verb_fail(a, &e);
			break;
		}
		if (args_flag(a, "watch") && isatty(STDOUT_FILENO))
			printf("\033[H\033[J");
		r = print(&t, args_at(a, 0), format, c.ns);
		fflush(stdout);
		tree_free(&t);
	} while (args_flag(a, "watch") && sleep(WATCH_S) == 0);
	client_close(&c);
	return r;
}
