#!/usr/bin/env python3
"""What each feature of the operator's costs a request, in instructions of the shard's thread.

Started by features.sh. Standard library only.

A gateway with one shard answers until it is warm; then its thread is stepped from instruction to
instruction (steps.c) while it answers more. Requests are small, no two are alike, and are
translated to Gemini.

Every exchange is recorded for the log, the metrics and the dashboard, whether a ledger keeps it or
not. What that takes is seen by the calls that do it, and counted as the ledger's.
"""

import argparse
import bisect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import common

KEY = "sk-bench-0123456789abcdef"
WARM = 300
OTEL = '[otel]\nendpoint = "http://127.0.0.1:1/"\nsample = 0.01\n'
CACHE = "[cache]\nenabled = true\n"
BUDGET = 'budget = [{ usd = "1000", per = "month" }, { usd = "10000", per = "total" }]\n'
LEDGER = '[ledger]\nenabled = true\npath = "STATE"\n'
VARIANTS = {  # tables in front, lines of the key's
    "none": ("[ledger]\nenabled = false\n", ""),
    "ledger": (LEDGER, ""),
    "traces, 1 % recorded": ("[ledger]\nenabled = false\n" + OTEL, ""),
    "budgets, two": ("[ledger]\nenabled = false\n", BUDGET),
    "cache, no answer yet": ("[ledger]\nenabled = false\n" + CACHE, ""),
    "all": (LEDGER + OTEL + CACHE, BUDGET),
}
RECORDS = ("record_admission", "record_end")


def ask(connection, answers, numbers):
    for number in numbers:
        body = json.dumps({
            "model": "gemini-2.5-flash", "temperature": 0, "max_tokens": 100,
            "messages": [{"role": "user", "content": f"Say a line of text, number {number:06}."}],
        }).encode()
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer "
            + KEY.encode() + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            % len(body) + body)
        status = answers.readline()
        length = 0
        while (line := answers.readline().lower()) != b"\r\n":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        text = answers.read(length)
        if b" 200 " not in status:
            sys.exit(f"features: {status!r} {text!r}")


def play(options, name, upstream):
    """Instructions of the shard's thread for all requests, those of what records exchanges, and
    how often each place of the program was."""
    with tempfile.TemporaryDirectory() as folder:
        tables, key = VARIANTS[name]
        port = common.free_port()
        config = Path(folder, "bench.toml")
        config.write_text(
            tables.replace("STATE", folder + "/state")
            + f'[server]\nhost = "127.0.0.1"\nport = {port}\n[rate_limit]\ncapacity = 1000000\n'
            + '[runtime]\ncores = "0"\n[[upstream]]\nname = "google"\nkind = "gemini"\n'
            + f'api_key = "k"\nbase_url = "http://127.0.0.1:{upstream}"\n'
            + '[[route]]\nmodel = "*"\ntargets = [{ upstream = "google" }]\n'
            + f'[[key]]\nname = "k"\nsecret = "{KEY}"\n' + key)
        Path(folder, "watched").write_text("".join(f"{place}\n" for place in options.records))
        gateway = subprocess.Popen(
            [options.tools / "steps", "vb-shard-0", folder, options.binary, "--config", config,
             "--log-level", "error"],
            env={"PATH": os.environ["PATH"], "HOME": folder},
            stderr=subprocess.DEVNULL if not options.verbose else None)
        try:
            common.wait_for(port, gateway, "the gateway", seconds=60)
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                answers = connection.makefile("rb")
                ask(connection, answers, range(WARM))
                gateway.send_signal(signal.SIGUSR1)
                wait_for_file(Path(folder, "begun"), gateway)
                ask(connection, answers, range(WARM, WARM + options.requests))
                gateway.send_signal(signal.SIGUSR2)
                wait_for_file(Path(folder, "steps"), gateway)
            places = dict(map(int, line.split()) for line in Path(folder, "steps").open())
            calls = [list(map(int, line.split())) for line in Path(folder, "calls").open()]
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
        finally:
            gateway.kill()

    inside = sum(call[2] for call in calls)
    if not inside:
        sys.exit("features: the thread does not record exchanges")
    return sum(places.values()), inside, places


def wait_for_file(path, process):
    while not path.exists():
        if process.poll() is not None:
            sys.exit(f"features: steps has ended with status {process.returncode}")
        time.sleep(0.01)


def symbols(binary):
    """The functions of the program: their places, in order, and their names."""
    listed = subprocess.run(["nm", "--defined-only", "--numeric-sort", "--demangle", binary],
                            check=True, capture_output=True, text=True)
    lines = [line.split(" ", 2) for line in listed.stdout.splitlines()]
    functions = [(int(place, 16), name) for place, kind, name in lines if kind in "tTwW"]
    return [place for place, _ in functions], [name for _, name in functions]


def by_function(functions, places):
    places_of, names = functions
    sums = Counter()
    for place, count in places.items():
        at = bisect.bisect_right(places_of, place) - 1
        sums[names[at] if place else "libraries"] += count
    return sums


def report(options, found):
    total, records, _ = found["none"]
    bare = total - records
    lines = ["# What the operator's features cost a request", "",
             f"Instructions of the shard's thread for a small request that is translated to "
             f"Gemini, without the kernel's; the mean of {options.requests}.", "",
             "| feature | instructions | of a request |", "|---|---:|---:|",
             f"| none | {bare:,.0f} | |"]
    for name, (total, _, _) in found.items():
        if name == "none":
            continue
        more = total - bare
        if name not in ("ledger", "all"):
            more -= records
        lines.append(f"| {name} | {more:+,.0f} | {100 * more / bare:+.1f} % |")
    return "\n".join(lines) + "\n"


def profile(options, functions, found):
    """Where each variant's instructions are that none has not."""
    without = by_function(functions, found["none"][2])
    for name, (_, _, places) in found.items():
        print(f"\n{name}: per request, beside what it is without")
        sums = by_function(functions, places)
        if name != "none":
            sums.subtract(without)
        for function, count in sorted(sums.items(), key=lambda item: -abs(item[1]))[:90]:
            print(f"{count / options.requests:+10,.0f}  {function[:150]}")


def main():
    parser = argparse.ArgumentParser(prog="features.sh", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=20, help="so many are counted (20)")
    parser.add_argument("--only", default="", help="with none and this feature (all of them)")
    parser.add_argument("--profile", action="store_true", help="also tell in which functions")
    parser.add_argument("--verbose", action="store_true", help="show what the programs say")
    options = parser.parse_args()
    functions = symbols(options.binary)
    options.records = [place for place, name in zip(*functions)
                       if any(part in name for part in RECORDS)]
    upstream = common.free_port()
    mock = subprocess.Popen([shutil.which(str(options.tools / "mock")), str(upstream)])
    try:
        common.wait_for(upstream, mock, "the mock")
        names = [name for name in VARIANTS if options.only in name or name == "none"]
        found = {name: play(options, name, upstream) for name in names}
    finally:
        mock.kill()
        mock.wait()
    found = {name: (total / options.requests, records / options.requests, places)
             for name, (total, records, places) in found.items()}
    text = report(options, found)
    (options.tools / "features.md").write_text(text)
    print(text)
    if options.profile:
        profile(options, functions, found)


main()
