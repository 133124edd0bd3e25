#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "pd/pd_priv.h"

/* The text of PD's four shapes of errors, one line. */
static void
error_text(const char *body, size_t n, char *out, size_t max)
{
	cJSON *tree =
		n > 0 && (body[0] == '"' || body[0] == '{') ? json_parse(body, n, NULL) : NULL;
	const char *s = cJSON_IsString(tree) ? tree->valuestring : json_str(tree, "msg", NULL);
	size_t k = 0;

	if (s == NULL)
		s = json_str(tree, "error", NULL);
	if (s == NULL)
		s = body != NULL ? body : "";
	else
		n = strlen(s);
	n = text_cut(s, n, max - 1);
	for (; k < n && s[k] != '\n' && s[k] != '\0'; k++)
		out[k] = iscntrl((unsigned char)s[k]) ? ' ' : s[k];
	out[k] = '\0';
	json_free(tree);
}

static enum err_code
code_of(int status, const char *text)
{
	if (strstr(text, "ErrNotBootstrapped") != NULL)
		return ERR_UNSUPPORTED;
	switch (status) {
	case 400:
	case 406:
	case 422:
		return ERR_INVALID;
	case 401:
		return ERR_UNAUTHORIZED;
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 405:
		return ERR_UNSUPPORTED;
	case 409:
	case 410:
		return ERR_CONFLICT;
	case 429:
		return ERR_THROTTLED;
	default:
		return status >= 500 ? ERR_UNAVAILABLE : ERR_PROTOCOL;
	}
}

int
pd_refused(struct pd_call *c, int status, const char *body, size_t n, struct err *e)
{
	char text[256];

	error_text(body, n, text, sizeof text);
	err_set(e, code_of(status, text), "PD %s %s: %d: %s", c->method, c->path, status,
		text[0] != '\0' ? text : "no text");
	e->status = status;
	return -1;
}
