#!/usr/bin/env python3
"""Runs the gateway and plain forwarders against one mock upstream, in turns: CPU per piece of work.

Started by compare.sh, which builds what is needed. Standard library only.

Every target is pinned to one core (--cpu), upstream and load generator to another (--load-cpu).
One gateway is three targets by the model that is asked for: `exact` passes the bytes of an upstream
that speaks OpenAI's API, `gemini` and `anthropic` are translated. A round measures every target
once in every scenario; the order moves on by one place every round. The io_uring floor (nginx where
there is none) is entered twice: the difference between the two entries is the noise of the run
(A/A control), and no smaller difference means anything. A scenario of a round during which anybody
else used more than --max-other percent of the targets' core is thrown away and repeated.

CPU time is what the scheduler charged to the target's threads, user and kernel, divided by the
answers (or streamed chunks) that arrived whole and were right.
"""

import time
from typing import NamedTuple

import common

FORWARDERS = ["floor", "floor-multishot", "nginx", "haproxy"]


class Scenario(NamedTuple):
    """A kind of work."""

    name: str
    connections: int
    size: str = "small"
    streamed: bool = False
    paced: bool = False

    @property
    def piece(self):
        return "chunk" if self.streamed else "request"

    def describe(self, options):
        if self.paced:
            return (f"{self.connections} streams of {options.pieces} chunks, "
                    f"{options.interval_us / 1000:g} ms apart")
        if self.streamed:
            return (f"{self.connections} connections, streams of {options.pieces} chunks that the "
                    "upstream writes at once")
        if self.size == "large":
            return (f"{self.connections} connections, a prompt of 8 KiB and six tools with "
                    "schemas, an answer of 2 KiB text")
        return f"{self.connections} connections, a short prompt and a short answer"


SCENARIOS = [
    Scenario("unary-small-8", 8),
    Scenario("unary-small-64", 64),
    Scenario("unary-large-8", 8, "large"),
    Scenario("unary-large-64", 64, "large"),
    Scenario("paced", 100, streamed=True, paced=True),
    Scenario("burst", 8, streamed=True),
]


class Bound(NamedTuple):
    """What a target may cost beside another: a ratio, or so many µs more."""

    scenario: str
    target: str
    beside: str
    limit: float
    difference: bool = False


def bounds():
    for scenario in SCENARIOS:
        if scenario.streamed:
            continue
        small = scenario.size == "small"
        yield Bound(scenario.name, "exact", "nginx", 1.0)
        yield Bound(scenario.name, "exact", "floor", 1.2)
        for target in common.TRANSLATED:
            if small:
                yield Bound(scenario.name, target, "nginx", 1.15)
            yield Bound(scenario.name, target, "exact", 5 if small else 20, difference=True)
    yield Bound("paced", "exact", "floor", 1.15)
    yield Bound("paced", "exact", "nginx", 0.8)
    for target in common.TRANSLATED:
        yield Bound("paced", target, "nginx", 0.85)
    yield Bound("burst", "exact", "nginx", 0.9)
    for target in common.TRANSLATED:
        yield Bound("burst", target, "exact", 0.8, difference=True)


# ---- Measuring -----------------------------------------------------------------------------------


def load_arguments(options, target, scenario):
    """What the load generator is told."""
    model, more = target.model, []
    if scenario.streamed:
        more += ["-s", "-e", options.pieces]
    if scenario.paced:
        model += "-paced"
        more += ["-g", options.interval_us // scenario.connections]
    return ["-c", scenario.connections, "-d", options.seconds, "-m", model, "-b", scenario.size,
            *more]


def warm(options, target, scenario):
    """Makes what is made at the first requests: caches, pools."""
    common.run_load(options, target.port, "-c", min(scenario.connections, 64), "-d", 0.3,
                    "-m", target.model, "-b", scenario.size)


def measure(options, target, scenario):
    """One target, one kind of work: CPU microseconds a piece of work, and what others used."""
    warm(options, target, scenario)
    with common.Meter(target.pid, options.cpu) as meter:
        result = common.run_load(options, target.port, *load_arguments(options, target, scenario))
    return common.spent(meter, result, scenario.streamed, scenario.paced)


# ---- The report ----------------------------------------------------------------------------------


def control(rounds, difference=False):
    """How much a target differs from itself."""
    for name in ("floor", "nginx"):
        value = common.paired(rounds, f"{name} again", name, difference=difference)
        if value is not None:
            return abs(value if difference else value - 1)
    return 0.0


def scenario_table(report, options, scenario, rounds):
    report.heading(scenario.name)
    report.text(f"{scenario.describe(options)}; {len(rounds)} rounds.")
    rows = []
    for name in rounds[0]:
        figures = {what: [results[name][what] for results in rounds] for what in rounds[0][name]}
        ratios = [common.paired(rounds, name, beside) for beside in ("nginx", "floor")]
        rows.append((
            name, common.spread(figures["cpu_us"], 2 if scenario.streamed else 1),
            *("" if value is None else f"{value:.2f}" for value in ratios),
            *report.rest_of_row(figures)))
    report.table(("", f"CPU µs per {scenario.piece}", "x nginx", "x floor", "p50 µs", "p99 µs",
                  "core use %", "others at most %"), rows)
    report.text(f"A/A control: {100 * control(rounds):.1f} %, "
                f"{control(rounds, difference=True):.2f} µs per {scenario.piece}.")


def make_report(options, scenarios, rounds):
    report = common.Report(options, "CPU beside nginx and a bare forwarder")
    report.text(
        f"{options.rounds} interleaved rounds of {options.seconds:g} s for each target; medians "
        "with least and most; ratios are medians of the rounds' own ratios. `floor` only copies, "
        "by io_uring; `exact` passes an OpenAI upstream's bytes on, `gemini` and `anthropic` are "
        "translated, and the three are one gateway. p50 and p99 are of whole answers, in `paced` "
        "of the way of one chunk.")
    for scenario in scenarios:
        if rounds[scenario.name]:
            scenario_table(report, options, scenario, rounds[scenario.name])
        else:
            report.heading(scenario.name)
            report.text("Others used the core in every round.")
    rows = []
    for bound in bounds():
        of = rounds.get(bound.scenario, [])
        value = common.paired(of, bound.target, bound.beside, difference=bound.difference)
        if value is None:
            continue
        what = (f"{bound.scenario}: {bound.target} - {bound.beside}, µs" if bound.difference
                else f"{bound.scenario}: {bound.target} / {bound.beside}")
        rows.append(report.bound(what, value, bound.limit, control(of, bound.difference)))
    report.bounds_with_noise(rows)
    report.finish(("report.md", "results.json"), {
        "rounds": rounds,
        "control": {name: {"ratio": control(of), "us": control(of, True)}
                    for name, of in rounds.items() if of},
    })


def parse_options():
    parser = common.new_parser("compare", __doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--scenarios", type=common.names, metavar="A,B", help="only these")
    parser.add_argument("--pieces", type=int, default=64, help="chunks of a stream")
    parser.add_argument("--interval-us", type=int, default=20000, help="between two chunks")
    options = common.parse(parser, FORWARDERS)
    if options.quick:
        options.rounds, options.seconds = 3, 2
    options.scenarios = common.choose_scenarios(parser, options, SCENARIOS)
    if options.cpu == options.load_cpu:
        parser.error("two cores are needed, one for what is measured")
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    scenarios = options.scenarios
    try:
        with common.Programs(options) as programs:
            targets = common.start_targets(programs, programs.mock()[0])
            time.sleep(1)
            rounds = common.scenario_rounds(options, targets, scenarios, measure)
            if not any(rounds.values()):
                raise SystemExit("compare: others used the core in every round")
            make_report(options, scenarios, rounds)
    except common.Failed as failure:
        raise SystemExit(f"compare: wrong answers: {failure}") from None


if __name__ == "__main__":
    main()
