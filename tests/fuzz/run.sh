#!/bin/bash
# Runs every fuzz target of build/fuzz for so many seconds, two at a time: run.sh SECONDS [JUNIT_FILE]
# Each begins with the seeds of seeds.py and with tests/fuzz/corpus, where keep.py puts what earlier runs found.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
seconds=$1 report=${2:-/dev/null}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 tests/fuzz/seeds.py "$work/seeds" || exit 1

fuzz_one() {
    local target=$1 name
    name=$(basename "$target")
    local kept=("tests/fuzz/corpus/${name#fuzz-}")
    [ -d "${kept[0]}" ] || kept=()
    mkdir -p "$work/corpus/$name" "build/fuzz/findings/$name" "$work/seeds/${name#fuzz-}"
    if timeout $((seconds + 120)) "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
            -artifact_prefix="build/fuzz/findings/$name/" "$work/corpus/$name" "$work/seeds/${name#fuzz-}" "${kept[@]}" >"$work/$name.log" 2>&1; then
        echo "  <testcase name=\"$name\" status=\"run\"/>" >"$work/$name.xml"
        echo "$name: $(grep -o 'stat::number_of_executed_units: *[0-9]*' "$work/$name.log" | grep -o '[0-9]*$') runs, nothing found"
    else
        echo "  <testcase name=\"$name\" status=\"fail\"/>" >"$work/$name.xml"
        tail -n 40 "$work/$name.log"
        echo "$name: FAILED, input in build/fuzz/findings/$name"
    fi
}

for target in build/fuzz/fuzz-*; do
    [ -x "$target" ] || continue
    fuzz_one "$target" &
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
done
wait
{ echo '<testsuite name="fuzz">'; cat "$work"/fuzz-*.xml; echo '</testsuite>'; } >"$report"
! grep -q 'status="fail"' "$work"/fuzz-*.xml
