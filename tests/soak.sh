#!/bin/bash
# Ten simulated masters, the bridge and six real collectors (rsyslog and syslog-ng; TCP, TLS and RELP; two are one destination)
# under random faults of all sides for N minutes; then everything is mended, and a table says what was made, archived, expected and
# received. From 30 minutes on there are 200 kills -9 of the bridge at least and a black hole of two minutes.
#
#   tests/soak.sh --minutes N [--seed S] [--rate R] [--kills K] [--black-hole SECONDS] [--quiet] [--keep]
#
# Runs the programs of build/release, or of the folder in DTBRIDGE_BUILD. As root it works in namespaces of its own and makes more
# faults (full disk, resets, black holes) and judges repeats. Exit status 1 when anything is missing, came again that was not in
# flight, recovered too late, or the bridge took more than 64 MiB.
set -euo pipefail
cd "$(dirname "$0")/integration"
export DTBRIDGE_BUILD=${DTBRIDGE_BUILD:-$(cd ../.. && pwd)/build/release} PYTHONDONTWRITEBYTECODE=1
exec python3 -m soak "$@"
