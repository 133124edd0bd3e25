# A Role in one namespace, and nothing more: it works, and says what it can not do.
# ids: W-47, U-91, U-92
k create namespace tikv >/dev/null
check "namespaced manifests apply" k apply -k manifests/namespaced
k -n tikv scale deployment tikv-operator --replicas=0 >/dev/null
operator_kill a TERM
token=$(k -n tikv create token tikv-operator --duration=12h)
sed -e 's/token: .*}}/token: "TOKEN"}}/' -e "s/TOKEN/$token/" "$D/admin.kubeconfig" > "$D/namespaced.kubeconfig"
"$OP" run --kubeconfig "$D/namespaced.kubeconfig" --connect-to "$CONNECT" --namespace tikv \
	--lease-namespace tikv --listen 127.0.0.1:18080 > "$D/operator-ns.log" 2>&1 &
echo $! > "$D/operator-ns.pid"
disown
eventually 20 "the operator leads its namespace" leading
k -n tikv apply -f examples/basic >/dev/null
eventually 90 "three and three with a Role only" is "3/3 3/3" field tikv cluster basic '.status.pdReady} {.status.tikvReady'
check "no request was forbidden" is "" sh -c "grep '\"username\":\"system:serviceaccount:tikv:tikv-operator\"' $D/audit.log | grep '\"code\":403' | cut -c1-400 | head -3"
drop tikv
operator_kill ns TERM
operator_start a
eventually 20 "the cluster-wide one leads again" leading
