#include "wire/httpd_tls.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/mem.h"

#define VALID_DAYS 3650

static int
tls_error(struct err *e, const char *what)
{
	char why[160] = "unknown reason";
	unsigned long code = ERR_get_error();

	if (code)
		ERR_error_string_n(code, why, sizeof(why));
	ERR_clear_error();
	return err_set(e, ERR_INVALID, "%s: %s", what, why);
}

static int
use_cert(SSL_CTX *ctx, const char *pem, struct err *e)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL), *more;
	int failed = !cert || SSL_CTX_use_certificate(ctx, cert) != 1;

	X509_free(cert);
	while (!failed && (more = PEM_read_bio_X509(in, NULL, NULL, NULL)))
		failed = SSL_CTX_add0_chain_cert(ctx, more) != 1;
	BIO_free(in);
	if (failed)
		return tls_error(e, "server certificate");
	ERR_clear_error(); /* "no more certificates" is how the list ends */
	return 0;
}

static int
use_key(SSL_CTX *ctx, const char *pem, struct err *e)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	int failed = !key || SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
		     SSL_CTX_check_private_key(ctx) != 1;

	EVP_PKEY_free(key);
	BIO_free(in);
	return failed ? tls_error(e, "server key") : 0;
}

/* Ask for a client certificate; none is fine, a wrong one ends the handshake. */
static int
use_client_ca(SSL_CTX *ctx, const char *pem, struct err *e)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509 *ca;
	int count = 0;

	while ((ca = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		count += X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1;
		SSL_CTX_add_client_CA(ctx, ca);
		X509_free(ca);
	}
	BIO_free(in);
	if (count == 0)
		return tls_error(e, "client CA");
	ERR_clear_error();
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return 0;
}

SSL_CTX *
httpd_tls_context(const struct httpd_tls *tls, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	must(ctx);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"httpd", 5);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (use_cert(ctx, tls->cert, e) || use_key(ctx, tls->key, e) ||
		(tls->client_ca && use_client_ca(ctx, tls->client_ca, e))) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

const char *
httpd_tls_peer(SSL *ssl, char *out, size_t n)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	int len = -1;

	if (cert && SSL_get_verify_result(ssl) == X509_V_OK)
		len = X509_NAME_get_text_by_NID(
			X509_get_subject_name(cert), NID_commonName, out, (int)n);
	X509_free(cert);
	return len < 0 ? NULL : out;
}

static X509 *
cert_new(const char *cn, EVP_PKEY *key, X509 *issuer)
{
	X509 *cert = X509_new();
	unsigned char serial[8];

	must(cert && RAND_bytes(serial, sizeof(serial)) == 1);
	serial[0] &= 0x7f;
	BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
	BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	X509_set_version(cert, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_time_adj_ex(X509_getm_notAfter(cert), VALID_DAYS, 0, NULL);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
		(const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
	return cert;
}

static int
extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	int failed = !ext || X509_add_ext(cert, ext, -1) != 1;
	X509_EXTENSION_free(ext);
	return failed ? -1 : 0;
}

static char *
subject_names(const char *const *names)
{
	struct buf b;
	unsigned char address[16];

	buf_init(&b, 0);
	for (size_t i = 0; names[i]; i++) {
		bool ip = inet_pton(AF_INET, names[i], address) == 1 ||
			  inet_pton(AF_INET6, names[i], address) == 1;
		buf_printf(&b, "%s%s:%s", i ? "," : "", ip ? "IP" : "DNS", names[i]);
	}
	return buf_take(&b);
}

static char *
take_text(BIO *own_bio)
{
	char *p;
	long n = BIO_get_mem_data(own_bio, &p);
	char *text = xstrndup(p, (size_t)n);

	BIO_free(own_bio);
	return text;
}

static char *
cert_text(X509 *cert)
{
	BIO *out = BIO_new(BIO_s_mem());

	must(out && PEM_write_bio_X509(out, cert) == 1);
	return take_text(out);
}

static char *
key_text(EVP_PKEY *key)
{
	BIO *out = BIO_new(BIO_s_mem());

	must(out && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
	return take_text(out);
}

int
httpd_make_certs(const char *const *names, char **ca, char **cert, char **key, struct err *e)
{
	*ca = *cert = *key = NULL;
	if (!names[0])
		return err_set(e, ERR_INVALID, "certificate: no name: give at least one");

	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *own_key = EVP_EC_gen("P-256");
	must(ca_key && own_key);
	X509 *root = cert_new("tikv-operator CA", ca_key, NULL);
	X509 *leaf = cert_new(names[0], own_key, root);
	char *sans = subject_names(names);
	int failed = extend(root, root, NID_basic_constraints, "critical,CA:TRUE") ||
		     extend(root, root, NID_key_usage, "critical,keyCertSign,cRLSign") ||
		     extend(root, root, NID_subject_key_identifier, "hash") ||
		     !X509_sign(root, ca_key, EVP_sha256()) ||
		     extend(leaf, root, NID_basic_constraints, "critical,CA:FALSE") ||
		     extend(leaf, root, NID_key_usage, "critical,digitalSignature") ||
		     extend(leaf, root, NID_ext_key_usage, "serverAuth,clientAuth") ||
		     extend(leaf, root, NID_authority_key_identifier, "keyid") ||
		     extend(leaf, root, NID_subject_alt_name, sans) ||
		     !X509_sign(leaf, ca_key, EVP_sha256());
	if (failed) {
		tls_error(e, "certificate");
	} else {
		*ca = cert_text(root);
		*cert = cert_text(leaf);
		*key = key_text(own_key);
	}
	free(sans);
	X509_free(root);
	X509_free(leaf);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(own_key);
	return failed ? -1 : 0;
}
