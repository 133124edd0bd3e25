# A day of one cluster, while the operator is killed at random moments and two of them alternate. The stores
# themselves say that no region ever lost its majority, and that no disk went before its store had.
AUDIT=127.0.0.1:${CONNECT##*:}
audit() { curl -sf -H 'Host: audit' "$AUDIT/?namespace=day"; }
intact() { # the stores' own word
	local said
	said=$(audit) || return 1
	case $said in *'"lost_majority":[]'*) ;; *) echo "$said" | cut -c1-600; return 1 ;; esac
	case $said in *'"claims_taken":[]'*) ;; *) echo "$said" | cut -c1-600; return 1 ;; esac
}
forget() { curl -sf -X POST -H 'Host: audit' "$AUDIT/forget" >/dev/null; } # what a person meant
day() { k -n day "$@"; }
ready() { is "$1" field day cluster day '.status.pdReady} {.status.tikvReady'; }
ids() { day get tikv -o 'jsonpath={range .items[*]}{.metadata.name}={.status.id} {end}'; }
uids() { day get pods -l app.kubernetes.io/component=tikv -o 'jsonpath={range .items[*]}{.metadata.uid} {end}'; }
images() { day get pods -o 'jsonpath={range .items[*]}{.spec.containers[0].image}{"\n"}{end}' | sort -u | tr '\n' ' '; }
group() { day patch tikvgroup day --type merge -p "{\"spec\":$1}" >/dev/null; }
both() { # a change of both groups
	day patch pdgroup day --type merge -p "{\"spec\":$1}" >/dev/null
	group "$1"
}
make_day() {
	day apply -f - >/dev/null <<-M
	apiVersion: core.tikv.org/v1alpha1
	kind: Cluster
	metadata: {name: day}
	spec: {}
	---
	apiVersion: core.tikv.org/v1alpha1
	kind: PDGroup
	metadata: {name: day}
	spec:
	  cluster: {name: day}
	  replicas: 3
	  template: {spec: {version: v8.5.2, resources: {cpu: "1", memory: 1Gi}, volumes: [{name: data, mounts: [{type: data}], storage: 10Gi}]}}
	---
	apiVersion: core.tikv.org/v1alpha1
	kind: TiKVGroup
	metadata: {name: day}
	spec:
	  cluster: {name: day}
	  replicas: ${1:-3}
	  template:
	    spec:
	      version: v8.5.2
	      resources: {cpu: "1", memory: 2Gi}
	      config: |
	        [raftstore]
	        pd-heartbeat-tick-interval = "1s"
	      volumes: [{name: data, mounts: [{type: data}], storage: 50Gi}]
	M
}
storm() { # one of the two dies at random moments, sometimes with a word before
	local who=a
	while :; do
		sleep "$((RANDOM % 6 + 3)).$((RANDOM % 10))"
		[ "$((RANDOM % 2))" = 0 ] && who=a || who=b
		operator_kill "$who" "$([ "$((RANDOM % 3))" = 0 ] && echo TERM || echo KILL)"
		k -n tikv-system patch lease tikv-operator --type merge -p '{"spec":{"holderIdentity":"","leaseDurationSeconds":1}}' >/dev/null
		PORT=$([ "$who" = a ] && echo 18080 || echo 18081) operator_start "$who"
		echo "$who" >> "$D/storm.log"
	done
}

space day
: > "$D/storm.log"
PORT=18081 operator_start b
make_day
eventually 90 "three and three" ready "3/3 3/3"
storm &
storm_pid=$!
disown
group '{"replicas":10}'
eventually 90 "out: ten stores" ready "3/3 10/10"
group '{"replicas":9,"scalePolicy":{"removeFirst":[2]}}'
eventually 90 "selective: day-2 leaves" is "" day get tikv day-2 --ignore-not-found -o name
group '{"replicas":4,"scalePolicy":{"removeFirst":[]}}'
eventually 150 "in: four stores" ready "3/3 4/4"
eventually 60 "in: the disks of the others are gone" is "4" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n day get pvc -l app.kubernetes.io/component=tikv -o name | wc -l | tr -d ' '"
check "all that time every region had its majority, and every disk went after its store" intact
both '{"template":{"spec":{"version":"v8.5.3"}}}'
eventually 240 "upgrade: every pod runs the new version" is "pingcap/pd:v8.5.3 pingcap/tikv:v8.5.3 " images
eventually 60 "upgrade: all serve" ready "3/3 4/4"
eventually 30 "upgrade: no eviction is left" is "" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n day get tikv -o jsonpath='{.items[*].metadata.annotations.core\.tikv\.org/evicting}'"
before=$(uids)
group '{"template":{"spec":{"config":"[raftstore]\npd-heartbeat-tick-interval = \"1s\"\n[log]\nlevel = \"warn\"\n"}}}'
config() { day get configmap -l app.kubernetes.io/component=tikv -o 'jsonpath={range .items[*]}{.data.config\.toml}{end}' | grep -c "$1"; }
updated() { is "4 4 4" field day tikvgroup day '.status.updatedReplicas} {.status.readyReplicas} {.status.replicas'; }
eventually 200 "config: every store has it" is 4 config warn
eventually 200 "config: all were restarted for it" updated
check "config: by a restart of each" sh -c "[ '$before' != \"$(uids)\" ]"
group '{"template":{"spec":{"config":"[raftstore]\npd-heartbeat-tick-interval = \"1s\"\n"}}}'
eventually 200 "config: and back" is 0 config warn
eventually 200 "config: all were restarted again" updated
check "while all restarted every region had its majority" intact
before=$(uids)
group '{"template":{"spec":{"volumes":[{"name":"data","mounts":[{"type":"data"}],"storage":"60Gi"}]}}}'
eventually 60 "resize: every claim asks for more" is "60Gi 60Gi 60Gi 60Gi" day get pvc -l app.kubernetes.io/component=tikv -o 'jsonpath={.items[*].spec.resources.requests.storage}'
check "resize: nothing restarted" is "$before" uids
leader=$(field day cluster day .status.pdStatus.leader)
day delete pod "$leader" --grace-period=0 --force >/dev/null 2>&1
eventually 90 "the PD leader is lost: all are back" ready "3/3 4/4"
node=$(field day pod day-tikv-1 .spec.nodeName)
k delete node "$node" >/dev/null
lost() { [ "$(field day pod day-tikv-1 .spec.nodeName)" != "$node" ]; }
eventually 150 "a node is lost: its store serves elsewhere, on the same disk" lost
eventually 60 "a node is lost: all serve" ready "3/3 4/4"
check "through both losses every region had its majority" intact
stores=$(ids)
day patch cluster day --type merge -p '{"spec":{"suspendAction":{"suspendCompute":true}}}' >/dev/null
eventually 90 "suspended: no pod is left" is "" day get pods -o name
forget
day patch cluster day --type merge -p '{"spec":{"suspendAction":null}}' >/dev/null
eventually 120 "resumed: all serve" ready "3/3 4/4"
check "resumed: the same stores" is "$stores" ids
id=$(field day cluster day .status.id)
forget
check "since then every region has its majority" intact
day delete cluster day --wait=false >/dev/null
eventually 90 "deleted: all is gone but the disks" is "" day get clusters,pdgroups,tikvgroups,pds,tikvs,pods -o name
check "deleted with Retain: seven disks" is "7" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n day get pvc -o name | wc -l | tr -d ' '"
make_day 4
eventually 150 "made again: all serve" ready "3/3 4/4"
eventually 30 "made again: the same PD cluster" is "$id" field day cluster day .status.id
check "made again: the same stores" is "$stores" ids
kill "$storm_pid"
check "killed and handed over many times ($(wc -l < "$D/storm.log"))" test "$(wc -l < "$D/storm.log")" -gt 20
forget
sleep 5
check "at the end every region has its majority, and no disk was taken from a store" intact
check "at the end one pod and one claim per instance" is "7 7" sh -c "echo \$(kubectl --kubeconfig $D/admin.kubeconfig -n day get pods -o name | wc -l) \$(kubectl --kubeconfig $D/admin.kubeconfig -n day get pvc -o name | wc -l)"
operator_kill b TERM
drop day
