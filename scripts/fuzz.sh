#!/usr/bin/env bash
# Tries bytes on the readers of outside bytes, one after the other, and keeps of what it found the little that is worth
# keeping: fuzz/corpus/ is committed, and `make test` tries it without a fuzzer.
#
#   scripts/fuzz.sh              every target
#   scripts/fuzz.sh url card     these
#   SECONDS_EACH=300             how long each
#   FUZZ_KEEP=40                 files kept of each, at most
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${SECONDS_EACH:-300}
keep=${FUZZ_KEEP:-40}
max_input=4096

command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
# Instrumentation wants a nightly toolchain, or a stable one that is told that it may.
toolchain=()
if rustup toolchain list 2>/dev/null | grep -q nightly; then
  toolchain=(+nightly)
else
  export RUSTC_BOOTSTRAP=1
fi
# What is fuzzed is what ships.
cp Cargo.lock fuzz/Cargo.lock

targets=("$@")
if ((${#targets[@]} == 0)); then mapfile -t targets < <(cargo "${toolchain[@]}" fuzz list); fi
for target in "${targets[@]}"; do
  cargo "${toolchain[@]}" fuzz build "$target"
  binary=$(find fuzz/target -path "*/release/$target" -type f -print -quit)
  found=fuzz/found/$target corpus=fuzz/corpus/$target artifacts=fuzz/artifacts/$target/
  mkdir -p "$found" "$corpus" "$artifacts"
  echo "== $target"
  "$binary" -max_total_time="$seconds" -max_len="$max_input" -timeout=20 -rss_limit_mb=2048 -dict=fuzz/words.dict \
    -print_final_stats=1 -artifact_prefix="$artifacts" "$found" "$corpus" 2>&1 |
    grep -E 'panicked|^stat::number_of_executed_units|DONE|SUMMARY|Test unit' || true
  if [[ -n $(ls -A "$artifacts") ]]; then
    echo "$target breaks a promise: see $artifacts" >&2
    exit 1
  fi
  # Beside the seeds: inputs that reach what the others do not, the longest of them, since they reach the most.
  minimal=$(mktemp -d)
  "$binary" -merge=1 -use_counters=0 -max_len=1024 "$minimal" "$corpus" "$found" 2>/dev/null
  find "$corpus" -type f ! -name 'seed-*' -delete
  find "$minimal" -type f -printf '%s %p\n' | sort -n | tail -n "$keep" | cut -d' ' -f2 |
    while read -r input; do cp "$input" "$corpus/"; done
  rm -r "$minimal"
done
