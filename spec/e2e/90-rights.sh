# RBAC: nothing is missing, and nothing is granted that nobody used in all these scenarios.
operator_kill a TERM
check "no request of the operator was forbidden" is "" sh -c "grep '\"username\":\"system:serviceaccount:tikv-system:tikv-operator\"' $D/audit.log | grep '\"code\":403' | head -3"
luajit spec/e2e/rights.lua "$D/audit.log" manifests/rbac.yaml > "$D/rights.txt"
check "every right was used" is "" cat "$D/rights.txt"
