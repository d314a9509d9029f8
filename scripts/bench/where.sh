#!/usr/bin/env bash
# Shows where the CPU time of a request or of a streamed chunk goes: perf samples the gateway while
# it serves the work that compare.sh measures.
#
#   scripts/bench/where.sh [--seconds N] [--quick] [--targets exact,gemini] [--flame]
#
# Samples are taken by the clock, so that no hardware counters are needed. The report stays in
# target/bench/where.md. With --flame a flame graph of each target is drawn beside it; for that
# `inferno-collapse-perf` and `inferno-flamegraph` (cargo install inferno) are needed.
#
# BENCH_BINARY names a gateway that is built already.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need perf
measure where "$@"
