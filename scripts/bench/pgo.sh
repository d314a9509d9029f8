#!/usr/bin/env bash
# Shows what profile-guided optimisation is worth: builds a gateway that counts, has it do all that
# compare.sh measures, builds one with that profile, and compares the two with nginx and the floor.
#
#   scripts/bench/pgo.sh [option of compare.sh...]
#
# Takes half an hour. Needs the llvm-profdata of a recent LLVM (Debian: llvm-19); LLVM_PROFDATA names
# one that is not found. The program that comes out is target/pgo/use/release/vertex-bridge.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
profdata=${LLVM_PROFDATA:-$(command -v llvm-profdata-19 || command -v llvm-profdata)} || {
    echo "pgo: llvm-profdata is missing; Debian: apt-get install llvm-19" >&2
    exit 2
}
folder=$root/target/pgo
rm -rf "$folder/raw"

RUSTFLAGS="-Cprofile-generate=$folder/raw" \
    cargo build --release --locked --bin vertex-bridge --target-dir "$folder/generate"
LLVM_PROFILE_FILE="$folder/raw/%p.profraw" BENCH_BINARY="$folder/generate/release/vertex-bridge" \
    scripts/bench/compare.sh --rounds 1 --seconds 3 --targets exact,gemini,anthropic --max-other 100
"$profdata" merge -o "$folder/vertex-bridge.profdata" "$folder/raw"/*.profraw
RUSTFLAGS="-Cprofile-use=$folder/vertex-bridge.profdata" \
    cargo build --release --locked --bin vertex-bridge --target-dir "$folder/use"
exec scripts/bench/compare.sh --targets floor,nginx,exact,gemini \
    --beside "$folder/use/release/vertex-bridge" "$@"
