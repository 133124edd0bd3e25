#ifndef KUBE_FEED_H
#define KUBE_FEED_H
/*
 * feed: turns the bytes of a LIST or a WATCH into changes of one store.
 *
 * It knows the protocol and nothing of requests, time or retries (watch.h does). Bytes may be cut
 * anywhere. What a list collects reaches the store only by a commit of the complete list (L6, S3);
 * events are applied at once and move the store's resourceVersion after them (W4). Errors carry the
 * code of the Status that came, or ERR_PROTOCOL; after an error only feed_reset(), feed_page() or
 * feed_stream() bring it back.
 */
#include "base/log.h"
#include "kube/store.h"

struct feed;

struct feed_counts {
	uint64_t events; /* applied */
	uint64_t bookmarks;
	uint64_t dropped;   /* not newer than what the stream or the store had (W11) */
	uint64_t skipped;   /* of another kind (W10) */
	uint64_t divergent; /* a list had them in a version that the store should have seen (Q4) */
};

struct feed *feed_new(struct store *store, struct log *log);
void feed_free(struct feed *f);
void feed_reset(struct feed *f); /* forget what was collected; the next page is the first */

void feed_page(struct feed *f); /* the bytes of one page of a LIST follow */
/* *more: malloc'ed continue token, NULL after the last page. */
int feed_page_end(struct feed *f, char **more, struct err *e);
/* Make the store equal to the collected pages. quorum: the list was asked for without a version, so
 * that an older one than ours means that the server's history was restored. */
int feed_commit(struct feed *f, bool quorum, struct err *e);

/* The bytes of a WATCH follow. initial: it starts with the complete list (S2). */
void feed_stream(struct feed *f, bool initial, bool quorum);
bool feed_collecting(
	const struct feed *f); /* the end marker of the initial list is still to come */
int feed_stream_end(struct feed *f, struct err *e); /* -1: it was cut inside an event */

int feed_bytes(struct feed *f, const char *bytes, size_t n, struct err *e);
const struct feed_counts *feed_counts(const struct feed *f);

#endif
