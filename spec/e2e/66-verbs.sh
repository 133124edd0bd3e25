# The everyday verbs, hooks with real Jobs, and the story that Events tell.
leading || { operator_start a; eventually 30 "verbs: the operator leads" leading; }
space verbs
t() { "$OP" "$@" --kubeconfig "$D/admin.kubeconfig" -n verbs; }
group() { field verbs tikvgroup basic "$1"; }
patch_group() { k -n verbs patch tikvgroup basic --type merge -p "$1" >/dev/null; }
hook() { # name, exit code, last words
	printf '{"spec":{"hooks":{"%s":{"timeoutSeconds":60,"jobTemplate":{"spec":{"backoffLimit":0,"template":{"metadata":{"annotations":{"e2e.tikv.org/exit":"%s","e2e.tikv.org/message":"%s"}},"spec":{"containers":[{"name":"hook","image":"busybox"}]}}}}}}}}' "$@"
}
k -n verbs apply -f examples/demo >/dev/null
eventually 90 "verbs: three stores" is "3/3" field verbs cluster basic .status.tikvReady

patch_group "$(hook beforeScaleOut 0 'there is room')"
k -n verbs scale tikvgroup basic --replicas=5 >/dev/null
eventually 30 "a Job runs before stores are added" has "HookRunning" group .status.reason
check "and nobody is added before it ends" is "3" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n verbs get tikv -o name | wc -l | tr -d ' '"
eventually 60 "then two more stores serve" is "5/5" field verbs cluster basic .status.tikvReady
check "its last words are in status" is "Succeeded there is room" group '.status.hooks[0].phase} {.status.hooks[0].message'

patch_group "$(hook beforeScaleIn 1 'no backup today')"
check "scale-in names who leaves" has "from 5 to 4" t scale-in basic --instance basic-1
eventually 40 "a hook that fails holds" is "HookFailed" group .status.reason
check "and says its last words" has "no backup today" group .status.message
check "nobody leaves" is "" field verbs tikv basic-1 .spec.offline
patch_group "$(hook beforeScaleIn 0 'backup 17')"
eventually 120 "corrected, it runs again, and the chosen store leaves" sh -c "! kubectl --kubeconfig $D/admin.kubeconfig -n verbs get tikv basic-1 2>/dev/null"
eventually 20 "four stores" is "4/4" field verbs cluster basic .status.tikvReady
k -n verbs scale tikvgroup basic --replicas=5 >/dev/null
eventually 90 "the next scaling runs its hook again" is "5/5" field verbs cluster basic .status.tikvReady
check "and keeps one Job of each hook" is "2" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n verbs get jobs -o name | wc -l | tr -d ' '"

k -n verbs annotate tikv basic-0 core.tikv.org/remove-first=true >/dev/null
patch_group '{"spec":{"hooks":null}}'
k -n verbs scale tikvgroup basic --replicas=4 >/dev/null
eventually 90 "a store that a person marked leaves first" sh -c "! kubectl --kubeconfig $D/admin.kubeconfig -n verbs get tikv basic-0 2>/dev/null"

check "hold is written" has "no planned step" t hold tikv/basic-2 --why 'ask Ann'
check "hold is there" is "ask Ann" field verbs tikv basic-2 '.metadata.annotations.core\.tikv\.org/hold'
check "release" has "treated as any other" t release tikv/basic-2
check "evict" has "move away" t evict tikv/basic-2
check "evict --off" has "may come back" t evict tikv/basic-2 --off
check "a dry run is one" has "nothing was written" t replace tikv/basic-2 --dry-run
check "a wrong store id is no word" sh -c "! $OP replace tikv/basic-2 --destroyed 999 --kubeconfig $D/admin.kubeconfig -n verbs"
check "pause" has "nothing of it is changed" t pause basic
eventually 20 "it says so" is "Paused" field verbs cluster basic .status.phase
check "resume" has "paused no more" t resume basic
eventually 40 "it runs" is "Running" field verbs cluster basic .status.phase

check "status is a tree" has "└─ TiKVGroup basic" t status basic
check "explain finds whose a pod is" has "TiKV verbs/basic-2" t explain pod/basic-tikv-2
check "explain finds whose a claim is" has "TiKV verbs/basic-2" t explain pvc/data-basic-tikv-2
reasons() { k -n verbs get events -o 'jsonpath={range .items[*]}{.reason} {end}'; }
for r in Created ScalingOut HookStarted HookSucceeded HookFailed ScalingIn Draining StoreRemoved Ready Paused Resumed; do
	check "the story has $r" has "$r" reasons
done
curl -s 127.0.0.1:18080/metrics > "$D/metrics.txt"
check "the cluster's metrics are there" grep -q '^tikv_group_replicas_ready{namespace="verbs",cluster="basic",group="basic",component="tikv"} 4' "$D/metrics.txt"
space hooked
k -n hooked apply -f examples/hooks >/dev/null
eventually 60 "hooks: the example comes up" is "3/3" field hooked cluster hooked .status.tikvReady
drop verbs
drop hooked
