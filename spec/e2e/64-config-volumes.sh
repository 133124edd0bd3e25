# Configuration changed both ways without a restart, volumes that grow, computing gone and back, and a Cluster
# deleted with Retain and made again over its claims.
# ids: W-24, P-24, P-26, P-28, U-30, U-60
space cv
k -n cv apply -f examples/basic >/dev/null
eventually 90 "cv: three PD and three TiKV are ready" is "3/3 3/3" field cv cluster basic '.status.pdReady} {.status.tikvReady'
uids() { k -n cv get "$1" -l "app.kubernetes.io/managed-by=tikv-operator" -o 'jsonpath={range .items[*]}{.metadata.name}={.metadata.uid} {end}'; }
at() { curl -sf -m 5 -H "Host: $1" "http://127.0.0.1:${CONNECT##*:}$2"; } # a process of PD or TiKV, as the operator reaches it
setting() { at "basic-tikv-$1.basic-tikv-peer.cv.svc:20180" /config | grep -o "\"raft-log-gc-threshold\":[0-9]*"; }
limit() { at basic-pd.cv:2379 /pd/api/v1/config/schedule | grep -o '"leader-schedule-limit": *[0-9]*' | tr -d ' '; }
hot() { # kind, TOML
	k -n cv patch "$1" basic --type merge -p "{\"spec\":{\"template\":{\"spec\":{\"config\":\"$2\",\"updateStrategy\":{\"config\":\"HotReload\"}}}}}" >/dev/null
}
pods=$(uids pods)
hot tikvgroup '[raftstore]\nraft-log-gc-threshold = 60\n'
hot pdgroup '[schedule]\nleader-schedule-limit = 8\n'
for i in 0 1 2; do eventually 60 "TiKV $i has the new setting" is '"raft-log-gc-threshold":60' setting $i; done
eventually 60 "PD has the new setting" is '"leader-schedule-limit":8' limit
check "PDGroup says so" k -n cv wait --for=condition=ConfigApplied pdgroup/basic --timeout=30s
check "each TiKV says so" k -n cv wait --for=condition=ConfigApplied tikv --all --timeout=30s
hot tikvgroup '[raftstore]\nraft-log-gc-threshold = 50\n[server]\ngrpc-concurrency = 8\n'
hot pdgroup '[schedule]\nleader-schedule-limit = 4\n'
eventually 60 "back on every TiKV" is '"raft-log-gc-threshold":50' setting 2
eventually 60 "back in PD" is '"leader-schedule-limit":4' limit
eventually 60 "what needs a restart is named" has "server.grpc-concurrency" field cv tikv basic-1 .status.message
check "the file of the next start has it" has "grpc-concurrency = 8" field cv configmap basic-tikv-1 '.data.config\.toml'
check "no pod was made again" is "$pods" uids pods

k -n cv patch tikvgroup basic --type json -p '[{"op":"replace","path":"/spec/template/spec/volumes/0/storage","value":"60Gi"}]' >/dev/null
eventually 60 "the claims are asked to grow" is "60Gi 60Gi 60Gi" k -n cv get pvc -l core.tikv.org/component=tikv -o 'jsonpath={.items[*].spec.resources.requests.storage}'
check "no pod was made again for that" is "$pods" uids pods

claims=$(uids pvc) id=$(field cv cluster basic .status.id)
stores=$(k -n cv get tikv -o 'jsonpath={range .items[*]}{.metadata.name}={.status.id} {end}')
k -n cv patch cluster basic --type merge -p '{"spec":{"suspendAction":{"suspendCompute":true}}}' >/dev/null
eventually 60 "suspended: no pod is left" is "" k -n cv get pods -o name
check "suspended: it says so" k -n cv wait --for=condition=Suspended cluster/basic --timeout=30s
check "suspended: the claims are the same" is "$claims" uids pvc
k -n cv patch cluster basic --type merge -p '{"spec":{"suspendAction":{"suspendCompute":false}}}' >/dev/null
eventually 120 "resumed: all are ready" is "3/3 3/3" field cv cluster basic '.status.pdReady} {.status.tikvReady'
check "resumed: the same stores" is "$stores" k -n cv get tikv -o 'jsonpath={range .items[*]}{.metadata.name}={.status.id} {end}'

k -n cv delete cluster basic --wait=false >/dev/null
eventually 90 "deleted with Retain: the objects are gone" is "" k -n cv get clusters,pdgroups,tikvgroups,pds,tikvs,pods -o name
eventually 30 "what belonged to them too" is "" k -n cv get services,configmaps,pdb,controllerrevisions -l app.kubernetes.io/managed-by=tikv-operator -o name
check "the claims are kept" is "$claims" uids pvc
sed 's/50Gi/60Gi/' examples/basic/cluster.yaml | k -n cv apply -f - >/dev/null # as the claims are by now
eventually 120 "made again: all are ready" is "3/3 3/3" field cv cluster basic '.status.pdReady} {.status.tikvReady'
eventually 30 "made again: the same PD cluster" is "$id" field cv cluster basic .status.id
check "made again: the same stores on the same ordinals" is "$stores" k -n cv get tikv -o 'jsonpath={range .items[*]}{.metadata.name}={.status.id} {end}'
check "made again: the same claims" is "$claims" uids pvc
drop cv
