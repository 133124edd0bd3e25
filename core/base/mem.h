#ifndef BASE_MEM_H
#define BASE_MEM_H
/*
 * mem: allocation that does not return NULL.
 *
 * Out of memory in the core aborts: a restart of the operator is always safe, half-done work in
 * memory is not. Lua's memory is bounded separately (vm.h) and its exhaustion is an ordinary error.
 */
#include <stddef.h>

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
