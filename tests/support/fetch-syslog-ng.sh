#!/bin/sh
# Unpacks Debian's syslog-ng beside an installed rsyslog (the two packages conflict) and prints the folder.
#   fetch-syslog-ng.sh [FOLDER]      default: build/syslog-ng of this source tree
# Does nothing when it is there already. Exit status 1, with the reason, where it cannot be had.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$here/build/syslog-ng}
if [ ! -x "$folder/root/usr/sbin/syslog-ng" ]; then
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    exec 9>"$folder/lock"
    flock 9
    if [ ! -x "$folder/root/usr/sbin/syslog-ng" ]; then
        download=$(mktemp -d "$folder/download.XXXXXX")
        chmod 777 "$download" # apt's own user writes there
        (cd "$download" && { apt-get download -qq syslog-ng-core >&2 || { apt-get update -qq && apt-get download -qq syslog-ng-core; } >&2; })
        missing=
        for package in $(dpkg-deb -f "$download"/syslog-ng-core_*.deb Depends | tr ',' '\n' | sed 's/^ *//; s/[ |:(].*//' | grep '^lib'); do
            dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
        done
        if [ -n "$missing" ]; then
            [ "$(id -u)" = 0 ] || { echo "fetch-syslog-ng.sh: root must install$missing first" >&2; exit 1; }
            # shellcheck disable=SC2086  # one word a package
            apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >&2
        fi
        dpkg-deb -x "$download"/syslog-ng-core_*.deb "$folder/unpacked"
        mv "$folder/unpacked" "$folder/root"
        rm -rf "$download"
    fi
fi
cd "$folder" && echo "$PWD/root"
