#!/usr/bin/env bash
# Measures whether a second shard makes a request dearer and whether connections are spread evenly,
# and computes from measured costs what to expect of up to 64 cores.
#
#   scripts/bench/scale.sh [--rounds N] [--seconds N] [--connections N] [--quick]
#       [--transfers A,B] [--keys N] [--anyway]
#
# Two cores are enough: upstreams (mock.c), load (load.c) and gateways stand on both, alike in every
# layout. shared.c measures what it costs when two cores touch the same memory. The report explains
# itself and stays in target/bench/scale.md.
#
# BENCH_BINARY names a gateway that is built already. The full run takes 12 minutes, --quick 2.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc
mkdir -p "${out:?}"
build shared -pthread
measure scale "$@"
