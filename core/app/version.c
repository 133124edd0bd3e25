#include <cJSON.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <luajit.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <yaml.h>

#include "app/verbs.h"

const struct opt none_opts[] = { { NULL, 0, OPT_FLAG, NULL, NULL, NULL } };

int
version_main(struct args *a)
{
	if (args_count(a) > 0)
		return verb_usage_error(a, "takes no arguments: %s", args_at(a, 0));
	printf("tikv-operator %s\n", VERSION);
	printf("%s, libcurl %s, libevent %s, cJSON %s, libyaml %s, %s\n", LUAJIT_VERSION,
		curl_version_info(CURLVERSION_NOW)->version, event_get_version(), cJSON_Version(),
		yaml_get_version_string(), OpenSSL_version(OPENSSL_VERSION));
	return 0;
}

int
completion_main(struct args *a)
{
	if (args_count(a) != 1 || verb_completion(stdout, args_at(a, 0)) < 0)
		return verb_usage_error(a, "name one shell: bash, zsh or fish");
	return 0;
}
