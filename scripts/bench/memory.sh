#!/usr/bin/env bash
# Measures the gateway's memory: fresh, for each idle connection, for each stream that runs slowly,
# and whether it comes back when all have left.
#
#   scripts/bench/memory.sh [--quick] [--connections 1,9000] [--streams 1000,9000] [...]
#
# The report stays in target/bench/memory.md. BENCH_BINARY names a gateway that is built already.
# It needs a limit of 20,000 descriptors for a process (ulimit -Hn). The full run takes four
# minutes.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
measure memory "$@"
