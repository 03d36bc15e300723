#!/bin/bash
# Makes the packages of this tree, the program's and those that ask for a library more: packaging/build.sh deb|rpm [--output FOLDER] [--version VERSION]
#
# From a clean clone on Debian 12, as root or with tests/packages.txt and packaging/packages.txt installed. The same tree gives the same bytes.
# The packages land in build/packages unless told otherwise; their names are the last lines of the output.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
usage() { sed -n '2,5p' "$0"; exit 2; }

kind=${1:-}
case $kind in deb | rpm) shift ;; *) usage ;; esac
output=$root/build/packages version=
while [ $# -gt 0 ]; do
    case $1 in
        --output) output=$(mkdir -p "$2" && cd "$2" && pwd) ;;
        --version) version=$2 ;;  # of a test's upgrade; a release takes what CMakeLists.txt says
        *) usage ;;
    esac
    shift 2
done

"$root/tests/install.sh" build
"$root/packaging/install.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Objects are the same wherever they were compiled (cmake/DtbridgeOptions.cmake), so a cache may hand them out; tests/run.sh says the same.
export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache} CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale
export CCACHE_IGNOREOPTIONS="-ffile-prefix-map=*"

if [ -e "$root/.git" ]; then
    stamp=$(git -C "$root" log -1 --format=%ct)
    files() { git -C "$root" ls-files -z --cached --others --exclude-standard; }
else  # a release's tarball
    stamp=$(stat -c %Y "$root/CMakeLists.txt")
    files() { (cd "$root" && find . -path ./build -prune -o \( -type f -o -type l \) -print0); }
fi
[ -n "$version" ] || version=$(sed -n 's/^project(dtbridge VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
tree=$work/dtbridge-$version
mkdir "$tree"
files | tar -C "$root" --null -T - --ignore-failed-read -cf - | tar -C "$tree" -xf -
sed -i "s/^project(dtbridge VERSION [0-9.]*/project(dtbridge VERSION $version/" "$tree/CMakeLists.txt"
find "$tree" -exec touch -h -d "@$stamp" {} +
export SOURCE_DATE_EPOCH=$stamp CCACHE_BASEDIR=$tree LC_ALL=C.UTF-8 TZ=UTC
umask 022
mkdir -p "$output"

build_deb() {
    cp -r "$tree/packaging/debian" "$tree/debian"
    sed -i "s/@VERSION@/$version/g" "$tree/debian/dtbridge.preinst"
    printf 'dtbridge (%s) unstable; urgency=medium\n\n  * See /usr/share/doc/dtbridge/CHANGELOG.md.\n\n -- %s  %s\n' "$version" \
        "$(sed -n 's/^Maintainer: //p' "$tree/debian/control")" "$(date -u -R -d "@$stamp")" >"$tree/debian/changelog"
    (cd "$tree" && dpkg-buildpackage -us -uc -b --no-check-builddeps) >"$work/log" 2>&1 || { tail -n 60 "$work/log"; exit 1; }
    cp "$work"/dtbridge*.deb "$output/"
    (cd "$work" && ls dtbridge*.deb)
}

build_rpm() {
    top=$work/rpm
    mkdir -p "$top"
    rpmbuild -bb --target "$(uname -m)" --define "_topdir $top" --define "tree $tree" --define "dtbridge_version $version" \
        --define "changelog_date $(date -u -d "@$stamp" '+%a %b %d %Y')" "$tree/packaging/rpm/dtbridge.spec" >"$work/log" 2>&1 ||
        { tail -n 60 "$work/log"; exit 1; }
    cp "$top"/RPMS/*/*.rpm "$output/"
    find "$top/RPMS" -name '*.rpm' -printf '%f\n' | sort
}

"build_$kind" | sed "s|^|$output/|"
