#!/usr/bin/env bash
# stack.sh api|rest|up|down DIR: etcd and kube-apiserver (api), kube-controller-manager, kube-scheduler,
# kwok and nodes (rest), both (up), on loopback.
# BIN: folder of the programs. DIR gets data, logs, process ids and admin.kubeconfig. Everything is
# stopped by process id. NODES: simulated nodes (default 4, over two zones).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
act=${1:?api, rest, up or down} D=${2:?folder}
PORT=${E2E_PORT:-26543} ETCD=${E2E_ETCD_PORT:-22579}

down() {
	for p in kwok sched kcm apiserver etcd; do
		[ -f "$D/$p.pid" ] || continue
		pid=$(cat "$D/$p.pid")
		kill "$pid" 2>/dev/null || true
		for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
		kill -9 "$pid" 2>/dev/null || true
		rm -f "$D/$p.pid"
	done
}

start() { # name, command ...
	local name=$1
	shift
	"$@" > "$D/$name.log" 2>&1 < /dev/null &
	echo $! > "$D/$name.pid"
}

config() { # user, token
	cat > "$D/$1.kubeconfig" <<-K
	apiVersion: v1
	kind: Config
	clusters: [{name: e2e, cluster: {server: "https://127.0.0.1:$PORT", certificate-authority: "$D/certs/apiserver.crt"}}]
	users: [{name: $1, user: {token: "$2"}}]
	contexts: [{name: e2e, context: {cluster: e2e, user: $1, namespace: default}}]
	current-context: e2e
	K
}

api() {
	: "${BIN:?}"
	down
	rm -rf "$D"
	mkdir -p "$D"
	D=$(cd "$D" && pwd)
	start etcd "$BIN/etcd" --data-dir "$D/etcd" --listen-client-urls "http://127.0.0.1:$ETCD" \
		--advertise-client-urls "http://127.0.0.1:$ETCD" --listen-peer-urls "http://127.0.0.1:$((ETCD + 1))" \
		--initial-advertise-peer-urls "http://127.0.0.1:$((ETCD + 1))" \
		--initial-cluster "default=http://127.0.0.1:$((ETCD + 1))" --unsafe-no-fsync=true --log-level=warn
	openssl genrsa -out "$D/sa.key" 2048 2>/dev/null
	: > "$D/tokens.csv"
	for u in admin kwok kcm sched; do
		token=$(openssl rand -hex 16)
		echo "$token,$u,$u,system:masters" >> "$D/tokens.csv"
		config $u "$token"
	done
	start apiserver "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD" --secure-port="$PORT" \
		--bind-address=127.0.0.1 --advertise-address=127.0.0.1 --cert-dir="$D/certs" \
		--service-account-key-file="$D/sa.key" --service-account-signing-key-file="$D/sa.key" \
		--service-account-issuer=https://kubernetes.default.svc --token-auth-file="$D/tokens.csv" \
		--authorization-mode=RBAC --service-cluster-ip-range=10.0.0.0/16 \
		--disable-admission-plugins=ServiceAccount,TaintNodesByCondition --allow-privileged=true \
		--audit-policy-file="$here/audit.yaml" --audit-log-path="$D/audit.log" --audit-log-maxsize=100000
	for _ in $(seq 300); do
		"$BIN/kubectl" --kubeconfig "$D/admin.kubeconfig" get --raw /readyz >/dev/null 2>&1 && break
		sleep 0.2
	done
	"$BIN/kubectl" --kubeconfig "$D/admin.kubeconfig" get --raw /readyz >/dev/null
}

rest() {
	: "${BIN:?}"
	D=$(cd "$D" && pwd)
	start kcm "$BIN/kube-controller-manager" --kubeconfig="$D/kcm.kubeconfig" \
		--authentication-kubeconfig="$D/kcm.kubeconfig" --authorization-kubeconfig="$D/kcm.kubeconfig" \
		--service-account-private-key-file="$D/sa.key" --use-service-account-credentials=false \
		--leader-elect=false --bind-address=127.0.0.1 --secure-port=$((PORT + 1)) --cert-dir="$D/kcmcerts" \
		--kube-api-qps=1000 --kube-api-burst=1000 \
		--controllers='*,-node-ipam-controller,-cronjob-controller,-horizontal-pod-autoscaler-controller'
	start sched "$BIN/kube-scheduler" --kubeconfig="$D/sched.kubeconfig" \
		--authentication-kubeconfig="$D/sched.kubeconfig" --authorization-kubeconfig="$D/sched.kubeconfig" \
		--leader-elect=false --bind-address=127.0.0.1 --secure-port=$((PORT + 2)) --cert-dir="$D/schedcerts" \
		--kube-api-qps=1000 --kube-api-burst=1000
	start kwok "$BIN/kwok" --kubeconfig="$D/kwok.kubeconfig" --config="$here/kwok.yaml" \
		--manage-all-nodes=true --cidr=10.64.0.1/16 --node-ip=127.0.0.1 --node-lease-duration-seconds=40
	for i in $(seq "${NODES:-4}"); do
		zone=$(( (i - 1) % 2 ))
		cat <<-N
		apiVersion: v1
		kind: Node
		metadata:
		  name: node-$i
		  labels: {kubernetes.io/hostname: node-$i, topology.kubernetes.io/zone: zone-$zone, topology.kubernetes.io/region: r0, kubernetes.io/os: linux}
		  annotations: {kwok.x-k8s.io/node: fake}
		status:
		  allocatable: {cpu: "64", memory: 512Gi, pods: "2000"}
		  capacity: {cpu: "64", memory: 512Gi, pods: "2000"}
		---
		N
	done | "$BIN/kubectl" --kubeconfig "$D/admin.kubeconfig" apply -f - >/dev/null
	echo "$D/admin.kubeconfig"
}

case $act in
api) api ;;
rest) rest ;;
up) api && rest ;;
down) down ;;
*) echo "usage: stack.sh api|rest|up|down DIR" >&2; exit 2 ;;
esac
