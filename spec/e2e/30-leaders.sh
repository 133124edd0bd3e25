# Two operators side by side: only the leader writes; a SIGTERM hands over within a second.
space leaders
# port: requests that changed something (the lease is none of them); nothing when it does not answer
writes() {
	curl -sf "127.0.0.1:$1/metrics" | awk '/^tikv_operator_leader / { there = 1 }
		/^tikv_operator_api_requests_total/ && !/verb="GET"/ { n += $2 } END { if (there) print n + 0 }'
}
PORT=18081 operator_start b
sleep 3
check "the second one waits" sh -c "! curl -sf 127.0.0.1:18081/metrics | grep -q '^tikv_operator_leader 1'"
k -n leaders apply -f examples/basic >/dev/null
eventually 90 "the cluster comes up" is "3/3 3/3" field leaders cluster basic '.status.pdReady} {.status.tikvReady'
check "the first one wrote" test "$(writes 18080)" -gt 20
check "the second one wrote nothing" is "0" writes 18081
began=$(date +%s%N)
operator_kill a TERM
eventually 10 "the second one leads" leading 18081
took=$(( ($(date +%s%N) - began) / 1000000 ))
check "within four seconds of SIGTERM, as it looks every two (${took} ms)" test "$took" -lt 4000
k -n leaders scale tikvgroup basic --replicas=4 >/dev/null
eventually 60 "the new leader acts" is "4/4" field leaders cluster basic .status.tikvReady
operator_kill b TERM
began=$(date +%s%N)
operator_start a
eventually 20 "the first one leads again" leading
took=$(( ($(date +%s%N) - began) / 1000000 ))
check "at once, for the lease was given back (${took} ms)" test "$took" -lt 3000
drop leaders
