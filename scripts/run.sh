#!/usr/bin/env bash
# Builds the gateway and runs it: installs what the build needs, then `cargo run --release`.
# Arguments go to the gateway.
#
#   scripts/run.sh [ARGUMENT...]
#
# What is missing is installed with apt-get when this runs as root, else named.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
for need in "git git" "make make" "cc gcc"; do
    command -v "${need% *}" >/dev/null || missing+=("${need#* }")
done
if ((${#missing[@]} > 0)); then
    if [[ $EUID -ne 0 ]]; then
        echo "run: missing; install with: apt-get install ${missing[*]}" >&2
        exit 2
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends "${missing[@]}" libc6-dev
fi

exec cargo run --release --locked -- "$@"
