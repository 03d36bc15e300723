#!/bin/bash
# Builds the packages and tests them: tests/packaging/run.sh [XML]
#
# The same tree twice gives the same bytes; lintian and rpmlint have nothing to say; install, run, reload, upgrade, remove and purge work under
# systemd on Debian 12, Debian 13 and by dnf. As root on Debian 12; the trees are made from this machine's mirror. XML: a report as ctest's.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
sed -n '/^# test/,$p' packaging/packages.txt | grep -v '^#' | xargs -r dpkg-query -W >/dev/null 2>&1 ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
        $(sed -n '/^# test/,$p' packaging/packages.txt | grep -v '^#') >/dev/null || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/^project(dtbridge VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
cases=() failed=0
report() {  # NAME STATUS OUTPUT-FILE
    if [ "$2" = 0 ]; then
        echo "ok    $1"
        cases+=("<testcase name=\"packages: $1\" status=\"run\"/>")
    else
        echo "FAIL  $1"
        [ -z "${3:-}" ] || tail -n 40 "$3"
        cases+=("<testcase name=\"packages: $1\" status=\"fail\"/>")
        failed=$((failed + 1))
    fi
}
run() {  # NAME COMMAND..
    local name=$1
    shift
    "$@" >"$work/out" 2>&1
    report "$name" $? "$work/out"
}

for kind in deb rpm; do
    run "$kind builds" packaging/build.sh $kind --output "$work/packages"
    run "$kind builds again, and is the same" env $([ $kind = rpm ] || echo CCACHE_DISABLE=1) bash -c "packaging/build.sh $kind --output '$work/again' &&
        cd '$work/again' && sha256sum *.$kind | tee /dev/stderr | (cd '$work/packages' && sha256sum -c --quiet)"
    run "$kind of an older version builds" packaging/build.sh $kind --output "$work/packages" --version 0.0.1
done
run "lintian has nothing to say" bash -c "lintian --fail-on error,warning,info --display-info --tag-display-limit 0 \
    --suppress-tags-from-file '$root/packaging/debian/lintian-suppressed' '$work'/packages/dtbridge_${version}_*.deb"
run "rpmlint has nothing to say" bash -c "rpmlint -r '$root/packaging/rpm/rpmlint.toml' '$work'/packages/dtbridge-${version}-*.rpm"
for test in DebOnDebian12 DebOnDebian13 RpmOnEl9; do
    run "life cycle: $test" env DTBRIDGE_PACKAGES="$work/packages" DTBRIDGE_VERSION="$version" DTBRIDGE_BUILD="${DTBRIDGE_BUILD:-$root/build/release}" \
        python3 tests/packaging/test_life_cycle.py "$test"
done

[ -z "${1:-}" ] || printf '<testsuite>%s</testsuite>\n' "${cases[*]}" >"$1"
echo "packages: $((${#cases[@]} - failed)) passed, $failed failed"
[ "$failed" = 0 ]
