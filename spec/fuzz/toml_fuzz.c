/* layers: base format vm
 * TOML: what the reader takes is written so that it reads back as the same text. */
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "vm/vm.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);

static const char round_trip[] = "local toml = require 'lib.toml'\n"
				 "return { run = function(text)\n"
				 "  local doc = toml.decode(text)\n"
				 "  if not doc then return true end\n"
				 "  local once = toml.encode(doc)\n"
				 "  local again = toml.decode(once)\n"
				 "  return again ~= nil and toml.encode(again) == once\n"
				 "end }\n";

static struct vm *
make(void)
{
	struct err e = { 0 };
	const struct embed_file *f = embed_find("lua/lib/toml.lua");
	struct vm *vm = vm_new(&(struct vm_conf){ .tag = "fuzz" }, &e);
	must(vm != NULL && f != NULL);
	struct vm_source src[] = { { "lib.toml", f->path, f->text, f->len },
		{ "fuzz", "fuzz.lua", round_trip, strlen(round_trip) } };
	must(vm_load(vm, src, 2, &e) == 0 && vm_require(vm, "fuzz", &e) == 0);
	return vm;
}

int
LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
	static struct vm *vm; /* libFuzzer calls in one process, over and over */
	struct err e = { 0 };
	cJSON *out = NULL;

	if (vm == NULL)
		vm = make();
	char *text = malloc(n + 1);
	memcpy(text, bytes, n);
	text[n] = '\0';
	cJSON *arg = cJSON_CreateString(text);
	const cJSON *args[] = { arg };
	enum vm_end end = vm_call(vm, "fuzz", "run", args, 1, &out, &e);
	must(end != VM_ERROR || strstr(e.msg, "UTF-8") != NULL);
	must(end != VM_OK || cJSON_IsTrue(out));
	json_free(out);
	json_free(arg);
	free(text);
	return 0;
}
