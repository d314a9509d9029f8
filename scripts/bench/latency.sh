#!/usr/bin/env bash
# Measures how much time the gateway adds to a request, beside nginx and a bare forwarder: one
# connection, with upstream, load and what is measured on one core.
#
#   scripts/bench/latency.sh [--rounds N] [--seconds N] [--quick] [--targets A,B]
#
# The report stays in target/bench/latency.md. BENCH_BINARY names a gateway that is built already.
# The full run takes four minutes.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need nginx
measure latency "$@"
