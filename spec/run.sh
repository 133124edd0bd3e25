#!/bin/sh
# Runs the specs under LuaJIT with the sanitized core; the last line is `N passed, N failed`.
# Arguments: files or folders (default: every spec that needs no cluster).
set -u
BUILD=${BUILD:-build}
export BUILD
[ $# -gt 0 ] || set -- spec
# OpenSSL and the test runner keep memory until exit; leaks of ours are found by the binary's own runs.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0:abort_on_error=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
asan=$(${CC:-cc} -print-file-name=libasan.so)
LD_PRELOAD="$asan" LUA_PATH="./lua/?.lua;./spec/?.lua;;" \
	luajit "$(command -v busted)" --pattern=_spec --exclude-tags=cluster -o spec/support/report.lua "$@"
