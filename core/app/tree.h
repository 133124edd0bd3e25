#ifndef APP_TREE_H
#define APP_TREE_H
/*
 * tree: the objects of one namespace as Cluster -> groups -> instances, for status and the demo.
 *
 * Figures are PD's newest where the operator can be asked (tree_live), else those of status. Built
 * from five lists; what names a Cluster that does not exist is not shown. Children are in order of
 * kind (PD first) and ordinal.
 */
#include "app/live.h"

struct tree {
	cJSON *list[KIND_TIKV + 1]; /* by enum kind: the five lists, owned */
	cJSON *pd;                  /* Cluster -> page of live_pd, owned; NULL: not asked */
};

int tree_read(struct tree *t, struct client *c, struct err *e);
void tree_live(struct tree *t, struct live *l);
void tree_free(struct tree *t);
/* cluster NULL: all. Returns the number of Clusters printed. width: lines are cut there; 0: not. */
int tree_print(const struct tree *t, const char *cluster, int64_t now_wall_ms, bool color,
	int width, FILE *out);
/* Columns and lines of the terminal on stdout; 0 when it is none. */
int tree_width(void);
int tree_height(void);
/* The same as one JSON value: [{cluster, groups: [{group, instances: []}]}], without managedFields;
 * the caller frees. */
cJSON *tree_json(const struct tree *t, const char *cluster);

#endif
