/* layers: base format wire kube */
/*
 * The reflector's parser against any bytes, cut at any places. The first byte chooses between a
 * watch, a streaming list and pages of a LIST, the second seeds the cuts. Before and after, the
 * store's indexes agree with its objects, and a failed list leaves the store as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kube/feed.h"

struct expected {
	struct store *store;
	const struct obj *object;
};

static bool
holds(const struct obj **list, size_t n, const struct obj *o)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == o)
			return true;
	return false;
}

static void
must_be_found(void *arg, enum store_index index, const char *value)
{
	const struct expected *x = arg;
	const struct obj **list;
	size_t n = store_list(x->store, index, value, &list);

	must(holds(list, n, x->object));
	free(list);
}

static void
check(struct store *s)
{
	const struct obj **all;
	size_t n = store_list(s, STORE_ALL, NULL, &all);

	must(n == store_count(s));
	for (size_t i = 0; i < n; i++) {
		const struct obj *o = all[i];
		must(i == 0 || strcmp(all[i - 1]->key, o->key) < 0);
		must(store_get(s, o->ns, o->name) == o);
		must(rv_valid(o->rv) && *o->uid && *o->name);
		must(strlen(o->text) == o->len);
		json_free(obj_tree(o));
		obj_index_values(o, must_be_found, &(struct expected){ s, o });
	}
	free(all);
}

/* Listeners see a chain: what is replaced or removed was there, what is added was not. */
struct mirror {
	size_t count;
};

static void
on_change(void *arg, const struct obj *old, const struct obj *now)
{
	struct mirror *m = arg;

	must(old || now);
	if (old && now)
		must(strcmp(old->key, now->key) == 0 && strcmp(old->uid, now->uid) == 0);
	m->count += now ? 1 : 0;
	must(m->count >= (old ? 1 : 0));
	m->count -= old ? 1 : 0;
}

static void
seed_store(struct store *s)
{
	static const char text[] =
		"{\"kind\":\"TiKV\",\"apiVersion\":\"core.tikv.org/"
		"v1alpha1\",\"metadata\":{\"name\":"
		"\"a\",\"namespace\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"5\",\"labels\":{"
		"\"core.tikv.org/group\":\"g\"}},\"spec\":{\"cluster\":{\"name\":\"c\"}}}";

	must(store_put(s, obj_new(KIND_TIKV, text, sizeof text - 1, NULL)));
	store_set_rv(s, "5");
}

static int
feed_in_pieces(struct feed *f, struct rng *rng, const char *at, size_t n, struct err *e)
{
	while (n > 0) {
		size_t piece = 1 + (size_t)rng_below(rng, n);
		/* Bytes at the end of their allocation, so that a read past them is seen. */
		char *copy = xmalloc(piece);
		memcpy(copy, at, piece);
		int rc = feed_bytes(f, copy, piece, e);
		free(copy);
		if (rc != 0) {
			must(e->code != ERR_NONE);
			return -1;
		}
		at += piece;
		n -= piece;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct store *s = store_new(KIND_TIKV);
	struct feed *f = feed_new(s, NULL);
	struct mirror m = { 0 };
	struct err e = { 0 };
	struct rng rng;

	store_listen(s, on_change, &m);
	seed_store(s);
	if (size >= 2) {
		const char *at = (const char *)data + 2;
		char *more = NULL;
		rng_seed(&rng, data[1]);
		if (data[0] % 3 == 2) {
			feed_page(f);
			if (feed_in_pieces(f, &rng, at, size - 2, &e) == 0 &&
				feed_page_end(f, &more, &e) == 0) {
				must(store_count(s) == 1 && strcmp(store_rv(s), "5") == 0);
				(void)feed_commit(f, data[1] % 2, &e);
			}
			free(more);
		} else {
			feed_stream(f, data[0] % 3 == 1, data[1] % 2);
			if (feed_in_pieces(f, &rng, at, size - 2, &e) == 0)
				(void)feed_stream_end(f, &e);
			if (feed_collecting(f))
				must(store_count(s) == 1 && strcmp(store_rv(s), "5") == 0);
		}
	}
	check(s);
	must(m.count == store_count(s));
	feed_free(f);
	store_free(s);
	return 0;
}
