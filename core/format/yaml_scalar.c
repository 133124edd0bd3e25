#include "format/yaml_scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "base/mem.h"
#include "base/text.h"
#include "format/json_node.h"

static bool
one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static bool
is_null(const char *text)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL", NULL };

	return one_of(text, words);
}

/* 1 true, 0 false, -1 neither. */
static int
truth(const char *text)
{
	static const char *const yes[] = { "true", "True", "TRUE", NULL };
	static const char *const no[] = { "false", "False", "FALSE", NULL };

	return one_of(text, yes) ? 1 : one_of(text, no) ? 0 : -1;
}

static bool
only(const char *text, const char *characters)
{
	return *text != '\0' && text[strspn(text, characters)] == '\0';
}

/* [-+]? digits, 0x, 0o; a leading zero means octal, as kubectl's reader takes "defaultMode: 0644".
 */
static bool
is_integer(const char *text, int *base, const char **digits)
{
	const char *at = text + (*text == '-' || *text == '+');

	*base = 10;
	*digits = at;
	if (strncmp(at, "0x", 2) == 0 || strncmp(at, "0o", 2) == 0) {
		*base = at[1] == 'x' ? 16 : 8;
		*digits = at + 2;
		return only(*digits, *base == 16 ? "0123456789abcdefABCDEF" : "01234567");
	}
	if (*at == '0' && only(at + 1, "01234567"))
		*base = 8;
	return only(at, "0123456789");
}

static bool
is_float(const char *at)
{
	size_t before, after = 0;

	at += *at == '-' || *at == '+';
	before = strspn(at, "0123456789");
	at += before;
	if (*at == '.')
		after = strspn(++at, "0123456789");
	at += after;
	if (before + after == 0)
		return false;
	if (*at == '\0')
		return true;
	if (*at != 'e' && *at != 'E')
		return false;
	at++;
	at += *at == '-' || *at == '+';
	return only(at, "0123456789");
}

static bool
is_no_json_number(const char *text)
{
	static const char *const words[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL };

	return one_of(text + (*text == '-' || *text == '+'), words);
}

static cJSON *
number(double v)
{
	cJSON *made = cJSON_CreateNumber(v);

	must(made != NULL);
	return made;
}

static cJSON *
integer(const char *text, int base, const char *digits, const char **why)
{
	bool minus = *text == '-';
	char decimal[24];
	unsigned long long v;
	cJSON *made;

	while (*digits == '0' && digits[1] != '\0')
		digits++;
	if (base != 10) {
		errno = 0;
		v = strtoull(digits, NULL, base);
		if (errno != 0) {
			*why = "an integer of more than 64 bits";
			return NULL;
		}
		snprintf(decimal, sizeof(decimal), "%llu", v);
		digits = decimal;
	}
	if (strlen(digits) <= 15) {
		double d = (double)strtoll(digits, NULL, 10);

		return number(minus && d != 0 ? -d : d);
	}
	made = json_node(cJSON_Raw);
	made->valuestring = xasprintf("%s%s", minus ? "-" : "", digits);
	return made;
}

static cJSON *
string(const char *text)
{
	cJSON *made = json_node(cJSON_String);

	made->valuestring = xstrdup(text);
	return made;
}

/* The value of a plain scalar; a text when it is nothing else. */
static cJSON *
resolve(const char *text, const char **why)
{
	const char *digits;
	int base, yes = truth(text);
	double v;

	if (is_null(text))
		return json_node(cJSON_NULL);
	if (yes >= 0) {
		cJSON *made = json_node(yes ? cJSON_True : cJSON_False);

		made->valueint = yes;
		return made;
	}
	if (is_integer(text, &base, &digits))
		return integer(text, base, digits, why);
	if (is_no_json_number(text)) {
		*why = "infinity and not-a-number have no place in JSON: quote them";
		return NULL;
	}
	if (!is_float(text))
		return string(text);
	v = strtod(text, NULL);
	if (!isfinite(v)) {
		*why = "a number too large for a double";
		return NULL;
	}
	return number(v);
}

static const char *
tag_of(const cJSON *node)
{
	switch (node->type & 0xff) {
	case cJSON_NULL:
		return YAML_NULL_TAG;
	case cJSON_True:
	case cJSON_False:
		return YAML_BOOL_TAG;
	case cJSON_Number:
	case cJSON_Raw:
		return yaml_is_integer(node) ? YAML_INT_TAG : YAML_FLOAT_TAG;
	default: /* resolve() makes nothing else */
		return YAML_STR_TAG;
	}
}

cJSON *
yaml_scalar(const char *text, size_t n, bool plain, const char *tag, const char **why)
{
	static const char *const core[] = { YAML_NULL_TAG, YAML_BOOL_TAG, YAML_INT_TAG,
		YAML_FLOAT_TAG, NULL };
	cJSON *made;

	if (memchr(text, '\0', n) != NULL) {
		*why = "a NUL can not be part of a text";
		return NULL;
	}
	if (tag == NULL)
		return plain ? resolve(text, why) : string(text);
	if (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0)
		return string(text);
	if (!one_of(tag, core)) {
		*why = "only the core tags are known";
		return NULL;
	}
	made = resolve(text, why);
	if (made == NULL || strcmp(tag_of(made), tag) == 0 ||
		(strcmp(tag, YAML_FLOAT_TAG) == 0 && yaml_is_integer(made)))
		return made;
	json_free(made);
	*why = "the value does not fit its tag";
	return NULL;
}

bool
yaml_is_integer(const cJSON *node)
{
	return cJSON_IsRaw(node) ||
	       (cJSON_IsNumber(node) && node->valuedouble == floor(node->valuedouble) &&
		       fabs(node->valuedouble) < 1e15);
}

bool
yaml_is_plain(const char *text)
{
	static const char *const words[] = { "null", "true", "false", "yes", "no", "on", "off", "y",
		"n", NULL };

	if (!isalnum((unsigned char)*text) && *text != '_' && *text != '/')
		return false;
	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr(" _./-:@+=,()%", *p) == NULL)
			return false;
		if ((*p == ':' && (p[1] == ' ' || p[1] == '\0')) || (*p == ' ' && p[1] == '\0'))
			return false;
	}
	for (const char *const *w = words; *w != NULL; w++)
		if (strcasecmp(text, *w) == 0)
			return false;
	/* Numbers of all readers, dates, times. */
	return !isdigit((unsigned char)*text) ||
	       !only(text, "0123456789abcdefABCDEFxXoO+-._: tTzZ,");
}
