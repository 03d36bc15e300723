#!/bin/bash
# Makes what a release consists of: packaging/release.sh [FOLDER]   (default build/release-files)
# Source tarball, DEB with its debug symbols, RPM, SBOM (SPDX 2.3) and SHA256SUMS, from a clean checkout of the commit to release. FOLDER is new
# or empty. What is not here are the signatures: sign the RPMs with the release key, which changes them, make SHA256SUMS anew, sign that.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in -*) sed -n '2,4p' "$0"; exit 2 ;; esac
output=${1:-$root/build/release-files}
if [ -n "$(git -C "$root" status --porcelain)" ]; then
    echo "The tree has changes that are not committed: a release is made of a commit." >&2
    exit 1
fi
version=$(sed -n 's/^project(dtbridge VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
stamp=$(git -C "$root" log -1 --format=%ct)
mkdir -p "$output"
output=$(cd "$output" && pwd)
if [ -n "$(ls -A "$output")" ]; then
    echo "$output is not empty." >&2
    exit 1
fi

git -C "$root" archive --format=tar --prefix="dtbridge-$version/" HEAD | gzip -9n >"$output/dtbridge-$version.tar.gz"
for kind in deb rpm; do
    "$root/packaging/build.sh" "$kind" --output "$output"
done
SOURCE_DATE_EPOCH=$stamp "$root/packaging/sbom.py" "$version" >"$output/dtbridge-$version.spdx.json"
(cd "$output" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
