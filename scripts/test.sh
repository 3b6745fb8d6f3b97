#!/usr/bin/env bash
# Runs everything that must hold, and installs what it needs for that first. Stops at the first failure and names it.
#
#   scripts/test.sh              everything
#   NEXTEST_PROFILE=ci           the test runner's profile (default: ci when CI is set, else default)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${NEXTEST_PROFILE:-${CI:+ci}}
done_steps=()
step_name=""
step_start=0
run_start=$SECONDS

finish() {
  local code=$?
  echo
  if ((${#done_steps[@]})); then printf '  ok      %s\n' "${done_steps[@]}"; fi
  if [[ $code -eq 0 ]]; then
    echo "All of it holds ($((SECONDS - run_start)) s)."
  else
    echo "  FAILED  ${step_name}"
    echo "Stopped at \"${step_name}\" (exit code ${code}); what it said is above."
  fi
}
trap finish EXIT

step() {
  step_name=$1
  step_start=$SECONDS
  echo
  echo "== ${step_name}"
}

passed() { done_steps+=("${step_name} ($((SECONDS - step_start)) s)"); }

# A command of the system, installed by apt where it is missing and we may.
need() {
  local command=$1 package=$2
  command -v "$command" >/dev/null && return
  local sudo=()
  if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "$command is missing: install it (on Debian: apt-get install $package)" >&2
      return 1
    fi
    sudo=(sudo)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "$command is missing, and there is no apt-get here to install $package with" >&2
    return 1
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
}

step "what is needed"
if ! command -v cargo >/dev/null; then
  echo "cargo is missing: install Rust with https://rustup.rs" >&2
  exit 1
fi
# aws-lc and SQLite are C; a linker comes with it.
need cc build-essential
need curl curl
need python3 python3
need node nodejs
need npm npm
# The tests look at system calls, give rights up, and run in a network of their own.
need strace strace
need setpriv util-linux
need unshare util-linux
need ip iproute2
# They look at pages as people do.
need chromium chromium
for component in rustfmt clippy; do
  "cargo-${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done
command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest
# Official receivers that the tests verify our signatures with.
venv=target/receivers/.venv
if ! [[ -x $venv/bin/python ]]; then
  python3 -m venv "$venv" || { need pip3 python3-venv && python3 -m venv --clear "$venv"; }
fi
"$venv/bin/python" -c 'import standardwebhooks' 2>/dev/null ||
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check standardwebhooks==1.1.0
if ! [[ -d target/receivers/node_modules/standardwebhooks ]]; then
  npm install --silent --no-audit --no-fund --no-package-lock --prefix target/receivers standardwebhooks@1.1.1
fi
passed

step "format"
cargo fmt --all --check
passed

step "the table of abuses"
scripts/abuse_table.sh
passed

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
passed

# Commands that the tests start are built too.
step "tests"
cargo nextest run --locked --workspace --profile "${profile:-default}"
passed

# A fixed set of seeds, and then fresh ones for a while: what a machine has seen often it should not look at alone.
step "the simulator"
cargo build --locked --quiet --profile sim --package postrider-sim
target/sim/postrider-sim --seeds 1000
# The deliberate bugs that need no build of their own; `make mutants` plants all.
target/sim/postrider-sim mutants
target/sim/postrider-sim --from "$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" --seeds 1000000 --within-s 30
passed

step "the README's tour"
scripts/tour.sh
passed

step "examples in the documentation"
cargo test --locked --workspace --doc --quiet
passed

if command -v cargo-deny >/dev/null; then
  step "licences, sources and bans of dependencies"
  # Advisories need the network: `make deny` looks at them too.
  cargo deny --locked --offline check licenses bans sources
  passed
else
  done_steps+=("licences, sources and bans of dependencies: SKIPPED, cargo-deny is not installed")
fi
