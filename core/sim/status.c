#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/apisim_priv.h"

int
fail(struct call *c, int code, const char *reason, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_free(c->fail);
	cJSON *s = json_object();
	json_put_str(s, "kind", "Status");
	json_put_str(s, "apiVersion", "v1");
	json_put(s, "metadata", json_object());
	json_put_str(s, "status", "Failure");
	json_put_str(s, "message", text);
	json_put_str(s, "reason", reason);
	json_put_int(s, "code", code);
	c->fail = s;
	return -1;
}

cJSON *
fail_details(struct call *c)
{
	cJSON *d = (cJSON *)json_get(c->fail, "details");

	if (!d) {
		cJSON *code = cJSON_DetachItemFromObject(c->fail, "code");
		d = json_object();
		json_put(c->fail, "details", d);
		json_put(c->fail, "code", code);
	}
	return d;
}

void
fail_cause(struct call *c, const char *field, const char *reason, const char *message)
{
	cJSON *d = fail_details(c);
	cJSON *causes = (cJSON *)json_get(d, "causes");

	if (!causes) {
		causes = json_array();
		json_put(d, "causes", causes);
	}
	cJSON *one = json_object();
	json_put_str(one, "reason", reason);
	json_put_str(one, "message", message);
	json_put_str(one, "field", field);
	json_add(causes, one);
}

const char *
res_title(const struct res *res, char *out, size_t n)
{
	if (*res->group)
		snprintf(out, n, "%s.%s", res->plural, res->group);
	else
		snprintf(out, n, "%s", res->plural);
	return out;
}

static void
about(struct call *c, const struct res *res, const char *name)
{
	cJSON *d = fail_details(c);

	if (*name)
		json_put_str(d, "name", name);
	if (*res->group)
		json_put_str(d, "group", res->group);
	json_put_str(d, "kind", res->plural);
}

int
fail_not_found(struct call *c, const struct res *res, const char *name)
{
	char title[256];

	fail(c, 404, "NotFound", "%s \"%s\" not found", res_title(res, title, sizeof(title)), name);
	about(c, res, name);
	return -1;
}

int
fail_conflict(struct call *c, const char *why)
{
	char title[256];

	fail(c, 409, "Conflict", "Operation cannot be fulfilled on %s \"%s\": %s",
		res_title(c->res, title, sizeof(title)), c->name, why);
	about(c, c->res, c->name);
	return -1;
}

int
fail_modified(struct call *c)
{
	return fail_conflict(c, "the object has been modified; please apply your changes to the "
				"latest version and try again");
}

void
cause_add(cJSON *causes, const char *field, const char *reason, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cJSON *one = json_object();
	json_put_str(one, "reason", reason);
	json_put_str(one, "message", text);
	json_put_str(one, "field", field);
	json_add(causes, one);
}

int
fail_invalid(struct call *c, const char *name, cJSON *own_causes)
{
	struct buf text;
	const cJSON *one;
	int n = cJSON_GetArraySize(own_causes);

	if (!n) {
		json_free(own_causes);
		return 0;
	}
	buf_init(&text, 4000);
	cJSON_ArrayForEach(one, own_causes)
	{
		if (text.len)
			buf_puts(&text, ", ");
		buf_printf(
			&text, "%s: %s", json_str(one, "field", ""), json_str(one, "message", ""));
	}
	const char *group = *c->res->group ? c->res->group : "";
	fail(c, 422, "Invalid",
		n > 1 ? "%s%s%s \"%s\" is invalid: [%s]" : "%s%s%s \"%s\" is invalid: %s",
		c->res->kind, *group ? "." : "", group, name, text.at ? text.at : "");
	cJSON *d = fail_details(c);
	json_put_str(d, "name", name);
	if (*group)
		json_put_str(d, "group", group);
	json_put_str(d, "kind", c->res->kind);
	json_put(d, "causes", own_causes);
	buf_fini(&text);
	return -1;
}

void
warn(struct call *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	if (c->warning.len)
		buf_puts(&c->warning, ", ");
	buf_puts(&c->warning, "299 - \"");
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_putc(&c->warning, '\\');
		buf_putc(&c->warning, *p);
	}
	buf_putc(&c->warning, '"');
}

void
reply_text(struct call *c, int status, const char *type, const char *text, size_t n)
{
	const struct apisim_req *r = c->r;

	if (r->on_head)
		r->on_head(r->arg, status, type, c->warning.len ? c->warning.at : NULL);
	if (r->on_chunk && n)
		r->on_chunk(r->arg, text, n);
	if (r->on_end)
		r->on_end(r->arg);
}

void
reply_tree(struct call *c, int status, cJSON *own_tree)
{
	struct buf out;

	buf_init(&out, 0);
	json_print(own_tree, &out);
	json_free(own_tree);
	reply_text(c, status, "application/json", out.at, out.len);
	buf_fini(&out);
}

void
reply_fail(struct call *c)
{
	cJSON *s = c->fail;

	must(s);
	c->fail = NULL;
	reply_tree(c, (int)json_int(s, "code", 500), s);
}

cJSON *
status_gone(const char *message, int code)
{
	cJSON *s = json_object();

	json_put_str(s, "kind", "Status");
	json_put_str(s, "apiVersion", "v1");
	json_put(s, "metadata", json_object());
	json_put_str(s, "status", "Failure");
	json_put_str(s, "message", message);
	json_put_str(s, "reason", code == 410 ? "Expired" : "InternalError");
	json_put_int(s, "code", code);
	return s;
}
