#!/usr/bin/env python3
"""What it costs the gateway to pack answers and to keep them: CPU per request.

Started by answers.sh, which builds what is needed. Standard library only.

wrk asks one gateway on a core of its own (--cpu); the mock upstream and wrk stand on another
(--load-cpu). Prompts have 8 KiB, answers 2 KiB of text. The variants take turns within a round:

  plain     a client that takes answers as they are, no cache
  gzip      one that takes gzip
  zstd      one that takes zstd
  miss      a cache, and a question that was never asked before
  bypass    a cache, and a request that is none for it
  hit       a cache, and a question that was asked before
"""

import json
import os
import re
import statistics
import subprocess
import time
import urllib.request

import common

PACKED_MAX = 1.15  # of `plain`
ROUND = ("plain", "gzip", "zstd", "bypass", "miss", "hit")
CACHED = ("bypass", "miss", "hit")

# Every request of `miss` is another one, in wrk's every thread.
LUA = """
local filler = string.rep("Every word of this prompt is here to make it long. ", 160)
local members = "%(members)s"
local count = math.random(1000000000)
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
%(field)s
function request()
  count = count + 1
  local said = "%(what)s" == "miss" and tostring(count) or "same"
  return wrk.format(nil, nil, nil, '{"model":"%(model)s","messages":[{"role":"user","content":"'
    .. said .. " " .. filler .. '"}]' .. members .. "}")
end
function done(summary)
  io.write(string.format("requests=%%d failed=%%d bytes=%%d\\n", summary.requests,
    summary.errors.status + summary.errors.read + summary.errors.timeout, summary.bytes))
end
"""


def script_for(programs, what, model):
    """The file that tells wrk what to send."""
    field = f'wrk.headers["accept-encoding"] = "{what}"' if what in ("gzip", "zstd") else ""
    members = ',\\"temperature\\":0' if what in ("miss", "hit") else ""
    path = os.path.join(programs.work, f"{what}.lua")
    with open(path, "w") as file:
        file.write(LUA % {"members": members, "field": field, "what": what, "model": model})
    return path


def run(options, port, pid, script):
    """One measurement: CPU µs and bytes per request."""
    with common.Meter(pid, options.cpu) as meter:
        told = subprocess.run(
            ["taskset", "-c", str(options.load_cpu), "wrk", "-t1", f"-c{options.clients}",
             f"-d{options.seconds}s", "-s", script,
             f"http://127.0.0.1:{port}/v1/chat/completions"],
            capture_output=True, text=True, check=True).stdout
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", told)}
    if counts["failed"] or not counts["requests"]:
        raise common.Failed(f"{script}: {counts}")
    requests = counts["requests"]
    return {"cpu_us": meter.cpu * 1e6 / requests, "bytes": counts["bytes"] / requests,
            "rps": requests / options.seconds, "other": meter.other}


def figure(port, name):
    """A figure of the gateway's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics/prometheus") as page:
        found = re.search(rf"^{re.escape(name)} ([0-9.]+)$", page.read().decode(), re.M)
    return float(found.group(1)) if found else 0.0


def measure_all(options, programs):
    """All rounds of all variants, and which share of the answers was packed."""
    upstream, _ = programs.mock()
    os.environ.pop("APP_CACHE__ENABLED", None)
    plain = programs.gateway(upstream)
    cached = programs.gateway(upstream, before=("env", "APP_CACHE__ENABLED=true"))
    model = common.MODELS[options.model]
    scripts = {what: script_for(programs, what, model) for what in ROUND}
    rounds = {what: [] for what in ROUND}
    for number in range(options.rounds):
        for what in ROUND[number % len(ROUND):] + ROUND[:number % len(ROUND)]:
            port, pid = cached if what in CACHED else plain
            time.sleep(0.2)
            result = run(options, port, pid, scripts[what])
            rounds[what].append(result)
            print(f"  {what}: {json.dumps(result)}", flush=True)
    codings = {coding: figure(plain[0], f'vertex_bridge_compression_total{{coding="{coding}"}}')
               for coding in ("gzip", "zstd", "none")}
    return rounds, codings


def make_report(options, rounds, codings):
    report = common.Report(options, "Packed and kept answers")
    cost = {what: statistics.median(one["cpu_us"] for one in of) for what, of in rounds.items()}
    beside = {what: statistics.median(one["cpu_us"] / plain["cpu_us"]
                                      for one, plain in zip(of, rounds["plain"]))
              for what, of in rounds.items()}
    report.text(f"CPU µs per request, medians of {options.rounds} rounds; {options.clients} "
                "connections.")
    report.table(("", "CPU µs", "of plain", "bytes", "requests a second"), [
        (what, f"{cost[what]:.1f}", f"{beside[what]:.2f}",
         f"{statistics.median(one['bytes'] for one in of):.0f}",
         f"{statistics.median(one['rps'] for one in of):.0f}") for what, of in rounds.items()])
    packed = codings["gzip"] + codings["zstd"]
    share = 100 * packed / max(packed + codings["none"], 1)
    report.text(f"Packed: {share:.0f} % of the answers whose client takes that; the rest for want "
                "of time.")
    report.bounds(report.bound(f"{what}, of plain", beside[what], PACKED_MAX)
                  for what in ("gzip", "zstd"))
    report.finish(("answers.md", "answers.json"), {"rounds": rounds, "codings": codings})


def parse_options():
    parser = common.new_parser("answers", __doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of each variant in a round")
    parser.add_argument("--clients", type=int, default=64, help="connections")
    parser.add_argument("--model", choices=list(common.MODELS), default="gemini")
    options = common.parse(parser, [])
    if options.quick:
        options.rounds, options.seconds = 2, 1
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    try:
        with common.Programs(options) as programs:
            make_report(options, *measure_all(options, programs))
    except common.Failed as failure:
        raise SystemExit(f"answers: wrong answers: {failure}") from None


if __name__ == "__main__":
    main()
