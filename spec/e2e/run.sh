#!/usr/bin/env bash
# The scenarios on a real control plane: etcd, kube-apiserver, controller-manager, scheduler and kwok,
# with the operator over TLS under the rights of manifests/ and nothing more. PD and the stores are
# played by `playground --attach` over real sockets, or with PD_SERVER=/path/to/pd-server run by realpd/.
# Arguments: scenario files (default: all).
# KEEP=1 leaves the stack running. The last line is `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/../.."
here=spec/e2e
export BUILD=${BUILD:-build} TOP=$PWD
if ! command -v go >/dev/null && [ -z "${BIN:-}" ]; then
	[ "${CI:-}" = true ] && { echo "CI without Go: the real control plane can not be built" >&2; exit 1; }
	echo "e2e: skipped: no Go toolchain to build the real control plane with"
	exit 0
fi
BIN=${BIN:-$(bash $here/stack/build.sh)} || exit 1
export BIN D=$TOP/$BUILD/e2e PATH=$BIN:$PATH
if [ -n "${PD_SERVER:-}" ]; then
	PD_SERVER=$(realpath -e "$PD_SERVER") || exit 1
	go build -C $here/realpd -o "$TOP/$BUILD/realpd" . || exit 1
	# Those that ask for more than a PD without TLS, or for every right to be used, are for the played one.
	[ $# -gt 0 ] || set -- $here/{10,15,20,30,40,70}-*.sh
fi
. $here/lib.sh
trap 'finish' EXIT
trap 'exit 1' INT TERM
[ -n "${PD_SERVER:-}" ] || ! command -v go >/dev/null || check "what runs a real PD compiles" go vet -C $here/realpd .
stack_up
for f in "${@:-}"; do
	for s in ${f:-$here/[0-9]*.sh}; do
		echo "== $(basename "$s" .sh)"
		. "$s"
	done
done
