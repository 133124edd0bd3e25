# Rolling changes: a setting and back, a broken template healed, a canary, versions in order, a restart and a hold by
# annotation, undo; the operator killed in between.
space roll
leading "${PORT:-18080}" || { operator_start a; eventually 30 "the operator leads" leading "${PORT:-18080}"; }
k -n roll apply -f examples/basic >/dev/null
eventually 90 "three PD and three TiKV" is "3/3 3/3" field roll cluster basic '.status.pdReady} {.status.tikvReady'
uids() { k -n roll get pods -l "core.tikv.org/component=$1" -o 'jsonpath={range .items[*]}{.metadata.name}={.metadata.uid}{"\n"}{end}' | sort; }
renewed() { comm -13 "$D/roll.before" <(uids "$1") | cut -d= -f1 | tr '\n' ' '; } # names of pods that are others than before
change() { uids "${1%group}" > "$D/roll.before"; k -n roll patch "$1" basic --type merge -p "$2" >/dev/null; }
group() { field roll "$1" basic '.status.phase} {.status.reason'; }
settled() { is "$(field roll "$1" basic '.metadata.generation')" field roll "$1" basic '.status.observedGeneration' && is "Ready " group "$1" && is "3 3" field roll "$1" basic '.status.updatedReplicas} {.status.readyReplicas'; }
# a short tick: what PD's leader says counts after five seconds, not after minutes
TICK='[raftstore]\npd-heartbeat-tick-interval = \"2s\"\n'
config() { printf '{"spec":{"template":{"spec":{"config":"%s"}}}}' "$1"; }
setting() { config "[log.file]\\nmax-days = $1\\n"; }
watch_pods() { # at most one pod of a component is away at any look
	most=0
	while [ -f "$D/roll.watch" ]; do
		n=$(k -n roll get pods -l "core.tikv.org/component=$1" -o 'jsonpath={range .items[*]}{.metadata.deletionTimestamp}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' | grep -c '^ True')
		[ $((3 - n)) -gt "$most" ] && most=$((3 - n)) && echo "$most" > "$D/roll.most"
	done
}
first=$(field roll tikvgroup basic .status.currentRevision)

touch "$D/roll.watch"
echo 0 > "$D/roll.most"
watch_pods tikv &
change tikvgroup "$(config "${TICK}[log.file]\\nmax-days = 7\\n")"
eventually 60 "a changed setting: three stores restart" settled tikvgroup
rm "$D/roll.watch"
check "one at a time" is "1" cat "$D/roll.most"
check "all of them, once" is "basic-tikv-0 basic-tikv-1 basic-tikv-2 " renewed tikv
check "no eviction is left, in PD or on the stores" is "" k -n roll get tikv -o 'jsonpath={.items[*].metadata.annotations.core\.tikv\.org/evicting}'
check "the file says so" has "max-days = 7" field roll configmap basic-tikv-0 '.data.config\.toml'

change tikvgroup '{"spec":{"template":{"spec":{"config":null}}}}'
sleep 1
operator_kill a KILL
k -n tikv-system patch lease tikv-operator --type merge -p '{"spec":{"holderIdentity":"","leaseDurationSeconds":1}}' >/dev/null
operator_start a
eventually 60 "back again, the operator killed in between" settled tikvgroup
check "it is the first revision" is "$first" field roll tikvgroup basic .status.currentRevision

change pdgroup "$(setting 7)"
eventually 60 "PD's members restart, the leader last" settled pdgroup
check "all of them" is "basic-pd-0 basic-pd-1 basic-pd-2 " renewed pd

change tikvgroup "$(config "${TICK}refused-at-start = true\\n")"
eventually 40 "a broken template: one pod has it" is "basic-tikv-2 " renewed tikv
sleep 15
check "and no other" is "basic-tikv-2 " renewed tikv
eventually 20 "the group says whom it waits for" has "basic-2" field roll tikvgroup basic .status.message
k -n roll patch tikvgroup basic --type merge -p "$(config "$TICK")" >/dev/null
# PD has a new leader: it is believed that a store is gone only after two and a half of the stores' ticks of a minute
eventually 240 "corrected: it is healed, and the others follow" settled tikvgroup

change tikvgroup '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}},"template":{"metadata":{"annotations":{"core.tikv.org/restartedAt":"now"}}}}}'
eventually 40 "a canary" is "Updating Partitioned" group tikvgroup
check "it alone is new" is "basic-tikv-2 " renewed tikv
k -n roll patch tikvgroup basic --type merge -p '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}' >/dev/null
eventually 60 "the partition is gone: the others follow" settled tikvgroup

change tikvgroup '{"spec":{"template":{"spec":{"version":"v8.5.3"}}}}'
eventually 20 "TiKV waits for PD" is "Waiting VersionOrder" group tikvgroup
change pdgroup '{"spec":{"template":{"spec":{"version":"v8.5.3"}}}}'
eventually 90 "PD is upgraded" settled pdgroup
eventually 90 "then TiKV" settled tikvgroup
eventually 20 "the cluster has the version" is "v8.5.3" field roll cluster basic .status.version
change pdgroup '{"spec":{"template":{"spec":{"version":"v11.0.0"}}}}'
eventually 20 "two major versions at once: refused" is "Waiting VersionRefused" group pdgroup
k -n roll patch pdgroup basic --type merge -p '{"spec":{"template":{"spec":{"version":"v8.5.3"}}}}' >/dev/null

uids tikv > "$D/roll.before"
k -n roll annotate tikv basic-1 core.tikv.org/hold="perf trace" >/dev/null
k -n roll annotate tikv basic-0 basic-1 "core.tikv.org/restart=$(date -u +%Y-%m-%dT%H:%M:%SZ)" >/dev/null
eventually 60 "one store restarts by annotation" is "basic-tikv-0 " renewed tikv
eventually 20 "the other one is held" is "Held" field roll tikv basic-1 .status.reason
k -n roll annotate tikv basic-1 core.tikv.org/hold- >/dev/null
eventually 60 "until the hold is over" is "basic-tikv-0 basic-tikv-1 " renewed tikv
drop roll
