# Lost majorities: stores are given up by PD's unsafe recovery, PD goes on with one member; each by a person's word. (W-59, U-18)
leading "${PORT:-18080}" || { operator_start a; eventually 30 "the operator leads" leading "${PORT:-18080}"; }
space lost
lost() { field lost "$1" "$2" "$3"; }
tikv() { "$OP" "$@" --kubeconfig "$D/admin.kubeconfig" -n lost; }
wipe() {
	k -n lost delete pvc "data-basic-$1-$2" --wait=false >/dev/null
	k -n lost delete pod "basic-$1-$2" --grace-period=0 --force >/dev/null 2>&1
}
k -n lost apply -f examples/basic >/dev/null
eventually 90 "three PD and three TiKV" is "3/3 3/3" lost cluster basic '.status.pdReady} {.status.tikvReady'
a=$(lost tikv basic-1 .status.id) b=$(lost tikv basic-2 .status.id) id=$(lost cluster basic .status.id)
check "a store that serves is never given up" has "is Up: only a store that does not serve" tikv recover unsafe-stores basic "$a" "$b" --confirm "$a,$b" --connect-to "$CONNECT"
wipe tikv 1
wipe tikv 2
listed() { tikv recover unsafe-stores basic --connect-to "$CONNECT"; }
eventually 60 "stores that do not serve are listed" has "store $b at basic-tikv-2" listed
check "a dry run says what is lost and asks for the ids" has "--confirm $a,$b" tikv recover unsafe-stores basic "$a" "$b" --connect-to "$CONNECT"
check "another word changes nothing" has "nothing was changed" tikv recover unsafe-stores basic "$a" "$b" --confirm "$b" --connect-to "$CONNECT"
check "one of three is no lost majority" has "is no lost majority" tikv recover unsafe-stores basic "$a" --confirm "$a" --connect-to "$CONNECT"
check "PD gives them up" has "Unsafe recovery Finished" tikv recover unsafe-stores basic "$a" "$b" --confirm "$a,$b" --connect-to "$CONNECT"
new() { k -n lost get tikv -o 'jsonpath={.items[*].status.id}' | tr ' ' '\n' | grep -qx -e "$a" -e "$b" && return 1; is "3/3" lost cluster basic .status.tikvReady; }
eventually 120 "three stores serve again, on new disks under new ids" new

wipe pd 1
wipe pd 2
dry() { tikv recover pd basic --survivor basic-0 --connect-to "$CONNECT"; }
eventually 60 "PD has lost its majority: a dry run says how it goes on" has "--confirm $id" dry
check "a wrong word changes nothing" has "nothing was changed" tikv recover pd basic --survivor basic-0 --confirm 1 --connect-to "$CONNECT"
check "the right one does" has "starts as the only member" tikv recover pd basic --survivor basic-0 --confirm "$id" --connect-to "$CONNECT"
eventually 60 "PD leads again, as the cluster it was" has " $id" lost cluster basic '.status.pdStatus.leader} {.status.id'
eventually 30 "the word is spent" is "" lost pd basic-0 '.metadata.annotations.core\.tikv\.org/force-new-cluster'
drop lost
