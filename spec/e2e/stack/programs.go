//go:build tools

// Package stack pins the programs of the real control plane that the end-to-end tests start.
// Nothing here is linked into the operator; `build.sh` compiles these into a cache folder.
package stack

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
