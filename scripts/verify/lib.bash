# What the demonstrations have in common; they source it. The caller's `name` is that of the
# demonstration, its `args` what it was called with.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
work=$root/target/verify/${name:?}
evidence=docs/evidence/$name.md
started=() # processes to end
missed=0
key=sk-vertex-bridge-dev # only a gateway on loopback without a key of its own takes it

fault() { # message
    echo "$name: $1" >&2
    exit 1
}

cleanup() {
    local pid
    for pid in "${started[@]}" $(successors); do
        kill -9 "$pid" 2>/dev/null || true
    done
}
trap cleanup EXIT

# The binary, the load program and an empty folder to run them in.
prepare() {
    rm -rf "$work"
    mkdir -p "$work" docs/evidence
    local binary=${VERTEX_BRIDGE:-}
    if [[ -z $binary ]]; then
        cargo build --release --locked
        binary=target/release/vertex-bridge
    fi
    cp "$binary" "$work/vertex-bridge"
    cc -O2 -Wall -Wextra -o "$work/load" scripts/load/*.c
    if (($(ulimit -n) < 20000)); then
        ulimit -n "$(ulimit -Hn)"
    fi
    : >"$work/rows"
    : >"$work/gateway.log"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Runs the program in the folder of this demonstration, with nothing of our environment: neither a
# credential nor a setting of whoever calls this may change what is shown.
run_clean() { # log, NAME=VALUE..., program, argument...
    (cd "$work" && exec env -i PATH="$PATH" "${@:2}") >>"$1" 2>&1 &
    started+=($!)
}

wait_for() { # seconds, command...
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# A simulator of all vendors; its address is in `upstream`.
start_simulator() { # option...
    local log=$work/simulator-${#started[@]}.log
    run_clean "$log" "$work/vertex-bridge" simulate --listen 127.0.0.1:0 "$@"
    wait_for 10 grep -qs 'listens on http://' "$log" || fault "the simulator does not start: $(cat "$log")"
    upstream=$(sed -n 's|.*listens on http://||p' "$log" | head -1)
}

# The gateway at `address`; its process is `gateway`.
start_gateway() { # NAME=VALUE...
    port=$(free_port)
    address=127.0.0.1:$port
    run_clean "$work/gateway.log" APP_SERVER__PORT="$port" "$@" "$work/vertex-bridge" --config "$work/gateway.toml"
    gateway=${started[-1]}
    wait_for 10 healthy || fault "the gateway does not start: $(cat "$work/gateway.log")"
}

healthy() {
    [[ $(status_of GET /health/ready) == 200 ]]
}

# The processes that have taken over so far.
successors() {
    sed -n 's/.*handed over to process \([0-9]*\):.*/\1/p' "$work/gateway.log" 2>/dev/null
}

status_of() { # method, path, body
    local data=()
    [[ -z ${3:-} ]] || data=(-d "$3")
    curl -s -m 10 -o "$work/last-answer" -w '%{http_code}' -X "$1" -H "Authorization: Bearer $key" \
        -H 'Content-Type: application/json' "${data[@]}" "http://$address$2" || true
}

ask_once() { # model
    status_of POST /v1/chat/completions \
        '{"model":"'"$1"'","messages":[{"role":"user","content":"Hello"}],"max_tokens":10}'
}

# The sum of a metric over its labels.
metric() { # family
    curl -s -m 10 -H "Authorization: Bearer $key" "http://$address/metrics/prometheus" |
        awk -v family="$1" '$1 == family || index($1, family "{") == 1 {sum += $2} END {print sum + 0}'
}

rss_kib() { # pid
    awk '/^VmRSS:/ {print $2}' "/proc/$1/status"
}

descriptors() { # pid
    find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l
}

cpu_ticks() { # pid
    awk '{print $14 + $15}' "/proc/$1/stat"
}

# Reads what the load program wrote into `got`: got[whole_ms.p99] and so on.
declare -A got
read_report() { # file
    local field value
    got=()
    while read -r field value; do
        got[$field]=$value
    done < <(python3 - "$1" <<'PYTHON'
import json
import sys

for field, value in json.load(open(sys.argv[1])).items():
    if isinstance(value, dict):
        for part, number in value.items():
            print(f"{field}.{part}", number)
    else:
        print(field, value)
PYTHON
    )
    ((${#got[@]} > 0)) || fault "the load program told nothing"
}

calc() { # expression of awk
    awk "BEGIN {printf \"%.${2:-1}f\", ($1)}"
}

# A line of the result. What is wanted is a comparison, such as '<= 10', or nothing.
row() { # what, measured, unit, wanted
    local verdict='' wanted=${4:-}
    if [[ -n $wanted ]]; then
        verdict=met
        awk -v a="${2:-nan}" -v b="${wanted#* }" -v how="${wanted%% *}" 'BEGIN {
            if (how == "=") exit a "" != b ""
            if (a !~ /^-?[0-9.]+$/) exit 1
            exit !(how == "<=" ? a + 0 <= b + 0 : a + 0 >= b + 0)
        }' || { verdict=MISSED && missed=1; }
        [[ $wanted != "= "* ]] || wanted=${wanted#= }
        wanted=${wanted/<=/at most}
        wanted=${wanted/>=/at least}
        wanted="$wanted${3:+ $3}"
    fi
    echo "| $1 | ${2:--}${3:+ $3} | $wanted | $verdict |" >>"$work/rows"
}

# Writes the evidence; the text comes from standard input.
tell() { # title
    local commit
    commit=$(git log -1 --format=%h -- src Cargo.toml Cargo.lock)
    [[ -z $(git status --porcelain -- src Cargo.toml Cargo.lock) ]] || commit="$commit with changes"
    {
        echo "# $1"
        echo
        echo "Written by \`scripts/verify/$name${args:+ $args}\`, $(date -u +%F), with the program of commit"
        echo "$commit, $(uname -sm), $(nproc) cores that the load program, the gateway and the simulator share."
        echo
        cat
        echo
        echo "| | measured | wanted | |"
        echo "|---|---:|---:|---|"
        cat "$work/rows"
    } >"$evidence"
    cat "$evidence"
    ((missed == 0)) || fault "a requirement was missed; the logs are in target/verify/$name"
}
