#!/bin/sh
# Usage: closure.sh BINARY FOLDER: copies the stripped binary and all shared libraries it loads.
set -eu
mkdir -p "$2" "$2/tmp" "$2/etc/ssl/certs"
chmod 1777 "$2/tmp"
cp "$1" "$2/tikv-operator"
strip "$2/tikv-operator"
cp "$(dirname "$1")/prestop" "$2/prestop" # static: pods copy it into their own images
libs=$(dirname "$(ldd "$1" | awk '/libc\.so/ {print $3}')") # where the loader looks without being told
mkdir -p "$2$libs"
ldd "$1" | awk '/=> \//{print $3} /^\t\/lib/{print $1}' | while read -r lib; do
	case $lib in */ld-*) to=$2$lib ;; *) to=$2$libs/$(basename "$lib") ;; esac
	mkdir -p "$(dirname "$to")"
	cp -L "$lib" "$to"
	strip --strip-unneeded "$to" 2>/dev/null || true
done
for nss in /lib/*/libnss_dns.so.2 /lib/*/libresolv.so.2; do # names are resolved by these
	[ -e "$nss" ] && mkdir -p "$2$(dirname "$nss")" && cp -L "$nss" "$2$nss"
done
[ -e /etc/ssl/certs/ca-certificates.crt ] && cp -L /etc/ssl/certs/ca-certificates.crt "$2/etc/ssl/certs/"
echo 'hosts: files dns' > "$2/etc/nsswitch.conf"
echo 'nobody:x:65532:65532::/:/' > "$2/etc/passwd"
