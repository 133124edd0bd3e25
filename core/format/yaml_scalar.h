#ifndef FORMAT_YAML_SCALAR_H
#define FORMAT_YAML_SCALAR_H
/*
 * yaml_scalar: what a YAML scalar means, and which texts would mean something else unquoted.
 */
#include "format/json.h"

/* The JSON value of a scalar. tag may be NULL. NULL with *why set when it has none. */
cJSON *yaml_scalar(const char *text, size_t n, bool plain, const char *tag, const char **why);
bool yaml_is_integer(const cJSON *node);
/* May this text be written without quotes and be read as the same text, by other readers too? */
bool yaml_is_plain(const char *text);

#endif
