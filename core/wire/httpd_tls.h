#ifndef WIRE_HTTPD_TLS_H
#define WIRE_HTTPD_TLS_H
/*
 * httpd_tls: what httpd needs of OpenSSL. Private to wire/.
 */
#include <openssl/ssl.h>

#include "wire/httpd.h"

SSL_CTX *httpd_tls_context(const struct httpd_tls *tls, struct err *e); /* NULL on error */
/* Common name of the verified client certificate in `out`, or NULL when there is none. */
const char *httpd_tls_peer(SSL *ssl, char *out, size_t n);

#endif
