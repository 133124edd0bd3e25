#ifndef FORMAT_JSON_NODE_H
#define FORMAT_JSON_NODE_H
/*
 * json_node: how json's sources make and order cJSON nodes. For this folder only.
 */
#include "format/json.h"

cJSON *json_node(int type);
/* Append without a look at keys; parent->child->prev stays the last child, as cJSON wants it. */
void json_link(cJSON *parent, cJSON *child);
/* Put a child before one that is there. (cJSON_InsertItemInArray() of Debian 12 always refuses.) */
void json_link_before(cJSON *parent, cJSON *next, cJSON *child);
/* The members of an object by key; a malloc'ed array of lent nodes. */
const cJSON **json_sorted(const cJSON *object, size_t *n);

#endif
