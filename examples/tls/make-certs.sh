#!/bin/sh
# Usage: make-certs.sh NAMESPACE: a throw-away CA and the three Secrets that cluster.yaml names.
set -eu
ns=${1:-default} dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=example-ca -keyout ca.key -out ca.crt 2>/dev/null
for who in secure-pd-cluster secure-tikv-cluster secure-cluster-client; do
	printf 'subjectAltName=DNS:localhost,DNS:*.%s,DNS:*.%s.svc,DNS:*.secure-pd-peer.%s.svc,DNS:*.secure-tikv-peer.%s.svc,DNS:secure-pd.%s,DNS:secure-pd.%s.svc,IP:127.0.0.1\n' \
		"$ns" "$ns" "$ns" "$ns" "$ns" "$ns" > ext
	openssl req -newkey rsa:2048 -nodes -subj "/CN=$who" -keyout tls.key -out tls.csr 2>/dev/null
	openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile ext -out tls.crt 2>/dev/null
	kubectl -n "$ns" create secret generic "$who-secret" --from-file=ca.crt --from-file=tls.crt \
		--from-file=tls.key --dry-run=client -o yaml | kubectl apply -f -
done
