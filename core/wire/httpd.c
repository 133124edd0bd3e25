#include "wire/httpd.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "base/mem.h"
#include "wire/httpd_tls.h"
#include "wire/loop_event.h"

#define UNREAD_MAX (256u << 10) /* bytes a client may send ahead of its turn */
#define UNSENT_MAX (64u << 20)  /* bytes a slow reader may leave with us */
#define HEADERS_MAX (64u << 10)
#define IDLE_S 120
#define SILENT_TCP_MS 30000
#define KEEP_ALIVE_S 30

struct httpd {
	struct loop *loop;
	struct evhttp *http;
	SSL_CTX *tls;
	int port;
	httpd_fn *fn;
	void *arg;
	LIST_HEAD(, httpd_req) held; /* requests that are not answered yet */
	size_t held_count;
};

struct httpd_req {
	LIST_ENTRY(httpd_req) link;
	struct httpd *d;
	struct evhttp_request *ev;
	struct timer *drop; /* the peer reads too slowly: the connection ends at the next turn */
	void (*on_gone)(void *arg);
	void *gone_arg;
	bool started;
	bool *over; /* where to say that the request ended while its handler runs */
};

/* Ours is over; evhttp's request lives on until its bytes are sent. */
static void
release(struct httpd_req *r)
{
	struct evhttp_connection *c = evhttp_request_get_connection(r->ev);

	if (c)
		evhttp_connection_set_closecb(c, NULL, NULL);
	loop_cancel(r->d->loop, r->drop);
	LIST_REMOVE(r, link);
	r->d->held_count--;
	if (r->over)
		*r->over = true;
	free(r);
}

static void
on_close(struct evhttp_connection *c, void *arg)
{
	struct httpd_req *r = arg;
	struct evhttp_request *orphan = evhttp_request_get_connection(r->ev) ? NULL : r->ev;
	void (*gone)(void *) = r->on_gone;
	void *gone_arg = r->gone_arg;

	evhttp_connection_set_closecb(c, NULL, NULL);
	release(r);
	/* evhttp lets go of a request whose connection broke before the reply was complete. */
	if (orphan)
		evhttp_request_free(orphan);
	if (gone)
		gone(gone_arg);
}

static const char *
header_of(const struct httpd_in *in, const char *lower_name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(in->impl), lower_name);
}

static const char *
method_name(enum evhttp_cmd_type method)
{
	switch (method) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	case EVHTTP_REQ_TRACE:
		return "TRACE";
	case EVHTTP_REQ_CONNECT:
		return "CONNECT";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	}
	return "";
}

static struct bufferevent *
connection_of(struct evhttp_request *ev)
{
	return evhttp_connection_get_bufferevent(evhttp_request_get_connection(ev));
}

/* evhttp bounds what it reads itself; while a request is held nobody takes what the client sends.
 */
static void
on_unread(struct bufferevent *bev, void *arg)
{
	(void)arg;
	if (evbuffer_get_length(bufferevent_get_input(bev)) > UNREAD_MAX)
		bufferevent_disable(bev, EV_READ);
}

/* A request that waits must notice when its peer goes away. evhttp stops reading while it handles
 * a request; its read callback must not run then, but the end of the stream must be seen. evhttp
 * sets its own callbacks at each write, so this is done again after each. */
static void
watch_peer(struct httpd_req *r)
{
	struct bufferevent *bev = connection_of(r->ev);
	bufferevent_data_cb on_write;
	bufferevent_event_cb on_event;
	void *arg;

	bufferevent_getcb(bev, NULL, &on_write, &on_event, &arg);
	bufferevent_setcb(bev, on_unread, on_write, on_event, arg);
	bufferevent_set_timeouts(bev, NULL, NULL);
	if (evbuffer_get_length(bufferevent_get_input(bev)) <= UNREAD_MAX)
		bufferevent_enable(bev, EV_READ);
}

static void
on_request(struct evhttp_request *ev, void *arg)
{
	struct httpd *d = arg;
	struct httpd_req *r = xcalloc(1, sizeof(*r));
	struct httpd_in in = { .header = header_of, .impl = ev };
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(ev);
	struct evbuffer *body = evhttp_request_get_input_buffer(ev);
	struct bufferevent *bev = connection_of(ev);
	char peer[256];
	bool over = false;

	r->d = d;
	r->ev = ev;
	r->over = &over;
	LIST_INSERT_HEAD(&d->held, r, link);
	d->held_count++;
	evhttp_connection_set_closecb(evhttp_request_get_connection(ev), on_close, r);
	in.method = method_name(evhttp_request_get_command(ev));
	in.path = evhttp_uri_get_path(uri);
	if (!in.path || !*in.path)
		in.path = "/";
	in.query = evhttp_uri_get_query(uri);
	if (!in.query)
		in.query = "";
	in.host = header_of(&in, "host");
	if (!in.host)
		in.host = "";
	in.body_len = evbuffer_get_length(body);
	in.body = in.body_len ? (const char *)evbuffer_pullup(body, -1) : "";
	if (d->tls)
		in.peer_cn = httpd_tls_peer(bufferevent_openssl_get_ssl(bev), peer, sizeof(peer));
	d->fn(d->arg, r, &in);
	if (over)
		return;
	r->over = NULL;
	watch_peer(r);
}

static struct bufferevent *
on_connection(struct event_base *base, void *arg)
{
	struct httpd *d = arg;
	struct bufferevent *bev;

	if (d->tls) {
		bev = bufferevent_openssl_socket_new(base, -1, SSL_new(d->tls),
			BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	} else {
		bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	}
	return bev;
}

/* What is set on the listener is inherited by the connections. */
static void
set_listener_options(int fd)
{
	int on = 1, keep_alive = KEEP_ALIVE_S, every = KEEP_ALIVE_S / 2;
	unsigned silent = SILENT_TCP_MS;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keep_alive, sizeof(keep_alive));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof(silent));
}

static int
listen_on(const char *addr, int port, int *port_out, struct err *e)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	char text[16], why[128];

	snprintf(text, sizeof(text), "%d", port);
	if (getaddrinfo(addr && *addr ? addr : NULL, text, &hints, &ai))
		return err_set(e, ERR_INVALID, "%s: not an IP address", addr);
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		set_listener_options(fd);
	if (fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 512) ||
		getsockname(fd, (struct sockaddr *)&bound, &len)) {
		bool taken = errno == EADDRINUSE;
		err_set(e, taken ? ERR_EXISTS : ERR_UNAVAILABLE, "%s:%d: %s", addr, port,
			taken ? "address already in use" : strerror_r(errno, why, sizeof(why)));
		if (fd >= 0)
			close(fd);
		fd = -1;
	} else {
		*port_out = ntohs(bound.ss_family == AF_INET6
					  ? ((struct sockaddr_in6 *)&bound)->sin6_port
					  : ((struct sockaddr_in *)&bound)->sin_port);
	}
	freeaddrinfo(ai);
	return fd;
}

struct httpd *
httpd_new(struct loop *event_loop, const char *addr, int port, const struct httpd_tls *tls,
	size_t max_body, httpd_fn *fn, void *arg, struct err *e)
{
	struct httpd *d = xcalloc(1, sizeof(*d));

	d->loop = event_loop;
	d->fn = fn;
	d->arg = arg;
	LIST_INIT(&d->held);
	if (tls && !(d->tls = httpd_tls_context(tls, e))) {
		httpd_free(d);
		return NULL;
	}
	int fd = listen_on(addr, port, &d->port, e);
	if (fd < 0) {
		httpd_free(d);
		return NULL;
	}
	d->http = evhttp_new(loop_event_base(event_loop));
	must(d->http);
	evhttp_set_allowed_methods(d->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
						    EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						    EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						    EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_max_body_size(d->http, (ev_ssize_t)max_body);
	evhttp_set_max_headers_size(d->http, HEADERS_MAX);
	evhttp_set_timeout(d->http, IDLE_S);
	evhttp_set_bevcb(d->http, on_connection, d);
	evhttp_set_gencb(d->http, on_request, d);
	must(evhttp_accept_socket_with_handle(d->http, fd));
	return d;
}

void
httpd_free(struct httpd *d)
{
	if (!d)
		return;
	if (d->http)
		evhttp_free(d->http); /* closes connections; on_gone runs for held requests */
	SSL_CTX_free(d->tls);
	free(d);
}

int
httpd_port(const struct httpd *d)
{
	return d->port;
}

size_t
httpd_held(const struct httpd *d)
{
	return d->held_count;
}

static void
add_headers(struct httpd_req *r, const struct http_header *header, int headers,
	const char *content_type)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(r->ev);

	for (int i = 0; i < headers; i++)
		evhttp_add_header(out, header[i].name, header[i].value);
	if (content_type)
		evhttp_add_header(out, "Content-Type", content_type);
}

/* Keep-alive waits for the next request with the usual limit again. */
static void
restore_timeouts(struct httpd_req *r)
{
	struct timeval tv = { .tv_sec = IDLE_S };

	bufferevent_set_timeouts(connection_of(r->ev), &tv, &tv);
}

void
httpd_reply(struct httpd_req *r, int status, const struct http_header *header, int headers,
	const char *content_type, const char *body, size_t n)
{
	struct evhttp_request *ev = r->ev;
	struct evbuffer *out = evbuffer_new();

	must(!r->started && out);
	add_headers(r, header, headers, content_type);
	if (n)
		evbuffer_add(out, body, n);
	restore_timeouts(r);
	release(r);
	evhttp_send_reply(ev, status, NULL, out);
	evbuffer_free(out);
}

void
httpd_start(struct httpd_req *r, int status, const char *content_type)
{
	must(!r->started);
	r->started = true;
	add_headers(r, NULL, 0, content_type);
	evhttp_send_reply_start(r->ev, status, NULL);
	watch_peer(r);
}

static void
drop_slow_reader(void *arg)
{
	struct httpd_req *r = arg;

	r->drop = NULL;
	evhttp_connection_free(evhttp_request_get_connection(r->ev));
}

void
httpd_chunk(struct httpd_req *r, const char *bytes, size_t n)
{
	must(r->started);
	if (n == 0 || r->drop)
		return;
	struct evbuffer *out = evbuffer_new();
	must(out);
	evbuffer_add(out, bytes, n);
	evhttp_send_reply_chunk(r->ev, out);
	evbuffer_free(out);
	watch_peer(r);
	if (evbuffer_get_length(bufferevent_get_output(connection_of(r->ev))) > UNSENT_MAX)
		r->drop = loop_after(r->d->loop, 0, drop_slow_reader, r);
}

void
httpd_finish(struct httpd_req *r)
{
	struct evhttp_request *ev = r->ev;
	struct evhttp_connection *doomed = r->drop ? evhttp_request_get_connection(ev) : NULL;

	must(r->started);
	restore_timeouts(r);
	release(r);
	if (doomed)
		evhttp_connection_free(doomed);
	else
		evhttp_send_reply_end(ev);
}

void
httpd_on_gone(struct httpd_req *r, void (*on_gone)(void *arg), void *arg)
{
	r->on_gone = on_gone;
	r->gone_arg = arg;
}
