# What the scenarios share: the stack, the operator, and checks that count. Sourced by run.sh.
passed=0 failed=0
OP=$TOP/$BUILD/tikv-operator
k() { kubectl --kubeconfig "$D/admin.kubeconfig" "$@"; }

pass() { passed=$((passed + 1)); printf '  ok    %s\n' "$1"; }
fail() {
	failed=$((failed + 1))
	printf '  FAIL  %s\n' "$1"
	[ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/        /'
}
# check NAME COMMAND...: the command succeeds
check() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then pass "$name"; else fail "$name" "$(printf '%s' "$out" | tail -n 5)"; fi
}
# eventually SECONDS NAME COMMAND...: the command succeeds in time
eventually() {
	local limit=$1 name=$2 began=$SECONDS out
	shift 2
	until out=$("$@" 2>&1); do
		if ((SECONDS - began >= limit)); then
			fail "$name (${limit}s)" "$(printf '%s' "$out" | tail -n 5)"
			return 1
		fi
		sleep 0.3
	done
	pass "$name ($((SECONDS - began))s)"
}
# is WANT COMMAND...: the command prints exactly this
is() {
	local want=$1 got
	shift
	got=$("$@" 2>&1)
	[ "$got" = "$want" ] || { echo "want: $want"; echo "got:  $got"; return 1; }
}
# has WANT COMMAND...: the command's output contains this
has() {
	local want=$1 got
	shift
	got=$("$@" 2>&1)
	case $got in *"$want"*) ;; *) echo "want: ...$want..."; echo "got:  $got"; return 1 ;; esac
}
hasnt() { ! has "$@" >/dev/null; } # the opposite
field() { k -n "$1" get "$2" "$3" -o "jsonpath={$4}"; } # namespace kind name path

volumes() { # static volumes: the real controller-manager binds them
	k apply -f - >/dev/null <<-V
	apiVersion: storage.k8s.io/v1
	kind: StorageClass
	metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
	provisioner: kubernetes.io/no-provisioner
	allowVolumeExpansion: true
	volumeBindingMode: Immediate
	V
	for i in $(seq "$1"); do
		cat <<-V
		apiVersion: v1
		kind: PersistentVolume
		metadata: {name: disk-$i}
		spec: {capacity: {storage: 100Gi}, accessModes: [ReadWriteOnce], storageClassName: standard, persistentVolumeReclaimPolicy: Retain, hostPath: {path: /tmp/none-$i}}
		---
		V
	done | k create -f - >/dev/null
}

# One table of cases, two judges: what the simulator answers, a real API server answers too.
conformance() {
	local token suite
	token=$(sed -n 's/.*token: "\(.*\)"}}.*/\1/p' "$D/admin.kubeconfig")
	echo "== conformance"
	for suite in real_spec crd_real_spec; do
		check "$suite" env CONFORMANCE_URL="https://127.0.0.1:${E2E_PORT:-26543}" CONFORMANCE_TOKEN="$token" \
			LUA_PATH="./lua/?.lua;./spec/?.lua;./?.lua;;" luajit "$(command -v busted)" --pattern=_spec -o TAP \
			"spec/conformance/$suite.lua"
	done
}

# The recorded scenarios, asked of a real PD and of the simulated one.
pd_conformance() {
	local version
	version=$("$PD_SERVER" --version | awk '/Release Version/ {print $3}')
	echo "== conformance of PD $version"
	mkdir -p "$D/stage"
	"$TOP/$BUILD/realpd" -pd-server "$PD_SERVER" -dir "$D/stage" > "$D/stage.out" 2> "$D/stage.log" &
	echo $! > "$D/stage.pid"
	eventually 10 "its stage is set" grep -q stage "$D/stage.out"
	PD_STAGE=$(awk '/stage/ {print $2}' "$D/stage.out") PD_VERSION=$version LUA_PATH="./lua/?.lua;./spec/?.lua;./?.lua;;" \
		luajit "$(command -v busted)" --pattern=_spec -o TAP spec/conformance/pd_real_spec.lua > "$D/conformance-pd.txt"
	while read -r line; do
		case $line in
		"ok "*) pass "${line#*#cluster }" ;;
		"not ok "*) fail "${line#*#cluster }" "see $D/conformance-pd.txt" ;;
		esac
	done < "$D/conformance-pd.txt"
	check "all scenarios were asked" is 18 grep -cE '^(not )?ok ' "$D/conformance-pd.txt"
	kill "$(cat "$D/stage.pid")"
	rm -f "$D/stage.pid"
}

# PD and the stores of the pods that run: played, or with PD_SERVER real processes of PD and small stores.
play() {
	[ -n "${PD_SERVER:-}" ] || exec "$OP" playground --attach --attach-kubeconfig "$D/admin.kubeconfig"
	exec "$TOP/$BUILD/realpd" -kubeconfig "$D/admin.kubeconfig" -pd-server "$PD_SERVER" -dir "$D/realpd"
}

stack_up() {
	mkdir -p "$D"
	bash spec/e2e/stack/stack.sh api "$D" || { echo "the API server did not start: see $D/*.log"; exit 1; }
	k apply --server-side -k crds >/dev/null
	k wait --for=condition=Established crd --all --timeout=30s >/dev/null
	if [ -z "${SKIP_CONFORMANCE:-}" ]; then
		conformance # while nobody else acts on that server
		[ -z "${PD_SERVER:-}" ] || pd_conformance
	fi
	bash spec/e2e/stack/stack.sh rest "$D" >/dev/null || { echo "the control plane did not start: see $D/*.log"; exit 1; }
	volumes 300
	check "manifests apply" k apply -k manifests
	k -n tikv-system scale deployment tikv-operator --replicas=0 >/dev/null # the one under test runs here
	k wait --for=condition=Established crd --all --timeout=30s >/dev/null
	local token
	token=$(k -n tikv-system create token tikv-operator --duration=12h)
	sed -e 's/token: .*}}/token: "TOKEN"}}/' -e "s/TOKEN/$token/" "$D/admin.kubeconfig" > "$D/operator.kubeconfig"
	play > "$D/attach.out" 2> "$D/attach.log" &
	echo $! > "$D/attach.pid"
	disown
	eventually 10 "PD and the stores are $([ -z "${PD_SERVER:-}" ] && echo played || echo run)" grep -q ready "$D/attach.out"
	CONNECT=$(awk '/ready/ {print $3}' "$D/attach.out")
	export CONNECT
}

pd_kill() { # namespace, pod: the process dies; the pod stays, or what is played goes with it
	if [ -n "${PD_SERVER:-}" ]; then kill -9 "$(cat "$D/realpd/pid/$1.$2")"
	else k -n "$1" delete pod "$2" --force --grace-period=0 >/dev/null 2>&1; fi
}

operator_start() { # name, more flags
	local name=${1:-a}
	shift || true
	"$OP" run --kubeconfig "$D/operator.kubeconfig" "$@" --connect-to "$CONNECT" --lease-namespace tikv-system \
		--listen "127.0.0.1:${PORT:-18080}" >> "$D/operator-$name.log" 2>&1 &
	echo $! > "$D/operator-$name.pid"
	disown # its end is no news to the shell
}
operator_kill() { # name, signal
	local pid
	pid=$(cat "$D/operator-$1.pid" 2>/dev/null) || return 0
	kill "-${2:-TERM}" "$pid" 2>/dev/null
	for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
	rm -f "$D/operator-$1.pid"
}
leading() { curl -sf "127.0.0.1:${1:-18080}/metrics" 2>/dev/null | grep -q '^tikv_operator_leader 1'; }
space() { k create namespace "$1" >/dev/null; } # a namespace for one scenario
drop() { # delete what a scenario made, and see it go
	k -n "$1" delete clusters --all --wait=false >/dev/null 2>&1
	eventually 60 "$1: everything goes with its Cluster" is "" k -n "$1" get clusters,pdgroups,tikvgroups,pds,tikvs,pods -o name
}

finish() {
	for p in "$D"/operator-*.pid "$D/attach.pid" "$D/stage.pid"; do
		[ -f "$p" ] && [ "${KEEP:-}" != 1 ] && kill -9 "$(cat "$p")" 2>/dev/null
	done
	[ "${KEEP:-}" = 1 ] || bash spec/e2e/stack/stack.sh down "$D"
	echo
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit $?
}
