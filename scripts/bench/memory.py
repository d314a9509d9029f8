#!/usr/bin/env python3
"""What the gateway takes in memory: idle, for connections that wait, for streams that run slowly.

Started by memory.sh, which builds what is needed. Standard library only.

The figures are VmRSS of a gateway on one core (--cpu); upstream and load generator stand on another
(--load-cpu). A connection or stream costs the slope between few and many of them, so that what is
warmed up once does not count. Each kind of stream gets a fresh gateway, holds few and then many
streams whose upstream writes a chunk now and then, and is watched for a minute after all have
left. An idle connection is one that has had its first request answered.
"""

import json
import time

import common

FORWARDERS = ["nginx"]
IDLE_MIB, BUSY_MIB, LIVE_MIB, LEFT_MIB = 15, 30, 135, 8
CONNECTION_KIB, STREAM_KIB = 4, 12
BUSY = 256
FULL = 9000  # the number of streams that LIVE_MIB is for
AFTERWARDS = 60  # seconds
RAMP_US = 500  # between the beginnings of two streams


def idle_connections(options, target, count):
    """RSS in KiB with so many connections that have had a request answered."""
    with common.idle_connections(options, target.port, count, target.model):
        time.sleep(1)
        return common.rss_kib(target.pid)


def watched_load(options, target, *arguments):
    """Runs a load; what it tells, and the most RSS in KiB meanwhile."""
    most = 0
    with common.start_load(options, target.port, "-m", target.model, *arguments) as load:
        try:
            while load.poll() is None:
                most = max(most, common.rss_kib(target.pid))
                time.sleep(0.1)
            return common.check_load(*load.communicate()), most
        finally:
            if load.poll() is None:
                load.terminate()


def live_streams(options, target, count):
    """Most RSS in KiB while so many streams run, all of them at one time."""
    ramp = count * RAMP_US / 1e6
    lasting = options.pieces * options.interval_us / 1e6
    if ramp + 1 >= lasting:
        raise SystemExit("memory: the streams must last longer than it takes to begin them")
    streamed = target._replace(model=target.model + "-paced")
    result, most = watched_load(options, streamed, "-s", "-e", options.pieces, "-c", count,
                                "-g", RAMP_US, "-d", ramp + 0.5, "-w", lasting + 20,
                                "-a", 1 + count // 2000)
    if result["good"] != count:
        raise common.Failed(f"{target.name}: {result['good']} streams, not {count}")
    return most


def after_all_left(target, limit_kib):
    """Seconds until RSS is within the limit, for a minute at most, and RSS then."""
    started = time.monotonic()
    while True:
        passed, rss = time.monotonic() - started, common.rss_kib(target.pid)
        if rss <= limit_kib or passed >= AFTERWARDS:
            return passed, rss
        time.sleep(0.5)


def measure_connections(options, target):
    """A fresh process: idle, then with connections that wait."""
    time.sleep(2)
    figures = {"idle_kib": common.rss_kib(target.pid), "connections_kib": {}}
    for count in options.connections:
        figures["connections_kib"][count] = idle_connections(options, target, count)
        time.sleep(1)
    few, many = options.connections[0], options.connections[-1]
    kib = figures["connections_kib"]
    figures["kib_per_connection"] = (kib[many] - kib[few]) / (many - few)
    print(f"  {target.name}: {json.dumps(figures)}", flush=True)
    return figures


def measure_busy(options, target):
    """A fresh process with busy connections: most RSS in KiB."""
    return watched_load(options, target, "-c", BUSY, "-d", options.seconds)[1]


def measure_streams(options, target):
    """A fresh process: idle, with few and many streams, and afterwards."""
    time.sleep(2)
    idle = common.rss_kib(target.pid)
    figures = {"idle_kib": idle, "streams_kib": {}}
    for count in options.streams:
        figures["streams_kib"][count] = live_streams(options, target, count)
        time.sleep(1)
    few, many = options.streams[0], options.streams[-1]
    kib = figures["streams_kib"]
    figures["kib_per_stream"] = (kib[many] - kib[few]) / (many - few)
    figures["back_seconds"], figures["afterwards_kib"] = after_all_left(
        target, idle + LEFT_MIB * 1024)
    print(f"  {target.name}: {json.dumps(figures)}", flush=True)
    return figures


def measure_all(options, programs):
    """All parts, each with a fresh process: idle connections, busy ones, streams."""
    upstream, _ = programs.mock()

    def fresh(name, model, measure):
        """What is measured of a fresh process; None when it is not installed."""
        started = (programs.forwarder(name, upstream) if name in options.forwarders
                   else programs.gateway(upstream))
        if not started:
            return None
        figures = measure(options, common.Target(name, *started, common.MODELS[model]))
        programs.stop(started[1])
        return figures

    connections = {}
    entries = [("gateway", options.chosen_models[0])]
    entries += [(name, "exact") for name in options.forwarders if name in options.chosen]
    for name, model in entries:
        figures = fresh(name, model, measure_connections)
        if figures:
            connections[name] = {**figures, "busy_kib": fresh(name, model, measure_busy)}
    return connections, {name: fresh(name, name, measure_streams)
                         for name in options.chosen_models}


# ---- The report ----------------------------------------------------------------------------------


def connection_tables(report, options, connections):
    report.heading("Idle connections")
    report.table(
        ("", "fresh, MiB", *(f"{count} idle" for count in options.connections),
         "KiB per connection", f"{BUSY} busy, MiB"),
        [(name, f"{of['idle_kib'] / 1024:.1f}",
          *(f"{of['connections_kib'][count] / 1024:.1f}" for count in options.connections),
          f"{of['kib_per_connection']:.2f}", f"{of['busy_kib'] / 1024:.1f}")
         for name, of in connections.items()])


def stream_table(report, options, streams):
    report.heading("Live streams")
    report.table(
        ("", "fresh, MiB", *(f"{count} live" for count in options.streams), "KiB per stream",
         "afterwards, MiB", "back after s"),
        [(name, f"{of['idle_kib'] / 1024:.1f}",
          *(f"{of['streams_kib'][count] / 1024:.1f}" for count in options.streams),
          f"{of['kib_per_stream']:.2f}", f"{of['afterwards_kib'] / 1024:.1f}",
          f"{of['back_seconds']:.0f}" if of["back_seconds"] < AFTERWARDS else "never")
         for name, of in streams.items()])


def make_report(options, connections, streams):
    report = common.Report(options, "Memory of the gateway on one core")
    report.text(f"VmRSS. Streams have a chunk every {options.interval_us / 1000:g} ms; of their "
                "RSS the most that was seen is told. `afterwards` is when it was back to "
                f"{LEFT_MIB} MiB more than fresh, or {AFTERWARDS} s after the last stream.")
    connection_tables(report, options, connections)
    stream_table(report, options, streams)
    gateway = connections["gateway"]
    idle = max(of["idle_kib"] for of in (gateway, *streams.values()))
    rows = [
        report.bound("fresh, MiB", idle / 1024, IDLE_MIB, digits=1),
        report.bound("per idle connection, KiB", gateway["kib_per_connection"], CONNECTION_KIB),
        report.bound(f"{BUSY} busy connections, MiB", gateway["busy_kib"] / 1024, BUSY_MIB,
                     digits=1),
    ]
    for name, of in streams.items():
        rows.append(report.bound(f"per live stream, {name}, KiB", of["kib_per_stream"], STREAM_KIB))
        if FULL in of["streams_kib"]:
            rows.append(report.bound(f"{FULL} live streams, {name}, MiB",
                                     of["streams_kib"][FULL] / 1024, LIVE_MIB, digits=1))
        rows.append(report.bound(
            f"more than idle {AFTERWARDS} s after the last stream, {name}, MiB",
            (of["afterwards_kib"] - of["idle_kib"]) / 1024, LEFT_MIB, digits=1))
    report.bounds(rows)
    report.finish(("memory.md", "memory.json"), {"connections": connections, "streams": streams})


def parse_options():
    parser = common.new_parser("memory", __doc__)
    parser.add_argument("--connections", type=common.names, default=["1", "1000", "9000"],
                        metavar="A,B", help="idle ones")
    parser.add_argument("--streams", type=common.names, default=["1000", "9000"], metavar="A,B",
                        help="live ones")
    parser.add_argument("--pieces", type=int, default=64, help="chunks of a stream")
    parser.add_argument("--interval-us", type=int, default=500000, help="between two chunks")
    parser.add_argument("--seconds", type=float, default=5, help="of busy connections")
    options = common.parse(parser, FORWARDERS)
    if options.quick:
        options.connections, options.streams = ["1", "100", "1000"], ["100", "1000"]
        options.pieces, options.seconds = 12, 2
    options.connections = sorted(map(int, options.connections))
    options.streams = sorted(map(int, options.streams))
    for counts in (options.connections, options.streams):
        if len(counts) < 2 or counts[0] == counts[-1] or counts[-1] > common.CONNECTIONS:
            parser.error(f"two numbers are needed, of {common.CONNECTIONS} at most")
    chosen = options.targets or [*options.forwarders, *common.TRANSLATED]
    options.chosen_models = [name for name in common.MODELS if name in chosen]
    if not options.chosen_models:
        parser.error("--targets must name one of the gateway's")
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    try:
        with common.Programs(options) as programs:
            connections, streams = measure_all(options, programs)
            make_report(options, connections, streams)
    except common.Failed as failure:
        raise SystemExit(f"memory: wrong answers: {failure}") from None


if __name__ == "__main__":
    main()
