#!/usr/bin/env bash
# Compiles the real control plane into a cache folder outside the repository and prints that folder.
# Pinned by go.mod beside this file; nothing is built twice. With KUBEBUILDER_ASSETS set, its
# kube-apiserver and etcd are used, as envtest users expect.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kube=$(awk '$1 == "k8s.io/kubernetes" {print $2; exit}' "$here/go.mod")
kwok=v0.7.0
bin=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tikv-operator-e2e}/kube-$kube-kwok-$kwok
command -v go >/dev/null || { echo "no Go toolchain: the real control plane can not be built" >&2; exit 3; }
mkdir -p "$bin"
cd "$here"
minor=${kube#v1.} minor=${minor%%.*}
stamp="-s -w -X k8s.io/component-base/version.gitVersion=$kube"
stamp="$stamp -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$minor"
build() { # file, package
	[ -x "$bin/$1" ] && return
	if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]; then
		ln -sf "$KUBEBUILDER_ASSETS/$1" "$bin/$1"
		return
	fi
	echo "building $1" >&2
	GOFLAGS=-mod=mod CGO_ENABLED=0 go build -trimpath -ldflags "$stamp" -o "$bin/$1.new" "$2"
	mv "$bin/$1.new" "$bin/$1"
}
build etcd go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
build kube-scheduler k8s.io/kubernetes/cmd/kube-scheduler
build kubectl k8s.io/kubernetes/cmd/kubectl
if [ ! -x "$bin/kwok" ]; then
	echo "building kwok" >&2
	(cd /tmp && CGO_ENABLED=0 GOBIN="$bin" go install -ldflags "-s -w" "sigs.k8s.io/kwok/cmd/kwok@$kwok")
fi
echo "$bin"
