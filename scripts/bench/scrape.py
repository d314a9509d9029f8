#!/usr/bin/env python3
"""What being scraped costs requests, as latency.

Started by scrape.sh, which builds what is needed. Standard library only.

The gateway has one core (--cpu), and its control thread, which renders the pages, has no other. A
closed loop on --connections connections asks it; the scraper asks for /metrics/prometheus --scrapes
times a second meanwhile, or not at all. Rounds are interleaved and their order moves on; a quiet
measurement is entered twice, the difference is the noise of the run (A/A control).
"""

import contextlib
import json
import os
import statistics
import subprocess

import common

KINDS = ("quiet", "scraped", "quiet again")


@contextlib.contextmanager
def scraped(options, port):
    """Asks for the page meanwhile. What comes is filled at the end: pages, and bytes of one."""
    told = {}
    command = [os.path.join(options.tools, "scraper"), str(port), str(options.scrapes)]
    scraper = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield told
    finally:
        scraper.terminate()
        output, _ = scraper.communicate(timeout=10)
    if scraper.returncode:
        raise common.Failed("a scrape failed")
    told.update(json.loads(output))


def measure(options, target):
    arguments = ("-c", options.connections, "-m", target.model, "-d", options.seconds)
    with common.Meter(target.pid, options.cpu) as meter:
        if target.name == "scraped":
            with scraped(options, target.port) as told:
                result = common.run_load(options, target.port, *arguments)
            pages, size = told["pages"] / options.seconds, told["bytes"]
        else:
            result = common.run_load(options, target.port, *arguments)
            pages = size = 0
    return {"p50_us": result["lat_p50"], "p99_us": result["lat_p99"], "good": result["good"],
            "core_use": meter.core_use, "other": meter.other, "pages": pages, "bytes": size}


def make_report(options, rounds):
    report = common.Report(options, "What being scraped costs requests")
    report.text(f"{len(rounds)} interleaved rounds of {options.seconds:g} s; "
                f"{options.connections} connections in a closed loop, the whole gateway on one "
                "core. Medians of the rounds with least and most.")
    rows = []
    for name in KINDS:
        figures = {what: [results[name][what] for results in rounds] for what in rounds[0][name]}
        rows.append((name, common.spread(figures["p50_us"]), common.spread(figures["p99_us"]),
                     f"{statistics.median(figures['good']) / options.seconds:.0f}",
                     f"{statistics.median(figures['pages']):.0f}", max(figures["bytes"])))
    report.table(("", "p50 µs", "p99 µs", "answers/s", "pages/s", "bytes of a page"), rows)
    noise = abs(common.paired(rounds, "quiet again", "quiet", "p99_us") - 1)
    ratio = common.paired(rounds, "scraped", "quiet", "p99_us")
    report.bounds([report.bound("p99: scraped / quiet", ratio, 1.05, noise, digits=3)])
    report.finish(("scrape.md", "scrape.json"), {"rounds": rounds, "control": noise})


def main():
    parser = common.new_parser("scrape", __doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--scrapes", type=int, default=100, help="a second")
    # Two of the gateway's own threads share the core here, and wait for one another.
    parser.set_defaults(max_other=20)
    options = common.parse(parser, [])
    if options.quick:
        options.rounds, options.seconds = 3, 1
    if options.check_options:
        return
    # The scraper is a client like the load generator.
    os.sched_setaffinity(0, {options.load_cpu})
    with common.Programs(options) as programs:
        port, _ = programs.mock()
        gateway, pid = programs.gateway(port)
        targets = [common.Target(kind, gateway, pid, common.MODELS["exact"]) for kind in KINDS]
        rounds = []
        for number in range(2 * options.rounds):
            common.wait_for_quiet(options)
            results = common.measure_round(options, targets, number,
                                           lambda target: measure(options, target))
            if results:
                rounds.append(results)
            if len(rounds) == options.rounds:
                break
        if not rounds:
            raise SystemExit("scrape: others used the core in every round")
        make_report(options, rounds)


if __name__ == "__main__":
    main()
