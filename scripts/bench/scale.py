#!/usr/bin/env python3
"""Does a second shard make a request dearer, are connections spread evenly, and what would N cores
do?

Started by scale.sh, which builds what is needed. Standard library only.

CPU. A machine of two cores has no room for upstream and load beside two shards, so both stand on
both cores: one upstream and the same load on each, and a gateway that asks both upstreams. CPU time
is what the scheduler charged to the gateway's threads, so waiting for a core costs nothing; but a
core that works slows its neighbour, most of all when the two are hyper-threads of one, a shard that
never gets to sleep takes more answers at a time, and waking a program on the other core is dear. So
the fair comparison has two busy cores on both sides, and for each shard as many clients, each a
program of its own:

  one     a process with one shard; the other core has only its upstream and load
  apart   two processes with one shard each, one on each core: one shard on a busy machine
  two     one process with two shards

`two` beside `apart` is what shards of one process cost each other: memory that they share, one
table of descriptors, one group of listeners. `apart` is measured twice in a round (A/A control).
`two` beside `one` is told as well, but has the neighbour in it. A round during which others used
more than --max-other percent of both cores is thrown away and repeated.

Balance. So many idle connections are made to the process with two shards, again and again; how they
are spread is read from its metrics, with the reader's own connection among them.

The model. What shards share was looked up in the source (SHARED); shared.c measures in every round
what each kind of touch costs: a virtual machine's cores may be two real ones in one minute and
hyper-threads of one in the next. A core that comes to a line which another one has written pays for
its transfer, and while a line is on its way nobody else has it: the word with the rate of a
client's key is a queue, and the cores are the customers that come back to it after the rest of
their request (mean value analysis of a closed network). Its ceiling is what one line can serve.
Before the model says anything about more cores, it has to predict figures that it was not fed with:
of every round it gets one `apart`, and must give the other one and `two`.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import time
import urllib.request
from typing import NamedTuple

import common

MODELS = ("exact", "gemini")
LAYOUTS = ("one", "apart", "two", "apart again")
BALANCED = (2, 4, 8, 16, 64)
FEW = 16  # up to so many connections a difference of one is the most; more are not worth a move
CORES = (1, 2, 4, 8, 16, 32, 64)
NEAR = 0.05  # what a second shard may cost, and how far the model may be off
# Below this, in ns, a line does not come from another core: the two are hyper-threads of one.
NO_TRANSFER = 20

CONFIGURATION = """\
# The measurement must not meet a limit for clients. The bucket is there: it is what shards share.
[rate_limit]
capacity = 1000000000
refill_per_second = 1000000000
[limits]
connections = {connections}
in_flight = {connections}
"""
UPSTREAM = """\
[[upstream]]
name = "{name}-{port}"
kind = "{kind}"
base_url = "http://127.0.0.1:{port}{path}"
api_key = "measured-key"
"""
KINDS = {"exact": ("openai", "/v1", "gpt-*"), "gemini": ("gemini", "", "gemini-*")}


class Shared(NamedTuple):
    """Something that shards share, and how often it is touched for each of what."""

    what: str
    place: str
    operation: str
    touches: float
    each: str = "request"
    line: str = ""  # all shards wait for each other at one line


# In the source as it was when this was written. Metric cells, pools, permits, gates, circuits,
# buffers, clocks and random numbers are a shard's own, and no Arc is counted on a request's way.
SHARED = [
    Shared("rate of the client's key", "shard/rates.rs: Rates::admit", "cas", 1, line="rate"),
    # Configuration beside the word that is written. That it stands on the same line, and that
    # another core was there in between, is the worst case.
    Shared("limits of the key, read", "shard/rates.rs: counts_tokens, told", "load", 2,
           line="rate"),
    Shared("connection counts, changed", "shard/board.rs: place, leave", "add", 2, "connection"),
    Shared("connection counts, read", "shard/board.rs: smallest", "load", 1,
           "connection and shard"),
    Shared("connection counts, moved", "shard/board.rs: place", "add", 2, "hand-over"),
    Shared("mailbox", "rt/handle.rs: Mailbox", "mutex", 2, "hand-over"),
    Shared("TLS of the server, counted", "net/security.rs: Acceptor", "add", 2, "TLS connection"),
    Shared("right to probe an upstream", "shard/health.rs: Probes", "add", 2, "probe"),
    Shared("a key's requests at a time", "shard/rates.rs: Rates::turn", "cas", 2,
           "limited request"),
    Shared("a key's rates per minute", "shard/rates.rs: reserve, correct", "cas", 3,
           "limited request"),
    Shared("marks on calls of tools", "shard/signatures.rs", "mutex", 2, "call of a tool"),
    Shared("warnings in this second", "obs/log.rs: admit_warning", "add", 2, "warning"),
    Shared("the control thread's queue", "proxy/plain.rs, proxy/credential.rs: Sender", "cas", 2,
           "page or refused token"),
]
# How often a line changes its core in one operation: a compare-and-swap reads first, and must then
# take the line from all who have it; a mutex is taken so, and given back where it is.
CROSSINGS = {"load": 1, "store": 1, "add": 1, "cas": 2, "mutex": 2}


# ---- Measuring CPU -------------------------------------------------------------------------------


class Layout(NamedTuple):
    """Gateways that are measured together."""

    name: str
    shards: int
    gateways: list  # port and pid


def start_gateway(programs, upstreams, cores):
    """A gateway with a shard on each of `cores` that asks all upstreams in turns."""
    options, port = programs.options, common.free_port()
    text = CONFIGURATION.format(connections=common.CONNECTIONS)
    routes = ""
    for name, (kind, path, pattern) in KINDS.items():
        for upstream in upstreams:
            text += UPSTREAM.format(name=name, kind=kind, port=upstream, path=path)
        targets = ", ".join(f'{{ upstream = "{name}-{upstream}" }}' for upstream in upstreams)
        routes += f'[[route]]\nmodel = "{pattern}"\ntargets = [{targets}]\n'
    path = os.path.join(programs.work, f"gateway-{port}.toml")
    with open(path, "w") as file:
        file.write(text + routes)
    cores = ",".join(map(str, cores))
    pid = programs.start(
        "gateway", [options.binary, "--runtime", options.runtime, "--cores", cores], port, cores,
        {"VERTEX_BRIDGE_CONFIG": path, "APP_SERVER__PORT": str(port),
         "APP_RUNTIME__DRIVER": options.driver})
    return port, pid


def start_layouts(programs, upstreams):
    options = programs.options
    one = start_gateway(programs, upstreams, [options.cpu])
    other = start_gateway(programs, upstreams, [options.load_cpu])
    two = start_gateway(programs, upstreams, [options.load_cpu, options.cpu])
    apart = Layout("apart", 2, [one, other])
    return [Layout("one", 1, [one]), apart, Layout("two", 2, [two]),
            apart._replace(name="apart again")]


def run_loads(options, layout, model, seconds):
    """The same load from both cores to all gateways of a layout; answers, and of them a second."""
    # A program for each connection. One with several of them is woken once for all answers of a
    # shard's turn; where its connections stand on two shards, by both, and waking is dear.
    ports = [port for port, _ in layout.gateways] * (layout.shards // len(layout.gateways))
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(common.start_load(
            options, port, "-c", 1, "-d", seconds, "-m", common.MODELS[model], core=core))
            for _ in range(options.connections // 2) for port in ports
            for core in (options.load_cpu, options.cpu)]
        told = [common.check_load(*load.communicate()) for load in loads]
    return sum(one["good"] for one in told), sum(one["rps"] for one in told)


def cpu_of(pids):
    return sum(common.cpu_seconds(pid)[0] for pid in pids)


def busy_of(options):
    """Busy and whole time of both cores."""
    books = [common.core_seconds(core) for core in (options.load_cpu, options.cpu)]
    return [sum(column) for column in zip(*books)]


def measure(options, layout, model, mocks):
    """CPU microseconds of a request in the gateway, and in upstream and load together."""
    run_loads(options, layout, model, 0.3)  # warms caches and pools
    pids = [pid for _, pid in layout.gateways]
    own, upstream, loads = cpu_of(pids), cpu_of(mocks), common.children_cpu_seconds()
    busy, whole = busy_of(options)
    good, rps = run_loads(options, layout, model, options.seconds)
    own, upstream = cpu_of(pids) - own, cpu_of(mocks) - upstream
    loads = common.children_cpu_seconds() - loads
    busy, whole = (after - before for after, before in zip(busy_of(options), (busy, whole)))
    return {
        "cpu_us": own * 1e6 / good,
        "beside_us": (upstream + loads) * 1e6 / good,
        "rps": rps,
        "busy": (own + upstream + loads) / whole,
        "other": max(busy - own - upstream - loads, 0.0) / whole,
    }


def measure_rounds(options, layouts, mocks):
    """The rounds of every model, fewer than asked for when others kept using the cores; and what
    touches cost meanwhile."""
    rounds, touches = {model: [] for model in options.models}, []
    for number in range(options.rounds):
        touches.append(measure_touches(options))
        print(f"round {number + 1} of {options.rounds}, a line comes in "
              f"{touches[-1]['add']['moved']:.0f} ns; CPU µs:", flush=True)
        for model in options.models:
            results = common.kept_round(
                options, layouts, number,
                lambda layout, model=model: measure(options, layout, model, mocks), model)
            if results:
                rounds[model].append(results)
    return rounds, touches


# ---- Balance -------------------------------------------------------------------------------------


def by_shard(port, family):
    """A family of the gateway's metrics: a number for each shard."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics/prometheus", timeout=5) as page:
        text = page.read().decode()
    found = re.findall(rf'^{family}{{[^}}]*shard="(\d+)"[^}}]*}} (\d+)', text, re.MULTILINE)
    return [int(value) for _, value in sorted(found, key=lambda pair: int(pair[0]))]


def settle(port, count):
    """How `count` connections are spread, when all of them are there, and none that has gone."""
    for _ in range(200):
        spread = by_shard(port, "vertex_bridge_connections_open")
        if sum(spread) == count:
            return spread
        time.sleep(0.02)
    raise common.Failed(f"{sum(spread)} connections are open, not {count}")


def measure_balance(options, port):
    """For every number of connections how they were spread, each time; and the share of new
    connections that were handed over."""
    found, moved = {}, 0
    for count in BALANCED:
        found[count] = []
        for _ in range(options.repeats):
            settle(port, 1)
            before = handed_over(port)
            with common.idle_connections(options, port, count, common.MODELS["exact"]):
                # The reader's own may be among them.
                moved += min(handed_over(port) - before, count)
                found[count].append(settle(port, count + 1))
    shown = ", ".join(f"{count}: {worst(of)}" for count, of in found.items())
    print(f"largest differences between shards: {shown}", flush=True)
    return found, moved / (sum(BALANCED) * options.repeats)


def worst(spreads):
    return max(max(spread) - min(spread) for spread in spreads)


def handed_over(port):
    return sum(by_shard(port, "vertex_bridge_connections_handed_over_total"))


# ---- The model -----------------------------------------------------------------------------------


def measure_touches(options):
    """What shared.c tells."""
    run = subprocess.run(
        [os.path.join(options.tools, "shared"), str(options.cpu), str(options.load_cpu),
         str(options.touch_rounds)], capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"scale: {run.stderr.strip()}")
    return json.loads(run.stdout)


def moving(touches, operation, transfer):
    """What a touch costs more, in µs, when another core had the line last: as measured, or with so
    many ns for a transfer."""
    if transfer is None:
        return max(touches[operation]["moved"] - touches[operation]["alone"], 0.0) / 1e3
    return CROSSINGS[operation] * transfer / 1e3


class Model(NamedTuple):
    """What a request costs, in µs, on so many cores."""

    own: float  # what one core pays without others
    touches: dict
    handed_over: float  # with two shards
    transfer: float = None  # ns; as measured
    keys: int = 1
    per_connection: int = 100  # requests

    def need(self, line):
        """How long a request keeps a line from all others when every touch moves it; with no name,
        what it pays for lines that only some shards share."""
        return sum(shared.touches * moving(self.touches, shared.operation, self.transfer)
                   for shared in SHARED if shared.each == "request" and shared.line == line)

    def connection(self, cores):
        """What a connection pays for what is shared."""
        # Somebody else has fewer connections: as often as two shards say, and nearly always when
        # there are many.
        handed = min(1.0, self.handed_over * 2 * (cores - 1) / cores)
        times = {"connection": 1.0, "connection and shard": cores, "hand-over": handed}
        return handed * self.touches["eventfd_ns"] / 1e3 + sum(
            times[shared.each] * shared.touches
            * moving(self.touches, shared.operation, self.transfer)
            for shared in SHARED if shared.each in times)

    def rate(self, cores):
        """Requests per second of so many cores, and the share of time for which a line that all
        write is taken."""
        # Another core had the line last, unless this one comes twice in a row.
        moved = (cores - 1) / cores
        think = self.own + moved * (self.need("") + self.connection(cores) / self.per_connection)
        # Each key has a line: a request asks for one of them.
        need, waiting = moved * self.need("rate"), 0.0
        for customers in range(1, cores + 1):
            stay = need * (1 + waiting)
            rate = customers / (think + stay)  # per µs
            waiting = rate / self.keys * stay
        return rate * 1e6, rate / self.keys * need

    def cost(self, cores):
        return cores * 1e6 / self.rate(cores)[0]

    def ceiling(self):
        """Requests per second beyond which more cores than the last of CORES do not get."""
        need = (CORES[-1] - 1) / CORES[-1] * self.need("rate") / self.keys
        return 1e6 / need if need else float("inf")


def predict(result, layout, model):
    """CPU of a request and requests per second of a layout in one round, from `apart` in it."""
    cost = model.cost(2 if layout == "two" else 1)
    # Both cores are shared by all three programs.
    rate = 2e6 * result[layout]["busy"] / (cost + result["apart"]["beside_us"])
    return cost, rate


def predicted(rounds, model_of):
    """For every model and layout: CPU and rate, predicted and measured, and by how much they are
    off; medians over the rounds."""
    rows = []
    for model, of in rounds.items():
        for layout in ("apart again", "two") if of else ():
            pairs = [(predict(result, layout, model_of(result["apart"]["cpu_us"])), result[layout])
                     for result in of]
            costs = [(cost, found["cpu_us"]) for (cost, _), found in pairs]
            rates = [(rate, found["rps"]) for (_, rate), found in pairs]
            rows.append((model, layout, *(
                (*map(statistics.median, zip(*both)),
                 abs(statistics.median(one / other for one, other in both) - 1))
                for both in (costs, rates))))
    return rows


# ---- The report ----------------------------------------------------------------------------------


def median(rounds, layout, what):
    return statistics.median(results[layout][what] for results in rounds)


def control(rounds):
    value = common.paired(rounds, "apart again", "apart")
    return 0.0 if value is None else abs(value - 1)


def cpu_part(report, rounds):
    rows = []
    for model, of in rounds.items():
        report.heading(f"CPU of a request: {model}")
        if not of:
            report.text("Others used the cores in every round.")
            continue
        table = []
        for layout in LAYOUTS:
            figures = {what: [results[layout][what] for results in of] for what in of[0][layout]}
            table.append((
                layout, common.spread(figures["cpu_us"], 2),
                f"{common.paired(of, layout, 'apart'):.3f}",
                f"{statistics.median(figures['beside_us']):.2f}",
                f"{statistics.median(figures['rps']):.0f}",
                f"{100 * statistics.median(figures['busy']):.0f}",
                f"{100 * max(figures['other']):.1f}"))
        report.table(("", "CPU µs per request", "x apart", "upstream and load, µs",
                      "answers per second", "both cores busy %", "others at most %"), table)
        report.text(f"A/A control: {100 * control(of):.1f} %.")
        rows.append(report.bound(f"CPU of a request, two shards / one shard: {model}",
                                 common.paired(of, "two", "apart"), 1 + NEAR, control(of),
                                 digits=3))
    return rows


def balance_part(report, spreads, handed):
    report.heading("Balance")
    report.table(("connections", "times", "largest difference", "worst spread"), [
        (count, len(of), worst(of),
         " + ".join(map(str, max(of, key=lambda spread: max(spread) - min(spread)))))
        for count, of in spreads.items()])
    report.text("With the one connection that reads the metrics, which makes the numbers odd: "
                "within one of each other is the best there is. A shard keeps a connection while "
                "another one has less than a sixteenth fewer: with 32 on each there may be a "
                "difference of three. "
                f"{100 * handed:.0f} % of these connections were handed over.")
    return [report.bound(f"{count} connections, difference between shards", worst(of), 1, digits=0)
            for count, of in spreads.items() if count <= FEW]


def touches_part(report, touches):
    report.heading("What a touch costs")
    report.table(("ns", "alone", "moved", "both cores at once"), [
        (name, *(common.spread([of[name][how] for of in touches])
                 for how in ("alone", "moved", "both"))) for name in CROSSINGS])
    report.text(
        f"A write to an eventfd: {common.spread([of['eventfd_ns'] for of in touches], 0)} ns. Work "
        "on private memory takes "
        f"{common.spread([of['neighbour'] for of in touches], 2)} times as long while the other "
        "core works.")
    near = sum(of["add"]["moved"] - of["add"]["alone"] < NO_TRANSFER for of in touches)
    if near:
        report.text(
            f"**In {near} of {len(touches)} rounds the two cores were one.** A line that the other "
            "core had written cost next to nothing then: the hypervisor ran both as hyper-threads "
            "of one core with one cache, whatever the machine says of itself. Such rounds say "
            "nothing about real cores; the model has columns with transfer times from outside "
            "(`--transfers`).")


def shared_part(report, touches, options):
    report.heading("What shards share")
    report.table(("", "where", "operation", "touches", "moved costs more, µs"), [
        (shared.what, f"`{shared.place}`", shared.operation, f"{shared.touches} per {shared.each}",
         f"{shared.touches * moving(touches, shared.operation, None):.4f}") for shared in SHARED])
    report.text(
        "What is not touched per request, connection or hand-over costs the model's requests "
        f"nothing. A connection brings {options.per_connection} requests (`--per-connection`).",
        "Of the kernel's: each shard has its own ring, listener and queue of it. A core that falls "
        "asleep counts the process's memory map up and down, which all shards share; one that is "
        "fully used never sleeps. Opening and closing descriptors takes the lock of the table, "
        "a new connection the locks of the port tables: once per connection. Loopback counts "
        "routes up and down per packet, a network card does not. None of this is in the model; "
        "what two shards pay for it in one process is in `two` beside `apart`, and what two "
        "processes pay as well is in the cost of `apart` itself.")


def prediction_part(report, rounds, model_of):
    report.heading("What the model says of what was measured")
    found = predicted(rounds, model_of)
    report.table(("", "layout", "CPU µs predicted", "measured", "answers per second predicted",
                  "measured"), [
        (model, layout, f"{cpu[0]:.2f}", f"{cpu[1]:.2f}", f"{rate[0]:.0f}", f"{rate[1]:.0f}")
        for model, layout, cpu, rate in found])
    report.text("Medians over the rounds of what the same round's `apart` lets expect. Answers per "
                "second: as both cores were used, with the CPU of upstream and load as in `apart`.")
    rows, fits = [], bool(found)
    for model, layout, *both in found:
        shards = "two shards" if layout == "two" else "one shard"
        noise = control(rounds[model])
        for what, (_, _, off) in zip(("CPU", "rate"), both):
            # Of one shard there is nothing but the noise to be off by.
            rows.append(report.bound(f"model: {what} of {shards}, {model}, off by %", 100 * off,
                                     100 * NEAR, 100 * noise if layout == "two" else 0.0))
            fits = fits and off <= NEAR
    return rows, fits


def extrapolation_part(report, options, rounds, model_of, unexplained):
    for model in (model for model, of in rounds.items() if of):
        report.heading(f"Up to {CORES[-1]} cores: {model}")
        own = options.own or median(rounds[model], "apart", "cpu_us")
        report.text("Thousands of requests per second; in brackets their share of N times one core "
                    "and how much of the time the line of the client's key is taken. The cores "
                    f"are the gateway's alone, and a request costs {own:.1f} µs of one. What "
                    "was measured here is dear, because cores are shared and every client is a "
                    "program that must be woken; with a core of its own a request costs less "
                    "(`compare.sh`), and so fewer cores reach the ceiling (`--own`).")
        variants = [model_of(own), *(model_of(own, each) for each in options.transfers)]
        rows = []
        for cores in CORES:
            rates = [(variant.rate(cores), variant.rate(1)[0]) for variant in variants]
            rows.append((cores, *(
                f"{rate / 1e3:.0f} ({100 * rate / one / cores:.0f} %, {100 * taken:.0f} %)"
                for (rate, taken), one in rates)))
        rows.append(("ceiling", *(f"{variant.ceiling() / 1e3:.0f}" for variant in variants)))
        report.table(("cores", "a transfer as measured",
                      *(f"{transfer:g} ns" for transfer in options.transfers)), rows)
        slow = variants[-1]
        report.text("The cause of the ceiling is the word with the rate of a client's key, on a "
                    "line that every request of that key writes and reads again: at "
                    f"{options.transfers[-1]:g} ns for a transfer, "
                    f"{slow.ceiling() * slow.own / 1e6:.0f} cores reach it. Each key has a line of "
                    "its own: with twice the keys the ceiling is twice as high (here `--keys` is "
                    f"{options.keys}).")
        # Pessimism about what nobody has looked up: all that was measured above the model.
        more = unexplained(model)
        if more > 0:
            report.text(
                f"If what `two` costs more than the model says, with the noise ({more:.2f} µs), "
                "were one more line that all cores wait for, nothing could go beyond "
                f"{1e3 / (2 * more):.0f} thousand requests per second. That is the worst that "
                "these measurements leave room for.")


def make_report(options, rounds, spreads, handed, all_touches):
    touches = {name: {how: statistics.median(of[name][how] for of in all_touches)
                      for how in ("alone", "moved", "both")} for name in CROSSINGS}
    touches["eventfd_ns"] = statistics.median(of["eventfd_ns"] for of in all_touches)
    report = common.Report(options, "Balance and scale")
    report.text(
        f"{options.rounds} interleaved rounds of {options.seconds:g} s for each layout, "
        f"{options.connections} connections for each shard, each a program's closed loop of short "
        "answers, half of them on each core; medians "
        "with least and most; ratios are medians of the rounds' own ratios. `apart`: two processes "
        "of one shard each, `two`: one process of two shards, on the same cores with the same "
        "upstreams and load. `one`: a single shard, with a neighbour that has less to do.")
    rows = cpu_part(report, rounds)
    rows += balance_part(report, spreads, handed)
    touches_part(report, all_touches)
    shared_part(report, touches, options)

    def model_of(own, transfer=None):
        return Model(own, touches, handed, transfer, options.keys, options.per_connection)

    def unexplained(model):
        more = [result["two"]["cpu_us"] - model_of(result["apart"]["cpu_us"]).cost(2)
                for result in rounds[model]]
        return (statistics.median(more)
                + control(rounds[model]) * median(rounds[model], "apart", "cpu_us"))

    more, fits = prediction_part(report, rounds, model_of)
    if fits or options.anyway:
        if not fits:
            report.text("**The model misses what was measured: what follows means nothing.**")
        extrapolation_part(report, options, rounds, model_of, unexplained)
        report.text(
            "What the model does not know: NUMA (a line from another socket takes longer, and "
            "memory too), the queues of a network card and their interrupts, memory bandwidth and "
            "a last-level cache that all cores share, hyper-threads (two of them are not two "
            "cores), clock rates that fall when all cores work, locks of the kernel beyond two "
            "cores, and the thread that renders the metrics. It takes any two cores to be equally "
            "far from each other.")
    else:
        report.text("The model misses what was measured, so it says nothing about more cores.")
    report.bounds_with_noise(rows + more)
    report.finish(("scale.md", "scale.json"), {
        "rounds": rounds, "balance": spreads, "handed_over": handed,
        "touches": all_touches,
        "shared": [shared._asdict() for shared in SHARED],
        "predicted": predicted(rounds, model_of),
    })


def parse_options():
    parser = common.new_parser("scale", __doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--connections", type=int, default=8,
                        help="of each shard, every one with a program of its own")
    parser.add_argument("--transfers", type=common.names, metavar="A,B", default=["80", "200"],
                        help="ns for a line from core to core: in a socket, between two (80,200)")
    parser.add_argument("--keys", type=int, default=1,
                        help="client keys that the model's requests come from")
    parser.add_argument("--per-connection", type=int, default=100,
                        help="requests of a connection in the model")
    parser.add_argument("--anyway", action="store_true",
                        help="print the model even when it misses what was measured")
    parser.add_argument("--own", type=float, metavar="US",
                        help="CPU µs of a request for more cores, instead of what is measured here")
    options = common.parse(parser, [])
    options.models = [model for model in MODELS if model in options.chosen]
    if not options.models:
        parser.error(f"--targets takes {', '.join(MODELS)}")
    options.repeats, options.touch_rounds = 20, 500
    if options.quick:
        options.rounds, options.seconds, options.repeats, options.touch_rounds = 5, 1, 5, 100
    if options.connections < 2 or options.connections % 2:
        parser.error("--connections takes an even number: half of them come from each core")
    if options.keys < 1 or options.per_connection < 1:
        parser.error("--keys and --per-connection take 1 or more")
    try:
        options.transfers = [float(transfer) for transfer in options.transfers]
    except ValueError:
        parser.error("--transfers takes numbers of nanoseconds")
    if options.cpu == options.load_cpu:
        parser.error("two cores are needed")
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    try:
        with common.Programs(options) as programs:
            upstreams = [programs.mock(core) for core in (options.load_cpu, options.cpu)]
            layouts = start_layouts(programs, [port for port, _ in upstreams])
            time.sleep(1)
            port = layouts[2].gateways[0][0]
            spreads, handed = measure_balance(options, port)
            rounds, touches = measure_rounds(options, layouts, [pid for _, pid in upstreams])
            if not all(rounds.values()):
                raise SystemExit("scale: others used the cores in every round")
            make_report(options, rounds, spreads, handed, touches)
    except common.Failed as failure:
        raise SystemExit(f"scale: wrong answers: {failure}") from None


if __name__ == "__main__":
    main()
