# The peer's basic example, with its apiVersion changed, comes up, serves and grows.
# ids: P-01, P-23, E-91, U-104, U-106, U-107
space basic
operator_start a
eventually 20 "the operator leads" leading
sed 's/core\.tikv\.org/core.pingcap.com/' examples/basic/cluster.yaml > "$D/peer.yaml"
sed 's/core\.pingcap\.com/core.tikv.org/' "$D/peer.yaml" | k -n basic apply -f - >/dev/null
eventually 90 "three PD and three TiKV are ready" is "3/3 3/3" field basic cluster basic '.status.pdReady} {.status.tikvReady'
check "the Cluster is Available" k -n basic wait --for=condition=Available cluster/basic --timeout=20s
check "the PD cluster id is recorded" has "7" field basic cluster basic .status.id
check "stores are known by id" is "3" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n basic get tikv -o jsonpath='{range .items[*]}{.status.id}{\"\n\"}{end}' | grep -c ."
check "pods are Guaranteed" is "Guaranteed" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n basic get pods -o jsonpath='{range .items[*]}{.status.qosClass}{\"\n\"}{end}' | sort -u"
check "claims have no owner" is "" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n basic get pvc -o jsonpath='{.items[*].metadata.ownerReferences}'"
check "claims carry the store id" has "basic" k -n basic get pvc -l core.tikv.org/store-id -o name
check "volumes carry the store id" has "disk-" k get pv -l core.tikv.org/store-id -o name
k -n basic scale tikvgroup basic --replicas=10 >/dev/null
eventually 60 "ten stores" is "10/10" field basic cluster basic .status.tikvReady
k -n basic patch pdgroup basic --type merge -p '{"spec":{"replicas":5}}' >/dev/null
eventually 90 "five PD members, joined one at a time" is "5/5" field basic cluster basic .status.pdReady
check "status prints the tree" has "TiKV basic-9" "$OP" status basic --kubeconfig "$D/admin.kubeconfig" -n basic
check "explain finds nothing to wait for" has "nothing" "$OP" explain tikv/basic-0 --kubeconfig "$D/admin.kubeconfig" -n basic
check "plan finds nothing to do" has "settled" "$OP" plan --kubeconfig "$D/admin.kubeconfig" -n basic --connect-to "$CONNECT"
check "no request of the operator was forbidden" is "" sh -c "grep '\"username\":\"system:serviceaccount:tikv-system:tikv-operator\"' $D/audit.log | grep '\"code\":403' | head -3"
drop basic
