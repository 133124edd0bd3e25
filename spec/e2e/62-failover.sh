# A node is lost, a disk of a store, a disk of a member, the leader of PD: each is healed, and nothing lost twice.
leading "${PORT:-18080}" || { operator_start a; eventually 30 "the operator leads" leading "${PORT:-18080}"; }
space heal
heal() { field heal "$1" "$2" "$3"; }
names() { k -n heal get "$1" -o 'jsonpath={.items[*].metadata.name}'; }
pd_api() { curl -sf --connect-to "$CONNECT" "http://heal-pd.heal:2379/pd/api/v1/$1" "${@:2}"; }
wipe() { # component ordinal: the disk is gone; what is made anew is empty
	k -n heal delete pvc "data-heal-$1-$2" --wait=false >/dev/null
	k -n heal delete pod "heal-$1-$2" --grace-period=0 --force >/dev/null 2>&1
}
k -n heal apply -f - >/dev/null <<-V
	apiVersion: core.tikv.org/v1alpha1
	kind: Cluster
	metadata: {name: heal}
	spec: {}
	---
	apiVersion: core.tikv.org/v1alpha1
	kind: PDGroup
	metadata: {name: heal}
	spec:
	  cluster: {name: heal}
	  replicas: 3
	  failover: {memberDownSeconds: 60}
	  template: {spec: {version: v8.5.2, volumes: [{name: data, mounts: [{type: data}], storage: 1Gi}]}}
	---
	apiVersion: core.tikv.org/v1alpha1
	kind: TiKVGroup
	metadata: {name: heal}
	spec:
	  cluster: {name: heal}
	  replicas: 3
	  failover: {storeDownSeconds: 60}
	  template:
	    spec:
	      version: v8.5.2
	      config: |
	        [raftstore]
	        pd-heartbeat-tick-interval = "2s"
	      volumes: [{name: data, mounts: [{type: data}], storage: 1Gi}]
V
eventually 90 "three PD and three TiKV" is "3/3 3/3" heal cluster heal '.status.pdReady} {.status.tikvReady'
check "PD calls a store Down after 25 s" pd_api config -d '{"schedule.max-store-down-time":"25s"}'
pd_api stores/limit -d '{"type":"add-peer","rate":2000}' >/dev/null
# a node goes for good, its disk is in the network
id=$(heal tikv heal-0 .status.id) node=$(heal tikv heal-0 .status.node) claim=$(heal pvc data-heal-tikv-0 .metadata.uid)
k get node "$node" -o json > "$D/node.json"
k delete node "$node" --wait=false >/dev/null
moved() { [ "$(heal tikv heal-0 .status.phase)" = Serving ] && [ "$(heal tikv heal-0 .status.node)" != "$node" ]; }
eventually 60 "a lost node: the pod runs elsewhere" moved
check "with the same store on the same claim" is "$id $claim" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n heal get tikv heal-0 -o jsonpath='{.status.id} '; kubectl --kubeconfig $D/admin.kubeconfig -n heal get pvc data-heal-tikv-0 -o jsonpath='{.metadata.uid}'"
check "which is told" has "NodeGone" k -n heal get events -o 'jsonpath={.items[*].reason}'
python3 -c 'import json,sys; o=json.load(sys.stdin); o["metadata"]={k:o["metadata"][k] for k in ("name","labels","annotations") if k in o["metadata"]}; o.pop("status",None); print(json.dumps(o))' < "$D/node.json" | k apply -f - >/dev/null

leader=$(heal cluster heal .status.pdStatus.leader)
for n in 0 1 2; do [ "heal-pd-$n" = "$leader" ] || lost=$n; done
old=$(heal pd "heal-$lost" .status.id)
store=$(heal tikv heal-2 .status.id)
wipe tikv 2
wipe pd "$lost"
eventually 60 "the silent store is told, and when it is replaced" has "StoreSilent" heal tikvgroup heal '.status.reason'

eventually 480 "a lost store: another one has taken its place" is "heal-0 heal-1 heal-3" names tikv
check "PD has buried the old one" has "Tombstone" pd_api "store/$store"
check "its claim went after that" is "heal-0 heal-1 heal-3" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n heal get pvc -l app.kubernetes.io/component=tikv -o jsonpath='{.items[*].metadata.labels.core\.tikv\.org/instance}'"
check "in order" has "StoreLost" k -n heal get events -o 'jsonpath={.items[*].reason}'
eventually 120 "a lost member: three are healthy again" is "3/3 3 3" heal cluster heal '.status.pdReady} {.status.pdStatus.members} {.status.pdStatus.healthyMembers'
check "the dead one is no member" sh -c "! curl -sf --connect-to '$CONNECT' http://heal-pd.heal:2379/pd/api/v1/members | grep -q $old"

leader=$(heal cluster heal .status.pdStatus.leader) pod=$(heal pod "$leader" .metadata.uid)
k -n heal delete pod "$leader" --grace-period=0 --force >/dev/null 2>&1
again() { [ "$(heal pod "$leader" .metadata.uid)" != "$pod" ] && [ -n "$(heal cluster heal .status.pdStatus.leader)" ] && pd_api health >/dev/null; }
eventually 60 "the leader of PD is lost: PD leads again" again
eventually 60 "and all is ready" is "3/3 3/3 Running" heal cluster heal '.status.pdReady} {.status.tikvReady} {.status.phase'
drop heal
