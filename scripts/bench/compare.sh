#!/usr/bin/env bash
# Measures the gateway beside nginx on the same work: CPU per request, CPU per streamed chunk, RSS.
#
#   scripts/bench/compare.sh [--rounds N] [--seconds N] [--quick] [...]
#
# The gateway is asked for a Gemini model and translates both ways; nginx copies the bytes of an
# OpenAI answer. Both stand on one core, their upstream (mock.c) and the load (load.c) on another.
# HAProxy and an io_uring forwarder that does nothing else (floor.c) join when haproxy and
# liburing-dev are installed. `--help` lists the options; the report explains itself.
#
# Needs: cc, python3, taskset (util-linux), nginx; Debian: apt-get install gcc python3 nginx-light
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/bench

for need in cc python3 taskset nginx; do
    PATH=$PATH:/usr/sbin command -v "$need" >/dev/null || {
        echo "compare: $need is missing; Debian: apt-get install gcc python3 util-linux nginx-light" >&2
        exit 2
    }
done

mkdir -p "$out"
build() { # tool, libraries...
    if [[ ! $out/$1 -nt $here/$1.c ]]; then
        cc -O2 -o "$out/$1" "$here/$1.c" "${@:2}"
    fi
}
build mock
build load
if ! build floor -luring 2>"$out/floor.log"; then
    echo "compare: without the io_uring floor (liburing-dev is not installed)" >&2
    rm -f "$out/floor"
fi

binary=${BENCH_BINARY:-$root/target/release/vertex-bridge}
if [[ -z ${BENCH_BINARY:-} ]]; then
    (cd "$root" && cargo build --release --locked --bin vertex-bridge)
fi
PATH=$PATH:/usr/sbin exec python3 "$here/compare.py" --binary "$binary" --tools "$out" "$@"
