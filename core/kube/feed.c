#include "kube/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/jsonstream.h"
#include "kube/api.h"

#define VALUE_MAX (8u << 20)
#define END_MARKER "k8s.io/initial-events-end"

struct feed {
	struct store *store;
	struct log *log;
	struct jsonstream *stream;
	bool collecting, quorum;
	struct obj **list;
	size_t n, cap;
	char *rv; /* of the first page */
	struct feed_counts counts;
};

struct feed *
feed_new(struct store *store, struct log *log)
{
	struct feed *f = xcalloc(1, sizeof *f);

	f->store = store;
	f->log = log;
	return f;
}

void
feed_reset(struct feed *f)
{
	for (size_t i = 0; i < f->n; i++)
		obj_unref(f->list[i]);
	free(f->list);
	f->list = NULL;
	f->n = f->cap = 0;
	free(f->rv);
	f->rv = NULL;
	f->collecting = false;
}

void
feed_free(struct feed *f)
{
	if (!f)
		return;
	feed_reset(f);
	jsonstream_free(f->stream);
	free(f);
}

const struct feed_counts *
feed_counts(const struct feed *f)
{
	return &f->counts;
}

static const char *
kind_name(const struct feed *f)
{
	return kind_row(store_kind(f->store))->kind;
}

/* ---- collecting ---- */

/* An object that is already in the store is not kept twice while a list comes in. */
static void
collect(struct feed *f, struct obj *own_o)
{
	const struct obj *have = store_get(f->store, own_o->ns, own_o->name);

	if (have && strcmp(have->uid, own_o->uid) == 0 && strcmp(have->rv, own_o->rv) == 0) {
		obj_unref(own_o);
		own_o = obj_ref(have);
	}
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->list = xrealloc(f->list, f->cap * sizeof *f->list);
	}
	f->list[f->n++] = own_o;
}

static int
check_object(const struct obj *o, struct err *e)
{
	if (!rv_valid(o->rv))
		return err_set(e, ERR_PROTOCOL, "%s: resourceVersion \"%s\" is not a number",
			o->key, o->rv);
	if (!*o->uid)
		return err_set(e, ERR_PROTOCOL, "%s: metadata.uid is missing", o->key);
	return 0;
}

/* Whatever is not newer than our version should have come by the stream. */
static uint64_t
divergence(const struct feed *f)
{
	uint64_t n = 0;

	for (size_t i = 0; store_synced(f->store) && i < f->n; i++) {
		const struct obj *o = f->list[i], *have = store_get(f->store, o->ns, o->name);
		if (rv_compare(o->rv, store_rv(f->store)) <= 0 &&
			(!have || strcmp(have->rv, o->rv) != 0))
			n++;
	}
	return n;
}

int
feed_commit(struct feed *f, bool quorum, struct err *e)
{
	bool back = rv_compare(f->rv, store_rv(f->store)) < 0;

	if (back && (f->n == 0 || !quorum))
		return err_set(e, ERR_PROTOCOL,
			"list of %s: resourceVersion %s is older than %s, seen before",
			kind_name(f), f->rv, store_rv(f->store));
	if (back)
		log_write(f->log, LOG_ERROR, "the history of the API server went back", "kind",
			kind_name(f), "had", store_rv(f->store), "has", f->rv, NULL);
	else
		f->counts.divergent += divergence(f);
	store_set_rv(f->store, f->rv);
	store_set_synced(f->store, true);
	store_replace(f->store, f->list, f->n);
	f->n = 0;
	feed_reset(f);
	return 0;
}

/* ---- LIST ---- */

static int
on_item(void *arg, const char *text, size_t n, struct err *e)
{
	struct feed *f = arg;
	struct obj *o = obj_new(store_kind(f->store), text, n, e);

	if (!o)
		return -1;
	if (check_object(o, e) != 0) {
		obj_unref(o);
		return -1;
	}
	collect(f, o);
	return 0;
}

static void
restart(struct feed *f, enum jsonstream_framing framing, jsonstream_value_fn *on_value)
{
	jsonstream_free(f->stream);
	f->stream = jsonstream_new(
		framing, framing == JSONSTREAM_ITEMS ? "items" : NULL, VALUE_MAX, on_value, f);
}

void
feed_page(struct feed *f)
{
	f->collecting = true;
	restart(f, JSONSTREAM_ITEMS, on_item);
}

static int
check_list(struct feed *f, const cJSON *head, struct err *e)
{
	const char *kind = json_str(head, "kind", "");
	const char *rv = json_str(head, "metadata.resourceVersion", "");
	size_t n = strlen(kind_name(f));

	if (strncmp(kind, kind_name(f), n) != 0 || strcmp(kind + n, "List") != 0)
		return err_set(e, ERR_PROTOCOL, "list of %s: the answer is of kind \"%s\"",
			kind_name(f), kind);
	if (!rv_valid(rv))
		return err_set(e, ERR_PROTOCOL, "list of %s: resourceVersion \"%s\" is no number",
			kind_name(f), rv);
	return 0;
}

int
feed_page_end(struct feed *f, char **more, struct err *e)
{
	char *rest = NULL;
	const cJSON *head;
	int rc = -1;

	*more = NULL;
	if (jsonstream_end(f->stream, &rest, e) != 0) {
		free(rest);
		return err_wrap(e, "list of %s", kind_name(f));
	}
	head = json_read(rest, strlen(rest), e);
	free(rest);
	if (head && check_list(f, head, e) == 0) {
		const char *token = json_str(head, "metadata.continue", "");
		if (*token)
			*more = xstrdup(token);
		if (!f->rv)
			f->rv = xstrdup(json_str(head, "metadata.resourceVersion", ""));
		rc = 0;
	}
	json_free(head);
	return rc;
}

/* ---- WATCH ---- */

static int
stream_error(const cJSON *status, struct err *e)
{
	int code = (int)json_int(status, "code", 500);
	char *text = json_string(status);

	api_status_error(code < 400 ? 500 : code, text, strlen(text), 0, e);
	free(text);
	return -1;
}

static int
bookmark(struct feed *f, const cJSON *object, struct err *e)
{
	const cJSON *meta = json_get(object, "metadata");
	const char *rv = json_text(json_get(meta, "resourceVersion"));
	const char *end = json_text(json_get(json_get(meta, "annotations"), END_MARKER));
	const char *kind = json_text(json_get(object, "kind"));

	if (kind && strcmp(kind, kind_name(f)) != 0) {
		f->counts.skipped++;
		return 0;
	}
	if (!rv_valid(rv))
		return err_set(e, ERR_PROTOCOL, "bookmark without a resourceVersion");
	f->counts.bookmarks++;
	if (f->collecting) {
		if (!end || strcmp(end, "true") != 0)
			return 0;
		free(f->rv);
		f->rv = xstrdup(rv);
		return feed_commit(f, f->quorum, e);
	}
	if (rv_compare(rv, store_rv(f->store)) < 0)
		return err_set(e, ERR_PROTOCOL, "bookmark %s is older than %s, seen before", rv,
			store_rv(f->store));
	store_set_rv(f->store, rv);
	return 0;
}

static int
change(struct feed *f, bool deleted, struct obj *own_o, struct err *e)
{
	if (f->collecting) {
		if (!deleted) {
			collect(f, own_o);
			return 0;
		}
		err_set(e, ERR_PROTOCOL, "%s: deleted before the end of the initial list",
			own_o->key);
		obj_unref(own_o);
		return -1;
	}
	bool newer = rv_compare(own_o->rv, store_rv(f->store)) > 0, done = newer;

	if (newer && deleted)
		store_remove(f->store, own_o->key, own_o->uid);
	else if (newer)
		done = store_put(f->store, obj_ref(own_o));
	if (done)
		f->counts.events++;
	else
		f->counts.dropped++;
	if (newer)
		store_set_rv(f->store, own_o->rv);
	obj_unref(own_o);
	return 0;
}

static int
object_event(struct feed *f, const char *type, const cJSON *object, struct err *e)
{
	struct err why = { 0 };
	struct obj *o = obj_of_tree(store_kind(f->store), object, &why);

	if (!o && why.code == ERR_UNSUPPORTED) {
		f->counts.skipped++;
		log_write(f->log, LOG_WARN, "event of another kind skipped", "why", why.msg, NULL);
		return 0;
	}
	if (!o)
		return err_set(e, why.code, "%s", why.msg);
	if (check_object(o, e) != 0) {
		obj_unref(o);
		return -1;
	}
	return change(f, strcmp(type, "DELETED") == 0, o, e);
}

static int
on_line(void *arg, const char *text, size_t n, struct err *e)
{
	struct feed *f = arg;
	const cJSON *event = json_read_object(text, n, e);
	int rc;

	if (!event) {
		err_set(e, ERR_PROTOCOL, "watch of %s: malformed event", kind_name(f));
		return -1;
	}
	const char *type = json_str(event, "type", "");
	const cJSON *object = json_get(event, "object");
	if (!cJSON_IsObject(object))
		rc = err_set(e, ERR_PROTOCOL, "event without an object");
	else if (strcmp(type, "ERROR") == 0)
		rc = stream_error(object, e);
	else if (strcmp(type, "BOOKMARK") == 0)
		rc = bookmark(f, object, e);
	else if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0 ||
		 strcmp(type, "DELETED") == 0)
		rc = object_event(f, type, object, e);
	else
		rc = err_set(e, ERR_PROTOCOL, "unknown event type \"%s\"", type);
	json_free(event);
	return rc == 0 ? 0 : err_wrap(e, "watch of %s", kind_name(f));
}

void
feed_stream(struct feed *f, bool initial, bool quorum)
{
	feed_reset(f);
	f->collecting = initial;
	f->quorum = quorum;
	restart(f, JSONSTREAM_LINES, on_line);
}

bool
feed_collecting(const struct feed *f)
{
	return f->collecting;
}

int
feed_stream_end(struct feed *f, struct err *e)
{
	char *rest = NULL;
	int rc = jsonstream_end(f->stream, &rest, e);

	free(rest);
	return rc;
}

int
feed_bytes(struct feed *f, const char *bytes, size_t n, struct err *e)
{
	return jsonstream_feed(f->stream, bytes, n, e);
}
