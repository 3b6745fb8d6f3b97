#!/usr/bin/env bash
# Compares the abuses that docs/security.md lists with the tests that carry their ids (`abuse_a31_...`): each must have
# the other.
#
#   scripts/abuse_table.sh          compare
#   scripts/abuse_table.sh --run    compare, run those tests, and tell of each abuse what became of it (`make abuse`)
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
if [[ ${1:-} != --run ]]; then exit "$fail"; fi

# The profile writes what became of each test where we read it; what a run of before wrote would be taken for this one's.
results=target/nextest/abuse/junit.xml
rm -f "$results"
cargo nextest run --locked --workspace --profile abuse -E 'test(/(^|::)abuse_a[0-9]/)' || fail=1
if ! [[ -f $results ]]; then
  echo "the tests did not run" >&2
  exit 1
fi
python3 - "$results" <<'EOF' || fail=1
import re
import sys
from collections import defaultdict
from xml.etree import ElementTree

passed, all_of = defaultdict(int), defaultdict(int)
for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    name = case.get("name").rsplit("::", 1)[-1]
    good = case.find("failure") is None and case.find("error") is None
    for number in re.match(r"abuse((?:_a\d+)+)_", name).group(1).split("_a")[1:]:
        all_of[number] += 1
        passed[number] += good

holds = True
print()
for line in open("docs/security.md", encoding="utf-8"):
    row = re.match(r"\| A(\d+) \| (.*?) \|", line)
    if not row:
        continue
    number, what = row.groups()
    good, count = passed[number], all_of[number]
    holds = holds and 0 < count == good
    result = "NO TEST RAN" if count == 0 else "ok" if good == count else "FAILED"
    print(f"A{number:<4} {result:<12} {f'{good} of {count}':<10} {what}")
sys.exit(not holds)
EOF
exit "$fail"
