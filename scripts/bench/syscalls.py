#!/usr/bin/env python3
"""Which system calls a request costs, by name.

Started by syscalls.sh, which builds what is needed. Standard library only, and strace.

strace counts the calls of all threads of the target (--cpu) while the load generator (--load-cpu)
runs with short answers; the calls are divided by the answers, to hundredths. strace stops the
target at every call: it makes it slower, so that more work waits for each call than would without
it. That makes fewer of the calls that take all there is (io_uring_enter, epoll_wait), and changes
nothing about those that belong to one request.
"""

import os
import signal
import subprocess
import time

import common

FORWARDERS = ["floor", "nginx"]
TARGETS = ("exact", "gemini")
CONNECTIONS = (8, 64)
ENTER = "io_uring_enter"
ENTER_MAX, OTHER_MAX = 1.1, 1.0
SHOWN = 0.005  # a call of which there are fewer per request is summed up with others


def start_strace(options, programs, pid):
    """strace at a running process, when it has attached; and the file of its counts."""
    counts = os.path.join(programs.work, "strace")
    log = os.path.join(programs.work, "strace.log")
    with open(log, "wb") as told:
        strace = subprocess.Popen(
            ["taskset", "-c", str(options.load_cpu), "strace", "-c", "-f", "-o", counts,
             "-p", str(pid)], stdout=told, stderr=told, stdin=subprocess.DEVNULL)
    for _ in range(100):
        time.sleep(0.05)
        with open(log) as told:
            text = told.read()
        if "attached" in text:
            return strace, counts
        if strace.poll() is not None:
            break
    strace.kill()
    raise SystemExit(f"syscalls: strace cannot attach: {text.strip()}")


def read_counts(path):
    """Calls by name, of the table that strace -c writes."""
    calls = {}
    with open(path) as table:
        for line in table:
            fields = line.split()
            # % time, seconds, usecs/call, calls, [errors,] syscall
            if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                calls[fields[-1]] = int(fields[3])
    return calls


def traced(options, programs, target, load):
    """Runs `load` under strace: its answers, and calls by name."""
    strace, counts = start_strace(options, programs, target.pid)
    try:
        good = load()
        time.sleep(0.2)  # the last connections are closed
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(timeout=20)
    return good, read_counts(counts)


def measure(options, programs, target, connections):
    """System calls per request by name. What making and ending the connections takes is counted
    with one request on each, and taken off."""
    arguments = ("-c", connections, "-m", target.model)

    def many():
        return common.run_load(options, target.port, *arguments, "-d", options.seconds)["good"]

    def one_each():
        with common.idle_connections(options, target.port, connections, target.model) as result:
            return result["good"]

    common.run_load(options, target.port, *arguments, "-d", 0.5)  # makes the pool's connections
    few, calls_of_few = traced(options, programs, target, one_each)
    good, calls = traced(options, programs, target, many)
    if not calls:
        raise SystemExit("syscalls: strace has counted nothing")
    each = {name: (count - calls_of_few.get(name, 0)) / (good - few)
            for name, count in calls.items()}
    return {"requests": good,
            "calls": dict(sorted(each.items(), key=lambda call: -call[1]))}


def of_others(calls):
    return round(sum(count for name, count in calls.items() if name != ENTER), 2)


def make_report(options, results):
    report = common.Report(options, "System calls per request")
    report.text(f"Short answers, {options.seconds:g} s each under strace, which makes everything "
                "slower. Without the calls of making and ending the connections.")
    rows = []
    for connections, by_target in results.items():
        report.heading(f"{connections} connections")
        named = [name for result in by_target.values()
                 for name, count in result["calls"].items() if count >= SHOWN]
        named = list(dict.fromkeys(named))
        table = [(name, *(f"{result['calls'].get(name, 0):.3f}" for result in by_target.values()))
                 for name in named]
        table.append(("all others", *(
            f"{sum(count for name, count in result['calls'].items() if name not in named):.3f}"
            for result in by_target.values())))
        table.append(("requests", *(result["requests"] for result in by_target.values())))
        report.table(("", *by_target), table)
        for name in common.MODELS:
            if name not in by_target:
                continue
            calls = by_target[name]["calls"]
            if connections >= 64:
                rows.append(report.bound(f"{ENTER} per request, {name}, {connections} connections",
                                         calls.get(ENTER, 0.0), ENTER_MAX))
            rows.append(report.bound(f"other calls per request, {name}, {connections} connections",
                                     of_others(calls), OTHER_MAX))
    report.bounds(rows)
    report.finish(("syscalls.md", "syscalls.json"), {"results": results})


def parse_options():
    parser = common.new_parser("syscalls", __doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    options = common.parse(parser, FORWARDERS)
    if options.quick:
        options.seconds = 2
    if not options.targets:
        options.chosen = [*options.forwarders, *TARGETS]
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    results = {}
    try:
        with common.Programs(options) as programs:
            targets = [target for target in common.start_targets(programs, programs.mock()[0])
                       if not target.name.endswith(" again")]
            time.sleep(1)
            for connections in CONNECTIONS:
                results[connections] = {
                    target.name: measure(options, programs, target, connections)
                    for target in targets}
            make_report(options, results)
    except common.Failed as failure:
        raise SystemExit(f"syscalls: wrong answers: {failure}") from None


if __name__ == "__main__":
    main()
