#!/usr/bin/env bash
# Measures the gateway beside other LLM gateways, on the same work: CPU per request and per streamed
# chunk.
#
#   scripts/bench/peers.sh [--rounds N] [--seconds N] [--quick] [--scenarios A,B] [--targets A,B]
#
# The first run installs them below target/bench in versions that are written down in peers.py:
# LiteLLM's proxy and LM-Proxy from PyPI (0.9 GB, two minutes), Portkey's gateway from npm. What
# cannot be installed is left out, and the report says so. `--help` lists the options and what else
# there is; the report stays in target/bench/peers.md.
#
# BENCH_BINARY names a gateway that is built already. The full run takes 8 minutes, --quick 3, both
# without the installation.
set -euo pipefail

# shellcheck source=scripts/bench/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
packages="$packages python3-venv nodejs npm"
need node npm python3
# Debian's python3 can lack what makes a virtual environment.
python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "bench: python3 has no venv; Debian: apt-get install $packages" >&2
    exit 2
}
measure peers "$@"
