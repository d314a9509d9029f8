# What the measurements have in common; their wrappers source it.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/bench
PATH=$PATH:/usr/sbin # where Debian has nginx and haproxy
packages="gcc python3 util-linux nginx-light haproxy liburing-dev strace"

# Ends when one of the programs is not there.
need() { # program...
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            echo "bench: $program is missing; Debian: apt-get install $packages" >&2
            exit 2
        }
    done
}

build() { # tool, libraries...
    local source
    # Which headers a tool has does not matter: to build it costs nothing.
    for source in "$here/$1.c" "$here"/*.h; do
        if [[ ! $out/$1 -nt $source ]]; then
            cc -O2 -o "$out/$1" "$here/$1.c" "${@:2}"
            return
        fi
    done
}

# Builds what the measurement needs and becomes it.
measure() { # name, option...
    need cc python3 taskset
    export PYTHONDONTWRITEBYTECODE=1
    local binary=${BENCH_BINARY:-$root/target/release/vertex-bridge}
    local program=(python3 "$here/$1.py" --binary "$binary" --tools "$out" "${@:2}")
    # A question about the options, or a mistake in them, is no reason to build for minutes.
    "${program[@]}" --check-options || exit
    if [[ " ${*:2} " == *" --help "* || " ${*:2} " == *" -h "* ]]; then
        exit
    fi
    mkdir -p "$out"
    build mock
    build load
    local floor
    for floor in floor floor-multishot; do
        if ! build "$floor" -luring 2>"$out/$floor.log"; then
            echo "bench: without $floor (is liburing-dev installed? see $out/$floor.log)" >&2
            rm -f "$out/$floor"
        fi
    done
    if [[ -z ${BENCH_BINARY:-} ]]; then
        (cd "$root" && cargo build --release --locked --bin vertex-bridge)
    fi
    exec "${program[@]}"
}
