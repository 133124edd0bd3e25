#ifndef APP_LUADIR_H
#define APP_LUADIR_H
/*
 * luadir: the scripts of --lua-dir: read them, and notice when one is saved.
 *
 * The real side of script.h's seam. Files are DIR/controllers/<name>.lua and DIR/lib/<name>.lua;
 * they become modules "controllers.<name>" and "lib.<name>". Links and other files are not read.
 */
#include "engine/script.h"

/* The caller frees *out with luadir_free(). */
int luadir_read(void *arg, const char *dir, struct vm_source **out, size_t *n, struct err *e);
void luadir_free(struct vm_source *list, size_t n);
/* Changes whenever a file was added, removed or saved; 0 when the folder can not be read. */
uint64_t luadir_stamp(const char *dir);

#endif
