#!/usr/bin/env bash
# Counts what each feature of the operator's costs a request, in instructions: the ledger, traces
# of which 1 % are recorded, budgets, the response cache that has no answer yet; each alone and all
# together, beside the same gateway without them.
#
#   scripts/bench/features.sh [--requests N] [--only FEATURE] [--profile]
#
# The release binary's thread is stepped from instruction to instruction, on the processor as it is;
# the kernel's part is not in the counts, and other load does not change them. The report stays in
# target/bench/features.md. BENCH_BINARY names a gateway that is built already. Takes three minutes.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc nm python3
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$out"
build mock
build steps
if [[ -z ${BENCH_BINARY:-} ]]; then
    (cd "$root" && cargo build --release --locked --bin vertex-bridge)
fi
exec python3 "$here/features.py" --binary "${BENCH_BINARY:-$root/target/release/vertex-bridge}" \
    --tools "$out" "$@"
