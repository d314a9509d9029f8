#!/usr/bin/env bash
# Measures what the settings of tuning/ do for the gateway on this machine: the value of a stock
# kernel and the wanted one in turns, on the work that could feel it.
#
#   scripts/bench/tuning.sh [--rounds N] [--seconds N] [--quick] [--rows A,B]
#
# Beside those of tuning/: busy polling, and which core takes the packets (of loopback and of the
# cards). A row says better, worse, none within the noise, or why nothing can be measured here.
# `--help` lists the options and rows; the report stays in target/bench/tuning.md.
#
# BENCH_BINARY names a gateway that is built already. It needs root for what belongs to the kernel:
# values that cannot be set are told as such, and old ones are put back however the run ends. The
# full run takes an hour, --quick a quarter of one.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
measure tuning "$@"
