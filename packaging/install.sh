#!/bin/sh
# Installs what is missing of packaging/packages.txt on Debian 12; as root: install.sh [test]
# Without "test" it stops before the line "# test": what making packages needs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = test ]; then
    want=$(grep -v '^#' "$here/packages.txt")
else
    want=$(sed '/^# test/q' "$here/packages.txt" | grep -v '^#')
fi
missing=
for package in $want; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing, and installing them needs root:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # one word a package
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null
