#ifndef BASE_MAP_H
#define BASE_MAP_H
/*
 * map: string keys to pointers, iterated in insertion order.
 *
 * Keys are copied. Values belong to the caller, unless map_new() was given a function to free
 * them. Removing while iterating is allowed for the current key only. Insertion order makes runs
 * repeatable: nothing may depend on hash order. Lookup is O(1) expected; removal keeps the order.
 */
#include <stdbool.h>
#include <stddef.h>

struct map;
typedef void map_free_fn(void *value);

struct map *map_new(map_free_fn *free_value); /* NULL: values are not freed */
void map_free(struct map *m);
void *map_get(const struct map *m, const char *key); /* NULL when absent */
bool map_has(const struct map *m, const char *key);
void map_put(struct map *m, const char *key, void *value); /* replaces (and frees) an old value */
void *map_take(struct map *m, const char *key);            /* remove without freeing the value */
bool map_del(struct map *m, const char *key);              /* remove and free; false when absent */
void map_clear(struct map *m);
size_t map_count(const struct map *m);

/* for (struct map_iter it = {0}; map_next(m, &it);) use it.key, it.value */
struct map_iter {
	size_t at;
	const char *key;
	void *value;
};
bool map_next(const struct map *m, struct map_iter *it);

#endif
