#!/usr/bin/env bash
# Loads a running gateway with one small chat request and prints what came of it.
#
#   scripts/load-test.sh [URL [KEY [CONCURRENCY [DURATION]]]]
#   scripts/load-test.sh http://localhost:4000 sk-vertex-bridge-dev 10 30s
#
# Uses hey or wrk, whichever is installed (LOAD_TOOL=hey|wrk chooses when both are). The model is
# gemini-2.5-flash, or what MODEL says. Exit status: 0 when at least one answer was a success,
# 1 when none was, 2 for wrong usage or a missing tool.
set -euo pipefail

url=${1:-http://localhost:4000}
key=${2:-sk-vertex-bridge-dev}
concurrency=${3:-10}
duration=${4:-30s}
model=${MODEL:-gemini-2.5-flash}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

[[ $# -le 4 && $url == http*://* && -n $key ]] || usage
[[ $concurrency =~ ^[1-9][0-9]*$ ]] || usage
[[ $duration =~ ^[1-9][0-9]*[smh]?$ ]] || usage
[[ $duration =~ [smh]$ ]] || duration=${duration}s
# The model goes into JSON and into a Lua string: only what a model's name may have.
[[ $model =~ ^[A-Za-z0-9._:/@-]+$ ]] || usage

tool=${LOAD_TOOL:-}
[[ $tool =~ ^(hey|wrk|)$ ]] || usage
if [[ -z $tool ]]; then
    for candidate in hey wrk; do
        if command -v "$candidate" >/dev/null; then
            tool=$candidate
            break
        fi
    done
fi
if [[ -z $tool ]] || ! command -v "$tool" >/dev/null; then
    cat >&2 <<'END'
load-test: neither hey nor wrk is installed; one of them is enough:
  Debian, Ubuntu   apt-get install hey      or   apt-get install wrk
  macOS            brew install hey         or   brew install wrk
  with Go          go install github.com/rakyll/hey@latest
END
    exit 2
fi

target=${url%/}/v1/chat/completions
body='{"model":"'$model'","messages":[{"role":"user","content":"Hello"}],"max_tokens":10}'
report=$(mktemp)
trap 'rm -f "$report"' EXIT

echo "$tool: $concurrency connections for $duration, POST $target, model $model"

# Both tools print reports of their own; the numbers are picked out of them. Latencies are
# milliseconds.
if [[ $tool == hey ]]; then
    hey -z "$duration" -c "$concurrency" -m POST -H "Authorization: Bearer $key" \
        -H "Content-Type: application/json" -d "$body" "$target" >"$report" 2>&1 || {
        cat "$report" >&2
        exit 1
    }
    numbers=$(awk '
        /Requests\/sec:/ { rate = $2 }
        / 50% in / { p50 = $3 * 1000 }
        / 95% in / { p95 = $3 * 1000 }
        / 99% in / { p99 = $3 * 1000 }
        /^Status code distribution/ { part = "status" }
        /^Error distribution/ { part = "error" }
        part == "status" && /^ *\[2[0-9][0-9]\]/ { ok += $2 }
        part == "status" && /^ *\[[13-9][0-9][0-9]\]/ { bad += $2 }
        # What was under way when the time was up is no error of the server.
        part == "error" && /^ *\[[0-9]+\]/ && !/context (canceled|deadline exceeded)/ {
            gsub(/[][]/, "", $1); bad += $1
        }
        # hey counts errors in its rate: only what succeeded is throughput.
        END {
            all = ok + bad; if (all > 0) rate = rate * ok / all
            printf "%d %d %.1f %.2f %.2f %.2f\n", ok, bad, rate, p50, p95, p99
        }' "$report")
else
    threads=$(nproc)
    ((threads > 4)) && threads=4
    ((threads > concurrency)) && threads=$concurrency
    LOAD_TEST_BODY=$body wrk -t"$threads" -c"$concurrency" -d"$duration" \
        -H "Authorization: Bearer $key" -H "Content-Type: application/json" \
        -s "$here/load-test-lua.lua" "$target" >"$report" 2>&1 || {
        cat "$report" >&2
        exit 1
    }
    numbers=$(awk '
        /^Requests\/sec:/ { rate = $2 }
        /^ *p50 / { p50 = $2 }
        /^ *p95 / { p95 = $2 }
        /^ *p99 / { p99 = $2 }
        /^ *good / { ok = $2 }
        /^ *bad / { bad = $2 }
        END {
            all = ok + bad; if (all > 0) rate = rate * ok / all
            printf "%d %d %.1f %.2f %.2f %.2f\n", ok, bad, rate, p50, p95, p99
        }' "$report")
fi
read -r good bad rate p50 p95 p99 <<<"$numbers"
# How fast requests fail is no latency.
((good > 0)) || p50=- p95=- p99=-

# First chunk of a stream, one client: the worst of five. Skipped without curl.
first_chunk=-
if ((good > 0)) && command -v curl >/dev/null; then
    streamed=${body%\}}',"stream":true}'
    first_chunk=$(for _ in 1 2 3 4 5; do
        curl -sN -o /dev/null -w '%{time_starttransfer}\n' -X POST "$target" \
            -H "Authorization: Bearer $key" -H "Content-Type: application/json" \
            -d "$streamed" || true
    done | sort -n | awk 'END { if (NR) printf "%.2f", $1 * 1000; else print "-" }')
fi

# Memory, when the gateway is a process of this machine.
memory=-
host=${url#*://}
host=${host%%[:/]*}
if [[ $host == localhost || $host == 127.* ]] && pids=$(pgrep -x vertex-bridge) &&
    [[ $(wc -w <<<"$pids") -eq 1 ]]; then
    memory=$(awk '/^VmRSS:/ { printf "%.1f", $2 / 1024 }' "/proc/$pids/status")
fi

verdict() { # value, limit, "below" or "above"
    [[ $1 == - ]] && return
    awk -v value="$1" -v limit="$2" -v side="$3" 'BEGIN {
        met = side == "below" ? value < limit : value > limit
        print met ? "met" : "MISSED"
    }'
}

row() { printf '%-24s %14s   %-16s %s\n' "$@"; }
row "" measured target ""
row "throughput" "$rate req/s" "> 100 req/s" "$(verdict "$rate" 100 above)"
row "latency p50" "$p50 ms" "" ""
row "latency p95" "$p95 ms" "< 2000 ms" "$(verdict "$p95" 2000 below)"
row "latency p99" "$p99 ms" "" ""
row "first chunk of a stream" "$first_chunk ms" "< 100 ms" "$(verdict "$first_chunk" 100 below)"
row "memory" "$memory MiB" "< 512 MiB" "$(verdict "$memory" 512 below)"
row "answers" "$good" "" ""
row "errors" "$bad" "0" "$([[ $bad -eq 0 ]] && echo met || echo MISSED)"

if ((good == 0)); then
    echo "load-test: no request succeeded; from the report of $tool:" >&2
    grep -iE -A3 '^ *\[[0-9]+\]|(status code|error) distribution:|non-2xx|socket errors|unable|error' "$report" |
        head -n 20 >&2 || true
    exit 1
fi
