#ifndef KUBE_POSTINGS_H
#define KUBE_POSTINGS_H
/*
 * postings: which objects have an index value.
 *
 * Most values belong to one object (its uid as owner, its instance label), so a value costs one
 * slot of a hash table and no copy of its text: the text is read from the objects themselves.
 * Objects are lent and must be taken out before they go. Lists are in order of keys.
 */
#include "kube/store.h"

struct postings;

struct postings *postings_new(void);
void postings_free(struct postings *p);
void postings_add(struct postings *p, struct obj *o);
void postings_remove(struct postings *p, struct obj *o);
/* The objects with that value; valid until the next change. */
size_t postings_find(const struct postings *p, enum store_index index, const char *value,
	struct obj *const **out);

/* Sorted lists of objects, as the store keeps them too. */
struct obj_list {
	struct obj **at;
	size_t n, cap;
};
size_t obj_list_place(struct obj *const *at, size_t n, const char *key, bool *found);
void obj_list_insert(struct obj_list *l, size_t at, struct obj *o);
void obj_list_delete(struct obj_list *l, size_t at);

#endif
