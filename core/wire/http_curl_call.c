/*
 * One call as curl sees it: options on the way out, head, body and errors on the way back.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "wire/cred.h"
#include "wire/http_curl_priv.h"

#define HEAD_MAX (256u << 10)
#define BODY_MAX (64u << 20)
#define CONNECT_MS 10000L
#define SILENT_TCP_MS 30000
#define KEEP_ALIVE_S 30L
#define DNS_CACHE_S 10L
#define IDLE_CONNECTION_S 60L /* less than any server waits, so that it does not close first */

/* Make a socket that notices a dead peer, and that plug-ins do not inherit. */
static int
on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	unsigned ms = SILENT_TCP_MS;

	(void)arg;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (purpose == CURLSOCKTYPE_IPCXN)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

static void
head_reset(struct http_req *r)
{
	buf_reset(&r->field_text);
	r->field_count = 0;
}

static int
head_field(struct http_req *r, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);

	if (!colon)
		return 0;
	const char *value = colon + 1, *end = line + n;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	int failed = 0;
	for (const char *p = line; p < colon; p++)
		failed |= buf_putc(&r->field_text, (char)tolower((unsigned char)*p));
	failed |= buf_putc(&r->field_text, '\0') |
		  buf_put(&r->field_text, value, (size_t)(end - value)) |
		  buf_putc(&r->field_text, '\0');
	r->field_count++;
	return failed ? err_set(&r->fail, ERR_TOO_LARGE, "%s: more than %u KiB of headers", r->what,
				HEAD_MAX >> 10)
		      : 0;
}

static int
retry_after(const char *value, int64_t date_wall_ms)
{
	char *end;
	long s = strtol(value, &end, 10);

	if (end != value && *end == '\0')
		return s < 0 ? 0 : s > 86400 ? 86400 : (int)s;
	time_t at = curl_getdate(value, NULL);
	if (at < 0 || date_wall_ms < 0)
		return 0;
	int64_t left = (int64_t)at - date_wall_ms / 1000;
	return left < 0 ? 0 : left > 86400 ? 86400 : (int)left;
}

/* The headers are complete: make the head from them. */
static void
head_build(struct http_req *r)
{
	struct http_head *h = &r->head;
	const char *p = r->field_text.at, *retry = NULL;

	r->fields = xcalloc((size_t)r->field_count + 1, sizeof(*r->fields));
	h->content_type = h->etag = "";
	h->date_wall_ms = -1;
	for (int i = 0; i < r->field_count; i++) {
		struct http_header *f = &r->fields[i];
		f->name = p;
		f->value = p + strlen(p) + 1;
		p = f->value + strlen(f->value) + 1;
		if (!strcmp(f->name, "content-type")) {
			h->content_type = f->value;
		} else if (!strcmp(f->name, "etag")) {
			h->etag = f->value;
		} else if (!strcmp(f->name, "retry-after")) {
			retry = f->value;
		} else if (!strcmp(f->name, "date")) {
			time_t at = curl_getdate(f->value, NULL);
			h->date_wall_ms = at < 0 ? -1 : (int64_t)at * 1000;
		}
	}
	if (retry)
		h->retry_after_s = retry_after(retry, h->date_wall_ms);
	h->header = r->fields;
	h->headers = r->field_count;
	r->have_head = true;
}

static void
head_done(struct http_req *r)
{
	head_build(r);
	if (r->head.status == 401 && r->cred)
		cred_unauthorized(r->cred);
	if (r->stream) {
		loop_cancel(r->loop, r->deadline);
		r->deadline = loop_after(r->loop, r->idle_ms, req_deadline, r);
	}
	if (r->on_head)
		r->on_head(r->arg, &r->head);
}

static size_t
on_header(char *p, size_t one, size_t n, void *arg)
{
	struct http_req *r = arg;
	size_t len = n * one;

	if (req_is_dead(r))
		return 0;
	r->last_byte = loop_now(r->loop);
	if (r->have_head)
		return len; /* a trailer */
	while (len > 0 && (p[len - 1] == '\r' || p[len - 1] == '\n'))
		len--;
	if (len >= 5 && !strncmp(p, "HTTP/", 5)) {
		const char *space = memchr(p, ' ', len);
		head_reset(r);
		r->head.status = space ? atoi(space + 1) : 0;
	} else if (len == 0) {
		if (r->head.status >= 200)
			head_done(r);
	} else if (head_field(r, p, len)) {
		return 0;
	}
	return req_is_dead(r) ? 0 : n * one;
}

static size_t
on_write(char *p, size_t one, size_t n, void *arg)
{
	struct http_req *r = arg;

	n *= one;
	if (req_is_dead(r))
		return 0;
	r->last_byte = loop_now(r->loop);
	r->received += n;
	if (r->max_body && r->received > r->max_body) {
		err_set(&r->fail, ERR_TOO_LARGE, "%s: the answer is larger than %zu bytes", r->what,
			r->max_body);
		return 0;
	}
	if (!r->on_body) {
		buf_put(&r->body, p, n);
		return n;
	}
	struct err e = { 0 };
	if (r->on_body(r->arg, p, n, &e) && !req_is_dead(r)) {
		r->fail = e;
		if (e.code == ERR_NONE)
			err_set(&r->fail, ERR_INTERNAL, "%s: ended by the reader without a reason",
				r->what);
		return 0;
	}
	return req_is_dead(r) ? 0 : n;
}

static size_t
on_read(char *out, size_t one, size_t n, void *arg)
{
	struct http_req *r = arg;
	size_t left = r->request_len - r->request_at;

	n *= one;
	if (n > left)
		n = left;
	memcpy(out, r->request_body + r->request_at, n);
	r->request_at += n;
	return n;
}

static void
add_header(struct http_req *r, const char *name, const char *value)
{
	if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n")) {
		err_set(&r->fail, ERR_INVALID, "%s: header %.40s: line break in it", r->what, name);
		return;
	}
	/* "Name;" is curl's way to send a header without a value. */
	char *line = *value ? xasprintf("%s: %s", name, value) : xasprintf("%s;", name);
	r->headers = curl_slist_append(r->headers, line);
	free(line);
}

static void
set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {
		.data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY
	};

	curl_easy_setopt(easy, option, &blob);
}

static void
set_trust(CURL *easy, const struct cred_view *v)
{
	if (v->ca_pem) {
		set_blob(easy, CURLOPT_CAINFO_BLOB, v->ca_pem);
		/* Only this CA, not the system's as well. */
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (v->cert_pem && v->key_pem) {
		set_blob(easy, CURLOPT_SSLCERT_BLOB, v->cert_pem);
		set_blob(easy, CURLOPT_SSLKEY_BLOB, v->key_pem);
	}
	if (v->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (v->proxy_url)
		curl_easy_setopt(easy, CURLOPT_PROXY, v->proxy_url);
}

static bool
is_loopback(const char *host)
{
	return !strcasecmp(host, "localhost") || !strncmp(host, "127.", 4) ||
	       !strcmp(host, "[::1]") || !strcmp(host, "::1");
}

/* Where to connect, and under which name: connect rules and tls-server-name in one. */
static void
set_target(struct http_req *r, const char *url, const struct connect_rule *rules, size_t rule_count,
	const char *server_name)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL, *renamed = NULL;

	if (curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) ||
		curl_url_get(u, CURLUPART_HOST, &host, 0) ||
		curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
		err_set(&r->fail, ERR_INVALID, "%s: not a URL", r->what);
		goto out;
	}
	const char *to_host = host;
	int to_port = atoi(port);
	for (size_t i = 0; i < rule_count; i++) {
		const struct connect_rule *rule = &rules[i];
		if ((*rule->host && strcasecmp(rule->host, host)) ||
			(rule->port && rule->port != atoi(port)))
			continue;
		to_host = *rule->addr ? rule->addr : host;
		to_port = rule->to_port ? rule->to_port : atoi(port);
		break;
	}
	bool rename = server_name && strcasecmp(server_name, host) && !strncmp(url, "https:", 6);
	if (rename) {
		/* curl takes SNI and the name to verify from the URL, so the URL carries the server
		 * name, and the real host stays in the Host header and in the connection's target.
		 */
		char *plain = xasprintf("%s:%s", host, port);
		add_header(r, "Host", plain);
		free(plain);
		if (curl_url_set(u, CURLUPART_HOST, server_name, 0) ||
			curl_url_get(u, CURLUPART_URL, &renamed, 0)) {
			err_set(&r->fail, ERR_INVALID,
				"%s: tls-server-name %.100s: not a host name", r->what,
				server_name);
			goto out;
		}
	}
	if (rename || to_host != host || to_port != atoi(port)) {
		char *rule = xasprintf("::%s:%d", to_host, to_port);
		r->connect_to = curl_slist_append(NULL, rule);
		free(rule);
		curl_easy_setopt(r->easy, CURLOPT_CONNECT_TO, r->connect_to);
	}
	if (is_loopback(to_host))
		curl_easy_setopt(r->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(r->easy, CURLOPT_URL, renamed ? renamed : url);
out:
	curl_free(host);
	curl_free(port);
	curl_free(renamed);
	curl_url_cleanup(u);
}

static void
set_method(struct http_req *r, const struct http_call *c)
{
	bool writes = c->body || !strcmp(c->method, "POST") || !strcmp(c->method, "PUT") ||
		      !strcmp(c->method, "PATCH");

	if (!strcmp(c->method, "HEAD")) {
		curl_easy_setopt(r->easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (writes) {
		r->request_len = c->body ? c->body_len : 0;
		r->request_body = xmalloc(r->request_len + 1);
		if (r->request_len)
			memcpy(r->request_body, c->body, r->request_len);
		curl_easy_setopt(r->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->request_len);
		/* curl sends a request again when a kept connection dies under it. Without a way to
		 * rewind it can not, and no POST is carried out twice behind the caller's back. */
		if (!strcmp(c->method, "POST") && r->request_len) {
			curl_easy_setopt(r->easy, CURLOPT_READFUNCTION, on_read);
			curl_easy_setopt(r->easy, CURLOPT_READDATA, r);
		} else {
			curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->request_body);
		}
	}
	curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, c->method);
}

static void
set_headers(struct http_req *r, const struct http_call *c, const struct cred_view *v)
{
	add_header(r, "Accept", c->accept ? c->accept : "application/json");
	if (c->content_type)
		add_header(r, "Content-Type", c->content_type);
	else if (c->body)
		add_header(r, "Content-Type", "application/json");
	if (v->authorization)
		add_header(r, "Authorization", v->authorization);
	for (int i = 0; i < c->headers; i++)
		add_header(r, c->header[i].name, c->header[i].value);
	/* Waiting for "100 Continue" costs a round trip, or a second. */
	r->headers = curl_slist_append(r->headers, "Expect:");
	curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
}

bool
call_uploads(const struct http_call *c)
{
	return c->body && c->body_len && !strncmp(c->url, "https:", 6);
}

void
call_prepare(struct http_req *r, const struct http_call *c, const struct connect_rule *rules,
	size_t rule_count, const struct cred *cred)
{
	struct cred_view v = { 0 };

	r->what = xasprintf("%s %.*s", c->method, (int)strcspn(c->url, "?#"), c->url);
	buf_init(&r->field_text, HEAD_MAX);
	r->easy = curl_easy_init();
	must(r->easy);
	r->cred = cred;
	r->stream = c->idle_ms > 0;
	r->total_ms = c->total_ms;
	r->idle_ms = c->idle_ms;
	r->max_body = c->max_body ? c->max_body : r->stream ? 0 : BODY_MAX;
	buf_init(&r->body, r->max_body);
	r->on_head = c->on_head;
	r->on_body = c->on_body;
	r->on_end = c->on_end;
	r->arg = c->arg;
	if (strncmp(c->url, "http://", 7) && strncmp(c->url, "https://", 8)) {
		err_set(&r->fail, ERR_INVALID, "%s: not an http:// or https:// URL", r->what);
		return;
	}
	if (cred)
		v = cred_view(cred);

	CURL *easy = r->easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error_text);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
		(long)(call_uploads(c) ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
	/* Only TLS can tell before the first answer whether a connection can be shared. */
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, strncmp(c->url, "https:", 6) ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "tikv-operator/" VERSION);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_S);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEP_ALIVE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEP_ALIVE_S / 2);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
	set_trust(easy, &v);
	set_method(r, c);
	set_target(r, c->url, rules, rule_count, v.server_name);
	set_headers(r, c, &v);
}

void
call_forget(struct http_req *r)
{
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	curl_slist_free_all(r->connect_to);
	loop_cancel(r->loop, r->deadline);
	buf_fini(&r->field_text);
	buf_fini(&r->body);
	free(r->fields);
	free(r->request_body);
	free(r->what);
	free(r);
}

/* Did any byte of the request leave? If not, repeating it is harmless. */
static bool
was_sent(const struct http_req *r)
{
	long bytes = 0;

	curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &bytes);
	return bytes > 0;
}

void
call_timed_out(struct http_req *r)
{
	if (r->have_head && r->stream)
		err_set(&r->fail, ERR_TIMEOUT, "%s: silent for %lld ms", r->what,
			(long long)r->idle_ms);
	else if (r->have_head)
		err_set(&r->fail, ERR_TIMEOUT, "%s: answer not complete after %lld ms", r->what,
			(long long)r->total_ms);
	else if (was_sent(r))
		err_set(&r->fail, ERR_TIMEOUT, "%s: no answer within %lld ms", r->what,
			(long long)r->total_ms);
	else
		err_set(&r->fail, ERR_UNAVAILABLE, "%s: not connected within %lld ms", r->what,
			(long long)r->total_ms);
}

/* One code of curl means several things: TLS alerts of TLS 1.3 and broken chunks are read errors.
 */
static enum err_code
code_by_text(const struct http_req *r, enum err_code otherwise)
{
	if (strstr(r->error_text, " alert "))
		return ERR_UNAUTHORIZED;
	if (strstr(r->error_text, "in chunked-encoding") ||
		strstr(r->error_text, "wrong version number") ||
		strstr(r->error_text, "packet length"))
		return ERR_PROTOCOL;
	return otherwise;
}

static const char *
connect_reason(const struct http_req *r, char *out, size_t n)
{
	long no = 0;

	curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &no);
	if (no == ECONNREFUSED)
		return "connection refused: nothing listens there";
	if (no == 0)
		return r->error_text;
	return strerror_r((int)no, out, n);
}

void
call_result(struct http_req *r, CURLcode code)
{
	char scratch[128];
	const char *text = *r->error_text ? r->error_text : curl_easy_strerror(code);
	enum err_code as;

	if (r->fail.code != ERR_NONE)
		return;
	switch ((int)code) {
	case CURLE_OK:
		if (!r->have_head)
			err_set(&r->fail, ERR_PROTOCOL, "%s: no HTTP answer", r->what);
		return;
	case CURLE_COULDNT_CONNECT:
		text = connect_reason(r, scratch, sizeof(scratch));
		as = ERR_UNAVAILABLE;
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_SEND_FAIL_REWIND:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
	case CURLE_SSL_CONNECT_ERROR:
		as = code_by_text(r, ERR_UNAVAILABLE);
		break;
	case CURLE_OPERATION_TIMEDOUT:
		as = was_sent(r) ? ERR_TIMEOUT : ERR_UNAVAILABLE;
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		err_set(&r->fail, ERR_UNAUTHORIZED,
			"%s: the server's certificate is not trusted: %s: "
			"check the CA and the name",
			r->what, text);
		return;
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		as = ERR_UNAUTHORIZED;
		break;
	case CURLE_URL_MALFORMAT:
		as = ERR_INVALID;
		break;
	case CURLE_UNSUPPORTED_PROTOCOL: /* an answer that is not HTTP/1.0 or newer */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_WRITE_ERROR: /* not ours: the body could not be decoded */
		as = ERR_PROTOCOL;
		break;
	default:
		as = ERR_UNAVAILABLE;
		break;
	}
	err_set(&r->fail, as, "%s: %s", r->what, text);
}
