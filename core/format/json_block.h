#ifndef FORMAT_JSON_BLOCK_H
#define FORMAT_JSON_BLOCK_H
/*
 * json_block: the memory of one tree that is only read. For this folder only.
 *
 * Nodes grow from the front of a block and texts from its end, so a tree is one allocation, or two
 * when the guess was small. The first node taken is the root; it is found again by a flag of its
 * type, and its block lies right before it.
 */
#include <stddef.h>

#include "format/json.h"

struct json_block;

struct json_block *json_block_new(size_t bytes_of_text);
cJSON *json_block_node(struct json_block *b, int type);
char *json_block_text(struct json_block *b, size_t n); /* n bytes, not aligned */
void json_block_free(struct json_block *b);            /* by one of its owners */
bool json_block_is_root(const cJSON *tree);
struct json_block *json_block_of(const cJSON *root);

#endif
