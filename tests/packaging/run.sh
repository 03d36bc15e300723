#!/bin/bash
# Builds the packages and tests them: tests/packaging/run.sh [--brief] [XML]
#
# The same tree gives the same bytes, from another folder, without git and without the compiler's cache; lintian and rpmlint have nothing to say;
# install, run, reload, upgrade, remove and purge work under systemd on Debian 12, Debian 13 and by dnf. As root on Debian 12, beside a release
# build (tests/run.sh); trees are made from this machine's mirror. What the machine lacks makes tests say that they are skipped.
# --brief leaves out what takes minutes more: compiling without the cache, and Debian 13. XML: a report as ctest's.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
brief=
if [ "${1:-}" = --brief ]; then
    brief=1
    shift
fi
xml=${1:-/dev/null}
case $xml in -*) sed -n '2,7p' "$0"; exit 2 ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! { packaging/install.sh test && tests/install.sh build; } >"$work/out" 2>&1; then
    echo "skipped: packages are not built and tested here: $(tail -n 1 "$work/out")"
    echo '<testsuite><testcase name="packages" status="notrun"><system-out>skipped: what they need cannot be installed</system-out></testcase></testsuite>' >"$xml"
    exit 0
fi

version=$(sed -n 's/^project(dtbridge VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
good=0 failed=0
: >"$work/cases"
run() {  # NAME COMMAND..
    local name=$1 status=run start=$SECONDS
    shift
    if "$@" >"$work/out" 2>&1; then
        good=$((good + 1))
        echo "ok    $name ($((SECONDS - start)) s)$(sed -n 's/^OK (\(skipped=.*\))$/ \1/p' "$work/out")"
        sed -n 's/.* \.\.\. skipped / skipped: /p' "$work/out"
    else
        status=fail failed=$((failed + 1))
        echo "FAIL  $name ($((SECONDS - start)) s)"
        tail -n 60 "$work/out"
    fi
    python3 - "$name" "$status" "$work/out" >>"$work/cases" <<'END'
import sys
from xml.sax.saxutils import escape, quoteattr
name, status, out = sys.argv[1:]
# What summary.py counts by.
said = [line for line in open(out, errors="replace") if line.startswith(("Ran ", "OK", "FAILED")) or "... skipped " in line]
print(f"<testcase name={quoteattr('packages: ' + name)} status={quoteattr(status)}><system-out>{escape(''.join(said))}</system-out></testcase>")
END
}
builds() {  # KIND TREE FOLDER [OPTION..]
    local kind=$1 tree=$2 folder=$3
    shift 3
    "$tree/packaging/build.sh" "$kind" --output "$folder" "$@"
}
same() {  # KIND TREE: built again from there, it is what is in packages
    builds "$1" "$2" "$work/again" || return
    for file in "$work/again"/*."$1"; do
        cmp "$file" "$work/packages/$(basename "$file")" || return
    done
    rm -r "$work/again"
}
elsewhere() {  # the sources as a release's tarball has them: another folder, no .git
    mkdir "$work/elsewhere"
    if [ -e .git ]; then
        git ls-files -z --cached --others --exclude-standard |
            tar --null -T - --ignore-failed-read --mtime="@$(git log -1 --format=%ct)" -cf - | tar -C "$work/elsewhere" -xf -
    else
        tar --exclude=./build -cf - . | tar -C "$work/elsewhere" -xf -
    fi
}

for kind in deb rpm; do
    run "$kind builds" builds $kind "$root" "$work/packages"
    run "$kind of an older version builds" builds $kind "$root" "$work/old" --version 0.0.1
done
elsewhere
for kind in deb rpm; do
    run "$kind from another folder without git is the same" same $kind "$work/elsewhere"
done
[ -n "$brief" ] || run "deb without the compiler's cache is the same" env CCACHE_DISABLE=1 bash -c "$(declare -f builds same); work='$work'; same deb '$root'"
run "lintian has nothing to say" bash -c "lintian --allow-root --fail-on error,warning,info --display-info --tag-display-limit 0 \
    '$work'/packages/dtbridge_${version}_*.deb '$work'/packages/dtbridge-{kafka,postgresql}_${version}_*.deb | tee /dev/stderr | (! grep -q .)"
run "rpmlint has nothing to say" bash -c "rpmlint -c packaging/rpm/rpmlint.toml '$work'/packages/dtbridge-${version}-*.rpm '$work'/packages/dtbridge-{kafka,postgresql}-${version}-*.rpm | tee /dev/stderr |
    grep -q ' 0 errors, 0 warnings, '"
cp "$work"/old/* "$work/packages/"
tests=(DebOnDebian12 RpmOnEl9)
[ -n "$brief" ] || tests+=(DebOnDebian13)
for test in "${tests[@]}"; do
    run "life cycle: $test" env DTBRIDGE_PACKAGES="$work/packages" DTBRIDGE_VERSION="$version" DTBRIDGE_BUILD="${DTBRIDGE_BUILD:-$root/build/release}" \
        PYTHONDONTWRITEBYTECODE=1 python3 tests/packaging/test_life_cycle.py -v "$test"
done

{ echo "<testsuite>"; cat "$work/cases"; echo "</testsuite>"; } >"$xml"
echo "packages: $good passed, $failed failed"
[ "$failed" = 0 ]
