#include "prestop/ask.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S 10

static int
dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	struct timeval limit = { .tv_sec = LIMIT_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The server's name is not judged: it is the neighbour in the same pod. */
static SSL *
greet(SSL_CTX *ctx, const struct ask_at *at, int fd)
{
	SSL *ssl;

	if (SSL_CTX_load_verify_locations(ctx, at->cacert, NULL) != 1 ||
		SSL_CTX_use_certificate_chain_file(ctx, at->cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, at->key, SSL_FILETYPE_PEM) != 1)
		return NULL;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	ssl = SSL_new(ctx);
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

static int
put(SSL *ssl, int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = ssl != NULL ? SSL_write(ssl, text, (int)left)
					: send(fd, text, left, MSG_NOSIGNAL);
		if (n <= 0)
			return -1;
		text += n;
		left -= (size_t)n;
	}
	return 0;
}

/* All until the end of the connection: "Connection: close" was asked for. NULL: not in time. */
static char *
take(SSL *ssl, int fd)
{
	size_t size = 1 << 16, have = 0;
	char *all = malloc(size);
	time_t end = time(NULL) + LIMIT_S;

	while (all != NULL) {
		ssize_t n = ssl != NULL ? SSL_read(ssl, all + have, (int)(size - have - 1))
					: recv(fd, all + have, size - have - 1, 0);
		if (n < 0 && ssl == NULL)
			break;
		if (n <= 0) {
			all[have] = '\0';
			return all;
		}
		have += (size_t)n;
		if (time(NULL) > end || size > (64u << 20))
			break;
		if (size - have < 2) {
			char *more = realloc(all, size *= 2);
			if (more == NULL)
				break;
			all = more;
		}
	}
	free(all);
	return NULL;
}

/* Chunks become one body, in place. */
static void
join_chunks(char *body)
{
	char *out = body, *in = body, *end;

	for (;;) {
		unsigned long n = strtoul(in, &end, 16);
		char *start = strstr(end, "\r\n");
		if (n == 0 || start == NULL || strlen(start + 2) < n)
			break;
		memmove(out, start + 2, n);
		out += n;
		in = start + 2 + n + 2;
	}
	*out = '\0';
}

static int
read_answer(char *all, char *body, size_t size)
{
	char *head_end = strstr(all, "\r\n\r\n"), *text;
	int status;

	if (head_end == NULL || sscanf(all, "HTTP/1.%*d %d", &status) != 1)
		return -1;
	*head_end = '\0';
	text = head_end + 4;
	for (char *line = all; (line = strstr(line, "\r\n")) != NULL; line += 2) {
		if (strncasecmp(line + 2, "transfer-encoding: chunked", 26) == 0)
			join_chunks(text);
	}
	snprintf(body, size, "%s", text);
	return status;
}

int
ask(const struct ask_at *at, const char *method, const char *path, char *body, size_t size,
	const char **why)
{
	SSL_CTX *ctx = at->cacert != NULL ? SSL_CTX_new(TLS_client_method()) : NULL;
	SSL *ssl = NULL;
	char request[512], *all = NULL;
	int fd = dial(at->port), status = -1;

	snprintf(request, sizeof request,
		"%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nContent-Length: "
		"0\r\n\r\n",
		method, path, at->port);
	*why = "no connection";
	if (fd >= 0 && ctx != NULL) {
		*why = "no TLS";
		ssl = greet(ctx, at, fd);
	}
	if (fd >= 0 && (ctx == NULL || ssl != NULL)) {
		*why = "no answer";
		if (put(ssl, fd, request) == 0)
			all = take(ssl, fd);
		status = all != NULL ? read_answer(all, body, size) : -1;
	}
	free(all);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	if (fd >= 0)
		close(fd);
	return status;
}
