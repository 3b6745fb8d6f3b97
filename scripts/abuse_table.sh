#!/usr/bin/env bash
# Compares the abuses that docs/security.md lists with the tests that carry their ids (`abuse_a31_...`): each must have
# the other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

listed=$(sed -nE 's/^\| (A[0-9]+) \|.*/\1/p' docs/security.md | sort)
# A test may carry several ids, one after the other: abuse_a40_a47_...
tested=$(grep -rhoE --include='*.rs' 'fn abuse(_a[0-9]+)+_' crates |
  grep -oE '_a[0-9]+' | tr -d _ | tr a A | sort -u)

twice=$(uniq -d <<<"$listed")
untested=$(comm -23 <(sort -u <<<"$listed") <(echo "$tested"))
unlisted=$(comm -13 <(sort -u <<<"$listed") <(echo "$tested"))

fail=0
report() {
  if [[ -n $2 ]]; then
    echo "$1: $(sort -V <<<"$2" | paste -sd ' ')" >&2
    fail=1
  fi
}
report "listed twice in docs/security.md" "$twice"
report "in docs/security.md, but no test carries the id" "$untested"
report "carried by a test, but not in docs/security.md" "$unlisted"
((fail == 0)) && echo "$(wc -l <<<"$tested") abuses, each in docs/security.md and in the name of a test"
exit "$fail"
