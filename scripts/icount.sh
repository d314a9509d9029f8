#!/usr/bin/env bash
# Counts the instructions of the pure parts of a request (benches/icount, callgrind) and holds
# them to two gates: the limits below, and at most 3 % more than benches/icount/baseline.txt.
#
#   scripts/icount.sh           compare
#   scripts/icount.sh --write   compare with the limits only, and write the baseline anew
#
# What is missing is installed: valgrind with apt-get when this runs as root, else named; the
# bench runner, whose version must be the library's, into ~/.cargo/bin.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

write=
if [[ ${1:-} == --write ]]; then
    write=1
fi

if ! command -v valgrind >/dev/null; then
    if [[ $EUID -ne 0 ]]; then
        echo "icount: missing; install with: apt-get install valgrind" >&2
        exit 2
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends valgrind libc6-dbg
fi
runner=$(sed -n 's/^gungraun = "=\([0-9.]*\)".*/\1/p' benches/icount/Cargo.toml)
if [[ $(gungraun-runner --version 2>/dev/null) != "gungraun-runner $runner" ]]; then
    cargo install gungraun-runner --locked --version "$runner"
fi

# The release profile: what ships is what is counted.
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
CARGO_TARGET_DIR=$PWD/target/icount cargo bench --manifest-path benches/icount/Cargo.toml --locked \
    --profile release -- --output-format=json >"$counts"

WRITE=$write python3 - "$counts" benches/icount/baseline.txt <<'PYTHON'
import json
import os
import sys

EVENTS = 100
ROUNDS = 50  # how often a case without a stream is played
CHUNK_MAX = 6_000  # instructions for a chunk with 200 bytes of text, for every vendor
SMALL_MAX = 30_000  # for a small request and its answer, for every vendor
GROWTH_MAX = 0.03  # over the baseline

def is_long(function):
    return function in ("chunked_body", "sse_events", "decode_stream", "translate_stream", "pass_stream")


def is_stream(name):
    return name.startswith(("translate_stream/", "pass_stream/"))


def is_small(name):
    return name.startswith(("translate_small/", "pass_small/"))


counts = {}
for line in open(sys.argv[1]):
    if not line.startswith("{"):
        continue
    summary = json.loads(line)
    total = summary["profiles"][0]["data"]["total"]["metrics"]
    name = summary["function_name"]
    if summary.get("id"):
        name += "/" + summary["id"]
    count = int(total["Ir"]["values"]["new"])
    counts[name] = count if is_long(summary["function_name"]) else count // ROUNDS

baseline = {}
if os.path.exists(sys.argv[2]):
    for line in open(sys.argv[2]):
        if line.strip() and not line.startswith("#"):
            name, count = line.split()
            baseline[name] = int(count)


failures = []
print(f"{'case':34} {'instructions':>12} {'baseline':>12} {'change':>8}")
for name, count in counts.items():
    before = baseline.get(name)
    change = f"{100 * (count / before - 1):+.2f} %" if before else "new"
    print(f"{name:34} {count:>12} {before or '-':>12} {change:>8}")
    if is_stream(name) and count > CHUNK_MAX * EVENTS:
        failures.append(f"{name}: {count // EVENTS} per chunk, at most {CHUNK_MAX}")
    if is_small(name) and count > SMALL_MAX:
        failures.append(f"{name}: {count}, at most {SMALL_MAX}")
    if os.environ["WRITE"]:
        continue
    if before is None:
        failures.append(f"{name}: not in the baseline; run scripts/icount.sh --write")
    elif count > before * (1 + GROWTH_MAX):
        failures.append(f"{name}: {change} over the baseline, at most {GROWTH_MAX:.0%}")
missing = sorted(set(baseline) - set(counts))
if missing and not os.environ["WRITE"]:
    failures.append(f"not counted: {', '.join(missing)}; run scripts/icount.sh --write")
if not counts:
    failures.append("nothing was counted")

print()
for name, count in counts.items():
    if is_stream(name):
        print(f"{name:28} {count // EVENTS:>6} per chunk with 200 bytes of text (limit {CHUNK_MAX})")
    if is_small(name):
        print(f"{name:28} {count:>6} per small request both ways (limit {SMALL_MAX})")
if failures:
    print("\n" + "\n".join("icount: " + failure for failure in failures), file=sys.stderr)
    sys.exit(1)
if os.environ["WRITE"]:
    with open(sys.argv[2], "w") as out:
        out.write("# Instructions by case; written by scripts/icount.sh --write.\n")
        for name, count in counts.items():
            out.write(f"{name} {count}\n")
PYTHON
