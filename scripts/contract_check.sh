#!/usr/bin/env bash
# Holds a running server against the document that it serves: schemathesis makes up calls, good and bad ones, and looks at what is
# answered. Server and caller share a network of their own, in which there is nothing but loopback: wherever an endpoint is made to
# point, no packet leaves, and no name is asked for outside.
#
#   scripts/contract_check.sh            everything, by scripts/schemathesis.toml
#   scripts/contract_check.sh --seed 7   further arguments go to `schemathesis run`
#   CONTRACT_SECONDS=1200                how long it may take
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

schemathesis=target/schemathesis/bin/schemathesis
version=4.32.5

if [[ ${1:-} != --inside ]]; then
  if ! unshare --net --map-root-user ip link set lo up; then
    echo "a network of its own cannot be made here (unshare --net): nothing is run, since calls may lead anywhere" >&2
    exit 1
  fi
  if [[ $("$schemathesis" --version 2>/dev/null) != *" $version" ]]; then
    python3 -m venv --clear target/schemathesis
    target/schemathesis/bin/pip install --quiet --disable-pip-version-check "schemathesis==$version"
  fi
  cargo build --locked --quiet --package postrider
  exec unshare --net --map-root-user "$0" --inside "$@"
fi
shift
ip link set lo up

place=$(mktemp -d)
: >"$place/out"
server=""
finish() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

POSTRIDER_ADMIN_TOKEN=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
export POSTRIDER_ADMIN_TOKEN
target/debug/postrider serve --dev --listen 127.0.0.1:0 --database "sqlite:$place/postrider.db" \
  >"$place/out" 2>"$place/log" &
server=$!
for ((tries = 0; tries < 200; tries++)); do
  url=$(sed -nE 's/^listening on (.*)/\1/p' "$place/out")
  if [[ -n $url ]] || ! kill -0 "$server" 2>/dev/null; then break; fi
  sleep 0.1
done
if [[ -z $url ]]; then
  cat "$place/log" >&2
  exit 1
fi

# A call as the operator. What it makes is what the calls are about.
call() {
  curl --silent --show-error --fail-with-body -X "$1" -H "Authorization: Bearer $POSTRIDER_ADMIN_TOKEN" \
    -H 'Content-Type: application/json' ${3:+-d "$3"} "$url$2"
}
for tenant in acme loyalty-club kept; do call PUT "/v1/tenants/$tenant" '{}' >"$place/said"; done
for endpoint in till-4 till-5; do
  call PUT "/v1/tenants/kept/endpoints/$endpoint" '{"url": "http://127.0.0.1:9999/", "retry": {"schedule_s": []}}' >"$place/said"
done
for event in txn-1 txn-2 txn-3; do
  call POST /v1/events "{\"tenant\": \"kept\", \"type\": \"card.frozen\", \"data\": {}, \"id\": \"$event\"}" >"$place/said"
done
deliveries=/v1/tenants/kept/deliveries
for ((tries = 0; tries < 100; tries++)); do
  if ! call GET "$deliveries?status=pending" | grep -q dlv_; then break; fi
  sleep 0.1
done
delivery=$(call GET "$deliveries?endpoint=till-4&limit=1" | grep -oE 'dlv_[0-9a-z]{26}')
# One that is cancelled, since it may be so again and again.
replays=/v1/tenants/kept/endpoints/till-4/replays
replay=$(call POST "$replays" '{"sequence_from": 1, "per_second": 1}' | grep -oE 'rpl_[0-9a-z]{26}')
call DELETE "$replays/$replay"
sed "s/@delivery@/$delivery/; s/@replay@/$replay/; s|scripts/|$PWD/scripts/|" scripts/schemathesis.toml >"$place/schemathesis.toml"

code=0
timeout "${CONTRACT_SECONDS:-1200}" "$schemathesis" --config-file "$place/schemathesis.toml" run "$url/openapi.json" \
  --header "Authorization: Bearer $POSTRIDER_ADMIN_TOKEN" "$@" || code=$?
if ((code == 124)); then echo "it was not done within ${CONTRACT_SECONDS:-1200} seconds" >&2; fi
if ! kill -0 "$server" 2>/dev/null; then
  echo "the server has ended" >&2
  code=1
fi
if grep -E ' ERROR |panicked' "$place/log"; then
  echo "the server logged an error" >&2
  code=1
fi
exit "$code"
