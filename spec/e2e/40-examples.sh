# Every example does what its first lines say.
# ids: P-40, E-85, U-40, U-105, U-115
for ex in two-groups config nodeport policy; do
	space "$ex"
	k -n "$ex" apply -f "examples/$ex" >/dev/null
done
eventually 120 "two-groups: five stores" is "5/5" field two-groups cluster mixed .status.tikvReady
eventually 60 "config: three and three" is "3/3 3/3" field config cluster tuned '.status.pdReady} {.status.tikvReady'
check "config: the user's keys are there" has "region-split-check-diff" field config configmap tuned-tikv-0 '.data.config\.toml'
check "config: the managed keys are there" has "advertise-addr" field config configmap tuned-tikv-0 '.data.config\.toml'
k -n config patch tikvgroup tuned --type merge -p '{"spec":{"template":{"spec":{"config":"[server]\naddr = \"x\"\n"}}}}' >/dev/null
eventually 30 "config: a managed key is named" has "server.addr" field config tikvgroup tuned .status.message
k -n nodeport patch tikvgroup open --type merge -p '{"spec":{"podDisruptionBudget":{"enabled":false}}}' >/dev/null
eventually 20 "nodeport: a budget nobody wants goes" is "1" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n nodeport get pdb -o name | wc -l | tr -d ' '"
k -n nodeport patch cluster open --type merge -p '{"spec":{"revisionHistoryLimit":1}}' >/dev/null
for i in 1 2 3; do
	k -n nodeport patch tikvgroup open --type merge -p "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"try\":\"$i\"}}}}}" >/dev/null
	sleep 1
done
eventually 20 "nodeport: old revisions go" sh -c "[ \$(kubectl --kubeconfig $D/admin.kubeconfig -n nodeport get controllerrevisions -o name | grep -c tikv) -le 3 ]"
eventually 60 "nodeport: one and one" is "1/1 1/1" field nodeport cluster open '.status.pdReady} {.status.tikvReady'
check "nodeport: the port is kept" is "32379" field nodeport service open-pd '.spec.ports[?(@.name=="client")].nodePort'
eventually 60 "policy: it is active" is "active" field policy configmap office-hours '.metadata.annotations.tikv\.org/policy-state'
k -n policy create configmap broken --from-literal=policy.lua='local P = { api = 1 ' >/dev/null
k -n policy label configmap broken tikv.org/policy=true >/dev/null
eventually 20 "policy: a broken one is rejected with file and line" has "policy.lua:1" field policy configmap broken '.metadata.annotations.tikv\.org/policy-reason'
eventually 20 "policy: and an Event says so" has "Rejected" k -n policy get events -o 'jsonpath={.items[*].reason}'
broken() { k -n policy patch configmap broken --type merge -p "{\"data\":{\"policy.lua\":\"$1\"}}" >/dev/null; }
state() { field policy configmap broken '.metadata.annotations.tikv\.org/policy-state'; }
broken 'return { api = 1 }'
eventually 20 "policy: corrected, it is active" is active state
k -n nodeport patch cluster open --type merge -p '{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Delete"}}}' >/dev/null
for ex in two-groups config nodeport policy; do drop "$ex"; done
eventually 30 "nodeport: whenDeleted Delete takes the claims" is "" k -n nodeport get pvc -o name
check "config: the default keeps them" has "data-tuned-tikv-0" k -n config get pvc -o name
