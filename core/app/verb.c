#include "app/verb.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "format/yaml.h"

#define OPTS_MAX 48

static const struct opt client_opts[] = {
	{ "kubeconfig", 0, OPT_TEXT, "FILE", NULL,
		"kubeconfig file (default $KUBECONFIG, ~/.kube/config)" },
	{ "context", 0, OPT_TEXT, "NAME", NULL, "context of the kubeconfig" },
	{ "namespace", 'n', OPT_TEXT, "NAME", NULL, "namespace (default: the context's)" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};
static const struct opt help_opt[] = {
	{ "help", 'h', OPT_FLAG, NULL, NULL, "show this help" },
	{ NULL, 0, OPT_FLAG, NULL, NULL, NULL },
};

struct value {
	const struct opt *opt;
	const char **item; /* NULL-terminated */
	int count;
};

struct args {
	const struct verb *verb;
	struct value value[OPTS_MAX];
	int values;
	const char **at;
	int count;
	char **owned; /* texts from a config file */
	int owned_count;
};

static void
add_table(struct args *a, const struct opt *table)
{
	for (; table != NULL && table->name != NULL; table++) {
		must(a->values < OPTS_MAX);
		a->value[a->values++].opt = table;
	}
}

static struct value *
find(const struct args *a, const char *name, size_t n)
{
	for (int i = 0; i < a->values; i++) {
		const struct value *v = &a->value[i];
		if (strlen(v->opt->name) == n && strncmp(v->opt->name, name, n) == 0)
			return (struct value *)v;
	}
	return NULL;
}

static struct value *
find_letter(struct args *a, char letter)
{
	for (int i = 0; i < a->values; i++)
		if (a->value[i].opt->letter == letter)
			return &a->value[i];
	return NULL;
}

static const struct value *
named(const struct args *a, const char *name)
{
	const struct value *v = find(a, name, strlen(name));
	must(v != NULL);
	return v;
}

static void
set(struct value *v, const char *text)
{
	if (v->opt->type != OPT_LIST)
		v->count = 0;
	v->item = xrealloc(v->item, ((size_t)v->count + 2) * sizeof *v->item);
	v->item[v->count++] = text;
	v->item[v->count] = NULL;
}

const char *
args_text(const struct args *a, const char *name)
{
	const struct value *v = named(a, name);
	return v->count > 0 ? v->item[0] : v->opt->fallback;
}

int64_t
args_int(const struct args *a, const char *name)
{
	const char *text = args_text(a, name);
	return text == NULL ? 0 : strtoll(text, NULL, 10);
}

bool
args_flag(const struct args *a, const char *name)
{
	const char *text = args_text(a, name);
	return text != NULL && strcmp(text, "true") == 0;
}

const char *const *
args_list(const struct args *a, const char *name)
{
	static const char *const none[] = { NULL };
	const struct value *v = named(a, name);
	return v->count > 0 ? v->item : none;
}

int
args_count(const struct args *a)
{
	return a->count;
}

const char *
args_at(const struct args *a, int i)
{
	return i < a->count ? a->at[i] : NULL;
}

static int
check_value(const struct args *a, const struct opt *o, const char *text)
{
	if (o->type == OPT_INT) {
		char *end;
		errno = 0;
		(void)strtoll(text, &end, 10);
		if (errno != 0 || *text == '\0' || *end != '\0')
			return verb_usage_error(a, "--%s: %s is not a whole number", o->name, text);
	}
	if (o->type == OPT_FLAG && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return verb_usage_error(a, "--%s: %s is neither true nor false", o->name, text);
	return 0;
}

int
args_config_file(struct args *a, const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return err_set(e, ERR_NOT_FOUND, "%s: %s: check --config", path, strerror(errno));
	struct buf text;
	buf_init(&text, 1 << 20);
	char chunk[4096];
	size_t n;
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		(void)buf_put(&text, chunk, n);
	fclose(f);
	cJSON *docs = yaml_parse(path, text.at, text.len, NULL, e);
	buf_fini(&text);
	if (docs == NULL)
		return -1;
	int r = 0;
	if (docs->child != NULL && !cJSON_IsObject(docs->child))
		r = err_set(
			e, ERR_INVALID, "%s: no options: write lines like `log-level: info`", path);
	const cJSON *item = r == 0 && docs->child != NULL ? docs->child->child : NULL;
	for (; item != NULL && r == 0; item = item->next) {
		struct value *v = find(a, item->string, strlen(item->string));
		if (v == NULL) {
			r = err_set(e, ERR_INVALID, "%s: %s: unknown option: see --help", path,
				item->string);
			break;
		}
		if (v->count > 0)
			continue;
		const cJSON *one = cJSON_IsArray(item) ? item->child : item;
		for (; one != NULL; one = cJSON_IsArray(item) ? one->next : NULL) {
			char *s =
				json_text(one) != NULL ? xstrdup(json_text(one)) : json_string(one);
			a->owned =
				xrealloc(a->owned, ((size_t)a->owned_count + 1) * sizeof *a->owned);
			a->owned[a->owned_count++] = s;
			if (check_value(a, v->opt, s) != 0) {
				r = err_set(e, ERR_INVALID, "%s: %s: bad value: see --help", path,
					item->string);
				break;
			}
			set(v, s);
		}
	}
	json_free(docs);
	return r;
}

int
verb_usage_error(const struct args *a, const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "tikv-operator %s: ", a->verb->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry: tikv-operator %s --help\n", a->verb->name);
	return 2;
}

int
verb_fail(const struct args *a, const struct err *e)
{
	fprintf(stderr, "tikv-operator %s: %s\n", a->verb->name, e->msg);
	return 1;
}

static void
print_opts(FILE *out, const struct opt *o)
{
	for (; o != NULL && o->name != NULL; o++) {
		char left[64];
		snprintf(left, sizeof left, "%s%c%s --%s%s%s", o->letter ? "-" : " ",
			o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
			o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
		fprintf(out, "  %-28s %s", left, o->help);
		if (o->fallback != NULL && o->type != OPT_FLAG)
			fprintf(out, " (default %s)", o->fallback);
		fputc('\n', out);
	}
}

static void
print_help(FILE *out, const struct verb *v)
{
	fprintf(out, "%s\n\nUsage: tikv-operator %s [options]%s%s\n", v->summary, v->name,
		v->usage[0] ? " " : "", v->usage);
	if (v->text != NULL)
		fprintf(out, "\n%s\n", v->text);
	fprintf(out, "\nOptions:\n");
	print_opts(out, v->opts);
	if (v->client)
		print_opts(out, client_opts);
	print_opts(out, help_opt);
	fprintf(out, "\nExample:\n%s\n", v->example);
}

static void
print_overview(FILE *out)
{
	fprintf(out, "tikv-operator runs TiKV clusters (PD and TiKV) on Kubernetes.\n\n"
		     "Usage: tikv-operator VERB [options]   (or: kubectl tikv VERB)\n\n");
	for (const struct verb *v = verbs; v->name != NULL; v++)
		fprintf(out, "  %-12s %s\n", v->name, v->summary);
	fprintf(out, "\ntikv-operator VERB --help shows options and an example.\n");
}

static int
parse_long(struct args *a, const char *word, const char *next, int *used)
{
	const char *eq = strchr(word, '=');
	size_t n = eq != NULL ? (size_t)(eq - word) : strlen(word);
	struct value *v = find(a, word, n);
	if (v == NULL)
		return verb_usage_error(a, "unknown option --%.*s", (int)n, word);
	if (eq == NULL && v->opt->type != OPT_FLAG) {
		if (next == NULL)
			return verb_usage_error(
				a, "--%s needs a value (%s)", v->opt->name, v->opt->arg);
		*used = 1;
	}
	const char *text = eq != NULL ? eq + 1 : v->opt->type == OPT_FLAG ? "true" : next;
	set(v, text);
	return check_value(a, v->opt, text);
}

static int
parse_letters(struct args *a, const char *word, const char *next, int *used)
{
	for (const char *c = word; *c != '\0'; c++) {
		struct value *v = find_letter(a, *c);
		if (v == NULL)
			return verb_usage_error(a, "unknown option -%c", *c);
		if (v->opt->type == OPT_FLAG) {
			set(v, "true");
			continue;
		}
		if (c[1] == '\0' && next == NULL)
			return verb_usage_error(a, "-%c needs a value (%s)", *c, v->opt->arg);
		*used = c[1] == '\0';
		const char *text = c[1] != '\0' ? c + 1 + (c[1] == '=') : next;
		set(v, text);
		return check_value(a, v->opt, text);
	}
	return 0;
}

static int
parse(struct args *a, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		const char *w = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		int used = 0, r = 0;
		if (strcmp(w, "--") == 0) {
			for (i++; i < argc; i++)
				a->at[a->count++] = argv[i];
			break;
		}
		if (w[0] == '-' && w[1] == '-')
			r = parse_long(a, w + 2, next, &used);
		else if (w[0] == '-' && w[1] != '\0')
			r = parse_letters(a, w + 1, next, &used);
		else
			a->at[a->count++] = w;
		if (r != 0)
			return r;
		i += used;
	}
	return 0;
}

/* kubectl users write -n before the verb: client options may stand there. */
static int
leading(int argc, char **argv)
{
	int n = 1;
	while (n < argc && argv[n][0] == '-' && argv[n][1] != '\0') {
		const char *w = argv[n];
		bool takes = false;
		for (const struct opt *o = client_opts; o->name != NULL; o++)
			takes = takes || (w[1] == '-' && strcmp(w + 2, o->name) == 0) ||
				(o->letter != 0 && w[1] == o->letter && w[2] == '\0');
		n += takes ? 2 : 1;
	}
	return n < argc ? n : 1;
}

int
verb_main(int argc, char **argv)
{
	if (argc < 2) {
		print_overview(stderr);
		return 2;
	}
	const char *name = argv[1];
	bool help = strcmp(name, "help") == 0;
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		if (argc < 3) {
			print_overview(stdout);
			return 0;
		}
		name = argv[2];
		argc = 2;
		help = true;
	} else if (strcmp(name, "--version") == 0) {
		name = "version";
	} else if (*name == '-') {
		/* Turn the words so that the verb comes first; options keep their order. */
		int at = leading(argc, argv);
		char *verb = argv[at];
		memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
		argv[1] = verb;
		name = verb;
	}
	const struct verb *v = verbs;
	while (v->name != NULL && strcmp(v->name, name) != 0)
		v++;
	if (v->name == NULL) {
		fprintf(stderr, "tikv-operator: no verb %s: tikv-operator --help lists them\n",
			name);
		return 2;
	}
	struct args a = { .verb = v };
	add_table(&a, v->opts);
	if (v->client)
		add_table(&a, client_opts);
	add_table(&a, help_opt);
	a.at = xcalloc((size_t)argc + 1, sizeof *a.at);
	int r = parse(&a, argc - 2, argv + 2);
	if (r == 0 && (args_flag(&a, "help") || help))
		print_help(stdout, v);
	else if (r == 0)
		r = v->run(&a);
	for (int i = 0; i < a.values; i++)
		free(a.value[i].item);
	for (int i = 0; i < a.owned_count; i++)
		free(a.owned[i]);
	free(a.owned);
	free(a.at);
	return r;
}

static void
words(FILE *out, const struct opt *o)
{
	for (; o != NULL && o->name != NULL; o++)
		fprintf(out, " --%s", o->name);
}

/* Between single quotes, fish knows \' and \\. */
static void
fish_text(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text != '\0'; text++)
		fprintf(out, *text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
	fputc('\'', out);
}

static void
fish_opts(FILE *out, const char *verb, const struct opt *o)
{
	for (; o != NULL && o->name != NULL; o++) {
		fprintf(out,
			"complete -c tikv-operator -n '__fish_seen_subcommand_from %s' -l %s %s",
			verb, o->name, o->type == OPT_FLAG ? "" : "-r ");
		if (o->letter != 0)
			fprintf(out, "-s %c ", o->letter);
		fputs("-d ", out);
		fish_text(out, o->help);
		fputc('\n', out);
	}
}

static void
fish(FILE *out)
{
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		fprintf(out, "complete -c tikv-operator -n __fish_use_subcommand -f -a %s -d ",
			v->name);
		fish_text(out, v->summary);
		fputc('\n', out);
		fish_opts(out, v->name, v->opts);
		fish_opts(out, v->name, v->client ? client_opts : NULL);
		fish_opts(out, v->name, help_opt);
	}
	fputs("complete -c kubectl-tikv -w tikv-operator\n", out);
}

int
verb_completion(FILE *out, const char *shell)
{
	bool zsh = strcmp(shell, "zsh") == 0;
	if (strcmp(shell, "fish") == 0) {
		fish(out);
		return 0;
	}
	if (!zsh && strcmp(shell, "bash") != 0)
		return -1;
	if (zsh)
		fprintf(out, "autoload -U +X compinit && compinit\n"
			     "autoload -U +X bashcompinit && bashcompinit\n");
	fprintf(out, "_tikv_operator() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words\n"
		     "\tif [ \"$COMP_CWORD\" -eq 1 ]; then words=\"");
	for (const struct verb *v = verbs; v->name != NULL; v++)
		fprintf(out, "%s%s", v == verbs ? "" : " ", v->name);
	fprintf(out, "\"\n\telse case ${COMP_WORDS[1]} in\n");
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		fprintf(out, "\t%s) words=\"", v->name);
		words(out, v->opts);
		words(out, v->client ? client_opts : NULL);
		words(out, help_opt);
		fprintf(out, "\" ;;\n");
	}
	fprintf(out, "\tesac; fi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
		     "complete -o default -F _tikv_operator tikv-operator kubectl-tikv\n");
	return 0;
}
