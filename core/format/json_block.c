#include "format/json_block.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ROOT (1 << 12) /* cJSON itself uses the bits up to 9 */
#define LEAST 512

struct piece {
	struct piece *next;
	char *front, *end; /* what is free lies between */
};

struct json_block {
	struct piece *more; /* newest first */
	size_t size;
	int owners;
	bool rooted;
	const cJSON **follower;
	struct piece first;
	cJSON node[];
};

static void
piece_open(struct piece *p, char *at, size_t n)
{
	p->front = at;
	p->end = at + n;
}

struct json_block *
json_block_new(size_t bytes_of_text)
{
	/* About a node for each 24 bytes of an object; most bytes are texts. */
	size_t n = bytes_of_text * 4 + LEAST;
	struct json_block *b = xmalloc(sizeof(*b) + n);

	*b = (struct json_block){ .size = n, .owners = 1 };
	piece_open(&b->first, (char *)b->node, n);
	return b;
}

static struct piece *
room(struct json_block *b, size_t n)
{
	struct piece *p = b->more ? b->more : &b->first;

	if ((size_t)(p->end - p->front) >= n)
		return p;
	size_t size = b->size / 2 + n;
	p = xmalloc(sizeof(*p) + size);
	p->next = b->more;
	piece_open(p, (char *)(p + 1), size);
	return b->more = p;
}

cJSON *
json_block_node(struct json_block *b, int type)
{
	struct piece *p = room(b, sizeof(cJSON));
	cJSON *n = (cJSON *)p->front;

	p->front += sizeof(*n);
	memset(n, 0, sizeof(*n));
	n->type = b->rooted ? type : type | ROOT;
	b->rooted = true;
	return n;
}

char *
json_block_text(struct json_block *b, size_t n)
{
	struct piece *p = room(b, n);

	return p->end -= n;
}

void
json_block_free(struct json_block *b)
{
	if (--b->owners > 0)
		return;
	if (b->follower)
		*b->follower = NULL;
	for (struct piece *p = b->more, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	free(b);
}

bool
json_block_is_root(const cJSON *tree)
{
	return (tree->type & ROOT) != 0;
}

struct json_block *
json_block_of(const cJSON *root)
{
	must(json_block_is_root(root));
	return (struct json_block *)((char *)root - offsetof(struct json_block, node));
}

const cJSON *
json_share(const cJSON *root)
{
	json_block_of(root)->owners++;
	return root;
}

void
json_follow(const cJSON *root, const cJSON **slot)
{
	json_block_of(root)->follower = slot;
	if (slot)
		*slot = root;
}
