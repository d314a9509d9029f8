#!/usr/bin/env bash
# Measures what it costs the gateway to pack answers, and to keep them: CPU per request with each
# coding that a client may take, with a cache that never has the answer and with one that has it.
#
#   scripts/bench/answers.sh [--quick] [--rounds 9] [--seconds 2] [...]
#
# The report stays in target/bench/answers.md. BENCH_BINARY names a gateway that is built already.
# It needs wrk.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need wrk
measure answers "$@"
