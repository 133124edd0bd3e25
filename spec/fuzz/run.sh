#!/usr/bin/env bash
# Builds every spec/fuzz/*_fuzz.c with libFuzzer and runs each for FUZZ_SECONDS (default 60).
# Arguments: names of targets (default: all). What a run finds stays in $BUILD/fuzz/NAME.found/.
# A target needs the layers its includes name, and those below them.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
seconds=${FUZZ_SECONDS:-60}
clang=${FUZZ_CC:-clang}
out=$BUILD/fuzz
order="base format wire kube pd vm engine sim app"
packages="luajit libcurl libcjson yaml-0.1 openssl libevent libevent_openssl"
flags=(-g -O1 -std=c11 -D_GNU_SOURCE -Icore -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
mkdir -p "$out"

can_fuzz() {
	echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
		"$clang" -fsanitize=fuzzer,address,undefined -x c -o "$out/probe" - 2>/dev/null
}

if ! can_fuzz; then
	if [ "${CI:-}" != true ]; then
		echo "fuzz: skipped: $clang with its fuzzer runtime is missing (apt-get install clang)"
		exit 0
	fi
	sudo=
	[ "$(id -u)" -eq 0 ] || sudo=sudo
	{ $sudo apt-get update -qq && $sudo apt-get install -y -qq clang; } >&2
	can_fuzz || { echo "fuzz: $clang can not build a fuzz target" >&2; exit 1; }
fi

# The layers up to the highest one that a target includes.
layers_of() {
	local wanted highest=base l
	wanted=$(sed -n 's/^#include "\([a-z]*\)\/.*/\1/p' "$1")
	for l in $order; do
		grep -qx "$l" <<<"$wanted" && highest=$l
	done
	for l in $order; do
		echo "$l"
		[ "$l" = "$highest" ] && break
	done
}

# Objects are made once and shared by the targets; a source newer than its object is made again.
compile() {
	local source=$1 object=$2
	shift 2
	[ "$object" -nt "$source" ] && [ -z "$(find core -name '*.h' -newer "$object" -print -quit)" ] &&
		return
	mkdir -p "$(dirname "$object")"
	# shellcheck disable=SC2046
	"$clang" "${flags[@]}" -DVERSION='"fuzz"' "$@" $(pkg-config --cflags $packages) \
		-c -o "$object" "$source"
}

build() {
	local name=$1 target=$2 l c objects=()
	for l in $(layers_of "$target"); do
		for c in core/"$l"/*.c; do
			case $c in core/base/embed.c | core/app/main.c | core/*/\*.c) continue ;; esac
			compile "$c" "$out/${c%.c}.o" -fsanitize=fuzzer-no-link,address,undefined || return 1
			objects+=("$out/${c%.c}.o")
		done
	done
	compile "$target" "$out/$name.o" -fsanitize=fuzzer-no-link,address,undefined || return 1
	make --no-print-directory -s BUILD="$BUILD" "$BUILD/obj/embed.o" || return 1
	compile core/base/embed.c "$out/core/base/embed.o" || return 1
	# shellcheck disable=SC2046
	"$clang" -fsanitize=fuzzer,address,undefined -o "$out/$name" "$out/$name.o" "${objects[@]}" \
		"$out/core/base/embed.o" "$BUILD/obj/embed.o" $(pkg-config --libs $packages) -lm
}

failed=0
for target in spec/fuzz/*_fuzz.c; do
	name=$(basename "$target" _fuzz.c)
	[ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
	build "$name" "$target" || { echo "fuzz: $name: does not build"; failed=1; continue; }
	mkdir -p "$out/$name.grown" "$out/$name.found"
	corpus=("$out/$name.grown")
	[ -d "spec/fuzz/corpus/$name" ] && corpus+=("spec/fuzz/corpus/$name")
	dict=()
	[ -f "spec/fuzz/$name.dict" ] && dict=(-dict="spec/fuzz/$name.dict")
	if "$out/$name" -max_total_time="$seconds" -max_len="${FUZZ_LEN:-4096}" -timeout=10 \
		-rss_limit_mb=2048 -print_final_stats=1 "${dict[@]}" -artifact_prefix="$out/$name.found/" \
		"${corpus[@]}" >"$out/$name.log" 2>&1; then
		echo "fuzz: $name: clean," \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.log") inputs"
	else
		echo "fuzz: $name: FOUND, see $out/$name.log and $out/$name.found/"
		tail -15 "$out/$name.log"
		failed=1
	fi
done
exit $failed
