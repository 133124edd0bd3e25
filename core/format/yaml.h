#ifndef FORMAT_YAML_H
#define FORMAT_YAML_H
/*
 * yaml: manifests as kubectl reads them, to JSON trees and back.
 *
 * YAML 1.2 core schema (true/false/null/~, decimal, 0x and 0o integers, floats), anchors and
 * aliases (bounded expansion), merge keys, block and flow styles, several documents. Errors name
 * file, line and column. A leading zero means octal (defaultMode: 0644), because kubectl's reader
 * takes it so; yes, no, on and off are texts. Refused: infinity and not-a-number (JSON has none),
 * duplicate keys, non-string keys that do not print plainly, tags other than the core ones, more
 * than 100 levels, more than 16 MiB after expansion.
 */
#include "base/buf.h"
#include "base/err.h"
#include "format/json.h"

/* Parse all documents of a text. Returns an array of trees (empty documents are left out) and, in
 * *lines when not NULL, a malloc'ed array with the first line of each. NULL on error. */
cJSON *yaml_parse(const char *name, const char *text, size_t n, int **lines, struct err *e);
/* Print a tree as block YAML that reads back as the same tree. */
int yaml_print(const cJSON *tree, struct buf *out);

#endif
