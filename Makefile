# tikv-operator: every target fits on one screen. `make help` lists them.

BUILD  ?= build
LAYERS ?= base format wire kube pd vm engine sim app
CC     ?= cc
PKGS    = luajit libcurl libcjson yaml-0.1 openssl libevent libevent_openssl
DEBS    = gcc make pkg-config luajit libluajit-5.1-dev libcurl4-openssl-dev libcjson-dev \
          libyaml-dev libssl-dev libevent-dev lua-busted
LINTS   = lua-check clang-format clang libclang-rt-14-dev

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
SAN     ?=
OPT     ?= $(if $(SAN),-O1,-O2)
ifdef SAN
SANFLAG  = -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
endif
CFLAGS  ?= -g
CFLAGS  += -std=c11 -D_GNU_SOURCE -fPIC $(OPT) $(SANFLAG) -Icore -MMD -MP \
           -Wall -Wextra -Wshadow -Wswitch -Werror -DVERSION='"$(VERSION)"' \
           $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS   = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm

OUT   = $(BUILD)/$(if $(SAN),san,obj)
SRC   = $(wildcard $(LAYERS:%=core/%/*.c))
OBJ   = $(SRC:core/%.c=$(OUT)/%.o) $(OUT)/embed.o
BIN   = $(if $(SAN),$(OUT)/tikv-operator,$(BUILD)/tikv-operator)
ASSET = $(shell find lua crds examples/basic examples/demo -name '*.lua' -o -name '*.yaml' ! -name kustomization.yaml | LC_ALL=C sort)

.PHONY: help demo build prestop test specs e2e sim bench fuzz lint layers format install clean deps core
.DEFAULT_GOAL := help

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps build ## install what is missing, build, play the tour (no cluster needed)
	@$(BUILD)/tikv-operator playground --demo

deps: # install missing packages on Debian and Ubuntu, say what to install elsewhere
	@sh .ci/deps "$(PKGS)" "$(DEBS)"

build: deps ; @$(MAKE) --no-print-directory -j$$(nproc) $(BIN) ## compile build/tikv-operator

$(BIN): $(OBJ)
	@echo '  link  $@'
	@$(CC) $(SANFLAG) -o $@ $(OBJ) $(LDLIBS)
	@ln -sf tikv-operator $(dir $@)kubectl-tikv

# The program of the pods' preStop hooks is static: it runs in images that are not ours.
prestop: $(BUILD)/prestop
$(BUILD)/prestop: $(wildcard core/prestop/*.[ch])
	@echo '  link  $@'
	@$(CC) -std=c11 -D_GNU_SOURCE -Os -Wall -Wextra -Wshadow -Werror -Icore -static -s -o $@ $(filter %.c,$^) \
		-lssl -lcrypto 2>$(BUILD)/prestop.log || { cat $(BUILD)/prestop.log; exit 1; }

core: $(OUT)/core.so # the C core as a library, for the specs
$(OUT)/core.so: $(filter-out $(OUT)/app/main.o,$(OBJ))
	@echo '  link  $@'
	@$(CC) $(SANFLAG) -shared -o $@ $^ $(LDLIBS)

$(OUT)/%.o: core/%.c
	@mkdir -p $(dir $@)
	@echo '  cc    $<'
	@$(CC) $(CFLAGS) -c -o $@ $<

$(OUT)/embed.S: $(ASSET) core/base/embed.awk Makefile
	@mkdir -p $(dir $@)
	@printf '%s\n' $(ASSET) | awk -f core/base/embed.awk > $@
$(OUT)/embed.o: $(OUT)/embed.S $(ASSET)
	@$(CC) -c -o $@ $<

test: deps ## install what is missing, build with sanitizers, run all that needs no cluster
	@$(MAKE) --no-print-directory -j$$(nproc) SAN=1 $(BUILD)/san/tikv-operator core
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/tikv-operator
	@BUILD=$(BUILD) sh spec/run.sh $(SPECS)

specs: ; @BUILD=$(BUILD) sh spec/run.sh $(SPECS) # run specs again without building: SPECS="spec/base"

e2e: build ## the same scenarios on a real kube-apiserver (needs Go)
	@BUILD=$(BUILD) bash spec/e2e/run.sh $(E2E)

sim: build ## simulate random fault schedules: SEED, SCHEDULES (default 10000), SECONDS_MOST
	@$(BUILD)/tikv-operator simulate --seed $${SEED:-1} --schedules $${SCHEDULES:-10000} --seconds $${SECONDS_MOST:-0}

mutants: build ## break a copy in one place after the other: a spec or the simulation must notice each
	@$(MAKE) --no-print-directory -j$$(nproc) SAN=1 core
	@BUILD=$(BUILD) sh spec/sim/mutants.sh

bench: build ## measure on the real API server and on the simulator
	@BUILD=$(BUILD) bash spec/bench/run.sh

fuzz: deps ## fuzz every parser of outside bytes, FUZZ_SECONDS (default 60) each
	@BUILD=$(BUILD) bash spec/fuzz/run.sh

layers: ## fail when an include points the wrong way
	@sh .ci/layers $(LAYERS)

lint: layers ## format, luacheck, layers
	@find core spec -name '*.[ch]' | xargs clang-format --dry-run -Werror
	@luacheck -q lua spec

format: ; find core spec -name '*.[ch]' | xargs clang-format -i

install: build ## put the binary and the kubectl plug-in under PREFIX (default /usr/local)
	install -D -m 755 -s $(BIN) $(DESTDIR)$${PREFIX:-/usr/local}/bin/tikv-operator
	ln -sf tikv-operator $(DESTDIR)$${PREFIX:-/usr/local}/bin/kubectl-tikv

clean: ; rm -rf $(BUILD) ## remove everything that was built

-include $(OBJ:.o=.d)
