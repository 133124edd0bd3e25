#ifndef WIRE_CRED_PRIV_H
#define WIRE_CRED_PRIV_H
/*
 * cred_priv: what the files of cred share.
 *
 * cred.c keeps credentials fresh, cred_kube.c reads kubeconfigs, cred_exec.c runs plug-ins,
 * cred_file.c reads files and looks at PEM.
 */
#include <cJSON.h>

#include "wire/cred.h"

#define CRED_FILE_MS 50000 /* C2: client-go's minute with its leeway */

struct cred_exec {
	char *name;    /* "/x/config: users[0].user.exec", for messages */
	char *command; /* resolved against the folder of its kubeconfig */
	char **args;   /* command first, NULL-terminated */
	char **env;    /* "NAME=value", NULL-terminated */
	char *api_version;
	char *cluster;           /* JSON of spec.cluster, or NULL */
	int64_t expires_wall_ms; /* -1: never */
	int64_t ran_at;          /* monotonic */
	bool after_refusal;      /* the last run was caused by a 401 */
	bool have_answer;
};

/* A text that may live in a file. Text and path may both be NULL. */
struct cred_source {
	char *text, *path;
};

struct cred {
	const struct clock *clock; /* NULL: nothing is ever read again */
	struct cred_source token, ca, cert, key;
	struct cred_exec *exec;
	char *basic; /* "Basic ..." */
	char *authorization;
	char *server_name, *proxy_url;
	bool insecure;
	uint64_t version;
	int64_t read_at;
	bool stale; /* a 401 came: read at once */
	char *problem;
};

/* cred.c */
struct cred *cred_alloc(const struct clock *clock);
void cred_set_authorization(struct cred *c);

/* cred_file.c. The whole file, malloc'ed, or NULL; errors say "PATH: reason". */
char *cred_read_file(const char *path, struct err *e);
char *cred_trim(char *own_text); /* without white space around it */
bool cred_pem_is_ca(const char *pem);
bool cred_pem_is_pair(const char *cert, const char *key);
char *cred_base64_decode(const char *text); /* NULL when it is none, or has a NUL in it */
char *cred_base64_encode(const char *text);

/* cred_exec.c. Runs the plug-in and takes over what it answers. */
int cred_exec_run(struct cred *c, struct err *e);
struct cred_exec *cred_exec_new(
	const cJSON *spec, const char *name, const char *folder, struct err *e);
void cred_exec_free(struct cred_exec *x);

#endif
