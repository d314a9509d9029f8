#!/usr/bin/env bash
# Measures what being scraped costs requests: the gateway asked for its metrics a hundred times a
# second, and left alone, in turns.
#
#   scripts/bench/scrape.sh [--rounds N] [--seconds N] [--quick]
#
# The report stays in target/bench/scrape.md. BENCH_BINARY names a gateway that is built already.
# The full run takes two minutes.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mkdir -p "$out"
build scraper
measure scrape "$@"
