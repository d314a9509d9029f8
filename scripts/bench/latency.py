#!/usr/bin/env python3
"""How much time a forwarder adds to a request when nothing else happens: one connection.

Started by latency.sh, which builds what is needed. Standard library only.

Upstream, load generator and what is measured stand on one core (--cpu) and take turns: waking up
another core takes longer than all that is compared here, and not always the same time. A closed
loop on one connection; rounds are interleaved and their order moves on. What is added is the
percentile through a target less that of the upstream asked directly, in the same round. The floor
(nginx where there is none) is entered twice, the difference is the noise of the run (A/A control).
A round during which anybody else used more than --max-other percent of the core is thrown away and
repeated.
"""

import statistics
import time

import common

FORWARDERS = ["floor", "nginx"]
SAMPLES = 60000  # of each target, for a p99 that can be told from the next one's


def measure(options, target, mock):
    """Percentiles of one target and what others used of the core."""
    arguments = ("-c", 1, "-m", target.model)
    common.run_load(options, target.port, *arguments, "-d", 0.2, core=options.cpu)
    children = common.children_cpu_seconds()
    with common.Meter(target.pid, options.cpu) as meter, common.Meter(mock, options.cpu) as mocks:
        started = time.monotonic()
        busy, whole = common.core_seconds(options.cpu)
        result = common.run_load(options, target.port, *arguments, "-d", options.seconds,
                                 core=options.cpu)
        busy_after, whole_after = common.core_seconds(options.cpu)
        wall = time.monotonic() - started
    own = meter.cpu + common.children_cpu_seconds() - children
    if target.pid != mock:
        own += mocks.cpu
    return {
        "p50_us": result["lat_p50"],
        "p99_us": result["lat_p99"],
        "samples": result["samples"],
        "core_use": own / wall,
        "other": max(0.0, (busy_after - busy - own) / max(whole_after - whole, 1e-9)),
    }


def measure_rounds(options, targets, mock):
    rounds = []
    for number in range(2 * options.rounds):
        if len(rounds) == options.rounds:
            break
        common.wait_for_quiet(options)
        results = common.measure_round(
            options, targets, number, lambda target: measure(options, target, mock))
        if results:
            rounds.append(results)
            shown = ", ".join(f"{name} {of['p50_us']:.1f}/{of['p99_us']:.1f}"
                              for name, of in results.items())
            print(f"round {len(rounds)}, p50/p99 µs: {shown}", flush=True)
    return rounds


# ---- The report ----------------------------------------------------------------------------------


def added(rounds, name, what):
    return [results[name][what] - results["direct"][what] for results in rounds]


def ratio(rounds, name, beside):
    """Median over rounds of what is added to p50, as a ratio to another in the same round."""
    if name not in rounds[0] or beside not in rounds[0]:
        return None
    return statistics.median(
        one / max(other, 0.01) for one, other in
        zip(added(rounds, name, "p50_us"), added(rounds, beside, "p50_us")))


def make_report(options, rounds):
    report = common.Report(options, "Added latency of one connection")
    report.text(
        f"{len(rounds)} interleaved rounds of {options.seconds:g} s for each target; upstream, "
        "load generator and target on one core, one connection, a closed loop of short answers. "
        "Medians of the rounds with least and most; added is less `direct` of the same round.")
    rows = []
    for name in rounds[0]:
        figures = {what: [results[name][what] for results in rounds] for what in rounds[0][name]}
        if name == "direct":
            more = ["", "", ""]
        else:
            beside = ratio(rounds, name, "nginx")
            more = [common.spread(added(rounds, name, "p50_us")),
                    common.spread(added(rounds, name, "p99_us")),
                    "" if beside is None else f"{beside:.2f}"]
        rows.append((name, common.spread(figures["p50_us"]), common.spread(figures["p99_us"]),
                     *more, sum(figures["samples"]), f"{100 * max(figures['other']):.1f}"))
    report.table(("", "p50 µs", "p99 µs", "added p50 µs", "added p99 µs", "p50 x nginx's",
                  "samples", "others at most %"), rows)
    noise = max((abs(itself - 1) for itself in
                 (ratio(rounds, f"{name} again", name) for name in ("floor", "nginx"))
                 if itself is not None), default=0.0)
    report.text(f"A/A control: {100 * noise:.1f} % of what is added to p50.")
    least = min(sum(results[name]["samples"] for results in rounds) for name in rounds[0])
    if least < SAMPLES:
        report.text(f"**Fewer than {SAMPLES:,} samples of a target ({least:,}): take more rounds "
                    "before believing p99.**")
    rows = []
    for name in common.MODELS:
        value = ratio(rounds, name, "nginx")
        if value is not None:
            rows.append(report.bound(f"added to p50: {name} / nginx", value,
                                     1.0 if name == "exact" else 1.3, noise))
    report.bounds(rows)
    report.finish(("latency.md", "latency.json"), {"rounds": rounds, "control": noise})


def parse_options():
    parser = common.new_parser("latency", __doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    options = common.parse(parser, FORWARDERS)
    if options.quick:
        options.rounds, options.seconds = 3, 1
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    try:
        with common.Programs(options) as programs:
            port, mock = programs.mock(core=options.cpu)
            targets = [common.Target("direct", port, mock, common.MODELS["exact"])]
            targets += common.start_targets(programs, port)
            time.sleep(1)
            rounds = measure_rounds(options, targets, mock)
            if not rounds:
                raise SystemExit("latency: others used the core in every round")
            make_report(options, rounds)
    except common.Failed as failure:
        raise SystemExit(f"latency: wrong answers: {failure}") from None


if __name__ == "__main__":
    main()
