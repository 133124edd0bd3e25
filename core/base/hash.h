#ifndef BASE_HASH_H
#define BASE_HASH_H
/*
 * hash: SHA-256 (OpenSSL) for names of content, FNV-1a for tables and event hashes.
 */
#include <stddef.h>
#include <stdint.h>

void hash_sha256_hex(const void *p, size_t n, char out[65]);
uint64_t hash_fnv(const void *p, size_t n, uint64_t seed); /* seed 0 = the standard offset basis */
/* Ten characters of Kubernetes' "safe" alphabet (bcdfghjklmnpqrstvwxz2456789): revision names. */
void hash_safe_name(const void *p, size_t n, char out[11]);

#endif
