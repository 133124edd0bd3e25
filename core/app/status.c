#include <string.h>
#include <unistd.h>

#include "app/tree.h"
#include "app/verbs.h"
#include "format/yaml.h"

#define WATCH_S 2

const struct opt status_opts[] = {
	{ "output", 'o', OPT_TEXT, "json|yaml|wide", NULL,
		"JSON, YAML, or lines that are not cut at the terminal's edge" },
	{ "watch", 'w', OPT_FLAG, NULL, NULL, "print again every two seconds until Ctrl-C" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

static void
print_value(const cJSON *value, bool yaml)
{
	struct buf out;
	buf_init(&out, 0);
	(void)(yaml ? yaml_print(value, &out) : json_print_pretty(value, &out));
	printf("%s%s", out.at, yaml ? "" : "\n");
	buf_fini(&out);
}

static int
print(const struct tree *t, const char *cluster, const char *format, const char *ns)
{
	bool wide = format != NULL && strcmp(format, "wide") == 0;
	int n;
	if (format != NULL && !wide) {
		cJSON *all = tree_json(t, cluster);
		n = cJSON_GetArraySize(all);
		print_value(all, strcmp(format, "yaml") == 0);
		json_free(all);
	} else {
		n = tree_print(t, cluster, clock_wall(clock_system()), isatty(STDOUT_FILENO),
			wide ? 0 : tree_width(), stdout);
	}
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
	bool again = args_flag(a, "watch"), terminal = isatty(STDOUT_FILENO);
	if (args_count(a) > 1)
		return verb_usage_error(a, "name at most one Cluster");
	if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "yaml") != 0 &&
		strcmp(format, "wide") != 0)
		return verb_usage_error(a, "--output %s: json, yaml or wide", format);
	if (client_open(&c, a, &e) < 0)
		return verb_fail(a, &e);
	struct live live;
	int r;
	live_init(&live, &c);
	do {
		struct tree t;
		/* An API server that restarts does not end a watch. */
		if (tree_read(&t, &c, &e) < 0) {
			r = verb_fail(a, &e);
			continue;
		}
		tree_live(&t, &live);
		if (again && terminal)
			fputs("\033[H\033[J", stdout);
		r = print(&t, args_at(a, 0), format, c.ns);
		fflush(stdout);
		tree_free(&t);
	} while (again && !ferror(stdout) && sleep(WATCH_S) == 0);
	live_fini(&live);
	client_close(&c);
	return r;
}
