#!/usr/bin/env bash
# Runs the README's tour as it stands, block by block, on ports and in a directory of its own, and checks what it shows.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

place=$(mktemp -d)
tour=""
# Server and receiver are jobs of the tour: where it ends early, they end with its session.
finish() {
  if [[ -n $tour ]]; then pkill -TERM -s "$tour" 2>/dev/null || true; fi
  rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$place/docs/examples" "$place/target"
cp -r docs/examples/receiver "$place/docs/examples/"
ln -s "$root/target/debug" "$place/target/debug"
skip=(-e '/^cargo build/d')
if [[ -d target/receivers/.venv ]]; then
  # The official package is there already.
  ln -s "$root/target/receivers/.venv" "$place/target/tour"
  skip+=(-e '/^python3 -m venv/d')
fi

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
POSTRIDER_PORT=$(port) PORT=$(port)
export PORT POSTRIDER_LISTEN=127.0.0.1:$POSTRIDER_PORT POSTRIDER_URL=http://127.0.0.1:$POSTRIDER_PORT

cargo build --locked --quiet --package postrider
{
  echo 'set -m'
  awk '/^## /{ tour = /^## A tour/ } tour && /^```$/{ block = 0 } block; tour && /^```sh$/{ block = 1 }' README.md |
    sed "${skip[@]}" -e "s/127\.0\.0\.1:8700/127.0.0.1:$POSTRIDER_PORT/; s/127\.0\.0\.1:3000/127.0.0.1:$PORT/"
} >"$place/tour"

(cd "$place" && exec setsid timeout 120 bash -e tour) >"$place/said" 2>&1 &
tour=$!
wait "$tour" || {
  code=$?
  cat "$place/said" "$place/serve.log" >&2 || true
  echo "the tour ended with exit code $code" >&2
  exit 1
}

check() {
  if ! grep -qE -- "$1" "$place/said"; then
    cat "$place/said" >&2
    echo "the tour did not show: $1" >&2
    exit 1
  fi
}
check '"deliveries":1'
check '200 verified evt_\w+ card.transaction attempt 1'
check '"amount": 42.50'
check '500 verified evt_\w+ card.transaction attempt 3'
check 'schedule +500'
check '200 verified evt_\w+ card.transaction attempt 4'
check '^dlv_\w+ +succeeded .* 4 '
if [[ ${1:-} == --show ]]; then cat "$place/said"; fi
echo "the tour shows what the README says"
