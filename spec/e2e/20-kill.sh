# SIGKILL at ten moments of coming up and growing: the end state is the same.
space kill
k -n kill apply -f examples/basic >/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do
	sleep "0.$((i * 7 % 10))"
	operator_kill a KILL
	[ "$i" = 6 ] && k -n kill scale tikvgroup basic --replicas=5 >/dev/null
	k -n tikv-system patch lease tikv-operator --type merge -p '{"spec":{"holderIdentity":"","leaseDurationSeconds":1}}' >/dev/null
	operator_start a
	sleep 1
done
eventually 120 "three PD and five TiKV after ten kills" is "3/3 5/5" field kill cluster basic '.status.pdReady} {.status.tikvReady'
check "five stores, five ids" is "5" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n kill get tikv -o jsonpath='{range .items[*]}{.status.id}{\"\n\"}{end}' | sort -u | grep -c ."
check "one claim per instance" is "8" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n kill get pvc -o name | wc -l | tr -d ' '"
check "one pod per instance" is "8" sh -c "kubectl --kubeconfig $D/admin.kubeconfig -n kill get pods -o name | wc -l | tr -d ' '"
drop kill
