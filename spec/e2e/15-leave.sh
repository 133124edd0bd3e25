# A store is drained before it goes, PD's leader dies, and a member is replaced: each with nothing lost.
# With PD_SERVER a real PD orders the moves and real processes die.
space leave
leading || { operator_start a; eventually 30 "the operator leads" leading; }
pd() { curl -s -m 5 -H "Host: basic-pd.leave:2379" "http://${CONNECT#::}/pd/api/v1/$1"; } # path
ids() { k -n leave get "$1" -o "jsonpath={range .items[*]}{.status.id}{'\n'}{end}" | sort; }
state() { pd "store/$1" | sed -n 's/.*"state_name": "\(.*\)".*/\1/p'; }
peers() { pd "store/$1" | sed -n 's/.*"region_count": \([0-9]*\).*/\1/p'; }
loaded() { [ "$(peers "$1")" -gt 2 ]; }
served() { [ "$(field leave cluster basic '.status.pdReady} {.status.tikvReady')" = "$1" ]; }
# Stores that report often: what a new leader of PD says counts sooner.
awk '/^kind: TiKVGroup/ { tikv = 1 } { print } tikv && /version:/ {
	print "      config: |\n        [raftstore]\n        pd-heartbeat-tick-interval = \"2s\"" }' examples/basic/cluster.yaml |
	k -n leave apply -f - >/dev/null
eventually 90 "three PD and three TiKV" served "3/3 3/3"
k -n leave scale tikvgroup basic --replicas=4 >/dev/null
eventually 60 "a fourth store" served "3/3 4/4"
id=$(field leave tikv basic-3 .status.id)
eventually 120 "PD gives it regions" loaded "$id"
k -n leave scale tikvgroup basic --replicas=3 >/dev/null
eventually 40 "it is told to leave" has "Offline" state "$id"
eventually 180 "PD removes it when it is empty" has "Tombstone" state "$id"
check "with nothing on it" is "0" peers "$id"
eventually 60 "instance and pod go" is "" k -n leave get tikv,pod -l core.tikv.org/ordinal=3 -o name
check "its disk stays, and is never used again" has "store-id=$id" k -n leave get pvc data-basic-tikv-3 --show-labels
check "the other three serve" served "3/3 3/3"

healthy() { pd health | grep -c '"health": true'; }
leader() { pd leader | sed -n 's/.*"name": "\(.*\)".*/\1/p'; }
led() { [ -n "$(leader)" ]; }
was=$(leader) before=$(ids pd)
pd_kill leave "$was"
eventually 60 "PD is led again after its leader $was was killed" led
eventually 60 "all serve, and are the same" served "3/3 3/3"
check "no member was replaced" is "$before" ids pd

gone=$(k -n leave get pd -o name | grep -v "/$(leader | sed 's/-pd-/-/')$" | head -n 1)
id=$(k -n leave get "$gone" -o "jsonpath={.status.id}")
k -n leave delete "$gone" --wait=false >/dev/null
eventually 60 "a member that a person deletes leaves PD" hasnt "$id" pd members
eventually 90 "and another joins" served "3/3 3/3"
check "PD has three members, all healthy" is "3" healthy
drop leave
