#include <string.h>

#include "kube/api.h"

#define STATUS_MAX (1u << 20)

static bool
has_cause(const cJSON *status, const char *reason)
{
	const cJSON *cause;

	cJSON_ArrayForEach(cause, json_get(json_get(status, "details"), "causes"))
	{
		const char *r = json_text(json_get(cause, "reason"));
		if (r && strcmp(r, reason) == 0)
			return true;
	}
	return false;
}

/* The reason tells more than the number, where there is one. */
static enum err_code
code_of(int http_status, const char *reason, const cJSON *status)
{
	if (strcmp(reason, "Expired") == 0 || strcmp(reason, "Gone") == 0)
		return ERR_EXPIRED;
	if (has_cause(status, "ResourceVersionTooLarge"))
		return ERR_TOO_NEW;
	if (http_status >= 500 && http_status != 501 && http_status != 504)
		return ERR_UNAVAILABLE;
	switch (http_status) {
	case 400:
	case 422:
		return ERR_INVALID;
	case 401:
		return ERR_UNAUTHORIZED;
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 405:
	case 406:
	case 415:
	case 501:
		return ERR_UNSUPPORTED;
	case 408:
	case 504: /* a write may still be carried out */
		return ERR_TIMEOUT;
	case 409:
		return strcmp(reason, "AlreadyExists") == 0 ? ERR_EXISTS : ERR_CONFLICT;
	case 410:
		return ERR_EXPIRED;
	case 413:
		return ERR_TOO_LARGE;
	case 429:
		return ERR_THROTTLED;
	}
	return ERR_PROTOCOL;
}

/* Causes name the field, which the message does not always do. */
static void
put_causes(struct buf *out, const cJSON *status)
{
	const cJSON *cause;

	cJSON_ArrayForEach(cause, json_get(json_get(status, "details"), "causes"))
	{
		const char *text = json_text(json_get(cause, "message"));
		const char *field = json_text(json_get(cause, "field"));
		if (!text || !*text || (out->len && strstr(out->at, text)))
			continue;
		if (out->len)
			buf_puts(out, "; ");
		if (field && *field)
			buf_printf(out, "%s: ", field);
		buf_puts(out, text);
	}
}

/* First line of an answer that is not a Status: proxies answer in HTML or plain text. */
static void
put_plain(struct buf *out, const char *body, size_t n)
{
	for (size_t i = 0; i < n && i < 200 && body[i] != '\n' && body[i] != '\r'; i++)
		buf_putc(out, (unsigned char)body[i] < ' ' ? ' ' : body[i]);
}

int
api_status_error(int http_status, const char *body, size_t n, int retry_after_s, struct err *e)
{
	struct err ignored = { 0 };
	struct buf text;

	if (http_status >= 200 && http_status < 300)
		return 0;
	cJSON *status = n && n <= STATUS_MAX ? json_parse(body, n, &ignored) : NULL;
	const char *reason = json_str(status, "reason", "");
	const char *message = json_str(status, "message", "");

	buf_init(&text, 0);
	buf_puts(&text, message);
	put_causes(&text, status);
	if (!status && body)
		put_plain(&text, body, n);
	err_set(e, code_of(http_status, reason, status), "%d%s%s: %s", http_status,
		*reason ? " " : "", reason, text.len ? text.at : "no explanation");
	if (e) {
		e->status = http_status;
		e->retry_after_s = retry_after_s;
		if (retry_after_s <= 0)
			e->retry_after_s = (int)json_int(status, "details.retryAfterSeconds", 0);
	}
	buf_fini(&text);
	json_free(status);
	return -1;
}
