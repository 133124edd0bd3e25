#ifndef BASE_EMBED_H
#define BASE_EMBED_H
/*
 * embed: the scripts and CRDs that are part of the binary.
 *
 * The table is made at build time by embed.awk from every file of lua/ and crds/. Paths are as in
 * the repository ("lua/controllers/tikv.lua"), sorted; texts end with a NUL that is not counted.
 */
#include <stddef.h>

struct embed_file {
	const char *path; /* NULL ends the table */
	const char *text;
	size_t len;
};

extern const struct embed_file embed_files[];

const struct embed_file *embed_find(const char *path); /* NULL when there is none */

#endif
