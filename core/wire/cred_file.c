#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/buf.h"
#include "base/mem.h"
#include "wire/cred_priv.h"

#define FILE_MAX (1u << 20)

char *
cred_read_file(const char *path, struct err *e)
{
	char chunk[8192], why[128];
	ssize_t n;
	struct buf b;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "%s: %s", path,
			errno == ENOENT ? "no such file" : strerror_r(errno, why, sizeof(why)));
		return NULL;
	}
	buf_init(&b, FILE_MAX);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (buf_put(&b, chunk, (size_t)n))
			break;
	int no = errno;
	close(fd);
	if (n != 0) {
		bool large = b.full;
		buf_fini(&b);
		err_set(e, large ? ERR_TOO_LARGE : ERR_INVALID, "%s: %s", path,
			large ? "larger than 1 MiB" : strerror_r(no, why, sizeof(why)));
		return NULL;
	}
	return buf_take(&b);
}

char *
cred_trim(char *own_text)
{
	size_t n = strlen(own_text), from = 0;

	while (n > 0 && isspace((unsigned char)own_text[n - 1]))
		n--;
	while (from < n && isspace((unsigned char)own_text[from]))
		from++;
	char *out = xstrndup(own_text + from, n - from);
	free(own_text);
	return out;
}

static X509 *
first_cert(const char *pem)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);

	BIO_free(in);
	ERR_clear_error();
	return cert;
}

bool
cred_pem_is_ca(const char *pem)
{
	X509 *cert = first_cert(pem);

	X509_free(cert);
	return cert != NULL;
}

bool
cred_pem_is_pair(const char *cert_pem, const char *key_pem)
{
	X509 *cert = first_cert(cert_pem);
	BIO *in = BIO_new_mem_buf(key_pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	bool fits = cert && key && X509_check_private_key(cert, key) == 1;

	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
	BIO_free(in);
	return fits;
}

char *
cred_base64_decode(const char *text)
{
	size_t n = strlen(text);
	unsigned char *out = xmalloc(n + 4);
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	int len = 0, tail = 0;

	must(ctx);
	EVP_DecodeInit(ctx);
	bool ok = n < FILE_MAX &&
		  EVP_DecodeUpdate(ctx, out, &len, (const unsigned char *)text, (int)n) >= 0 &&
		  EVP_DecodeFinal(ctx, out + len, &tail) == 1;
	EVP_ENCODE_CTX_free(ctx);
	len += tail;
	if (!ok || memchr(out, 0, (size_t)len)) {
		free(out);
		return NULL;
	}
	out[len] = '\0';
	return (char *)out;
}

char *
cred_base64_encode(const char *text)
{
	size_t n = strlen(text);
	unsigned char *out = xmalloc(n / 3 * 4 + 8);

	EVP_EncodeBlock(out, (const unsigned char *)text, (int)n);
	return (char *)out;
}
