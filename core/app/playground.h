#ifndef APP_PLAYGROUND_H
#define APP_PLAYGROUND_H
/*
 * playground: the simulated world behind HTTPS, with the operator as a child process.
 *
 * The child speaks TLS to the playground as it would to a cluster, and reaches PD and TiKV through
 * one listener that finds the simulated host by its Host header (--connect-to).
 */
#include "app/verb.h"
#include "sim/apiserve.h"
#include "sim/outside.h"
#include "wire/httpd.h"

struct attach;
struct relay;

struct playground {
	struct loop *loop;
	struct outside world;
	struct apiserve *serve;
	struct httpd *hosts;     /* PD and TiKV */
	struct httpd *tls_hosts; /* the same over TLS, with --pd-tls; else NULL */
	char *dir; /* temporary folder with the kubeconfig, "" when the user named a file */
	char *kubeconfig;
	int operator_pid;      /* 0: none */
	struct relay *relay;   /* NULL: there is no operator */
	struct attach *attach; /* NULL: it is no mirror of another server */
	int code;
	bool ended;
};

/* Start the child that reconciles; -1 with *e. */
int playground_operator(
	struct playground *p, const char *log_level, const char *lua_dir, int port, struct err *e);
void playground_end(struct playground *p, int code);
/* The guided tour: applies a cluster, scales it, tells what it sees, and ends the playground. */
struct demo;
struct demo *demo_new(struct playground *p, bool terminal);
void demo_free(struct demo *d);

#endif
