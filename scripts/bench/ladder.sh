#!/usr/bin/env bash
# Measures throughput and p99 with 1, 2, 4 and so on to 8192 connections: the gateway, nginx and a
# bare forwarder. Exceeding the best number of connections must not cost throughput.
#
#   scripts/bench/ladder.sh [--rounds N] [--seconds N] [--quick] [--rungs 1,64,8192] [--targets A,B]
#
# The report stays in target/bench/ladder.md. BENCH_BINARY names a gateway that is built already.
# It needs a limit of 20,000 descriptors for a process (ulimit -Hn). The full run takes 20 minutes.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need nginx
measure ladder "$@"
