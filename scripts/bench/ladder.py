#!/usr/bin/env python3
"""What becomes of throughput and p99 as connections grow from 1 to thousands.

Started by ladder.sh, which builds what is needed. Standard library only.

Every target is a process of its own on one core (--cpu) with an upstream of its own, so that nobody
needs more descriptors than a process may have; upstreams and load generator stand on another core
(--load-cpu). A closed loop of short answers on each rung of the ladder, the targets in turns. New
connections are made before the measuring begins. What counts is what a target keeps at the top of
its best throughput, beside nginx and a bare forwarder, and that no connection waits much longer
than its turn: in a closed loop an answer takes connections / throughput on average.
"""

import statistics
import time

import common

FORWARDERS = ["floor", "nginx"]
TARGETS = ("exact", "gemini")
FAIR = 1.5  # p99, in average answers


def start(programs, options):
    """Each target with a process and an upstream of its own."""
    targets = []
    for name in options.chosen:
        upstream, _ = programs.mock()
        if name in common.MODELS:
            started, model = programs.gateway(upstream), common.MODELS[name]
        else:
            started, model = programs.forwarder(name, upstream), common.MODELS["exact"]
        if started:
            targets.append(common.Target(name, *started, model))
    first = next((target for target in targets if target.name in ("floor", "nginx")), None)
    if first:
        targets.append(first._replace(name=f"{first.name} again"))
    return targets


def measure(options, target, connections):
    """One rung of one target; what others used of its core is part of it."""
    warming = 0.5 + connections / 2000
    # A source address has 28,000 ports, and those of the rung before are not free at once.
    sources = 1 + connections // 2000
    with common.Meter(target.pid, options.cpu) as meter:
        result = common.run_load(
            options, target.port, "-c", connections, "-d", options.seconds, "-x", warming,
            "-a", sources, "-w", 20, "-m", target.model)
    return {
        "rps": result["rps"],
        "p50_us": result["lat_p50"],
        "p99_us": result["lat_p99"],
        "turns": result["lat_p99"] * 1e-6 * result["rps"] / connections,
        "core_use": meter.core_use,
        "other": meter.other,
    }


def measure_rung(options, target, connections):
    """One rung; again when the core was not ours. None when it never was, or what went wrong."""
    for _ in range(3):
        common.wait_for_quiet(options)
        try:
            result = measure(options, target, connections)
        except common.Failed as failure:
            return {"failed": str(failure)}
        if result["other"] <= options.max_other / 100:
            return result
        print(f"  thrown away: others used {100 * result['other']:.0f} % of core {options.cpu} "
              f"during {target.name}", flush=True)
    return None


def measure_rounds(options, targets):
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}, answers per second / p99 µs:", flush=True)
        results = {target.name: {} for target in targets}
        for step, connections in enumerate(options.rungs):
            shift = (number + step) % len(targets)
            for target in targets[shift:] + targets[:shift]:
                result = measure_rung(options, target, connections)
                if result:
                    results[target.name][connections] = result
            shown = ", ".join(
                f"{name} {of[connections]['rps']:.0f}/{of[connections]['p99_us']:.0f}"
                if "rps" in of.get(connections, {}) else f"{name} -"
                for name, of in results.items())
            print(f"  {connections}: {shown}", flush=True)
        rounds.append(results)
    return rounds


# ---- The report ----------------------------------------------------------------------------------


def values(rounds, name, connections, what):
    return [of[name][connections][what] for of in rounds
            if what in of[name].get(connections, {})]


def median(numbers):
    return statistics.median(numbers) if numbers else None


def kept(results, top):
    """Throughput at the top as a share of the best; 0 when it failed there, None if not known."""
    if top not in results:
        return None
    best = max((rung["rps"] for rung in results.values() if "rps" in rung), default=0)
    return results[top].get("rps", 0) / best if best else 0.0


def kept_ratio(rounds, name, beside, top):
    """Median over rounds of what two targets keep, as a ratio."""
    if name not in rounds[0] or beside not in rounds[0]:
        return None
    pairs = [(kept(of[name], top), kept(of[beside], top)) for of in rounds]
    return median([one / other for one, other in pairs if one is not None and other])


def shown(numbers, digits=0):
    return f"{statistics.median(numbers):.{digits}f}" if numbers else "-"


def rung_tables(report, rounds, rungs):
    targets = list(rounds[0])
    report.heading("Answers per second")
    report.table(("connections", *targets), [
        (rung, *(shown(values(rounds, name, rung, "rps")) for name in targets)) for rung in rungs])
    report.heading("p99, µs (and in average answers)")
    report.table(("connections", *targets), [
        (rung, *(f"{shown(values(rounds, name, rung, 'p99_us'))} "
                 f"({shown(values(rounds, name, rung, 'turns'), 2)})" for name in targets))
        for rung in rungs])
    report.heading("Use of its core, %")
    report.table(("connections", *targets), [
        (rung, *(shown([100 * use for use in values(rounds, name, rung, "core_use")])
                 for name in targets)) for rung in rungs])
    report.text("A target that does not use its core fully waits for upstream and load, which "
                "share the other one: its throughput is theirs.")
    wrong = sorted({f"{name} at {rung}: {result['failed']}" for of in rounds
                    for name, ladder in of.items() for rung, result in ladder.items()
                    if "failed" in result})
    if wrong:
        report.heading("What went wrong")
        report.text(*wrong)


def make_report(options, rounds):
    top = options.rungs[-1]
    report = common.Report(options, "Throughput as connections grow")
    report.text(f"{len(rounds)} rounds, {options.seconds:g} s for each rung of each target, closed "
                "loops of short answers; medians.")
    rung_tables(report, rounds, options.rungs)
    report.heading(f"Kept at {top} connections, % of the best rung")
    shares = {name: [100 * kept(of[name], top) for of in rounds if top in of[name]]
              for name in rounds[0]}
    report.table(("", "kept"), [(name, common.spread(of) if of else "-")
                                for name, of in shares.items()])
    noise = max((abs(itself - 1) for itself in
                 (kept_ratio(rounds, f"{name} again", name, top) for name in ("floor", "nginx"))
                 if itself is not None), default=0.0)
    report.text(f"A/A control: {100 * noise:.1f} %.")
    rows = []
    for name in TARGETS:
        if name not in rounds[0]:
            continue
        for beside, least in (("nginx", 1.0), ("floor", 0.9)):
            if beside in rounds[0]:
                rows.append(report.bound(f"kept at {top}: {name} / {beside}",
                                         kept_ratio(rounds, name, beside, top), least, noise,
                                         least=True))
        turns = median(values(rounds, name, top, "turns"))
        rows.append(report.bound(f"p99 at {top} in average answers: {name}", turns, FAIR))
    report.bounds(rows)
    report.finish(("ladder.md", "ladder.json"), {"rounds": rounds, "control": noise})


def parse_options():
    parser = common.new_parser("ladder", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each rung")
    parser.add_argument("--rungs", type=common.names, metavar="A,B", help="1,2,4,...,8192")
    options = common.parse(parser, FORWARDERS)
    rungs = [2 ** power for power in range(14)]
    if options.quick:
        options.rounds, options.seconds, rungs = 1, 1.5, [1, 8, 64, 1024, 8192]
    options.rungs = sorted(map(int, options.rungs)) if options.rungs else rungs
    if not options.targets:
        options.chosen = [*options.forwarders, *TARGETS]
    if not 1 <= options.rungs[0] <= options.rungs[-1] <= common.CONNECTIONS:
        parser.error(f"--rungs takes numbers from 1 to {common.CONNECTIONS}")
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    with common.Programs(options) as programs:
        targets = start(programs, options)
        time.sleep(1)
        make_report(options, measure_rounds(options, targets))


if __name__ == "__main__":
    main()
