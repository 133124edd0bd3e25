#!/usr/bin/env bash
# Measures the operator on a real control plane: run.sh [N [flags of the harness]]  (N: TiKV instances, default 100)
#   BENCH_HARNESS  folder of the harness (default ../shared/bench); it plays nodes, volumes, PD and DNS
#   BENCH_BIN      folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok (default:
#                  built by spec/e2e/stack/build.sh)
#   BENCH_OUT      where results go (default $BUILD/bench)      BUILD  folder of the operator (default build)
# Needs root, Go, openssl, a free port 8080, and port 2379. Nothing but loopback is used.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
n=${1:-100}
[ $# -eq 0 ] || shift
build=${BUILD:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
harness=${BENCH_HARNESS:-$root/../shared/bench}

lacks() { echo "bench: $1: $2" >&2; exit "${3:-3}"; }
case $n in '' | *[!0-9]*) lacks "N is a number of TiKV instances, not '$n'" "usage: run.sh [N [flags]]" 2 ;; esac
[ -x "$harness/run.sh" ] || [ -f "$harness/run.sh" ] ||
	lacks "no harness at $harness" "set BENCH_HARNESS to its folder; without one, nothing is measured"
command -v go >/dev/null || lacks "no Go toolchain" "install Go; the harness and the control plane are built with it"
command -v openssl >/dev/null || lacks "no openssl" "apt-get install openssl"
[ "$(id -u)" = 0 ] || lacks "not root" "the operator gets a mount namespace of its own for DNS: run as root"
[ -x "$build/tikv-operator" ] || lacks "no $build/tikv-operator" "make build"

bin=${BENCH_BIN:-$(bash "$root/spec/e2e/stack/build.sh")}
[ -x "$bin/kubectl" ] || command -v kubectl >/dev/null || lacks "no kubectl in $bin" "put one on the PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The harness is built from a copy: its folder may be read-only.
mkdir "$work/tool" "$work/crds"
cp -r "$harness/." "$work/tool"
(cd "$work/tool" && go build -o bench .)
for kind in clusters pdgroups pds tikvgroups tikvs; do cp "$root/crds/$kind.yaml" "$work/crds"; done
strip -o "$work/tikv-operator" "$build/tikv-operator"

export PATH=$bin:$PATH BENCH_BIN=$bin BENCH_DIR=$work/stack BENCH_TOOL=$work/tool/bench
export BENCH_OUT=${BENCH_OUT:-$build/bench} BENCH_CRDS=$work/crds BENCH_OPERATOR=$work/tikv-operator
bash "$work/tool/run.sh" "$here/profile.yaml" "$n" -skip scale-in "$@"
