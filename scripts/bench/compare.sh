#!/usr/bin/env bash
# Measures the gateway beside nginx and a bare io_uring forwarder on the same work: CPU per request
# and per streamed chunk.
#
#   scripts/bench/compare.sh [--rounds N] [--seconds N] [--quick] [--scenarios A,B] [--targets A,B]
#
# The gateway is asked for three models: one passes the bytes of an OpenAI upstream on, two are
# translated. All that is measured stands on one core, its upstream (mock.c) and the load (load.c)
# on another. HAProxy and the forwarders that do nothing else (floor.c, floor-multishot.c) join when
# haproxy and liburing-dev are installed. `--help` lists the options; the report explains itself,
# lists what holds and what does not, and stays in target/bench/report.md.
#
# BENCH_BINARY names a gateway that is built already. The full run takes 45 minutes, --quick 8.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need nginx
measure compare "$@"
