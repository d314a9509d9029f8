#!/usr/bin/env python3
"""What each feature of the operator's costs a request, in instructions of the shard's thread.

Started by features.sh. Standard library only.

A gateway with one shard runs under callgrind twice, for few requests and for many more; the
difference, divided by the difference of the requests, is what one request costs: what the start
costs is in neither. Requests are small, no two are alike, and are translated to Gemini.

Every exchange is recorded for the log, the metrics and the dashboard, whether a ledger keeps it or
not. That part is read off the profile and counted as the ledger's.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import common

KEY = "sk-bench-0123456789abcdef"
FEW = 200
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


def ask(connection, count):
    answers = connection.makefile("rb")
    for number in range(count):
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


def play(options, name, upstream, count):
    """Instructions of each thread, and of what records exchanges."""
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
        gateway = subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--separate-threads=yes",
             f"--callgrind-out-file={folder}/out", options.binary, "--config", config,
             "--log-level", "error"],
            env={"PATH": os.environ["PATH"], "HOME": folder},
            stderr=subprocess.DEVNULL if not options.verbose else None)
        try:
            common.wait_for(port, gateway, "the gateway", seconds=60)
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                ask(connection, count)
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
        finally:
            gateway.kill()
        return [read(file) for file in sorted(Path(folder).glob("out-*"))]


def read(file):
    """A thread's instructions, and those of each function of RECORDS with all that it calls."""
    total, names, called, records = 0, {}, None, 0
    for line in file.read_text(errors="replace").splitlines():
        if match := re.match(r"totals: (\d+)", line):
            total = int(match[1])
        elif match := re.match(r"(c?fn)=\((\d+)\)(?: (.*))?", line):
            if match[3]:
                names[match[2]] = match[3]
            called = match[2] if match[1] == "cfn" else None
        elif called and (match := re.match(r"\S+ (\d+)$", line)):
            if any(part in names.get(called, "") for part in RECORDS):
                records += int(match[1])
            called = None
    return total, records


def per_request(options, name, upstream):
    few = play(options, name, upstream, FEW)
    many = play(options, name, upstream, FEW + options.requests)
    growth = [(after[0] - before[0], after[1] - before[1]) for before, after in zip(few, many)]
    # The shard is the thread that records.
    total, records = max(growth, key=lambda thread: thread[1])
    if records == 0:
        sys.exit("features: no thread records exchanges")
    return total / options.requests, records / options.requests


def main():
    parser = argparse.ArgumentParser(prog="features.sh", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=1000, help="so many are counted (1000)")
    parser.add_argument("--verbose", action="store_true", help="show what the programs say")
    options = parser.parse_args()
    upstream = common.free_port()
    mock = subprocess.Popen([shutil.which(str(options.tools / "mock")), str(upstream)])
    try:
        common.wait_for(upstream, mock, "the mock")
        found = {name: per_request(options, name, upstream) for name in VARIANTS}
    finally:
        mock.kill()
        mock.wait()
    total, records = found["none"]
    bare = total - records
    lines = ["# What the operator's features cost a request", "",
             f"Instructions of the shard's thread for a small request that is translated to "
             f"Gemini, without the kernel's; the mean of {options.requests}. Callgrind's processor "
             "has no instructions for SHA-256, so a digest counts for more than it takes.", "",
             "| feature | instructions | of a request |", "|---|---:|---:|",
             f"| none | {bare:,.0f} | |"]
    for name, (total, _) in found.items():
        if name == "none":
            continue
        more = total - bare
        if name not in ("ledger", "all"):
            more -= records
        lines.append(f"| {name} | {more:+,.0f} | {100 * more / bare:+.1f} % |")
    report = "\n".join(lines) + "\n"
    (options.tools / "features.md").write_text(report)
    print(report)


main()
