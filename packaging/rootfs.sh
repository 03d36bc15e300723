#!/bin/sh
# The file system of a container that runs dtbridge and nothing else: rootfs.sh BINARY FOLDER
# Libraries are those the binary names, the C library's name service, CA certificates and the shipped mappings.
set -eu
binary=$1 root=$2
here=$(cd "$(dirname "$0")/.." && pwd)
install -d -m 0755 "$root/usr/bin" "$root/etc/dtbridge/mappings" "$root/etc/ssl/certs" "$root/usr/share/doc/dtbridge"
install -d -m 1777 "$root/tmp"
install -d -m 0750 -o 10001 -g 10001 "$root/var/lib/dtbridge"
install -d -m 0750 -o 10001 -g 10001 "$root/run/dtbridge"
install -s -m 0755 "$binary" "$root/usr/bin/dtbridge"

copy_library() {  # $1 as the loader finds it, with what it points to
    target=$root$1
    [ ! -e "$target" ] || return 0
    install -D -m 0755 "$(readlink -f "$1")" "$target"
}
{
    ldd "$binary"
    # Loaded by name at run time: Kafka and PostgreSQL, where the build has them; names from files and from DNS.
    for at in /usr/lib/*-linux-gnu/librdkafka.so.1 /usr/lib/*-linux-gnu/libpq.so.5; do [ -e "$at" ] && { echo "x => $at (0)"; ldd "$at"; }; done
    for service in files dns; do
        for at in /lib/*-linux-gnu/libnss_$service.so.2; do [ -e "$at" ] && { echo "x => $at (0)"; ldd "$at"; }; done
    done
} | sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) (.*/\1/p' | sort -u | while read -r library; do copy_library "$library"; done

printf 'root:x:0:0:root:/:/sbin/nologin\ndtbridge:x:10001:10001:dtbridge:/var/lib/dtbridge:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\ndtbridge:x:10001:\n' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || echo "no CA certificates here; masters and collectors need ca_file" >&2
(cd "$here/mappings" && find . -name '*.toml' ! -path './profiles/*' -exec install -D -m 0644 {} "$root/etc/dtbridge/mappings/{}" \;)
install -m 0644 "$here/deploy/dtbridge.toml" "$root/etc/dtbridge/dtbridge.toml"
"$here/packaging/licences.sh" "$root/usr/share/doc/dtbridge/licences"
install -m 0644 "$here/LICENSE" "$root/usr/share/doc/dtbridge/LICENSE"
