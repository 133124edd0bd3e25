# Policies and scripts in ConfigMaps: active or refused with file and line, what they answer holds, and nothing else.
space rules
at=127.0.0.1:${PORT:-18080}
leading "${PORT:-18080}" || { operator_start a; eventually 30 "the operator leads" leading "${PORT:-18080}"; }
write() { # name, text
	k -n rules create configmap "$1" --from-literal=policy.lua="$2" --dry-run=client -o yaml | k apply -f - >/dev/null
	k -n rules label configmap "$1" tikv.org/policy=true --overwrite >/dev/null
}
judged() { k -n rules get configmap "$1" -o 'jsonpath={.metadata.annotations}' --ignore-not-found | grep -o '"tikv.org/policy-[^,}]*'; }
rule() { # name, text: written, and looked at by the operator, which answered by another rule until then
	local was
	was=$(judged "$1")
	write "$@"
	for _ in $(seq 50); do
		[ "$(judged "$1")" = "$was" ] || return 0
		sleep 0.1
	done
}
state() { field "${2:-rules}" configmap "$1" '.metadata.annotations.tikv\.org/policy-state}: {.metadata.annotations.tikv\.org/policy-reason'; }
group() { field rules tikvgroup guided '.status.reason}: {.status.message'; }
refer() { k -n rules patch tikvgroup guided --type merge -p "{\"spec\":{\"policyRefs\":[$1]}}" >/dev/null; }
grow() { k -n rules scale tikvgroup guided --replicas="$1" >/dev/null; }

rule office-hours 'return { api = 1, render_pod = function(_, pod) pod.metadata.labels["example.com/team"] = "storage" return pod end }'
rule freeze 'local P = { api = 1 }
function P.can_scale_out(w, a) return a.replicas < 2, "frozen, wanted " .. a.replicas end
function P.selftest(t) t:denies("can_scale_out", {}, { replicas = 2 }) end
return P'
sed '1,/^---$/d' examples/policy/cluster.yaml | k -n rules apply -f - >/dev/null # without its clock
eventually 20 "a policy becomes active" has "active: " state freeze
eventually 90 "one PD and one TiKV" is "1/1 1/1" field rules cluster guided '.status.pdReady} {.status.tikvReady'
check "render_pod: pods carry the label" is "2" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n rules get pods -l example.com/team=storage -o name | wc -l | tr -d ' '"
refer '{"name":"freeze"}'
grow 2
eventually 20 "a gate: the status has the policy's words" has "PolicyDenied: can_scale_out: rules/freeze: frozen, wanted 2" group
rule freeze 'return { api = 1, can_scale_out = function() return true end }'
eventually 60 "the policy is changed: two stores" is "2/2" field rules cluster guided .status.tikvReady

rule freeze 'return { api = 1, can_scale_out = function(w, a) return a.nope.x end }'
grow 3
eventually 20 "an error holds the step" has "PolicyError: grow is held: rules/freeze: freeze/policy.lua:1:" group
rule freeze 'return { api = 1, can_scale_out = function() while true do end end }'
eventually 20 "so does a loop without end" has "rules/freeze: too many instructions" group
k -n rules delete service guided-pd >/dev/null
eventually 20 "other objects go on" k -n rules get service guided-pd
rule freeze 'return { api = 1, can_scale_out = function() return false, "still here" end }'
eventually 20 "corrected" has "rules/freeze: still here" group
name=$(field rules configmap freeze '.metadata.annotations.tikv\.org/policy-name')
while IFS='|' read -r text why; do
	rule freeze "$(printf '%b' "$text")"
	eventually 20 "refused: $why" has "rejected: $why" state freeze
done <<'CASES'
local P = { api = 1\n= 3|freeze/policy.lua:2:
while true do end|too many instructions (5000000) at freeze/policy.lua:1
local t = {} for i = 1, 1e9 do t[i] = { i } end|not enough memory
os.exit(0)|freeze/policy.lua:1: no global
return { api = 1, can_fly = function() end }|policy.lua: can_fly is no question
CASES
check "what ran before goes on" is "$name" field rules configmap freeze '.metadata.annotations.tikv\.org/policy-name'
check "and still says no" has "rules/freeze: still here" group
check "an Event says why" has "PolicyRejected" k -n rules get events -o 'jsonpath={.items[*].reason}'
check "a metric says so" has 'tikv_operator_policy_info{configmap="rules/freeze",state="rejected"} 1' curl -s "$at/metrics"
k -n rules delete configmap freeze >/dev/null
eventually 20 "deleted, but referred to: the step is held" has "rules/freeze: there is no such ConfigMap" group

rule first 'return { api = 1, can_scale_out = function() return false, "first" end }'
rule second 'return { api = 1, can_scale_out = function() return false, "second" end }'
refer '{"name":"second"},{"name":"first"}'
eventually 20 "two policies: the first reference speaks first" has "rules/second: second" group
k -n rules annotate tikvgroup guided core.tikv.org/open-can-scale-out=2099-01-01T00:00:00Z >/dev/null
eventually 60 "a person opens the gate: three stores" is "3/3" field rules cluster guided .status.tikvReady
k -n rules annotate tikvgroup guided core.tikv.org/open-can-scale-out- >/dev/null
check "which is told" has "PolicyOpened" k -n rules get events -o 'jsonpath={.items[*].reason}'

grow 4
eventually 20 "no again" has "can_scale_out: rules/second" group
sed 's/"can_scale_out: %s"/"CHANGED: %s"/' lua/lib/scaling.lua > "$D/scaling.lua"
k -n tikv-system create configmap mine --from-file=lib.scaling.lua="$D/scaling.lua" >/dev/null
k -n tikv-system label configmap mine tikv.org/scripts=true >/dev/null
eventually 20 "a script replaces lua/lib/scaling.lua" has "CHANGED: rules/second" group
check "and is active" has "active: " state mine tikv-system
k -n tikv-system patch configmap mine --type merge -p '{"data":{"lib.scaling.lua":"\n\nlocal M = {"}}' >/dev/null
eventually 20 "a broken one is refused" has "rejected: mine/lib.scaling.lua:3:" state mine tikv-system
k -n tikv-system delete configmap mine >/dev/null
eventually 20 "deleted: the built-in one is back" has "can_scale_out: rules/second" group

for i in 1 2 3; do
	write second "return { api = 1, can_scale_out = function() return false, \"try $i\" end }"
	sleep "0.$((i * 2))"
	operator_kill a KILL
	k -n tikv-system patch lease tikv-operator --type merge -p '{"spec":{"holderIdentity":"","leaseDurationSeconds":1}}' >/dev/null
	operator_start a
	sleep 1
done
eventually 30 "killed while it looks at a policy: the last one counts" has "rules/second: try 3" group
check "and is active" has "active: " state second
curl -s "$at/debug/pass/TiKVGroup/rules/guided" > "$D/pass.json"
check "replay: the same plan" has "the same plan" "$OP" replay "$D/pass.json"
check "replay: other scripts, another plan" sh -c "mkdir -p $D/ld/lib && cp $D/scaling.lua $D/ld/lib && ! $OP replay $D/pass.json --lua-dir $D/ld"
rule second 'return { api = 1 }'
rule first 'return { api = 1 }'
eventually 60 "four stores" is "4/4" field rules cluster guided .status.tikvReady
check "no request of the operator was forbidden" is "" sh -c "grep '\"username\":\"system:serviceaccount:tikv-system:tikv-operator\"' $D/audit.log | grep '\"code\":403' | head -3"
drop rules
