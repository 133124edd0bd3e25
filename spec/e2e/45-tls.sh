# TLS between all components: the operator shows its client certificate to PD, and PD asks for one.
# ids: P-35, U-82, U-89, U-116
space tls
PATH=$BIN:$PATH KUBECONFIG=$D/admin.kubeconfig sh examples/tls/make-certs.sh tls >/dev/null
mkdir -p "$D/pdtls"
for f in ca.crt tls.crt tls.key; do
	k -n tls get secret secure-pd-cluster-secret -o "jsonpath={.data.${f/./\\.}}" | base64 -d > "$D/pdtls/$f"
done
"$OP" playground --attach --attach-kubeconfig "$D/admin.kubeconfig" --pd-tls "$D/pdtls" > "$D/attach-tls.out" 2> "$D/attach-tls.log" &
echo $! > "$D/operator-attach-tls.pid"
disown
eventually 10 "PD is played over TLS" grep -q 'tls ' "$D/attach-tls.out"
tls_port=$(awk '/ready/ {print $5}' "$D/attach-tls.out")
operator_kill a TERM
operator_start a --connect-to "secure-pd.tls:2379:127.0.0.1:$tls_port" \
	--connect-to "secure-pd-0.secure-pd-peer.tls.svc:2379:127.0.0.1:$tls_port"
eventually 20 "the operator leads" leading
k -n tls apply -f examples/tls/cluster.yaml >/dev/null
eventually 90 "one PD and one TiKV over TLS" is "1/1 1/1" field tls cluster secure '.status.pdReady} {.status.tikvReady'
check "PD's address is https" has "https://" field tls cluster secure .status.pd
check "the pods mount their certificates" has "/var/lib/tikv-tls" field tls pod secure-tikv-0 '.spec.containers[0].volumeMounts[*].mountPath'
drop tls
operator_kill attach-tls TERM
