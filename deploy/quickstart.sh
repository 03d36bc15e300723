#!/bin/bash
# Shows dtbridge at work on this machine: builds it, starts a simulated Darktrace master with realistic breaches, the bridge with the
# shipped example configuration and the policy stage-2, and a receiver that prints each forwarded breach with the reason.
#
#   deploy/quickstart.sh [SECONDS]     stops by itself after 40 seconds, or with Ctrl-C
#
# Installs what it needs on a bare Debian 12 (as root). Everything it writes is in build/ and in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-40}
case $seconds in *[!0-9]* | '') sed -n '2,8p' "$0"; exit 2 ;; esac

echo "== Installing what is missing"
tests/install.sh build
echo "== Building (a few minutes the first time)"
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake --preset release >/dev/null
cmake --build --preset release --target dtbridge darktrace-simulator | tail -n 1

work=$(mktemp -d)
pids=()
stop() {
    trap - EXIT INT TERM
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
trap 'echo; echo "== Stopped"; exit 0' INT TERM

# wait_for FILE PATTERN: until a line of FILE matches, at most 10 s.
wait_for() {
    for _ in $(seq 100); do
        grep -q "$2" "$1" 2>/dev/null && return 0
        sleep 0.1
    done
    echo "nothing like '$2' came from:" >&2
    cat "$1" >&2
    return 1
}

echo "== Starting the simulated master (HTTPS, self-signed), with 30 breaches of the last hours and a new one every 4 seconds"
public=0123456789abcdef0123456789abcdef01234567
private=76543210fedcba9876543210fedcba9876543210
build/release/darktrace-simulator --tls "$work/tls" --data tests/data/breaches/*.*json --spread 6h \
    --generate 3 --span 1h --first-pbid 500000 --rate 0.25 --public-token "$public" --private-token "$private" >"$work/master.log" 2>&1 &
pids+=($!)
wait_for "$work/master.log" 'listening on'
url=$(sed -n 's/^listening on //p' "$work/master.log" | head -n 1)

echo "== Starting the receiver"
python3 deploy/quickstart-receiver.py "$work/port" &
pids+=($!)
wait_for "$work/port" '[0-9]'
port=$(cat "$work/port")

# The shipped example with its blanks filled in, and the keys that the quickstart needs beside them.
(umask 027; echo "$private" >"$work/quickstart.token")
sed -e '0,/^name = "" .*/s||name = "quickstart"|' \
    -e "0,/^url = \"\" .*/s||url = \"$url\"\ntls = { ca_file = \"$work/tls/server.pem\" }|" \
    -e "s|^public_token = \"\" .*|public_token = \"$public\"|" \
    -e 's|^private_token_file = "" .*|private_token_file = "quickstart.token"|' \
    -e "s|^address = \"\" .*|address = \"127.0.0.1:$port\"\ntransport = \"tcp\"\nrules = \"mappings/stage-2.toml\"\nannotate = true\nstart = \"all\"|" \
    -e "s|^\[service\]|[service]\nstate_dir = \"$work/state\"\nlisten = \"\"|" \
    deploy/dtbridge.toml | sed -e '0,/^name = "" .*/s||name = "receiver"|' >"$work/dtbridge.toml"
cp -r mappings "$work/"
build/release/dtbridge check --config "$work/dtbridge.toml"

echo "== Starting dtbridge; what it forwards is printed as it arrives ($seconds seconds, or Ctrl-C)"
echo
build/release/dtbridge run --config "$work/dtbridge.toml" 2>"$work/bridge.log" &
bridge=$!
pids+=("$bridge")
for _ in $(seq "$seconds"); do
    kill -0 "$bridge" 2>/dev/null || { echo "dtbridge ended:"; cat "$work/bridge.log"; exit 1; }
    sleep 1
done

echo
echo "== What the policy decided about every breach of the data set"
for file in tests/data/breaches/*.*json; do build/release/dtbridge filter --rules mappings/stage-2.toml "$file"; done |
    python3 -c 'import json, sys
said = [json.loads(line) for line in sys.stdin]
print(len(said), "breaches,", sum(s["forward"] for s in said), "forwarded; held back, for example:")
for s in [s for s in said if not s["forward"]][:3]: print("  pbid", s["pbid"], s["model"] + ":", s["reason"])'
cat <<'END'

== With a real master and a real SIEM
  cp deploy/dtbridge.toml mine.toml          and fill in the lines marked <<< FILL IN:
    [[master]]       url, public_token and private_token_file (System Config, API Token, on the appliance);
                     tls = { fingerprint_sha256 = ".." } or { ca_file = ".." } where its certificate is self-signed
    [[destination]]  address, transport, format = "cef" or "leef" where the SIEM wants it, or profile = "qradar", "sentinel", ..
    rules            mappings/stage-1.toml, stage-2.toml, stage-3.toml, or a copy of one with thresholds of your own
  build/release/dtbridge check --config mine.toml
  build/release/dtbridge run --config mine.toml
END
echo "== Stopped"
