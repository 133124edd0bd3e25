#!/bin/sh
# Usage: curl.sh PREFIX: builds the distribution's libcurl for HTTP and HTTPS alone, from its source package.
# The packaged one speaks thirty protocols more and brings 10 MB of their libraries into the image.
set -eu
sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources
apt-get update -qq
apt-get install -y -qq --no-install-recommends dpkg-dev libnghttp2-dev zlib1g-dev >/dev/null
work=$(mktemp -d)
cd "$work"
apt-get source -qq curl
cd curl-*/
./configure --prefix="$1" --disable-static --with-openssl --with-nghttp2 --with-zlib \
	--without-libpsl --without-libidn2 --without-librtmp --without-brotli --without-zstd --without-libssh2 \
	--without-gssapi --disable-ldap --disable-ftp --disable-file --disable-dict --disable-telnet --disable-tftp \
	--disable-rtsp --disable-pop3 --disable-imap --disable-smb --disable-smtp --disable-gopher --disable-mqtt \
	--disable-manual >/dev/null
make -s -j"$(nproc)" -C lib >/dev/null
make -s -C lib install >/dev/null
make -s -C include install >/dev/null
install -D -m 644 libcurl.pc "$1/lib/pkgconfig/libcurl.pc"
