#!/bin/bash
# Builds dtbridge and runs all its tests; installs what it needs on a bare Debian 12 (as root).
#
#   tests/run.sh                      unit and black-box tests of the release build
#   tests/run.sh --preset asan ...    other presets of CMakePresets.json; may be repeated. asan:brief leaves out the black-box tests
#                                     that take minutes, asan:unit all black-box tests
#   tests/run.sh --packages brief     also builds the DEB and the RPM and takes them through a life under systemd; "all" tests more of it
#   tests/run.sh --bench              also builds the benchmarks of tests/bench with the release build and checks their ratios
#   tests/run.sh --fuzz 30            also runs every fuzz target for so many seconds
#   tests/run.sh --strict             a test that is skipped fails the run, unless tests/skips.txt names it with its reason
#
# Before the end it says what was skipped and why; the last line how many tests passed. Exit status 0 only when none failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

presets=() fuzz=0 packages= bench=OFF strict=()
while [ $# -gt 0 ]; do
    case $1 in
        --preset) presets+=("$2"); shift 2 ;;
        --bench) bench=ON; shift ;;
        --strict) strict=(--strict tests/skips.txt); shift ;;
        --fuzz) fuzz=$2; shift 2 ;;
        --packages) packages=$2; shift 2 ;;
        *) sed -n '2,13p' "$0"; exit 2 ;;
    esac
done
[ ${#presets[@]} -gt 0 ] || presets=(release)

tests/install.sh || exit 1
# A clone in another folder finds what this one has compiled, and packaging/build.sh what the release build has.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale "CCACHE_IGNOREOPTIONS=-ffile-prefix-map=*"
jobs=$(nproc)
# Tests wait more than they compute.
at_once=$((jobs + 1))
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
status=0
# ctest keeps the first KiB of what a test said; how many cases it had and which it skipped stands all over it.
whole=(--test-output-size-passed 16777216 --test-output-size-failed 16777216)

python3 tests/lint/run.py || { echo "lint failed" >&2; status=1; }

for choice in "${presets[@]}"; do
    preset=${choice%%:*}
    case $choice in
        *:unit) only=(-L unit) ;;
        *:brief) only=(-LE slow) ;;
        *) only=() ;;
    esac
    more=()
    [ "$preset" != release ] || more=(-DDTBRIDGE_BENCH=$bench)
    echo "== $preset: build"
    start=$SECONDS
    if ! cmake --preset "$preset" "${more[@]}" >"$results/log" 2>&1 || ! cmake --build --preset "$preset" -j "$jobs" >>"$results/log" 2>&1; then
        tail -n 60 "$results/log"
        echo "== $preset: build failed"
        echo '<testsuite><testcase name="build" status="fail"/></testsuite>' >"$results/$preset.xml"
        status=1
        continue
    fi
    echo "== $preset: built in $((SECONDS - start)) s; testing"
    ctest --preset "$preset" -j "$at_once" "${only[@]}" "${whole[@]}" --output-junit "$results/$preset.xml" --timeout 900 || status=1
done

if [ -n "$packages" ]; then
    echo "== packages"
    [ "$packages" = all ] || set -- --brief
    tests/packaging/run.sh "$@" "$results/packages.xml" || status=1
fi

if [ "$fuzz" -gt 0 ]; then
    echo "== fuzz: build"
    if cmake --preset fuzz >"$results/log" 2>&1 && cmake --build --preset fuzz --target fuzz-targets -j "$jobs" >>"$results/log" 2>&1; then
        tests/fuzz/run.sh "$fuzz" "$results/fuzz-targets.xml" || status=1
    else
        tail -n 60 "$results/log"
        echo '<testsuite><testcase name="build" status="fail"/></testsuite>' >"$results/fuzz-targets.xml"
        status=1
    fi
fi

python3 tests/support/summary.py "${strict[@]}" "$status" "$results"/*.xml
