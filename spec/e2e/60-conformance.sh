# One table of cases, two judges: what the simulator answers, a real API server answers too.
token=$(sed -n 's/.*token: "\(.*\)"}}.*/\1/p' "$D/admin.kubeconfig")
for suite in real_spec crd_real_spec; do
	check "$suite" env CONFORMANCE_URL="https://127.0.0.1:${E2E_PORT:-26543}" CONFORMANCE_TOKEN="$token" \
		LUA_PATH="./lua/?.lua;./spec/?.lua;./?.lua;;" luajit "$(command -v busted)" --pattern=_spec -o TAP \
		"spec/conformance/$suite.lua"
done
